//! `secrets`: only what may be revealed.

use crate::bindings::deployfile::hook::secrets::Host;
use crate::bindings::deployfile::hook::types::{Error, ErrorKind};
use crate::guest::{Guest, error};

impl Host for Guest {
    fn reveal(&mut self, name: String) -> wasmtime::Result<Result<String, Error>> {
        Ok(match self.broker.secret(&name, true) {
            Ok(Ok(value)) => Ok(value.reveal().to_owned()),
            Ok(Err(message)) => Err(error(ErrorKind::Unavailable, message)),
            Err(denied) => Err(self.denied(denied)),
        })
    }
}
