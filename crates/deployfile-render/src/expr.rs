//! `{{ look-ups }}` in strings of the deployfile: checked when it is loaded, filled when a plan is made.
//!
//! Only `{{ }}` is syntax; `{%` and `{#` are text, and `{{ '{{' }}` is a literal. A look-up is a name, an attribute of
//! `vars` or a literal, and filters from a closed list. It is compiled as a minijinja expression, so it means the same
//! as in a template; everything more that minijinja could do (calls, arithmetic, conditions) is refused here.

mod names;
mod syntax;

pub use crate::values::Values;
pub use names::{NAMES, Names};

use crate::filters;
use minijinja::{Environment, UndefinedBehavior};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;
use syntax::{Look, Part};

/// Instructions of minijinja that one look-up may take.
const FUEL: u64 = 10_000;

/// The most that a filled string may be, in bytes.
pub const OUTPUT_LIMIT: usize = filters::OUTPUT_LIMIT;

/// A mistake in a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupError {
    /// What is wrong, a lowercase fragment.
    pub message: String,
    /// Where in the string, in bytes.
    pub offset: usize,
    /// How long the wrong part is, in bytes; at least 1 unless the string ends there.
    pub len: usize,
    /// What to do about it.
    pub help: String,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for LookupError {}

/// A look-up that could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillError {
    expression: String,
    reason: String,
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{ {} }}}} cannot be filled in: {}", self.expression, self.reason)
    }
}
impl std::error::Error for FillError {}

/// Checks every look-up of `raw` against the names that are known where it stands. All mistakes are returned.
pub fn check(raw: &str, allowed: &Names) -> Result<(), Vec<LookupError>> {
    let (parts, mut errors) = syntax::parse(raw);
    for look in looks(&parts) {
        let before = errors.len();
        names::check(look, allowed, &mut errors);
        if errors.len() == before {
            errors.extend(refused_by_minijinja(look));
        }
    }
    errors.sort_by_key(|error| error.offset);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The names that `raw` uses, sorted: `release`, `vars.port`. Look-ups that are mistakes are left out.
pub fn lookups(raw: &str) -> Vec<String> {
    let (parts, _) = syntax::parse(raw);
    let names: BTreeSet<String> = looks(&parts).flat_map(Look::paths).map(|path| path.dotted()).collect();
    names.into_iter().collect()
}

/// `raw` with its look-ups filled in.
///
/// # Errors
/// A name without a value, a filter that refuses its input, or a result larger than [`OUTPUT_LIMIT`].
pub fn fill(raw: &str, values: &Values) -> Result<String, FillError> {
    if !raw.contains("{{") {
        return Ok(raw.to_owned());
    }
    let (parts, errors) = syntax::parse(raw);
    if let Some(error) = errors.into_iter().next() {
        let expression = raw.get(error.offset..error.offset + error.len).unwrap_or_default().to_owned();
        return Err(FillError { expression, reason: error.message });
    }
    let mut filled = String::with_capacity(raw.len() * 2);
    for part in &parts {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Look(look) => filled.push_str(&evaluate(look, values)?),
        }
        if filled.len() > OUTPUT_LIMIT {
            let reason = format!("the result is larger than {OUTPUT_LIMIT} bytes");
            return Err(FillError { expression: "…".to_owned(), reason });
        }
    }
    Ok(filled)
}

fn looks<'p, 'a>(parts: &'p [Part<'a>]) -> impl Iterator<Item = &'p Look<'a>> {
    parts.iter().filter_map(|part| match part {
        Part::Look(look) => Some(look),
        Part::Text(_) => None,
    })
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    filters::install(&mut environment);
    environment
});

fn refused_by_minijinja(look: &Look<'_>) -> Option<LookupError> {
    let error = ENVIRONMENT.compile_expression_owned(look.source).err()?;
    Some(LookupError {
        message: format!("not an expression: {}", error.detail().unwrap_or("it does not parse")),
        offset: look.offset,
        len: look.source.len(),
        help: "a look-up is a name or a literal, with filters: {{ vars.port }}".to_owned(),
    })
}

