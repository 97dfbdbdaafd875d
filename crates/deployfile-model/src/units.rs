//! Units as users write them: durations `"30s"`, sizes `"1GiB"`, modes `"0750"`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Seconds since 1970-01-01 UTC. The one clock reading of the product; told to the core, never taken by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub i64);

/// A duration in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("B", 1),
];

fn number_and_unit<'a>(text: &'a str, units: &[(&'a str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let (_, factor) = units.iter().find(|(unit, _)| *unit == &text[digits..])?;
    number.checked_mul(*factor)
}

impl Millis {
    /// Reads `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        number_and_unit(text, &DURATIONS).map(Self)
    }
    /// Whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }
    /// As the standard library's type.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = DURATIONS
            .iter()
            .rev()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&DURATIONS[0]);
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Bytes {
    /// Reads `"512B"`, `"64KiB"`, `"1GiB"`, `"10MB"`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        number_and_unit(text, &SIZES).map(Self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [(&str, u64); 4] =
            [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match STEPS.iter().find(|(_, step)| self.0 >= *step) {
            Some((unit, step)) if self.0.is_multiple_of(*step) => write!(f, "{} {unit}", self.0 / step),
            Some((unit, step)) => write!(f, "{:.1} {unit}", self.0 as f64 / *step as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// Reads an octal mode of three or four digits, `"0750"`; no set-uid, set-gid or sticky bits.
pub fn parse_mode(text: &str) -> Option<u32> {
    let mode = u32::from_str_radix(text, 8).ok()?;
    ((3..=4).contains(&text.len()) && mode <= 0o777).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(Millis::parse("30s"), Some(Millis(30_000)));
        assert_eq!(Millis::parse("250ms"), Some(Millis(250)));
        for bad in ["30", "s", "-1s", "1.5s", "1 s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(Millis::parse(bad), None, "{bad}");
        }
        assert_eq!(Millis(90_000).to_string(), "90s");
        assert_eq!(Millis(0).to_string(), "0ms");
        assert_eq!(Bytes::parse("64MiB"), Some(Bytes(64 << 20)));
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
        assert_eq!(parse_mode("0750"), Some(0o750));
        assert_eq!(parse_mode("4755"), None);
    }
}
