//! What the builtin manager would refuse, told before a release is switched to it.

use crate::error::{CliError, exit};
use deployfile_model::service::Manager;
use deployfile_model::{Host, Spec};
use deployfile_supervisor::MAX_ALL_PROCESSES;

/// Why the services of a specification cannot all run.
pub(crate) fn refusals(spec: &Spec) -> Vec<CliError> {
    spec.hosts.iter().filter_map(too_many_processes).collect()
}

fn too_many_processes(host: &Host) -> Option<CliError> {
    let builtin = || host.services.iter().filter(|service| service.manager == Manager::Builtin);
    let all: usize = builtin().map(|service| service.numprocs as usize).sum();
    if all <= MAX_ALL_PROCESSES {
        return None;
    }
    let message = format!(
        "the services of host `{}` want {all} processes; `manager builtin` keeps at most {MAX_ALL_PROCESSES}",
        host.name
    );
    let largest = builtin().max_by_key(|service| service.numprocs);
    let error = CliError::new("config::processes", exit::INVALID, message)
        .help("lower `numprocs`, or give some of them to `manager supervisor`");
    Some(CliError { place: largest.map(|service| service.place.clone()), ..error })
}

#[cfg(test)]
mod tests {
    use deployfile_config::{FileError, Files, load};
    use deployfile_supervisor::{MAX_ALL_PROCESSES, MAX_PROCESSES};
    use std::collections::BTreeMap;

    struct One(String);

    impl Files for One {
        fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
            Ok(self.0.clone().into_bytes())
        }
        fn list(&self, _: &str) -> Result<Vec<String>, FileError> {
            Ok(Vec::new())
        }
    }

    /// The codes of what is wrong with services of so many processes.
    fn wrong(numprocs: &[usize]) -> Vec<String> {
        let services: String = numprocs
            .iter()
            .enumerate()
            .map(|(n, count)| format!("service s{n} {{ command \"x\"; numprocs {count}; }}\n"))
            .collect();
        let text = format!(
            "deployfile 1\napp a {{ root \"/srv/a\"; }}\nsource dir \"src\"\n{services}\
             environment e {{ host h {{ connect local; }}; }}\n"
        );
        let loaded = load(&One(text), "deployfile.kdl");
        let Some(project) = loaded.project else {
            return loaded.diagnostics.iter().map(|d| d.message.clone()).collect();
        };
        let (spec, _) = project.spec(&project.environments()[0], &BTreeMap::new()).unwrap();
        super::refusals(&spec).into_iter().map(|error| error.message).collect()
    }

    #[test]
    fn the_language_takes_exactly_what_the_manager_takes() {
        let most = MAX_PROCESSES as usize;
        assert!(wrong(&[most]).is_empty());
        assert!(wrong(&[most + 1])[0].contains("from 1 to 64"), "{:?}", wrong(&[most + 1]));
        let all = vec![most; MAX_ALL_PROCESSES / most];
        assert!(wrong(&all).is_empty());
        assert!(wrong(&[all, vec![1]].concat())[0].contains("257 processes"));
    }
}
