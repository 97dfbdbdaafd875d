//! WASI as hooks have it: clocks, randomness, and output that goes to the log. No files, sockets, environment or
//! arguments.

use crate::voice::Voice;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

/// Bytes of a line that is printed; longer ones are cut into several.
const LINE_MAX: usize = 4 << 10;

/// What one call may reach of WASI.
pub(crate) fn context(voice: &Voice) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(Printed::new(voice.clone(), "info"))
        .stderr(Printed::new(voice.clone(), "warn"))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

/// A stream whose lines are lines of the log.
#[derive(Clone)]
struct Printed {
    voice: Voice,
    level: &'static str,
    line: Arc<Mutex<Vec<u8>>>,
}

impl Printed {
    fn new(voice: Voice, level: &'static str) -> Self {
        Self { voice, level, line: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in bytes {
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() >= LINE_MAX {
                self.voice.log(self.level, &String::from_utf8_lossy(&std::mem::take(&mut *line)));
            }
        }
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        let line = std::mem::take(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner));
        if !line.is_empty() {
            self.voice.log(self.level, &String::from_utf8_lossy(&line));
        }
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Printed {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::Said;
    use deployfile_model::Name;

    #[test]
    fn what_is_printed_becomes_lines_of_the_log() {
        let voice = Voice::new(Name::new("p").unwrap(), Arc::default());
        let stdout = Printed::new(voice.clone(), "info");
        let mut stream = Box::into_pin(stdout.async_stream());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for part in [&b"one\nt"[..], b"wo\n\x1b[2J", b"end"] {
            assert!(stream.as_mut().poll_write(&mut cx, part).is_ready());
        }
        drop((stream, stdout));
        let said: Vec<String> = voice
            .take()
            .into_iter()
            .map(|said| match said {
                Said::Hook { level: "info", message } => message,
                _ => panic!("something else was said"),
            })
            .collect();
        assert_eq!(said, ["one", "two", "\\u{1b}[2Jend"]);
    }
}
