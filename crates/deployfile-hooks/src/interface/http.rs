//! `http`: requests to where it was granted.

use crate::bindings::deployfile::hook::http::{Host, HostRequest, HostResponse};
use crate::bindings::deployfile::hook::types::{Error, ErrorKind};
use crate::broker::place::Target;
use crate::fetch::{self, Answer, Ask, FetchError};
use crate::guest::{Guest, error};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::Resource;

/// Headers of one request.
const HEADERS_MAX: usize = 100;

/// A request that is being prepared.
#[derive(Default)]
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    /// Name, template, secret.
    secret_headers: Vec<(String, String, String)>,
    body: Vec<u8>,
    timeout_ms: Option<u64>,
}

impl Host for Guest {}

impl HostRequest for Guest {
    fn new(&mut self, method: String, url: String) -> wasmtime::Result<Resource<Request>> {
        Ok(self.table.push(Request { method, url, ..Request::default() })?)
    }
    fn header(&mut self, this: Resource<Request>, name: String, value: String) -> wasmtime::Result<()> {
        let request = self.table.get_mut(&this)?;
        if request.headers.len() <= HEADERS_MAX {
            request.headers.push((name, value));
        }
        Ok(())
    }
    fn header_secret(
        &mut self,
        this: Resource<Request>,
        name: String,
        template: String,
        secret: String,
    ) -> wasmtime::Result<()> {
        let request = self.table.get_mut(&this)?;
        if request.secret_headers.len() <= HEADERS_MAX {
            request.secret_headers.push((name, template, secret));
        }
        Ok(())
    }
    fn body(&mut self, this: Resource<Request>, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.table.get_mut(&this)?.body = bytes;
        Ok(())
    }
    fn timeout_ms(&mut self, this: Resource<Request>, value: u64) -> wasmtime::Result<()> {
        self.table.get_mut(&this)?.timeout_ms = Some(value);
        Ok(())
    }

    async fn send(&mut self, this: Resource<Request>) -> wasmtime::Result<Result<Resource<Answer>, Error>> {
        let request = std::mem::take(self.table.get_mut(&this)?);
        let ask = match self.prepare_request(request) {
            Ok(ask) => ask,
            Err(refused) => return Ok(Err(refused)),
        };
        let broker = Arc::clone(&self.broker);
        let answered = tokio::task::spawn_blocking(move || fetch::fetch(ask, &broker)).await;
        match answered.map_err(wasmtime::Error::from)? {
            Ok(mut answer) => {
                // A server may echo the secret that it was given; the plugin must not read it that way.
                answer.redact(self.voice.redactor());
                Ok(Ok(self.table.push(answer)?))
            }
            Err(failed) => Ok(Err(self.told(failed))),
        }
    }

    fn drop(&mut self, this: Resource<Request>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostResponse for Guest {
    fn status(&mut self, this: Resource<Answer>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&this)?.status)
    }
    fn header(&mut self, this: Resource<Answer>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&this)?.header(&name).map(str::to_owned))
    }
    fn body(&mut self, this: Resource<Answer>) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(Ok(self.table.get(&this)?.body.clone()))
    }
    fn drop(&mut self, this: Resource<Answer>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl Guest {
    /// Judges the first URL and fills secrets in. Redirects are judged by `fetch`.
    fn prepare_request(&self, request: Request) -> Result<Ask, Error> {
        let target = Target::parse(&request.url).map_err(|bad| error(ErrorKind::Denied, bad.to_string()))?;
        let method = fetch::method(&request.method).map_err(|message| error(ErrorKind::Config, message))?;
        self.broker.http(method.as_str(), &target).map_err(|denied| self.denied(denied))?;
        if request.headers.len() + request.secret_headers.len() > HEADERS_MAX {
            return Err(error(ErrorKind::TooLarge, format!("a request has at most {HEADERS_MAX} headers")));
        }
        let mut headers =
            fetch::headers(request.headers).map_err(|message| error(ErrorKind::Config, message))?;
        let mut filled = Vec::new();
        for (name, template, secret) in request.secret_headers {
            let value = self.broker.secret(&secret, false).map_err(|denied| self.denied(denied))?;
            let value = value.map_err(|message| error(ErrorKind::Unavailable, message))?;
            filled.push((name, template.replacen("{}", value.reveal(), 1)));
        }
        let secret_headers = fetch::headers(filled).map_err(|message| error(ErrorKind::Config, message))?;
        headers.retain(|(name, _)| !secret_headers.iter().any(|(secret, _)| secret == name));
        let asked = request.timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        let deadline = asked.map_or(self.facts.deadline, |asked| asked.min(self.facts.deadline));
        Ok(Ask { method, target, headers, secret_headers, body: request.body, deadline })
    }

    fn told(&self, failed: FetchError) -> Error {
        match failed {
            FetchError::Denied(denied) => self.denied(denied),
            FetchError::BadRedirect(message) => error(ErrorKind::Denied, message),
            FetchError::TooLarge(message) => error(ErrorKind::TooLarge, message),
            FetchError::Timeout(message) => error(ErrorKind::Timeout, message),
            FetchError::Unavailable(message) => {
                error(ErrorKind::Unavailable, self.voice.redactor().line(&message))
            }
        }
    }
}
