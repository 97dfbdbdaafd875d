//! Finds the program of a unit as `execvp` would, but with a message that says where it was looked for.

use deployfile_record::Unit;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The program's path. With a `/` it counts from the unit's directory, else it is the first match in `search`, the
/// environment's `PATH`.
pub(super) fn find(unit: &Unit, search: Option<&str>) -> Result<PathBuf, String> {
    let name = unit.command.first().map_or("", String::as_str);
    let directory = Path::new(unit.directory.as_str());
    let fail = |why: String| Err(format!("cannot find program `{name}`: {why}"));
    if name.is_empty() {
        return fail("the command is empty".to_owned());
    }
    if name.contains('/') {
        let path = directory.join(name);
        return match is_program(&path) {
            true => Ok(path),
            false => fail(format!("there is no executable file `{}`", path.display())),
        };
    }
    let Some(search) = search else { return fail("the unit's environment has no PATH".to_owned()) };
    let mut places = search.split(':').filter(|place| !place.is_empty());
    match places.find_map(|place| Some(directory.join(place).join(name)).filter(|path| is_program(path))) {
        Some(path) => Ok(path),
        None => fail(format!("it is not in PATH ({search})")),
    }
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
