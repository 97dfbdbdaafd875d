//! The closed list of filters: `default lower upper replace basename date join`.

use deployfile_model::units::UnixTime;
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};
use std::borrow::Cow;

/// The most that a filter may return, in bytes.
pub(crate) const OUTPUT_LIMIT: usize = 1 << 20;

/// Each filter with the fewest and the most arguments it takes.
pub(crate) const FILTERS: [(&str, usize, usize); 7] = [
    ("default", 1, 1),
    ("lower", 0, 0),
    ("upper", 0, 0),
    ("replace", 2, 2),
    ("basename", 0, 0),
    ("date", 0, 1),
    ("join", 0, 1),
];

/// Gives `environment` the filters, in place of minijinja's of the same name.
pub(crate) fn install(environment: &mut Environment<'_>) {
    environment.add_filter(
        "default",
        |value: Value, other: Value| {
            if value.is_undefined() { other } else { value }
        },
    );
    environment.add_filter("lower", |value: Value| Ok::<_, Error>(text(&value)?.to_lowercase()));
    environment.add_filter("upper", |value: Value| Ok::<_, Error>(text(&value)?.to_uppercase()));
    environment.add_filter("replace", replace);
    environment.add_filter("basename", basename);
    environment.add_filter("date", date);
    environment.add_filter("join", join);
}

/// The time as RFC 3339 in UTC; `None` outside of the years -9999 to 9999.
pub(crate) fn rfc3339(time: UnixTime) -> Option<String> {
    Some(Timestamp::from_second(time.0).ok()?.to_string())
}

/// Why `format` is not a format of `date`.
pub(crate) fn check_date_format(format: &str) -> Result<(), String> {
    let epoch = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    strtime::format(format, &epoch).map(|_| ()).map_err(|e| e.to_string())
}

fn replace(value: Value, from: Value, to: Value) -> Result<String, Error> {
    let (value, from, to) = (text(&value)?, text(&from)?, text(&to)?);
    let size = value.matches(&*from).count().saturating_mul(to.len()).saturating_add(value.len());
    if size > OUTPUT_LIMIT {
        return Err(refused(format!("replace would make more than {OUTPUT_LIMIT} bytes")));
    }
    Ok(value.replace(&*from, &to))
}

fn basename(value: Value) -> Result<String, Error> {
    let path = text(&value)?;
    let path = path.trim_end_matches('/');
    Ok(path.rsplit_once('/').map_or(path, |(_, name)| name).to_owned())
}

fn date(value: Value, format: Option<Value>) -> Result<String, Error> {
    let time: Timestamp =
        text(&value)?.parse().map_err(|e| refused(format!("date needs a time as in {{{{ time }}}}: {e}")))?;
    let format = format.as_ref().map_or(Ok(Cow::Borrowed("%Y-%m-%d")), text)?;
    strtime::format(&*format, &time.to_zoned(TimeZone::UTC)).map_err(|e| refused(format!("date: {e}")))
}

/// The items of a list, or the words of a text (`{{ role }}` is a list in words).
fn join(value: Value, separator: Option<Value>) -> Result<String, Error> {
    let separator = separator.as_ref().map_or(Ok(Cow::Borrowed(" ")), text)?;
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        let items: Vec<String> = value.try_iter()?.map(|item| item.to_string()).collect();
        return Ok(items.join(&separator));
    }
    Ok(text(&value)?.split_whitespace().collect::<Vec<_>>().join(&separator))
}

/// The text of one value; strict about what has none.
fn text(value: &Value) -> Result<Cow<'_, str>, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::String | ValueKind::Number => Ok(Cow::Owned(value.to_string())),
        kind => Err(refused(format!("a {kind} is not a text"))),
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
