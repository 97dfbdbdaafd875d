//! Whether a program printed what a page shows. What no two runs share is the same to it: moments, durations, sizes,
//! release ids, digests, process ids, widths of columns.

/// Ports that pages show; any other long number is one that no two runs share.
pub(crate) const PORTS: [&str; 3] = ["8080", "8081", "8082"];

/// The line that stands for any lines.
const ANY_LINES: &str = "[…]";
/// What stands for any text within a line.
const ANY_TEXT: &str = "…";
/// How often a service is asked until it answers depends on the machine.
const A_TRY: &str = "    | probe ";

/// Whether the lines that were printed are the ones that are shown.
pub(crate) fn matches(shown: &[String], printed: &[String]) -> bool {
    let without_tries = |lines: &[String]| -> Vec<String> {
        lines.iter().filter(|line| !line.starts_with(A_TRY)).cloned().collect()
    };
    in_turn(&without_tries(shown), &without_tries(printed))
}

fn in_turn(shown: &[String], printed: &[String]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((any, rest)), _) if any == ANY_LINES => {
            (0..=printed.len()).any(|skip| in_turn(rest, &printed[skip..]))
        }
        (Some((line, shown)), Some((other, printed))) => same_line(line, other) && in_turn(shown, printed),
        _ => false,
    }
}

fn same_line(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (normal(shown), normal(printed));
    let mut parts = shown.split(ANY_TEXT);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A line with a word in place of everything that no two runs share.
pub(crate) fn normal(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    let mut inside_word = false;
    while let Some(c) = rest.chars().next() {
        if let Some((len, word)) = varying(rest).filter(|_| !inside_word) {
            out.push_str(word);
            rest = &rest[len..];
            inside_word = true;
            continue;
        }
        if !(c == ' ' && out.ends_with("  ")) {
            out.push(c);
        }
        inside_word = c.is_ascii_alphanumeric();
        rest = &rest[c.len_utf8()..];
    }
    out.trim_end().to_owned()
}

/// What stands at the beginning of `text` and differs from run to run: its length, and a word for it.
fn varying(text: &str) -> Option<(usize, &'static str)> {
    let id = shape(text, "dddd-dd-dd_dd.dd.dd").map(|len| (len + again(&text[len..]), "<id>"));
    id.or_else(|| shape(text, "dddd-dd-ddTdd:dd:ddZ").map(|len| (len, "<time>")))
        .or_else(|| digest(text))
        .or_else(|| processes(text))
        .or_else(|| amount(text))
}

/// `d` is a digit, anything else itself.
fn shape(text: &str, pattern: &str) -> Option<usize> {
    let fits = |(have, want): (u8, u8)| if want == b'd' { have.is_ascii_digit() } else { have == want };
    let whole = text.len() >= pattern.len() && text.bytes().zip(pattern.bytes()).all(fits);
    whole.then_some(pattern.len())
}

/// The `-2` of a release id of which one second saw several.
fn again(text: &str) -> usize {
    let digits = text.strip_prefix('-').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if digits == 0 { 0 } else { digits + 1 }
}

/// Hexadecimal digits, at least as many as a short digest has.
fn digest(text: &str) -> Option<(usize, &'static str)> {
    let len = text.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
    (len >= 12 && ends(&text[len..])).then_some((len, "<digest>"))
}

fn processes(text: &str) -> Option<(usize, &'static str)> {
    let digits = text.strip_prefix("pid ")?.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then_some((4 + digits, "pid <n>"))
}

/// A duration, a size or a long number.
fn amount(text: &str) -> Option<(usize, &'static str)> {
    let len = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, rest) = text.split_at(len);
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let with = |unit: &str| rest.strip_prefix(unit).filter(|rest| ends(rest)).map(|_| len + unit.len());
    if let Some(minutes) = shape(rest, " m dd s").filter(|n| ends(&rest[*n..])) {
        return Some((len + minutes, "<took>"));
    }
    let took = [" ms", " s"].into_iter().find_map(with).map(|len| (len, "<took>"));
    let size =
        || [" B", " KiB", " MiB", " GiB", " bytes"].into_iter().find_map(with).map(|len| (len, "<size>"));
    let long = number.len() >= 4 && !number.contains('.') && !PORTS.contains(&number) && ends(rest);
    took.or_else(size).or_else(|| long.then_some((len, "<n>")))
}

fn ends(rest: &str) -> bool {
    !rest.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(shown: &str, printed: &str) -> bool {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        matches(&lines(shown), &lines(printed))
    }

    #[test]
    fn what_differs_from_run_to_run_is_the_same() {
        for (shown, printed) in [
            ("current → 2026-11-21_06.49.17", "current → 2027-01-02_11.22.33-2"),
            ("apply-2026-11-21_06.49.17  done", "apply-2027-01-02_11.22.33    done"),
            ("ok  build  18 ms", "ok  build  1.99 s"),
            ("done (3 m 05 s)", "done (2.42 s)"),
            ("build 2b28869f42dd", "build d313417e9ba6"),
            ("sha256:2b28869f42ddf5f4", "sha256:d313417e9ba63631"),
            ("web running (pid 17)", "web running (pid 13154)"),
            ("6.4 KiB  2026-11-21T06:49:22Z", "12 B  2027-11-21T06:49:22Z"),
        ] {
            assert!(is(shown, printed), "{shown}\n{printed}");
        }
    }

    #[test]
    fn anything_else_is_a_difference() {
        for (shown, printed) in [
            ("current → 2026-11-21_06.49.17", "current → nothing"),
            ("ok  build  18 ms", "no  build  18 ms"),
            ("port 8080", "port 8081"),
            ("3 releases", "4 releases"),
            ("a\nb", "a"),
            ("a", "a\nb"),
            ("a … c", "a b d"),
            ("a\n[…]\nc", "a\nb"),
        ] {
            assert!(!is(shown, printed), "{shown}\n{printed}");
        }
    }

    #[test]
    fn gaps_are_filled() {
        assert!(is("a … c", "a b c"));
        assert!(is("[…]\nc", "a\nb\nc"));
        assert!(is("a\n[…]\nc\n[…]", "a\nc"));
    }
}
