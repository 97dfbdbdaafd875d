//! What look-ups are filled from: an ordered map of names, the nested `vars`, and the time of the plan.
//!
//! There is no place for a secret here, so no look-up can reach one.

use crate::filters;
use deployfile_model::spec::VariableKind;
use deployfile_model::units::UnixTime;
use minijinja::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The values that are known at one point of planning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    names: BTreeMap<String, String>,
    vars: BTreeMap<String, (String, VariableKind)>,
    time: Option<UnixTime>,
}

impl Values {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `{{ name }}` known, or changes it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.names.insert(name.to_owned(), value.to_owned());
    }

    /// Makes `{{ vars.name }}` known, or changes it.
    pub fn set_var(&mut self, name: &str, value: &str) {
        self.set_var_as(name, value, VariableKind::Text);
    }

    /// The same for what templates see as a number or a flag. A value that is none of that kind is text.
    pub fn set_var_as(&mut self, name: &str, value: &str, kind: VariableKind) {
        self.vars.insert(name.to_owned(), (value.to_owned(), kind));
    }

    /// Makes `{{ time }}` known: when the plan was made.
    pub fn set_time(&mut self, time: UnixTime) {
        self.time = Some(time);
    }

    /// The value of `name` as [`crate::expr::lookups`] writes it (`release`, `vars.port`, `time`).
    /// A time outside of the years -9999 to 9999 has no text and counts as unknown.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if name == "time" {
            return self.time.and_then(filters::rfc3339).map(Cow::Owned);
        }
        let found = match name.strip_prefix("vars.") {
            Some(variable) => self.vars.get(variable).map(|(value, _)| value),
            None => self.names.get(name),
        };
        found.map(|value| Cow::Borrowed(value.as_str()))
    }

    /// All values under the names that [`Values::get`] takes.
    pub fn flat(&self) -> BTreeMap<String, String> {
        let time = self.get("time").map(|text| ("time".to_owned(), text.into_owned()));
        let vars = self.vars.iter().map(|(name, (value, _))| (format!("vars.{name}"), value.clone()));
        self.names.clone().into_iter().chain(vars).chain(time).collect()
    }

    /// The same for minijinja's look-ups, where all is text.
    pub(crate) fn context(&self) -> Value {
        self.with_vars(
            self.vars.iter().map(|(name, (value, _))| (name.clone(), Value::from(value.as_str()))).collect(),
        )
    }

    /// The same for templates, where a number is one, and a flag is true or false.
    pub(crate) fn typed_context(&self) -> Value {
        self.with_vars(
            self.vars.iter().map(|(name, (value, kind))| (name.clone(), typed(value, *kind))).collect(),
        )
    }

    fn with_vars(&self, vars: BTreeMap<String, Value>) -> Value {
        let mut map: BTreeMap<String, Value> =
            self.names.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        if let Some(time) = self.get("time") {
            map.insert("time".to_owned(), Value::from(time.as_ref()));
        }
        map.insert("vars".to_owned(), Value::from(vars));
        Value::from(map)
    }
}

fn typed(value: &str, kind: VariableKind) -> Value {
    let text = || Value::from(value);
    match kind {
        VariableKind::Text => text(),
        VariableKind::Whole => value.parse::<i64>().map_or_else(|_| text(), Value::from),
        VariableKind::Flag => value.parse::<bool>().map_or_else(|_| text(), Value::from),
    }
}
