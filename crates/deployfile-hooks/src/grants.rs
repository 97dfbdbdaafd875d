//! The three-way intersection, when planning: what a component asks for, what the deployfile grants, what the component
//! can use at all.

use crate::UrlPattern;
use crate::broker::path::FilePath;
use crate::broker::{quoted, scope_name};
use crate::component::inspect::Inspection;
use crate::component::manifest::{Capability, Request};
use deployfile_model::Grant;

/// What does not meet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantCheck {
    /// `allow` lines that the component asks for and the deployfile lacks, ready to paste.
    pub missing: Vec<String>,
    /// `allow` lines that were granted but never asked for, or cannot be used.
    pub unused: Vec<String>,
    /// Grants that mean nothing, and why.
    pub bad: Vec<String>,
}

/// Holds grants against what the component asks for and imports. Without a manifest nothing is missing: such a
/// component is denied when it calls.
pub fn check_grants(inspection: &Inspection, grants: &[Grant]) -> GrantCheck {
    let mut check = GrantCheck::default();
    for request in inspection.requests.iter().flatten() {
        if !grants.iter().any(|grant| meets(grant, request)) {
            check.missing.push(format!(
                "{} // {}",
                missing_line(request),
                crate::redact::escape(&request.reason)
            ));
        }
    }
    for grant in grants {
        if let Some(why) = mistake(grant) {
            check.bad.push(format!("{}: {why}", allow_line(grant)));
        } else if !is_useful(inspection, grant) {
            check.unused.push(allow_line(grant));
        }
    }
    check
}

fn meets(grant: &Grant, request: &Request) -> bool {
    if Capability::of(grant) != request.capability {
        return false;
    }
    let Some(scope) = &request.scope else { return true };
    match grant {
        Grant::Http { url, .. } => url == scope || wide_enough(url, scope),
        Grant::Exec { program, .. } => program == scope,
        Grant::Read { path } | Grant::Write { path } => {
            match (FilePath::parse(path), FilePath::parse(scope)) {
                (Ok(granted), Ok(asked)) => granted.covers(&asked),
                _ => false,
            }
        }
        Grant::Secret { name, .. } => name.as_str() == scope,
        Grant::State { scope: granted } => scope_name(*granted) == scope,
        Grant::Plan => true,
    }
}

/// Whether a pattern that ends in `*` begins another.
fn wide_enough(granted: &str, asked: &str) -> bool {
    granted.strip_suffix('*').is_some_and(|start| asked.starts_with(start))
}

/// Asked for, or (without a manifest) imported.
fn is_useful(inspection: &Inspection, grant: &Grant) -> bool {
    let capability = Capability::of(grant);
    match &inspection.requests {
        Some(requests) => requests.iter().any(|request| request.capability == capability),
        None => capability.interface().is_none_or(|interface| inspection.imports_interface(interface)),
    }
}

fn mistake(grant: &Grant) -> Option<String> {
    match grant {
        Grant::Http { url, .. } => UrlPattern::parse(url).err().map(|error| error.to_string()),
        Grant::Read { path } | Grant::Write { path } => FilePath::parse(path).err(),
        Grant::Exec { program, .. } => {
            deployfile_model::RelPath::new(program.as_str()).err().map(|e| e.to_string())
        }
        Grant::Secret { .. } | Grant::State { .. } | Grant::Plan => None,
    }
}

fn missing_line(request: &Request) -> String {
    let capability = request.capability;
    match (&request.scope, capability) {
        (_, Capability::Plan) => "allow plan".to_owned(),
        (Some(scope), _) => format!("allow {capability}={}", quoted(scope)),
        (None, Capability::Http) => "allow http=\"https://…/*\"".to_owned(),
        (None, Capability::State) => "allow state=run".to_owned(),
        (None, Capability::Read | Capability::Write) => format!("allow {capability}=\"release:\""),
        (None, Capability::Exec | Capability::Secret) => format!("allow {capability}=\"…\""),
    }
}

/// A grant as the deployfile writes it.
pub fn allow_line(grant: &Grant) -> String {
    match grant {
        Grant::Http { url, methods, private } => {
            let methods = match methods.is_empty() {
                true => String::new(),
                false => format!(" methods={}", quoted(&methods.join(" "))),
            };
            let private = if *private { " private=#true" } else { "" };
            format!("allow http={}{methods}{private}", quoted(url))
        }
        Grant::Exec { program, timeout } => {
            let timeout = timeout.map_or_else(String::new, |t| format!(" timeout=\"{t}\""));
            format!("allow exec={}{timeout}", quoted(program))
        }
        Grant::Read { path } => format!("allow read={}", quoted(path)),
        Grant::Write { path } => format!("allow write={}", quoted(path)),
        Grant::Secret { name, reveal } => {
            format!("allow secret={}{}", quoted(name.as_str()), if *reveal { " reveal=#true" } else { "" })
        }
        Grant::State { scope } => format!("allow state={}", scope_name(*scope)),
        Grant::Plan => "allow plan".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::inspect::inspect;
    use deployfile_model::grant::StateScope;

    fn asking(requests: Option<Vec<Request>>) -> Inspection {
        let mut inspection = inspect(b"");
        inspection.imports.insert("deployfile:hook/files@1.0.0".to_owned());
        inspection.requests = requests;
        inspection
    }

    fn request(capability: Capability, scope: Option<&str>) -> Request {
        Request { capability, scope: scope.map(str::to_owned), reason: "why".to_owned() }
    }

    #[test]
    fn what_is_missing_is_ready_to_paste() {
        let inspection = asking(Some(vec![
            request(Capability::Read, Some("release:public")),
            request(Capability::Http, Some("https://e.com/a/*")),
            request(Capability::State, None),
        ]));
        let check = check_grants(&inspection, &[Grant::Read { path: "release:".to_owned() }]);
        assert_eq!(check.missing, ["allow http=\"https://e.com/a/*\" // why", "allow state=run // why"]);
        assert!(check.unused.is_empty() && check.bad.is_empty());
    }

    #[test]
    fn what_was_never_asked_for_is_told() {
        let grants = [Grant::State { scope: StateScope::Run }, Grant::Read { path: "shared:".to_owned() }];
        let unused = |requests| check_grants(&asking(requests), &grants).unused;
        assert_eq!(unused(None), ["allow state=run"]);
        assert_eq!(unused(Some(vec![])), ["allow state=run", "allow read=\"shared:\""]);
    }

    #[test]
    fn grants_that_mean_nothing_are_told() {
        let bad = Grant::Http { url: "https://*.e.com/*".to_owned(), methods: vec![], private: false };
        let check = check_grants(&asking(None), &[bad, Grant::Read { path: "/etc".to_owned() }]);
        assert_eq!(check.bad.len(), 2, "{check:?}");
    }
}
