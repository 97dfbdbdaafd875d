//! Free templates: whole files with `{% for %}` and `{% if %}`, where each `{{ value }}` is quoted for the file's kind.
//!
//! Undefined names are errors. There are no includes: a template is one text, part of the plan's digest. Instructions
//! and output are limited; what a template concatenates in memory on the way is not (it is its user's own file).

use crate::expr::NAMES;
use crate::quoting::quote;
use crate::{Values, depth, filters};
use deployfile_model::stage::TemplateKind;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};

/// Instructions of minijinja that one template may take.
pub const FUEL: u64 = 2_000_000;

/// The largest rendered file, in bytes.
pub const OUTPUT_LIMIT: usize = 8 << 20;

/// The largest template, in bytes.
pub const SOURCE_LIMIT: usize = 1 << 20;

/// A mistake in a template, or a value that does not fit in it. It never holds a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The template's name.
    pub template: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// The expression, where it is known.
    pub expression: Option<String>,
    /// What is wrong, a lowercase fragment.
    pub reason: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template {}", self.template)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(expression) = &self.expression {
            write!(f, ", `{expression}`")?;
        }
        write!(f, ": {}", self.reason)
    }
}
impl std::error::Error for TemplateError {}

/// The file that the template `source` makes of `values`. `name` stands in errors.
///
/// # Errors
/// A mistake in the template, a name without a value, a value that `kind` cannot represent, or a limit.
pub fn render(
    name: &str,
    source: &str,
    kind: TemplateKind,
    values: &Values,
) -> Result<String, TemplateError> {
    let told = |error| explain(name, source, &error);
    check_size(name, source)?;
    let mut environment = environment().map_err(told)?;
    environment.set_formatter(move |out, _, value| {
        let text = quote(kind, value).map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))?;
        out.write_str(&text).map_err(Error::from)
    });
    let template = environment.template_from_named_str(name, source).map_err(told)?;
    let mut output = Limited(Vec::new());
    template.render_captured_to(values.typed_context(), &mut output).map_err(told)?;
    String::from_utf8(output.0).map_err(|_| error(name, "its output is not UTF-8".to_owned()))
}

/// Checks a template when it is loaded: its syntax, and that it uses no name that the language does not have. Whether
/// a variable has a value, and fits, is known when it is rendered.
pub fn check_template(name: &str, source: &str) -> Result<(), TemplateError> {
    const GLOBALS: [&str; 5] = ["vars", "range", "dict", "namespace", "loop"];
    check_size(name, source)?;
    let told = |error| explain(name, source, &error);
    let environment = environment().map_err(told)?;
    let template = environment.template_from_named_str(name, source).map_err(told)?;
    let used: BTreeSet<String> = template.undeclared_variables(false).into_iter().collect();
    let known = |used: &str| used != "service" && NAMES.contains(&used) || GLOBALS.contains(&used);
    let Some(unknown) = used.into_iter().find(|used| !known(used)) else { return Ok(()) };
    let reason = match unknown.as_str() {
        "secret" | "secrets" => {
            "a template cannot reach a secret; give it to a program in env: NAME (secret)name"
        }
        _ => "unknown name",
    };
    Err(TemplateError {
        line: line_of(source, &unknown),
        expression: Some(unknown),
        ..error(name, reason.to_owned())
    })
}

/// The variables (`vars.NAME`) that a template uses, each with the first line in which it stands. Nothing for a template
/// that is wrong: [`check_template`] says that.
pub fn used_variables(source: &str) -> Vec<(String, Option<usize>)> {
    if check_size("", source).is_err() {
        return Vec::new();
    }
    let Ok(environment) = environment() else { return Vec::new() };
    let Ok(template) = environment.template_from_str(source) else { return Vec::new() };
    let used: BTreeSet<String> = template.undeclared_variables(true).into_iter().collect();
    let names = used.iter().filter_map(|used| used.strip_prefix("vars."));
    let names: BTreeSet<&str> = names.map(|name| name.split('.').next().unwrap_or(name)).collect();
    names.into_iter().map(|name| (name.to_owned(), line_of(source, name))).collect()
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_debug(true);
    environment.remove_global("debug");
    filters::install(&mut environment);
    Ok(environment)
}