fn evaluate(look: &Look<'_>, values: &Values) -> Result<String, FillError> {
    let fail = |reason: String| FillError { expression: look.source.to_owned(), reason };
    // By far the most look-ups are plain; they need no compiler.
    if let Some(path) = look.plain_path() {
        let name = path.dotted();
        return match values.get(&name) {
            Some(value) => Ok(value.into_owned()),
            None => Err(fail(format!("`{name}` has no value here"))),
        };
    }
    let told = |error: minijinja::Error| {
        let missing = look.paths().map(|path| path.dotted()).find(|name| values.get(name).is_none());
        match (error.kind(), missing) {
            (minijinja::ErrorKind::UndefinedError, Some(name)) => fail(format!("`{name}` has no value here")),
            _ => fail(error.detail().unwrap_or("it failed").to_owned()),
        }
    };
    let compiled = ENVIRONMENT.compile_expression_owned(look.source).map_err(told)?;
    let value = compiled.eval(values.context()).map_err(told)?;
    if value.is_undefined() {
        return Err(fail("it has no value here".to_owned()));
    }
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployfile_model::units::UnixTime;

    fn names() -> Names {
        Names::all().with_vars(["port", "admin_port"])
    }

    fn values() -> Values {
        let mut values = Values::new();
        values.set("release", "/srv/shop/releases/r2");
        values.set("role", "web db");
        values.set_var("port", "9010");
        values.set_time(UnixTime(1_795_183_533));
        values
    }

    fn message(raw: &str) -> String {
        let errors = check(raw, &names()).expect_err(raw);
        assert_eq!(errors.len(), 1, "{raw}: {errors:?}");
        assert!(!errors[0].help.is_empty(), "{raw}");
        errors[0].message.clone()
    }

    #[test]
    fn fills_names_attributes_literals_and_filters() {
        for (raw, filled) in [
            ("no look-up { } }} {% if %} {# x #}", "no look-up { } }} {% if %} {# x #}"),
            ("{{ release }}/bin", "/srv/shop/releases/r2/bin"),
            ("{{release|basename}}:{{ vars.port }}", "r2:9010"),
            ("{{ '{{' }} {{ \"}}\" }}", "{{ }}"),
            ("{{ time | date('%Y-%m-%d_%H.%M.%S') }}", "2026-11-20_14.05.33"),
            ("{{ time }}", "2026-11-20T14:05:33Z"),
            ("{{ role | join(',') | upper }}", "WEB,DB"),
            ("{{ release | replace('/srv', '') | lower }}", "/shop/releases/r2"),
            ("{{ vars.missing | default('x') }}{{ vars.missing | default(vars.port) }}", "x9010"),
            ("{{ 42 }}", "42"),
        ] {
            assert_eq!(check(raw, &names()), Ok(()), "{raw}");
            assert_eq!(fill(raw, &values()).as_deref(), Ok(filled), "{raw}");
        }
    }

    #[test]
    fn refuses_what_is_more_than_a_look_up() {
        for (raw, part) in [
            ("{{ 1 + 1 }}", "`+`"),
            ("{{ vars.port == 1 }}", "`==`"),
            ("{{ now() }}", "call"),
            ("{{ vars['port'] }}", "subscript"),
            ("{{ release if x }}", "`if`"),
            ("{{ not release }}", "`not`"),
            ("{{ [1] }}", "`[`"),
            ("{{- release }}", "`-`"),
            ("{{ }}", "empty"),
            ("{{ release", "never closed"),
            ("{{ 'x }}", "never closed"),
            ("{{ vars }}", "`vars`"),
            ("{{ vars.a.b }}", "vars.a.b"),
            ("{{ release.x }}", "`release`"),
            ("{{ release | }}", "filter"),
            ("{{ release | lower(1) }}", "lower"),
            ("{{ release | replace('a') }}", "replace"),
            ("{{ time | date('%Q!%') }}", "date"),
            ("{{ release release }}", "`release`"),
            ("{{ relaese }}", "relaese"),
            ("{{ release | uper }}", "uper"),
            ("{{ vars.prot }}", "vars.prot"),
        ] {
            assert!(message(raw).contains(part), "{raw}: {}", message(raw));
        }
    }

    #[test]
    fn suggests_near_names() {
        let help = |raw: &str| check(raw, &names()).unwrap_err()[0].help.clone();
        assert!(help("{{ relaese }}").contains("release"));
        assert!(help("{{ vars.prot }}").contains("vars.port"));
        assert!(help("{{ release | uper }}").contains("upper"));
        assert!(help("{{ vars.admin-port }}").contains("vars.admin_port"));
        assert!(message("{{ vars.admin-port }}").contains("subtraction"));
        assert!(help("{{ release-id }}").contains("release_id"));
    }

    #[test]
    fn a_secret_cannot_be_named() {
        for raw in ["{{ secret.db }}", "{{ secret }}", "{{ secrets.db }}", "{{ secret('db') }}"] {
            assert!(message(raw).contains("secret"), "{raw}");
            assert!(check(raw, &names()).unwrap_err()[0].help.contains("(secret)name"), "{raw}");
        }
    }

    #[test]
    fn a_name_that_is_not_known_yet_is_refused() {
        let early = Names::new(["app", "host"]);
        let errors = check("/srv/{{ app }}/{{ release }}", &early).unwrap_err();
        assert_eq!((errors[0].offset, errors[0].len), (18, 7));
        assert!(errors[0].message.contains("not known here"), "{}", errors[0].message);
        assert!(check("{{ vars.x }}", &early).unwrap_err()[0].message.contains("not known here"));
    }

    #[test]
    fn all_mistakes_are_reported_with_their_places() {
        let raw = "é {{ a }} {{ 1 + }} {{ release }} {{ b }}";
        let errors = check(raw, &names()).unwrap_err();
        let parts: Vec<&str> = errors.iter().map(|e| &raw[e.offset..e.offset + e.len]).collect();
        assert_eq!(parts, ["a", "+", "b"]);
    }

    #[test]
    fn names_that_a_text_uses() {
        let raw = "{{ release }} {{ vars.port | default(vars.x) }} {{ 'a' }} {{ release }} {{ 1 + 1 }}";
        assert_eq!(lookups(raw), ["release", "vars.port", "vars.x"]);
    }

    #[test]
    fn a_missing_value_and_a_huge_one_are_errors() {
        let error = fill("{{ current }}", &values()).unwrap_err().to_string();
        assert!(error.contains("{{ current }}") && error.contains("no value"), "{error}");
        let error = fill("{{ vars.gone | upper }}", &values()).unwrap_err().to_string();
        assert!(error.contains("`vars.gone` has no value"), "{error}");
        let mut raw = String::from("{{ 'a' ");
        (0..30).for_each(|_| raw.push_str("| replace('a', 'aaaaaaaa')"));
        raw.push_str("}}");
        assert!(fill(&raw, &values()).unwrap_err().to_string().contains("bytes"));
    }

    #[test]
    fn a_chain_of_filters_has_an_end() {
        let chain = |n: usize| check(&format!("{{{{ app{} }}}}", " | upper".repeat(n)), &names());
        assert!(chain(32).is_ok());
        let errors = chain(50_000).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].message.contains("more than 32 filters"), "{errors:?}");
    }

    #[test]
    fn what_check_accepts_fill_never_calls_a_syntax_error() {
        let mut full = values();
        NAMES.iter().filter(|name| **name != "time").for_each(|name| full.set(name, "v"));
        full.set_var("admin_port", "1");
        let words =
            ["{{", "}}", "release", "vars.port", "|", "lower", "'", "\"", "\\", "(", ")", ",", " ", "9", "é"];
        // Every string of four of these words: small, and complete.
        for n in 0..words.len().pow(4) {
            let mut rest = n;
            let mut raw = String::from("{{");
            for _ in 0..4 {
                raw.push_str(words[rest % words.len()]);
                rest /= words.len();
            }
            raw.push_str("}}");
            if check(&raw, &names()).is_ok() {
                assert!(fill(&raw, &full).is_ok(), "{raw}: {:?}", fill(&raw, &full));
            }
        }
    }
}
