//! How many tests passed, failed and were skipped, from what the runners write.
//!
//! A test that cannot run on this machine passes, after a line that starts with `SKIPPED:`; here it counts as skipped.

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use std::fmt;

/// Where a skip starts.
const SKIPPED: &str = "SKIPPED:";

/// Counts of tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    /// Those that say `#[ignore]`: they run when they are asked for.
    pub(super) ignored: usize,
    /// What each skipped test said.
    pub(super) skips: Vec<String>,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skips.extend(other.skips.iter().cloned());
    }

    /// Takes over what nextest's summary calls skipped, which its report leaves out.
    pub(super) fn with_ignored(mut self, lines: &[String]) -> Self {
        let summary = lines.iter().rev().find(|line| line.trim_start().starts_with("Summary ["));
        self.ignored = summary.and_then(|line| count_before(line, "skipped")).unwrap_or(0);
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.ignored + self.skips.len();
        write!(f, "{} passed, {} failed, {skipped} skipped", self.passed, self.failed)
    }
}

/// Reads nextest's JUnit report.
pub(super) fn of_junit(report: &str) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let (mut name, mut failed, mut skip) = (String::new(), false, None);
    let mut reader = Reader::from_str(report);
    let cannot = |error| format!("cannot read the report of nextest: {error}");
    loop {
        match reader.read_event().map_err(cannot)? {
            Event::Start(tag) => match tag.name().as_ref() {
                "testcase" => {
                    let said = tag.try_get_attribute("name").map_err(|error| cannot(error.into()))?;
                    name = said.map(|name| name.value.into_owned()).unwrap_or_default();
                    (failed, skip) = (false, None);
                }
                "failure" | "error" => failed = true,
                "system-out" | "system-err" => {
                    let text = reader.read_text(tag.name()).map_err(cannot)?;
                    let text = unescape(&text).map_err(|error| cannot(error.into()))?;
                    skip = skip.or_else(|| skip_in(&text));
                }
                _ => {}
            },
            Event::Empty(tag) => match tag.name().as_ref() {
                "testcase" => tally.passed += 1,
                "failure" | "error" => failed = true,
                _ => {}
            },
            Event::End(tag) if tag.name().as_ref() == "testcase" => match skip.take() {
                _ if failed => tally.failed += 1,
                Some(line) => tally.skips.push(format!("{line} ({name})")),
                None => tally.passed += 1,
            },
            Event::Eof => return Ok(tally),
            _ => {}
        }
    }
}

fn skip_in(text: &str) -> Option<String> {
    text.lines().find(|line| line.starts_with(SKIPPED)).map(str::to_owned)
}

/// Reads what `cargo test -- --show-output` prints.
pub(super) fn of_cargo_test(lines: &[String]) -> Tally {
    let mut tally = Tally::default();
    for line in lines {
        if let Some(counts) = line.strip_prefix("test result: ") {
            tally.passed += count_before(counts, "passed").unwrap_or(0);
            tally.failed += count_before(counts, "failed").unwrap_or(0);
            tally.ignored += count_before(counts, "ignored").unwrap_or(0);
        }
        tally.skips.extend(skip_in(line));
    }
    tally.passed = tally.passed.saturating_sub(tally.skips.len());
    tally
}

/// The number that stands before a word.
fn count_before(line: &str, word: &str) -> Option<usize> {
    let words: Vec<_> = line.split_whitespace().collect();
    let at = words.iter().position(|w| w.trim_end_matches([',', ';', '.']) == word)?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_report_of_nextest_is_counted() {
        let report = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="4" failures="1" errors="0">
  <testsuite name="a" tests="4">
    <testcase name="short" classname="a" time="0.1"/>
    <testcase name="quiet" classname="a" time="0.1">
      <system-out>running 1 test
test quiet ... ok</system-out>
      <system-err>not SKIPPED: at the start</system-err>
    </testcase>
    <testcase name="needs" classname="a" time="0.1">
      <system-out>running 1 test</system-out>
      <system-err>SKIPPED: `a &amp; b` is not here
SKIPPED: twice</system-err>
    </testcase>
    <testcase name="bad" classname="a" time="0.1">
      <failure type="test failure">thread panicked</failure>
      <system-err>SKIPPED: and then it failed</system-err>
    </testcase>
  </testsuite>
</testsuites>"#;
        let tally = of_junit(report).unwrap();
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 1 skipped");
        assert_eq!(tally.skips, ["SKIPPED: `a & b` is not here (needs)"]);
        let summary = lines("     Summary [   0.1s] 4 tests run: 3 passed, 1 failed, 2 skipped");
        assert_eq!(tally.with_ignored(&summary).to_string(), "2 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn a_report_that_is_cut_off_is_refused() {
        assert!(of_junit("<testsuites><testcase><system-err>SKIP").is_err());
    }

    #[test]
    fn the_output_of_cargo_test_is_counted() {
        let output = "SKIPPED: nginx is not here
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        assert_eq!(of_cargo_test(&lines(output)).to_string(), "14 passed, 2 failed, 2 skipped");
    }
}
