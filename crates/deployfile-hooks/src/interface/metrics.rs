//! `metrics`: told as events of level `debug`; sending them on is the listener's.

use super::log::with_fields;
use crate::bindings::deployfile::hook::metrics::Host;
use crate::guest::Guest;
use wasmtime::Result;

impl Host for Guest {
    fn counter(&mut self, name: String, delta: u64, labels: Vec<(String, String)>) -> Result<()> {
        self.measured(&format!("counter {name} +{delta}"), &labels)
    }
    fn gauge(&mut self, name: String, value: f64, labels: Vec<(String, String)>) -> Result<()> {
        self.measured(&format!("gauge {name} {value}"), &labels)
    }
    fn timing_ms(&mut self, name: String, value: f64, labels: Vec<(String, String)>) -> Result<()> {
        self.measured(&format!("timing {name} {value} ms"), &labels)
    }
}

impl Guest {
    fn measured(&mut self, what: &str, labels: &[(String, String)]) -> Result<()> {
        self.voice.log("debug", &with_fields(&format!("metric {what}"), labels));
        Ok(())
    }
}
