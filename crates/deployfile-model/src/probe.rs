//! Health checks and questions for the build id.

use crate::{Place, Text, units::Millis};
use serde::{Deserialize, Serialize};

/// `health …`: a probe with an interval and a time within which it must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is asked.
    pub target: Target,
    /// What the answer must be.
    pub expect: Expect,
    /// The check must hold within this time.
    pub within: Millis,
    /// Between two tries.
    pub interval: Millis,
    /// Where it was written.
    pub place: Place,
}

/// `running-build …`: asks a service for its build id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningBuild {
    /// What is asked.
    pub target: Target,
    /// The key of a JSON answer that holds the build id, dots for nesting; else the whole answer.
    pub json: Option<String>,
    /// The right answer must come within this time.
    pub within: Millis,
    /// Between two tries.
    pub interval: Millis,
    /// Where it was written.
    pub place: Place,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A GET of this URL (`http://` or `https://`, and `http+unix://SOCKET-PATH:/request/path`).
    Http(Text),
    /// A connect to `HOST:PORT`.
    Tcp(Text),
    /// A program, without a shell; exit 0 is health, stdout is the answer.
    Exec(Vec<Text>),
}

/// What makes an answer good. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// HTTP status (default: any 2xx or 3xx).
    pub status: Option<u16>,
    /// A text that the answer contains.
    pub contains: Option<Text>,
    /// `key=value` of a JSON answer: the key, dots for nesting, and the value it must have.
    pub json: Option<(String, Text)>,
}
