//! The types of values: what each accepts, and how its mistakes are said.

use crate::tree::{Data, Value};
use deployfile_model::address::{NotAnAddress, check_address, check_socket, check_url};
use deployfile_model::units::{Bytes, Millis, parse_mode};
use deployfile_model::{HostPath, Name, RelPath};

/// The type of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A string with `{{ look-ups }}`.
    Text,
    /// A string with look-ups, a number or a flag; all become text. `secret`: `(secret)name` is taken too.
    Scalar {
        /// `(secret)name` is taken.
        secret: bool,
    },
    /// A string without look-ups.
    Plain,
    /// A script: a string in which `{{` is no look-up.
    Script,
    /// 1 to 128 of letters, digits, `.`, `_`, `-`.
    Name,
    /// A name of a host, which may hold one or more ranges `[01:40]`.
    HostRange,
    /// The name of an environment variable.
    Variable,
    /// A whole number between two bounds, both included.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// `#true` or `#false`.
    Flag,
    /// `"30s"`, `"5m"`, `"7d"`.
    Duration,
    /// `"64MiB"`, `"20GiB"`.
    Size,
    /// An octal mode, `"0750"`.
    Mode,
    /// One of a few words.
    Word {
        /// Those that work.
        built: &'static [&'static str],
        /// Those of the language that this version refuses.
        planned: &'static [&'static str],
    },
    /// One of a few words, or a string with look-ups (it holds `{{`).
    WordOrText {
        /// Those that work.
        built: &'static [&'static str],
        /// Those of the language that this version refuses.
        planned: &'static [&'static str],
    },
    /// A URL with one of these schemes, with look-ups.
    Url {
        /// The schemes that are taken, without `://`.
        schemes: &'static [&'static str],
        /// `(secret)name` is taken.
        secret: bool,
    },
    /// `HOST:PORT` with look-ups, or `unix:PATH`.
    Address {
        /// `unix:PATH` is taken.
        unix: bool,
    },
    /// A name, or several by `*` (any characters) and `?` (one).
    Glob,
    /// A number of hosts, or a share of them, `"25%"`.
    HostShare,
    /// An absolute path without look-ups.
    AbsolutePath,
    /// A path beneath something, never climbing, without look-ups.
    RelativePath,
    /// Any value.
    Any,
}

