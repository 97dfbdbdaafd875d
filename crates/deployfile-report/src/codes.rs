//! What every error code means: a page for each, in `codes/<area>.md`, as `explain CODE` and the book show it.
//!
//! A page says what the code means (its first paragraph, one line), why it is so (`Why:`), what to do (`Do:`), and how
//! the program ends (`Exit:`). `tests/codes.rs` holds that every code of the sources has one, and no other.

/// Declares the areas, each with its file.
macro_rules! areas {
    ($($name:literal),* $(,)?) => {
        const AREAS: &[Area] = &[$(Area { name: $name, text: include_str!(concat!("codes/", $name, ".md")) }),*];
    };
}

areas![
    "bug",
    "check",
    "cli",
    "commit",
    "config",
    "disk",
    "fmt",
    "history",
    "hook",
    "init",
    "journal",
    "link",
    "lock",
    "lsp",
    "nginx",
    "plan",
    "plugin",
    "process",
    "prune",
    "release",
    "render",
    "resume",
    "root",
    "run",
    "seal",
    "secret",
    "service",
    "source",
    "store",
    "supervisor",
    "switch",
    "verify",
];

/// What stands before each code, in the files.
const HEAD: &str = "\n## ";

/// Codes that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// What stands before the `::` of its codes.
    pub name: &'static str,
    text: &'static str,
}

/// What is said of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The code, as `config::conflict`.
    pub code: &'static str,
    /// What follows its heading, in Markdown.
    pub markdown: &'static str,
}

/// All areas, by name.
pub fn areas() -> impl Iterator<Item = Area> {
    AREAS.iter().copied()
}

/// All pages, by area and code.
pub fn pages() -> impl Iterator<Item = Page> {
    areas().flat_map(Area::pages)
}

/// The page of a code.
pub fn find(code: &str) -> Option<Page> {
    pages().find(|page| page.code == code)
}

/// The code that was most likely meant: the same name in another area, or the one that differs least.
pub fn nearest(text: &str) -> Option<&'static str> {
    const LONGEST: usize = 64;
    let text = text.to_lowercase();
    let (_, name) = text.split_once("::")?;
    let namesakes: Vec<&str> = pages().map(|page| page.code).filter(|code| name_of(code) == name).collect();
    if let [only] = namesakes.as_slice() {
        return Some(only);
    }
    let allowed = Some(text.chars().count()).filter(|length| *length <= LONGEST)? / 4;
    let near = pages().map(|page| (strsim::osa_distance(&text, page.code), page.code));
    near.filter(|(distance, _)| *distance <= allowed).min().map(|(_, code)| code)
}

fn name_of(code: &str) -> &str {
    code.split_once("::").map_or(code, |(_, name)| name)
}

impl Area {
    /// What its codes have in common, in Markdown.
    pub fn about(self) -> &'static str {
        let head = self.text.split(HEAD).next().unwrap_or_default();
        head.split_once('\n').map_or("", |(_, about)| about.trim())
    }

    /// The pages of its codes.
    pub fn pages(self) -> impl Iterator<Item = Page> {
        self.text.split(HEAD).skip(1).map(|section| {
            let (code, markdown) = section.split_once('\n').unwrap_or((section, ""));
            Page { code: code.trim(), markdown: markdown.trim() }
        })
    }
}

impl Page {
    /// What the code means, in one line.
    pub fn summary(self) -> &'static str {
        self.markdown.lines().next().unwrap_or_default()
    }

    /// The exit codes that the program may end with; 0 for a warning, none where something else decides.
    pub fn exits(self) -> Vec<u8> {
        let said = self.part("Exit").unwrap_or_default();
        said.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
    }

    /// The paragraph that begins with this label, without it.
    pub fn part(self, label: &str) -> Option<&'static str> {
        let of_label = |paragraph: &'static str| {
            paragraph.strip_prefix("**")?.strip_prefix(label)?.strip_prefix(":**").map(str::trim)
        };
        self.markdown.split("\n\n").find_map(of_label)
    }

    /// All of it for a terminal: without marks, but with its code quotes, as messages have them.
    pub fn text(self) -> String {
        format!("{}\n", self.markdown.replace("**", ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_by_its_code_and_says_all_four_parts() {
        let page = find("config::conflict").unwrap();
        assert!(page.summary().starts_with("One setting has two values"));
        assert!(page.part("Why").unwrap().contains("never decides a value"));
        assert!(page.part("Do").unwrap().contains("`(force)`"));
        assert_eq!(page.exits(), [3]);
        assert!(page.text().contains("\n\nDo: delete one") && !page.text().contains("**"));
        assert_eq!(find("config::conflic"), None);
    }

    #[test]
    fn the_nearest_is_one_that_could_be_meant() {
        assert_eq!(nearest("config::conflit"), Some("config::conflict"));
        assert_eq!(nearest("Config::Conflict"), Some("config::conflict"));
        assert_eq!(nearest("hooks::veto"), Some("hook::veto"));
        assert_eq!(nearest("check::conflict"), Some("config::conflict"));
        assert_eq!(nearest("std::net"), None);
        assert_eq!(nearest(&format!("config::{}", "x".repeat(10_000))), None);
    }

    #[test]
    fn an_area_says_what_its_codes_have_in_common() {
        let area = areas().find(|area| area.name == "lock").unwrap();
        assert_eq!(area.about(), "One run at a time works in a root.");
        assert_eq!(area.pages().map(|page| page.code).collect::<Vec<_>>(), ["lock::busy"]);
    }
}
