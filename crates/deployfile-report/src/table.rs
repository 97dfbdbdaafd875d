//! Plain tables: columns as wide as their widest cell, two spaces between, no trailing space.

use crate::tone::visible;

/// Lays rows out under a head.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    aligned(&[&[head], rows].concat())
}

/// Lays rows out without a head.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|i| rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        })
        .collect()
}

/// Facts of one thing, a name and what it is a line; further lines of a value stand under its first. What has no value
/// is left out.
pub fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let under = format!("\n{:width$}  ", "");
    rows.iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            let lines: Vec<String> = value.lines().map(visible).collect();
            format!("{name:width$}  {}\n", lines.join(&under))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn facts_line_up_and_nothing_is_said_of_nothing() {
        let rows = [("id", "r".to_owned()), ("reason", String::new()), ("notes", "a 1\nb\x1b 2".to_owned())];
        assert_eq!(super::facts(&rows), "id      r\nnotes   a 1\n        b\\u{1b} 2\n");
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".to_owned(), "long cell".to_owned(), "x".to_owned()]];
        assert_eq!(super::table(&["id", "state", "at"], &rows), "id  state      at\na   long cell  x\n");
    }
}
