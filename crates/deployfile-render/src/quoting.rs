//! How one value is written in a free template, by the template's kind.

use crate::refused::{Refused, one_line};
use crate::{env, nginx, supervisor, systemd};
use deployfile_model::stage::TemplateKind;
use minijinja::Value;
use minijinja::value::ValueKind;

/// The most that one value of a one-line kind may be, in bytes.
const LINE_LIMIT: usize = 64 * 1024;

/// `value` as it is written in a template of this kind.
///
/// # Errors
/// A list, a map or none where only text can stand, or a text that the kind cannot represent.
pub(crate) fn quote(kind: TemplateKind, value: &Value) -> Result<String, Refused> {
    if kind == TemplateKind::Json {
        return serde_json::to_string(value).map_err(|e| Refused::new("value", e.to_string()));
    }
    let text = match value.kind() {
        // `{{ x if y }}` without an else; anything else undefined never comes here.
        ValueKind::Undefined => String::new(),
        // minijinja writes `True`, as Python does; configuration files write `true`.
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::String | ValueKind::Number => value.to_string(),
        kind => return Err(Refused::new("value", format!("a {kind} cannot be written as one value"))),
    };
    match kind {
        TemplateKind::Text => plain(text),
        TemplateKind::Ini => ini(text),
        TemplateKind::Env => Ok(format!("\"{}\"", env::quote_inside(&text)?)),
        TemplateKind::Nginx => nginx::word(&text),
        TemplateKind::Supervisor => supervisor::word(&text),
        TemplateKind::Systemd => systemd::word(&text),
        TemplateKind::Sh | TemplateKind::Json => sh(&text),
    }
}

fn plain(text: String) -> Result<String, Refused> {
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Refused::new("value", "it has a control character other than newline and tab"));
    }
    Ok(text)
}

/// One line; nothing that begins a comment where a value begins or after white space, nothing at the ends that is
/// stripped. `%` is left alone: some readers of ini files interpolate it, others do not. So is a `;` within a word:
/// where a reader begins a comment even there (PHP's does), the template must put the value in quotes.
fn ini(text: String) -> Result<String, Refused> {
    one_line("value", &text, LINE_LIMIT)?;
    let words = text.split(char::is_whitespace);
    if words.into_iter().any(|word| word.starts_with([';', '#'])) {
        return Err(Refused::new(
            "value",
            "it has a word that begins with `;` or `#`, where a comment would begin",
        ));
    }
    if text.trim() != text || text.starts_with(['"', '\'']) {
        return Err(Refused::new("value", "it begins or ends with white space, or begins with a quote"));
    }
    Ok(text)
}

/// One word, always in single quotes: nothing in them means anything to a shell.
fn sh(text: &str) -> Result<String, Refused> {
    if text.contains('\0') {
        return Err(Refused::new("value", "it has a NUL character"));
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nasty::{for_all, nasty};

    #[test]
    fn what_an_ini_reader_would_cut_is_refused() {
        for bad in ["a ;b", "#a", " a", "a ", "\"a\"", "'a", "a\nb", "a\u{2028}#"] {
            assert!(ini(bad.to_owned()).is_err(), "{bad:?}");
        }
        for good in ["", "a;b", "mysql:host=x;dbname=y", "100%", "it's", "a\"b"] {
            assert_eq!(ini(good.to_owned()).as_deref(), Ok(good));
        }
    }

    #[test]
    fn only_single_values_are_written() {
        for kind in [TemplateKind::Text, TemplateKind::Env, TemplateKind::Sh, TemplateKind::Nginx] {
            for bad in [Value::from(()), Value::from(vec![1]), Value::from_iter([("a", 1)])] {
                assert!(quote(kind, &bad).is_err(), "{kind:?} {bad}");
            }
            assert!(quote(kind, &Value::from(1)).unwrap().contains('1'));
        }
        assert_eq!(quote(TemplateKind::Json, &Value::from(vec![1])).as_deref(), Ok("[1]"));
        assert_eq!(quote(TemplateKind::Ini, &Value::from(true)).as_deref(), Ok("true"));
    }

    #[test]
    fn every_value_is_json() {
        for_all(nasty(), |text| {
            let json = quote(TemplateKind::Json, &Value::from(text.as_str())).map_err(|e| e.to_string())?;
            match serde_json::from_str::<String>(&json) {
                Ok(read) if read == text => Ok(()),
                other => Err(format!("{json} reads as {other:?}")),
            }
        })
        .unwrap();
    }
}