fn check_size(name: &str, source: &str) -> Result<(), TemplateError> {
    if source.len() > SOURCE_LIMIT {
        return Err(error(name, format!("it is larger than {SOURCE_LIMIT} bytes")));
    }
    if let Some((at, reason)) = depth::beyond(source) {
        let line = Some(source[..at].lines().count().max(1));
        return Err(TemplateError { line, ..error(name, reason) });
    }
    Ok(())
}

fn error(name: &str, reason: String) -> TemplateError {
    TemplateError { template: name.to_owned(), line: None, expression: None, reason }
}

fn explain(name: &str, source: &str, error: &Error) -> TemplateError {
    const LONGEST: usize = 80;
    let expression = error.range().and_then(|range| source.get(range)).map(|text| {
        let text = text.lines().next().unwrap_or_default().trim();
        text.chars().take(LONGEST).collect::<String>()
    });
    let detail = error.detail().map(str::to_owned);
    let reason = match error.kind() {
        ErrorKind::UndefinedError => "it has no value here".to_owned(),
        ErrorKind::OutOfFuel => format!("it takes more than {FUEL} instructions"),
        ErrorKind::WriteFailure => format!("its output is larger than {OUTPUT_LIMIT} bytes"),
        ErrorKind::InvalidOperation => detail.unwrap_or_else(|| "it failed".to_owned()),
        kind => detail.map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    };
    let expression = expression.filter(|text| !text.is_empty());
    TemplateError { template: name.to_owned(), line: error.line(), expression, reason }
}

/// The first line that has `name` as a word.
fn line_of(source: &str, name: &str) -> Option<usize> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let found = source.lines().position(|line| line.split(|c| !in_name(c)).any(|word| word == name));
    found.map(|index| index + 1)
}

