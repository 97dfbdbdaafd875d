//! Names with `*` and `?`.

/// Whether `pattern` means `path`: its last component when the pattern has no `/`, else all of it. `*` is any run of
/// characters but `/`, `?` is one.
pub fn matches(pattern: &str, path: &str) -> bool {
    let text = if pattern.contains('/') { path } else { path.rsplit('/').next().unwrap_or(path) };
    wild(pattern.as_bytes(), text.as_bytes())
}

/// Goes back to the last `*` only, so the time is at most the product of both lengths.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == text[t] || (c == b'?' && text[t] != b'/') => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) if text[from] != b'/' => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stay_in_one_component() {
        for (pattern, path) in
            [(".env", "app/.env"), ("*.pem", "a/b/key.pem"), ("a/*/c", "a/b/c"), ("*", "x"), ("k?y", "key")]
        {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [(".env", ".env.example"), ("*.pem", "pem"), ("a/*", "a/b/c"), ("a/?", "a//"), ("", "x")]
        {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }
}
