//! A FastCGI responder that says which file it was asked for: `SCRIPT_FILENAME`, a newline, `DOCUMENT_ROOT`.
//! As in php-fpm, the last of several values of one name counts.

use std::collections::BTreeMap;
use std::io::{Read, Result, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;

/// Serves on `socket` until the test ends.
pub(crate) fn serve(socket: &Path) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap()).unwrap();
        }
    })
}

fn answer(mut stream: UnixStream) -> Result<()> {
    let mut params = Vec::new();
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header)?;
        let mut content = vec![0; usize::from(u16::from_be_bytes([header[4], header[5]]))];
        stream.read_exact(&mut content)?;
        stream.read_exact(&mut vec![0; usize::from(header[6])])?;
        match header[1] {
            PARAMS => params.extend(content),
            STDIN if content.is_empty() => break,
            _ => {}
        }
    }
    let params = decode(&params);
    let body =
        format!("Content-Type: text/plain\r\n\r\n{}\n{}", params["SCRIPT_FILENAME"], params["DOCUMENT_ROOT"]);
    record(&mut stream, STDOUT, body.as_bytes())?;
    record(&mut stream, STDOUT, &[])?;
    record(&mut stream, END_REQUEST, &[0; 8])
}

fn record(stream: &mut UnixStream, kind: u8, content: &[u8]) -> Result<()> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    stream.write_all(&[1, kind, 0, 1, high, low, 0, 0])?;
    stream.write_all(content)
}

fn decode(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut params = BTreeMap::new();
    while !bytes.is_empty() {
        let (name_len, value_len) = (length(&mut bytes), length(&mut bytes));
        let (name, rest) = bytes.split_at(name_len);
        let (value, rest) = rest.split_at(value_len);
        params
            .insert(String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned());
        bytes = rest;
    }
    params
}

fn length(bytes: &mut &[u8]) -> usize {
    let long = bytes[0] >> 7 == 1;
    let (number, rest) = bytes.split_at(if long { 4 } else { 1 });
    *bytes = rest;
    number.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)) & 0x7fff_ffff
}
