//! `site`: an nginx server block rendered into the release.

use crate::{Name, Place, Text};
use serde::{Deserialize, Serialize};

/// One server block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Its name; the file is `services/nginx/<name>.conf`.
    pub name: Name,
    /// `listen` values, as nginx takes them (port, address:port, unix:path).
    pub listen: Vec<Text>,
    /// `server_name` values.
    pub server_names: Vec<Text>,
    /// The document root as traffic sees it (usually beneath `{{ current }}`).
    pub root: Option<Text>,
    /// `index` file names.
    pub index: Vec<Text>,
    /// Locations, in order.
    pub locations: Vec<Location>,
    /// Where it was written.
    pub place: Place,
}

/// One location of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The match as nginx writes it: `/`, `= /x`, `~ \.php$`, `^~ /x`.
    pub pattern: Text,
    /// `try_files` values.
    pub try_files: Vec<Text>,
    /// What answers.
    pub handler: Handler,
    /// Where it was written.
    pub place: Place,
}

/// What answers in a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handler {
    /// Files beneath the root.
    Static,
    /// An HTTP upstream, `HOST:PORT` or `unix:PATH`.
    Proxy(Text),
    /// A FastCGI upstream, which always gets the real path of the release.
    Fastcgi(Text),
}
