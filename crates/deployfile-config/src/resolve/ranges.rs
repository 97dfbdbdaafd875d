//! `web[01:40].example.com`: ranges of hosts. Zeros in front of the first number set the width.

/// Hosts that one range may mean, and all environments together may have.
pub(crate) const MAX_HOSTS: usize = 10_000;

/// Whether `text` holds a range.
pub(crate) fn is_range(text: &str) -> bool {
    text.contains('[')
}

/// The names that `text` means, in order; or why it means none, as a lowercase fragment.
pub(crate) fn expand(text: &str) -> Result<Vec<String>, String> {
    let names = expand_all(text, 1, false)?.names;
    match names.iter().find_map(|name| deployfile_model::Name::new(name.as_str()).err()) {
        Some(error) => Err(error.to_string()),
        None => Ok(names),
    }
}

/// How many names `text` means, without making them; or why it means none.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    let Expanded { names, count } = expand_all(text, 1, true)?;
    match names.iter().find_map(|name| deployfile_model::Name::new(name.as_str()).err()) {
        Some(error) => Err(error.to_string()),
        None => Ok(count),
    }
}

struct Expanded {
    names: Vec<String>,
    /// All that there are.
    count: usize,
}

/// `only_ends`: the first and the last of each range stand for it, as all names of a range have the same characters but
/// for their digits, and the last is the longest.
fn expand_all(text: &str, so_far: usize, only_ends: bool) -> Result<Expanded, String> {
    let Some((head, rest)) = text.split_once('[') else {
        return Ok(Expanded { names: vec![text.to_owned()], count: so_far });
    };
    let malformed = || format!("`{}` is not a range: write `web[1:4]`", text.escape_debug());
    let (range, tail) = rest.split_once(']').ok_or_else(malformed)?;
    let (first, last) = range.split_once(':').ok_or_else(malformed)?;
    let number = |digits: &str| -> Result<usize, String> {
        let fine = !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|_| fine).ok_or_else(malformed)
    };
    let (from, to) = (number(first)?, number(last)?);
    if from > to {
        return Err(format!("the range `[{range}]` counts down"));
    }
    let count = (to - from + 1) * so_far;
    if count > MAX_HOSTS {
        return Err(format!("`{}` means more than {MAX_HOSTS} hosts", text.escape_debug()));
    }
    let tails = expand_all(tail, count, only_ends)?;
    let width = first.len();
    let step = if only_ends { (to - from).max(1) } else { 1 };
    let name = |n: usize, tail: &String| format!("{head}{n:0width$}{tail}");
    let names =
        (from..=to).step_by(step).flat_map(|n| tails.names.iter().map(move |tail| name(n, tail))).collect();
    Ok(Expanded { names, count: tails.count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand_with_their_width() {
        assert_eq!(expand("web[08:10].x").unwrap(), ["web08.x", "web09.x", "web10.x"]);
        assert_eq!(expand("a[1:2]b[3:4]").unwrap(), ["a1b3", "a1b4", "a2b3", "a2b4"]);
        assert_eq!(expand("localhost").unwrap(), ["localhost"]);
        for (text, hosts) in [("a", 1), ("a[08:10]", 3), ("a[1:10]b[0:99]", 1000), ("a[7:7]", 1)] {
            assert_eq!(count(text), Ok(hosts));
            assert_eq!(expand(text).unwrap().len(), hosts);
        }
        for bad in [
            "a[",
            "a[1]",
            "a[2:1]",
            "a[x:y]",
            "a[0:99999]",
            "a[0:999]b[0:99]",
            "[-1:2]",
            "-a[1:2]",
            "a[1:2]/",
        ] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }
}
