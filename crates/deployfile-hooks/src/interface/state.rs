//! `state`: what a plugin remembers between calls.

use crate::bindings::deployfile::hook::state::{Host, Scope};
use crate::bindings::deployfile::hook::types::Error;
use crate::guest::Guest;
use crate::scopes::{Scopes, Values};
use deployfile_model::grant::StateScope;

impl Host for Guest {
    fn get(&mut self, scope: Scope, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(self.values(scope).map(|(_, mut values)| values.remove(&key)))
    }
    fn set(&mut self, scope: Scope, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .changed(scope, |values, clean| {
                values.insert(key, clean(&value));
                true
            })
            .map(drop))
    }
    fn swap(
        &mut self,
        scope: Scope,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        Ok(self.changed(scope, |values, clean| {
            let matched = values.get(&key) == expected.as_ref();
            if matched {
                values.insert(key, clean(&value));
            }
            matched
        }))
    }
    fn delete(&mut self, scope: Scope, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.changed(scope, |values, _| values.remove(&key).is_some()).map(drop))
    }
    fn keys(&mut self, scope: Scope, prefix: String) -> wasmtime::Result<Result<Vec<String>, Error>> {
        Ok(self
            .values(scope)
            .map(|(_, values)| values.into_keys().filter(|key| key.starts_with(&prefix)).collect()))
    }
}

impl Guest {
    fn values(&self, scope: Scope) -> Result<(StateScope, Values), Error> {
        let scope = match scope {
            Scope::Run => StateScope::Run,
            Scope::Machine => StateScope::Machine,
            Scope::Environment => StateScope::Environment,
        };
        self.broker.state(scope).map_err(|denied| self.denied(denied))?;
        Ok((scope, self.scopes().read(scope)?))
    }

    /// Writes when `change` says that it changed something. `change` is given what takes secrets out of a value.
    fn changed(
        &self,
        scope: Scope,
        change: impl FnOnce(&mut Values, &dyn Fn(&[u8]) -> Vec<u8>) -> bool,
    ) -> Result<bool, Error> {
        let (scope, mut values) = self.values(scope)?;
        let changed = change(&mut values, &|bytes| self.voice.redactor().bytes(bytes));
        if changed {
            self.scopes().write(scope, &values)?;
        }
        Ok(changed)
    }

    fn scopes(&self) -> Scopes<'_> {
        Scopes { areas: &self.areas, run: &self.facts.run }
    }
}