/// What is wrong with a value.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Type {
    /// What it is, with its article, for messages and the reference.
    pub fn what(&self) -> String {
        match self {
            Type::Text => "a string".to_owned(),
            Type::Scalar { secret: false } => "a string, number or flag".to_owned(),
            Type::Scalar { secret: true } => "a string, number, flag or `(secret)name`".to_owned(),
            Type::Plain => "a string without look-ups".to_owned(),
            Type::Script => "a script".to_owned(),
            Type::Name => "a name".to_owned(),
            Type::HostRange => "a host's name or range of names".to_owned(),
            Type::Variable => "the name of an environment variable".to_owned(),
            Type::Integer { min, max: i64::MAX } => format!("a whole number from {min}"),
            Type::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Type::Flag => "`#true` or `#false`".to_owned(),
            Type::Duration => "a duration".to_owned(),
            Type::Size => "a size".to_owned(),
            Type::Mode => "an octal mode".to_owned(),
            Type::Word { built, planned } => one_of(&[*built, *planned].concat()),
            Type::WordOrText { built, planned } => {
                format!("{} or a string with look-ups", one_of(&[*built, *planned].concat()))
            }
            Type::Url { schemes, secret } => {
                let schemes: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
                let list = one_of(&schemes.iter().map(String::as_str).collect::<Vec<_>>());
                format!("a URL with {list}{}", if *secret { ", or `(secret)name`" } else { "" })
            }
            Type::Address { unix: false } => "`HOST:PORT`".to_owned(),
            Type::Address { unix: true } => "`HOST:PORT` or `unix:PATH`".to_owned(),
            Type::Glob => "a name or a glob with `*` and `?`".to_owned(),
            Type::HostShare => "a number of hosts, or a share as `\"25%\"`".to_owned(),
            Type::AbsolutePath => "an absolute path".to_owned(),
            Type::RelativePath => "a relative path".to_owned(),
            Type::Any => "any value".to_owned(),
        }
    }

    /// Look-ups are filled in.
    pub(crate) fn takes_look_ups(&self) -> bool {
        matches!(
            self,
            Type::Text
                | Type::Scalar { .. }
                | Type::WordOrText { .. }
                | Type::Url { .. }
                | Type::Address { .. }
        )
    }

    /// The words of the language whose machinery is not built yet.
    pub(crate) fn planned(&self) -> &'static [&'static str] {
        match self {
            Type::Word { planned, .. } | Type::WordOrText { planned, .. } => planned,
            _ => &[],
        }
    }

    /// Whether a value is a word of the language whose machinery is not built yet.
    pub(crate) fn is_not_built(&self, value: &Value) -> bool {
        value.text().is_some_and(|text| self.planned().contains(&text))
    }

    /// `(secret)name` is taken.
    fn takes_secrets(&self) -> bool {
        matches!(self, Type::Scalar { secret: true } | Type::Url { secret: true, .. })
    }

    /// Holds a value against the type.
    pub(crate) fn check(&self, value: &Value) -> Result<(), Problem> {
        if let Some(kind) = &value.kind {
            return self.check_annotation(&kind.text, value);
        }
        let Some(text) = value.text() else { return self.check_other(value) };
        if !self.takes_look_ups() && !matches!(self, Type::Script | Type::Any) && text.contains("{{") {
            let message = format!("look-ups are not possible here: it must be {}", self.what());
            return Err(Problem { code: "config::look-up", message, help: None });
        }
        match self {
            Type::Text | Type::Plain | Type::Script | Type::Scalar { .. } | Type::Any => Ok(()),
            Type::Name => Name::new(text).map(drop).map_err(|e| invalid(e.to_string())),
            Type::HostRange => crate::resolve::ranges::count(text).map(drop).map_err(invalid),
            Type::Variable => variable(text),
            Type::Integer { .. } => Err(self.expected(
                value,
                Some(format!("write {text} without quotes")).filter(|_| text.parse::<i64>().is_ok()),
            )),
            Type::Flag => {
                let help = match text {
                    "true" | "yes" | "on" => Some("write `#true`".to_owned()),
                    "false" | "no" | "off" => Some("write `#false`".to_owned()),
                    _ => None,
                };
                Err(self.expected(value, help))
            }
            Type::Duration => Millis::parse(text).map(drop).ok_or_else(|| not_a_duration(text)),
            Type::Size => Bytes::parse(text).map(drop).ok_or_else(|| not_a_size(text)),
            Type::Mode => parse_mode(text).map(drop).ok_or_else(|| not_a_mode(text)),
            Type::Word { built, planned } => word(text, built, planned),
            Type::WordOrText { .. } if text.contains("{{") => Ok(()),
            Type::WordOrText { built, planned } => word(text, built, planned),
            Type::Url { schemes, .. } => url(text, schemes),
            Type::Address { unix } => address(text, *unix),
            Type::Glob => glob(text),
            Type::HostShare => host_share(text),
            Type::AbsolutePath => HostPath::new(text).map(drop).map_err(|e| invalid(e.to_string())),
            Type::RelativePath => RelPath::new(text).map(drop).map_err(|e| invalid(e.to_string())),
        }
    }

    /// `(secret)name` and annotations that do not exist.
    fn check_annotation(&self, kind: &str, value: &Value) -> Result<(), Problem> {
        if kind != "secret" {
            let message = format!("`({kind})` before a value is not known");
            let help = Some("the only one is `(secret)`".to_owned());
            return Err(Problem { code: "config::marker", message, help });
        }
        if !self.takes_secrets() {
            let message = "a secret may not stand here".to_owned();
            let help = Some(
                "secrets may stand in `env`, `url` and `headers`; a plugin gets one by `allow secret=NAME`"
                    .to_owned(),
            );
            return Err(Problem { code: "config::secret", message, help });
        }
        match value.text().map(Name::new) {
            Some(Ok(_)) => Ok(()),
            // What stands here may be the secret itself: it is not repeated.
            _ => Err(invalid("this is not the name of a secret".to_owned())),
        }
    }

    /// A value that is no string.
    fn check_other(&self, value: &Value) -> Result<(), Problem> {
        match (self, &value.data) {
            (Type::Any, _) => Ok(()),
            (Type::Scalar { .. }, data) if *data != Data::Null => Ok(()),
            (Type::Flag, Data::Bool(_)) => Ok(()),
            (Type::HostShare, Data::Integer(n, _)) if (1..=10_000).contains(n) => Ok(()),
            (Type::Integer { min, max }, Data::Integer(n, _)) => {
                if (i128::from(*min)..=i128::from(*max)).contains(n) {
                    return Ok(());
                }
                Err(Problem {
                    code: "config::value",
                    message: format!("{n} is not {}", self.what()),
                    help: None,
                })
            }
            (Type::Duration, Data::Integer(n, _)) => {
                Err(self.expected(value, Some(format!("write `\"{n}s\"` for seconds"))))
            }
            (Type::Size, Data::Integer(n, _)) => {
                Err(self.expected(value, Some(format!("write `\"{n}B\"` for bytes, or `\"{n}MiB\"`"))))
            }
            (Type::Mode, Data::Integer(_, text)) => {
                Err(self.expected(value, Some(format!("write `\"{text}\"`"))))
            }
            (Type::Text | Type::Plain | Type::Name, Data::Integer(..) | Data::Float(..)) => {
                Err(self.expected(value, Some(format!("write `\"{}\"`", value.as_text()))))
            }
            _ => Err(self.expected(value, None)),
        }
    }

    fn expected(&self, value: &Value, help: Option<String>) -> Problem {
        let message = format!("expected {}, found {} ({})", self.what(), value.what(), value.show());
        Problem { code: "config::type", message, help }
    }
}