/// Takes [`OUTPUT_LIMIT`] bytes and no more.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_LIMIT {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployfile_model::spec::VariableKind;

    fn values() -> Values {
        let mut values = Values::new();
        values.set("release", "/srv/r1");
        values.set_var("port", "9010");
        values.set_var("name", "O'Brien & \"sons\"");
        values.set_var("lines", "a\nb");
        values.set_var("block", "x; } evil {");
        values.set_var("percent", "5%");
        values.set_var_as("debug", "false", VariableKind::Flag);
        values.set_var_as("workers", "5", VariableKind::Whole);
        values
    }

    fn as_kind(kind: TemplateKind, source: &str) -> Result<String, String> {
        render("t.j2", source, kind, &values()).map_err(|e| e.to_string())
    }

    #[test]
    fn loops_conditions_and_the_last_newline() {
        let source = "{% for n in range(2) %}port {{ n }} {{ vars.port }}\n{% endfor %}{% if release %}yes{% endif %}\n";
        assert_eq!(as_kind(TemplateKind::Text, source).unwrap(), "port 0 9010\nport 1 9010\nyes\n");
        assert_eq!(as_kind(TemplateKind::Text, "{{ release | basename }}\n").unwrap(), "r1\n");
    }

    #[test]
    fn a_flag_is_one_and_a_number_too() {
        let source = "{% if vars.debug %}on{% else %}off{% endif %} {{ vars.workers + 1 }} {{ vars.workers }} {{ vars.debug }}";
        assert_eq!(as_kind(TemplateKind::Json, source).unwrap(), "off 6 5 false");
        assert_eq!(as_kind(TemplateKind::Ini, "{{ vars.debug }} {{ vars.workers }}").unwrap(), "false 5");
    }

    #[test]
    fn variables_that_a_template_uses() {
        let source = "{% for x in vars.all %}{{ x }}{% endfor %}\n{{ vars.a.b }}{% set vars_c = 1 %}{{ vars.d | default('x') }}";
        let used = used_variables(source);
        let used: Vec<_> = used.iter().map(|(name, line)| (name.as_str(), *line)).collect();
        assert_eq!(used, [("a", Some(2)), ("all", Some(1)), ("d", Some(2))]);
        assert!(used_variables("{% if").is_empty());
    }

    #[test]
    fn each_kind_quotes_or_refuses() {
        use TemplateKind::*;
        for (kind, variable, written) in [
            (Text, "name", Some("O'Brien & \"sons\"")),
            (Text, "lines", Some("a\nb")),
            (Ini, "name", Some("O'Brien & \"sons\"")),
            (Ini, "lines", None),
            (Json, "name", Some(r#""O'Brien & \"sons\"""#)),
            (Json, "lines", Some(r#""a\nb""#)),
            (Env, "name", Some(r#""O'Brien & \"sons\"""#)),
            (Env, "lines", Some("\"a\nb\"")),
            (Nginx, "port", Some("9010")),
            (Nginx, "name", Some(r#""O'Brien & \"sons\"""#)),
            (Nginx, "block", None),
            (Nginx, "lines", None),
            (Supervisor, "percent", Some("5%%")),
            (Supervisor, "lines", None),
            (Supervisor, "name", None),
            (Systemd, "percent", Some("5%%")),
            (Systemd, "lines", None),
            (Systemd, "name", None),
            (Sh, "name", Some(r#"'O'\''Brien & "sons"'"#)),
            (Sh, "port", Some("'9010'")),
            (Sh, "lines", Some("'a\nb'")),
        ] {
            let output = as_kind(kind, &format!("{{{{ vars.{variable} }}}}"));
            assert_eq!(output.as_deref().ok(), written, "{kind:?} {variable}: {output:?}");
        }
    }

    #[test]
    fn no_filter_and_no_block_gets_around_the_quoting() {
        for source in [
            "{{ vars.block | safe }}",
            "{% autoescape false %}{{ vars.block }}{% endautoescape %}",
            "{% set x = vars.block %}{{ x }}",
            "{{ [vars.block] | first }}",
            "{% filter lower %}{{ vars.block }}{% endfilter %}",
            "{% set x %}{{ vars.block }}{% endset %}{{ x }}",
        ] {
            assert!(as_kind(TemplateKind::Nginx, source).is_err(), "{source}");
        }
    }

    #[test]
    fn errors_name_template_line_and_expression() {
        let at = |source: &str| as_kind(TemplateKind::Nginx, source).unwrap_err();
        assert!(
            at("a\n{{ release }} {{ vars.gone }}")
                .starts_with("template t.j2, line 2, `vars.gone`: it has no value")
        );
        let error = at("a\n\nlisten {{ vars.port }} {{ vars.block }};\n");
        assert!(error.starts_with("template t.j2, line 3, `vars.block`: value: it has one of"), "{error}");
        assert!(!error.contains("evil"), "{error}");
        assert!(at("\n{% if %}").starts_with("template t.j2, line 2"), "{}", at("\n{% if %}"));
        assert!(at("{{ release | nope }}").contains("nope"), "{}", at("{{ release | nope }}"));
        assert!(at("{{ [1] }}").contains("sequence"), "{}", at("{{ [1] }}"));
    }

    #[test]
    fn includes_are_not_there() {
        for source in ["{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}"] {
            assert!(check_template("t", source).is_err(), "{source}");
        }
    }

    #[test]
    fn limits() {
        let error = as_kind(
            TemplateKind::Text,
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        );
        assert!(error.unwrap_err().contains("instructions"));
        let error = as_kind(TemplateKind::Text, "{% for a in range(99) %}{{ 'x' * 100000 }}{% endfor %}");
        assert!(error.unwrap_err().contains("larger than 8388608 bytes"));
        assert!(
            check_template("t", &"x".repeat(SOURCE_LIMIT + 1)).unwrap_err().to_string().contains("larger")
        );
    }

    #[test]
    fn names_are_checked_when_loaded() {
        let source = "{{ release }}{% for x in range(2) %}{{ x }}{{ vars.any }}{{ loop.index }}{% endfor %}";
        assert_eq!(check_template("t", source), Ok(()));
        let error = check_template("t", "\n{{ relaese }}").unwrap_err();
        assert_eq!((error.line, error.expression.as_deref()), (Some(2), Some("relaese")));
        assert!(check_template("t", "{{ secret.db }}").unwrap_err().to_string().contains("(secret)name"));
        assert!(check_template("t", "{{ service }}").is_err(), "a template belongs to no service");
    }

    #[test]
    fn rendering_twice_gives_the_same_bytes() {
        let source =
            "{% for name, value in vars | items %}{{ name }}={{ value }}\n{% endfor %}{{ debug is defined }}";
        let once = as_kind(TemplateKind::Text, source).unwrap();
        assert!(once.starts_with("block=") && once.ends_with("false"), "{once}");
        assert_eq!(once, as_kind(TemplateKind::Text, source).unwrap());
    }
}
