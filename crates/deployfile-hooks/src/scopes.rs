//! What a plugin remembers: keys and values in three scopes, each one small file, replaced atomically.
//!
//! A plugin's calls on one host follow each other under the root's lock, so that reading and replacing is a swap.

use crate::area::{AreaError, Areas};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use deployfile_disk::{Dir, DiskError};
use deployfile_model::grant::StateScope;
use deployfile_model::{RelPath, RunId};
use std::collections::BTreeMap;

/// Bytes of keys and values of one scope.
pub(crate) const SCOPE_MAX: usize = 64 << 10;
/// Bytes of a key.
const KEY_MAX: usize = 256;
/// Bytes of a scope's file: base64 of the values, and JSON around them.
const FILE_MAX: u64 = 4 * SCOPE_MAX as u64;

/// The keys and values of a scope.
pub(crate) type Values = BTreeMap<String, Vec<u8>>;

/// Opens the scopes of one plugin.
pub(crate) struct Scopes<'a> {
    pub(crate) areas: &'a Areas,
    pub(crate) run: &'a RunId,
}

impl Scopes<'_> {
    /// All that the scope holds.
    pub(crate) fn read(&self, scope: StateScope) -> Result<Values, AreaError> {
        let home = self.areas.state_home()?;
        let rel = self.file(scope)?;
        let bytes = match home.read(&rel, FILE_MAX) {
            Err(error) if error.is_not_found() => return Ok(Values::new()),
            bytes => bytes?,
        };
        let damaged = || {
            AreaError::Failed(format!("cannot read state: `{}/{rel}` is damaged", home.path_for_display()))
        };
        let coded: BTreeMap<String, String> = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        coded
            .into_iter()
            .map(|(key, value)| STANDARD.decode(value).map(|value| (key, value)).map_err(|_| damaged()))
            .collect()
    }

    /// Puts `values` in the place of what the scope held, durably.
    pub(crate) fn write(&self, scope: StateScope, values: &Values) -> Result<(), AreaError> {
        let size: usize = values.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > SCOPE_MAX {
            let name = crate::broker::scope_name(scope);
            return Err(AreaError::TooLarge(format!(
                "cannot keep {size} bytes: state of the {name} holds 64 KiB"
            )));
        }
        if values.keys().any(|key| key.is_empty() || key.len() > KEY_MAX) {
            return Err(AreaError::Failed(format!("a key of state has 1 to {KEY_MAX} bytes")));
        }
        let coded: BTreeMap<&String, String> =
            values.iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
        let bytes = serde_json::to_vec(&coded)
            .map_err(|error| AreaError::Failed(format!("cannot keep state: {error}")))?;
        let home = self.areas.state_home()?;
        let rel = self.file(scope)?;
        home.replace(&rel, &bytes, 0o600)?;
        if scope == StateScope::Run {
            forget_other_runs(&home, &rel)?;
        }
        Ok(())
    }

    fn file(&self, scope: StateScope) -> Result<RelPath, AreaError> {
        let name = match scope {
            StateScope::Run => format!("run-{}.json", self.run),
            StateScope::Machine => "machine.json".to_owned(),
            StateScope::Environment => format!("environment-{}.json", self.areas.environment),
        };
        RelPath::new(name).map_err(|error| AreaError::Failed(error.to_string()))
    }
}

/// A root has one run at a time, so what other runs kept is over.
fn forget_other_runs(home: &Dir, keep: &RelPath) -> Result<(), DiskError> {
    for entry in home.entries()? {
        let old = entry.text().filter(|name| name.starts_with("run-") && *name != keep.as_str());
        if let Some(rel) = old.and_then(|name| RelPath::new(name).ok()) {
            home.remove_file(&rel)?;
        }
    }
    Ok(())
}
