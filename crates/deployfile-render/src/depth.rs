//! How deep a template goes. minijinja compiles chains (`a.b.c`, `x | f | g`, `1 + 1 + 1`, `elif` after `elif`) by
//! recursion and counts only brackets and blocks: some thousand links of a chain end the whole program.

/// Words and signs of one `{{ }}` or `{% %}`.
pub(crate) const TAG: usize = 1000;
/// `elif` of one template.
pub(crate) const ELIFS: usize = 100;

/// Where a template goes too deep, in bytes, and why, as a lowercase fragment.
pub(crate) fn beyond(source: &str) -> Option<(usize, String)> {
    let mut elifs = 0;
    let mut at = 0;
    while let Some(open) = source[at..].find('{').map(|found| at + found) {
        at = match source.as_bytes().get(open + 1) {
            Some(b'#') => source[open..].find("#}").map_or(source.len(), |end| open + end + 2),
            Some(end @ (b'{' | b'%')) => {
                let tag = Tag::read(source, open + 2, if *end == b'{' { b'}' } else { b'%' });
                if tag.words > TAG {
                    return Some((open, format!("more than {TAG} words and signs stand between its braces")));
                }
                elifs += usize::from(tag.first == "elif");
                if elifs > ELIFS {
                    return Some((open, format!("it has more than {ELIFS} `elif`")));
                }
                // Looked for only then: for every tag it would be a search of all that follows.
                let raw =
                    Some(tag.end).filter(|_| tag.first == "raw").and_then(|end| source[end..].find("endraw"));
                tag.end + raw.unwrap_or(0)
            }
            _ => open + 1,
        };
    }
    None
}

struct Tag<'s> {
    words: usize,
    first: &'s str,
    end: usize,
}

impl<'s> Tag<'s> {
    /// From `at` to where minijinja sees the end: `last` and `}`, outside of strings and brackets.
    fn read(source: &'s str, mut at: usize, last: u8) -> Self {
        let bytes = source.as_bytes();
        let (mut words, mut open, mut first) = (0, 0isize, "");
        while let Some(byte) = bytes.get(at) {
            let from = at;
            match byte {
                _ if open == 0 && *byte == last && bytes.get(at + 1) == Some(&b'}') => {
                    return Self { words, first, end: at + 2 };
                }
                b' ' | b'\t' | b'\r' | b'\n' => {
                    at += 1;
                    continue;
                }
                b'"' | b'\'' => at = string_end(bytes, at),
                _ if in_word(*byte) => {
                    at += bytes[at..].iter().take_while(|byte| in_word(**byte)).count();
                    if first.is_empty() {
                        first = &source[from..at];
                    }
                }
                _ => {
                    open += match byte {
                        b'(' | b'[' | b'{' => 1,
                        b')' | b']' | b'}' => -1,
                        _ => 0,
                    };
                    at += 1;
                }
            }
            words += 1;
            if words > TAG {
                break;
            }
        }
        Self { words, first, end: at }
    }
}

/// Also what is no letter of a name: a character must not be cut in two.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            byte if *byte == bytes[start] => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::check_template;
    use std::thread;

    /// Checks it on a small stack, as threads have it.
    fn check(source: String) -> Result<(), String> {
        let work = move || check_template("t", &source).map_err(|error| error.reason);
        thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap()
    }

    #[test]
    fn chains_end_in_an_error_and_not_in_the_end_of_the_program() {
        for (head, link, tail) in [
            ("{{ 1", " | abs", " }}"),
            ("{{ 1", "+1", " }}"),
            ("{{ app", ".a", " }}"),
            ("{{ app", "()", " }}"),
            ("{{ app", "[1]", " }}"),
            ("{{ ", "not ", "1 }}"),
            ("{{ ", "-", "1 }}"),
            ("{{ 1", " and 1", " }}"),
            ("{{ 1", "~'}}'", " }}"),
            ("{{ 1", " if 1 else 1", " }}"),
            ("{{ 1", " is odd", " }}"),
            ("{% set a = 1", "**1", " %}"),
            ("{% if 1 %}", "{% elif 1 %}", "{% endif %}"),
            ("{% if 1 %}", "{%- elif 1 -%}", "{% endif %}"),
            ("{{ '\\'' ", "~ '}}'", " }}"),
            ("{{ {} ", "~ {}", " }}"),
            ("{{", "(\n", ""),
            ("", "{% if 1 %}", ""),
            ("", "{{\n", ""),
            ("{# ", "{{\n", ""),
        ] {
            assert!(check(format!("{head}{}{tail}", link.repeat(6_000))).is_err(), "{head}{link}{tail}");
        }
    }

    #[test]
    fn the_longest_chains_that_are_taken_fit_on_a_small_stack() {
        // All of them at once, which is more than any of them.
        let nested = format!("{}{{{{ 1{} }}}}", "{% if 1 %}".repeat(140), " | abs".repeat((TAG - 1) / 2));
        let elifs = format!("{}{}", "{% elif 1 %}".repeat(ELIFS), "{% endif %}".repeat(140));
        assert_eq!(check(nested + &elifs), Ok(()));
        for link in [".a", "()", "+1", " is odd", "~1"] {
            let links = link.repeat((TAG - 1) / 2);
            assert_eq!(check(format!("{{{{ app{links} }}}}")), Ok(()), "{link}");
        }
    }

    #[test]
    fn what_is_no_chain_is_not_counted() {
        let text = "{ \"a\": { } } ".repeat(2000);
        assert_eq!(beyond(&text), None);
        assert_eq!(beyond(&format!("{{# {} #}}", "x {{ ".repeat(2000))), None);
        assert_eq!(beyond(&format!("{{% raw %}}{}{{% endraw %}}", "x {{ ".repeat(2000))), None);
        assert_eq!(beyond(&"{{ vars.a }} é {% if vars.b %}{% endif %}\n".repeat(2000)), None);
        assert_eq!(beyond("{{ 'é' }}{{ é }}{"), None);
        assert_eq!(beyond("x {{ 'open"), None);
    }
}