fn invalid(message: String) -> Problem {
    Problem { code: "config::value", message, help: None }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            format!("{} or `{last}`", first.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "))
        }
        [] => String::new(),
    }
}

fn word(text: &str, built: &[&str], planned: &[&str]) -> Result<(), Problem> {
    if built.contains(&text) || planned.contains(&text) {
        return Ok(());
    }
    let all = [built, planned].concat();
    let message = format!("`{}` is not {}", text.escape_debug(), one_of(&all));
    Err(Problem { code: "config::value", message, help: crate::suggest::did_you_mean(text, all.into_iter()) })
}

/// `text` with every look-up replaced by a harmless word, so that what stands around them can be looked at.
pub(crate) fn shape(text: &str) -> String {
    let mut shape = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        shape.push_str(before);
        shape.push('x');
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    shape + rest
}

/// A URL that begins with a look-up is looked at when it is filled in.
fn url(text: &str, schemes: &[&str]) -> Result<(), Problem> {
    if text.starts_with("{{") {
        return Ok(());
    }
    check_url(&shape(text), schemes, text).map_err(Problem::from)
}

/// So is an address that has one, but for a socket's path.
fn address(text: &str, unix: bool) -> Result<(), Problem> {
    let socket = text.strip_prefix("unix:").filter(|path| unix && !path.starts_with("{{"));
    let checked = match socket {
        Some(path) => check_socket(&shape(path), text),
        None if text.contains("{{") => Ok(()),
        None => check_address(text, unix),
    };
    checked.map_err(Problem::from)
}

impl From<NotAnAddress> for Problem {
    fn from(NotAnAddress { message, help }: NotAnAddress) -> Self {
        Problem { code: "config::value", message, help: Some(help) }
    }
}

fn glob(text: &str) -> Result<(), Problem> {
    let name = text.replace(['*', '?'], "x");
    match Name::new(name.as_str()) {
        Ok(_) => Ok(()),
        Err(_) if text.contains('[') => Err(Problem {
            code: "config::value",
            message: format!("`{}` is not a glob", text.escape_debug()),
            help: Some("ranges stand at `host` only; a glob is like `\"web*.example.com\"`".to_owned()),
        }),
        Err(error) => Err(invalid(error.to_string())),
    }
}

fn host_share(text: &str) -> Result<(), Problem> {
    let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<u8>().ok());
    if percent.is_some_and(|percent| (1..=100).contains(&percent)) {
        return Ok(());
    }
    let message = format!("`{}` is not a share of the hosts", text.escape_debug());
    let help = "write a number of hosts without quotes, or a share from `\"1%\"` to `\"100%\"`".to_owned();
    Err(Problem { code: "config::value", message, help: Some(help) })
}

fn variable(text: &str) -> Result<(), Problem> {
    if is_variable(text) {
        return Ok(());
    }
    let message = format!("`{}` is not the name of an environment variable", text.escape_debug());
    Err(Problem {
        code: "config::value",
        message,
        help: Some("letters, digits and `_`, not beginning with a digit".to_owned()),
    })
}

/// `[A-Za-z_][A-Za-z0-9_]*`
pub(crate) fn is_variable(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn not_a_duration(text: &str) -> Problem {
    let message = format!("`{}` is not a duration", text.escape_debug());
    let help = "a whole number with `ms`, `s`, `m`, `h` or `d`: `\"30s\"`".to_owned();
    Problem { code: "config::value", message, help: Some(help) }
}

fn not_a_size(text: &str) -> Problem {
    let message = format!("`{}` is not a size", text.escape_debug());
    let help = "a whole number with `B`, `KiB`, `MiB`, `GiB`, `TiB`, `kB` or `MB`: `\"64MiB\"`".to_owned();
    Problem { code: "config::value", message, help: Some(help) }
}

fn not_a_mode(text: &str) -> Problem {
    let message = format!("`{}` is not an octal mode", text.escape_debug());
    let help = "three or four digits from 0 to 7, at most 0777: `\"0750\"`".to_owned();
    Problem { code: "config::value", message, help: Some(help) }
}
