//! What the client can do, as far as it decides what it is sent.

use super::position::Encoding;
use lsp_types::{ClientCapabilities, MarkupContent, MarkupKind, PositionEncodingKind};

/// What the client can do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client {
    pub(super) encoding: Encoding,
    /// Completions may have places to be filled in.
    pub(super) snippets: bool,
    /// Hovers may be Markdown.
    hover_markdown: bool,
    /// The documentation of completions may be Markdown.
    documentation_markdown: bool,
    /// Mistakes may name further places.
    pub(super) related: bool,
    /// Symbols may be a tree.
    pub(super) symbol_tree: bool,
    /// It can be asked to watch files.
    pub(super) watches: bool,
}

impl Client {
    pub(super) fn of(capabilities: &ClientCapabilities) -> Self {
        let encodings = capabilities.general.as_ref().and_then(|general| general.position_encodings.as_ref());
        let utf8 = encodings.is_some_and(|all| all.contains(&PositionEncodingKind::UTF8));
        let text = capabilities.text_document.as_ref();
        let item = text.and_then(|text| text.completion.as_ref()?.completion_item.as_ref());
        let hover = text.and_then(|text| text.hover.as_ref()?.content_format.as_ref());
        let markdown = |formats: Option<&Vec<MarkupKind>>| {
            formats.is_some_and(|all| all.contains(&MarkupKind::Markdown))
        };
        let workspace = capabilities.workspace.as_ref();
        Self {
            encoding: if utf8 { Encoding::Utf8 } else { Encoding::Utf16 },
            snippets: item.and_then(|item| item.snippet_support).unwrap_or(false),
            hover_markdown: markdown(hover),
            documentation_markdown: markdown(item.and_then(|item| item.documentation_format.as_ref())),
            related: text
                .and_then(|text| text.publish_diagnostics.as_ref()?.related_information)
                .unwrap_or(false),
            symbol_tree: text
                .and_then(|text| text.document_symbol.as_ref()?.hierarchical_document_symbol_support)
                .unwrap_or(false),
            watches: workspace
                .and_then(|workspace| workspace.did_change_watched_files.as_ref()?.dynamic_registration)
                .unwrap_or(false),
        }
    }

    pub(super) fn hover_page(self) -> Page {
        Page { markdown: self.hover_markdown, text: String::new() }
    }

    pub(super) fn documentation_page(self) -> Page {
        Page { markdown: self.documentation_markdown, text: String::new() }
    }
}

/// Text for people, as Markdown where the client shows that.
pub(super) struct Page {
    markdown: bool,
    text: String,
}

/// Characters of one piece of code that are shown.
const SHOWN: usize = 300;

impl Page {
    /// Something of the file, or to be typed.
    pub(super) fn code(&self, code: &str) -> String {
        let short: String = code.chars().take(SHOWN).collect();
        let code = if short.len() < code.len() { format!("{short}…") } else { short };
        if !self.markdown {
            return code;
        }
        // A fence is longer than any row of backticks within.
        let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest + 1);
        let space = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
        format!("{fence}{space}{code}{space}{fence}")
    }

    pub(super) fn strong(&self, text: &str) -> String {
        if self.markdown { format!("**{text}**") } else { text.to_owned() }
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        if !text.is_empty() {
            let gap = if self.text.is_empty() { "" } else { "\n\n" };
            self.text += &format!("{gap}{text}");
        }
    }

    /// A line of a list; the first one needs a paragraph before it.
    pub(super) fn item(&mut self, text: &str) {
        self.text += &format!("\n- {text}");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn into_markup(self) -> MarkupContent {
        let kind = if self.markdown { MarkupKind::Markdown } else { MarkupKind::PlainText };
        MarkupContent { kind, value: self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_shown_whatever_is_in_it() {
        let page = Page { markdown: true, text: String::new() };
        assert_eq!(page.code("a"), "`a`");
        assert_eq!(page.code("a``b"), "```a``b```");
        assert_eq!(page.code("`a`"), "`` `a` ``");
        assert!(page.code(&"x".repeat(1000)).chars().count() < 310);
    }
}
