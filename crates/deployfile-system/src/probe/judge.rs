//! Whether an answer is the right one.

use super::Reply;
use deployfile_model::BuildId;
use deployfile_record::effect::Probe;
use serde_json::Value;

/// What a good answer says, in a few words; or what is wrong with it.
pub(super) fn judge(probe: &Probe, build: Option<&BuildId>, reply: &Reply) -> Result<String, String> {
    if let Some(status) = reply.status {
        check_status(probe.status, status, &reply.text)?;
    }
    if let Some(text) = &probe.contains
        && !reply.text.contains(text.as_str())
    {
        return Err(format!("the answer does not contain `{}`: {}", text, shown(&reply.text)));
    }
    let answer = answer(probe, reply)?;
    if let Some((key, Some(expected))) = &probe.json
        && *expected != answer
    {
        return Err(format!("`{key}` is `{}`, not `{expected}`", shown(&answer)));
    }
    match build {
        Some(build) if !build.matches(&answer) => {
            Err(format!("it says that it is build `{}`, not `{build}`", shown(answer.trim())))
        }
        Some(build) => Ok(format!("build {build}")),
        None => Ok(match reply.status {
            Some(status) => format!("{status} {}", shown(&answer)).trim_end().to_owned(),
            None => shown(&answer),
        }),
    }
}

/// The part of an answer that the probe is about.
pub(super) fn answer(probe: &Probe, reply: &Reply) -> Result<String, String> {
    match &probe.json {
        None => Ok(reply.text.clone()),
        Some((key, _)) => json_at(&reply.text, key),
    }
}

fn check_status(expected: Option<u16>, status: u16, text: &str) -> Result<(), String> {
    match expected {
        Some(expected) if expected != status => {
            Err(format!("status {status}, not {expected}: {}", shown(text)))
        }
        None if !(200..400).contains(&status) => Err(format!("status {status}: {}", shown(text))),
        _ => Ok(()),
    }
}

/// The value at a path of keys with dots between (a number counts in an array), as text.
fn json_at(text: &str, path: &str) -> Result<String, String> {
    let whole: Value = serde_json::from_str(text)
        .map_err(|error| format!("the answer is not JSON ({error}): {}", shown(text)))?;
    let found = path.split('.').try_fold(&whole, |value, key| match value {
        Value::Object(map) => map.get(key),
        Value::Array(list) => key.parse::<usize>().ok().and_then(|n| list.get(n)),
        _ => None,
    });
    match found {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => Ok(value.to_string()),
        Some(_) => Err(format!("`{path}` of the answer is neither text, number nor boolean")),
        None => Err(format!("the answer has no `{path}`: {}", shown(text))),
    }
}

/// At most 200 characters of the first line that says something, safe to print.
pub(super) fn shown(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("(empty)");
    let cut: String = line.trim().chars().take(200).collect();
    let more = if cut.len() < text.trim().len() { " …" } else { "" };
    format!("{}{more}", crate::process::escape(cut.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployfile_model::units::Millis;
    use deployfile_record::effect::ProbeTarget;

    fn probe() -> Probe {
        Probe {
            target: ProbeTarget::Tcp("127.0.0.1:1".into()),
            status: None,
            contains: None,
            json: None,
            within: Millis(1000),
            interval: Millis(10),
        }
    }

    fn reply(status: u16, text: &str) -> Reply {
        Reply { status: Some(status), text: text.to_owned() }
    }

    #[test]
    fn statuses() {
        let judged =
            |expected, status| judge(&Probe { status: expected, ..probe() }, None, &reply(status, "x"));
        assert_eq!(judged(None, 204).unwrap(), "204 x");
        assert_eq!(judged(None, 302).unwrap(), "302 x");
        assert_eq!(judged(None, 500).unwrap_err(), "status 500: x");
        assert_eq!(judged(Some(418), 418).unwrap(), "418 x");
        assert_eq!(judged(Some(200), 204).unwrap_err(), "status 204, not 200: x");
    }

    #[test]
    fn contents() {
        let contains = Probe { contains: Some("ok".into()), ..probe() };
        assert!(judge(&contains, None, &reply(200, "it is ok")).is_ok());
        assert_eq!(
            judge(&contains, None, &reply(200, "\n\x1b[0m no")).unwrap_err(),
            "the answer does not contain `ok`: \\x1b[0m no"
        );
        let judged = |key: &str, value: Option<&str>, text| {
            let json = Some((key.to_owned(), value.map(str::to_owned)));
            judge(&Probe { json, ..probe() }, None, &reply(200, text))
        };
        let text = r#"{"a":{"b":[1,{"c":"x"}],"t":true}}"#;
        assert_eq!(judged("a.b.1.c", Some("x"), text).unwrap(), "200 x");
        assert!(judged("a.b.0", Some("1"), text).is_ok());
        assert!(judged("a.t", Some("true"), text).is_ok());
        assert_eq!(judged("a.t", Some("false"), text).unwrap_err(), "`a.t` is `true`, not `false`");
        assert!(judged("a.z", None, text).unwrap_err().starts_with("the answer has no `a.z`"));
        assert!(judged("a", None, text).unwrap_err().contains("neither text"));
        assert!(judged("a", None, "<html>").unwrap_err().starts_with("the answer is not JSON"));
        assert!(judged("a", None, &"[".repeat(100_000)).is_err());
    }

    #[test]
    fn builds() {
        let build = BuildId::new("0123456789abcdef").unwrap();
        let judged = |json: Option<&str>, text| {
            let json = json.map(|key| (key.to_owned(), None));
            judge(&Probe { json, ..probe() }, Some(&build), &reply(200, text))
        };
        assert_eq!(judged(None, "0123456\n").unwrap(), "build 0123456789abcdef");
        assert!(judged(Some("v.id"), r#"{"v":{"id":"0123456789abcdef"}}"#).is_ok());
        assert_eq!(
            judged(None, "fedcba9").unwrap_err(),
            "it says that it is build `fedcba9`, not `0123456789abcdef`"
        );
        assert!(judged(None, "").unwrap_err().contains("`(empty)`"));
    }
}
