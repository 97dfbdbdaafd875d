//! What may be written at a place, in the words of the protocol.

use super::client::Client;
use super::view::View;
use deployfile_config::{INDENT, Offer, OfferKind, Outline, Piece};
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, InsertTextFormat, Position,
    TextEdit,
};

/// Characters after which clients ask by themselves.
pub(super) const TRIGGERS: [&str; 6] = ["(", "{", "=", ".", "\"", " "];

/// `trigger`: the character that was typed, where the client asks by itself.
pub(super) fn of(view: &View<'_>, position: Position, trigger: Option<&str>) -> Vec<CompletionItem> {
    let outline = Outline::of(view.text());
    let offset = view.offset(position);
    let (range, offers) = outline.at(offset).offers(&|kind| view.names(&outline, kind, offset));
    let range = view.lines().range(range);
    let wanted = offers.into_iter().filter(|offer| is_asked_for(offer.kind, trigger));
    wanted.enumerate().map(|(n, offer)| item(&offer, n, range, view.client)).collect()
}

/// A list that opens by itself must not take the Enter or the space that were meant for the text.
fn is_asked_for(kind: OfferKind, trigger: Option<&str>) -> bool {
    match trigger {
        Some("{") => kind == OfferKind::LookUp,
        Some(" ") => matches!(kind, OfferKind::Word | OfferKind::Name),
        _ => true,
    }
}

fn item(offer: &Offer, order: usize, range: lsp_types::Range, client: Client) -> CompletionItem {
    let has_pattern = client.snippets && offer.pattern.iter().any(|piece| !matches!(piece, Piece::Text(_)));
    let new_text = if has_pattern { snippet(&offer.pattern) } else { offer.text.clone() };
    let not_built = if offer.built { "" } else { "not built yet: apply refuses it" };
    let detail: Vec<&str> =
        [offer.detail.as_str(), not_built].into_iter().filter(|text| !text.is_empty()).collect();
    let mut page = client.documentation_page();
    page.paragraph(offer.doc);
    CompletionItem {
        label: offer.text.clone(),
        kind: Some(kind(offer.kind)),
        detail: Some(detail.join("; ")).filter(|detail| !detail.is_empty()),
        documentation: (!page.is_empty()).then(|| Documentation::MarkupContent(page.into_markup())),
        sort_text: Some(format!("{}{order:04}", u8::from(!offer.built))),
        insert_text_format: has_pattern.then_some(InsertTextFormat::SNIPPET),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit { range, new_text })),
        ..CompletionItem::default()
    }
}

fn kind(kind: OfferKind) -> CompletionItemKind {
    match kind {
        OfferKind::Word => CompletionItemKind::ENUM_MEMBER,
        OfferKind::Name => CompletionItemKind::REFERENCE,
        OfferKind::Property => CompletionItemKind::FIELD,
        OfferKind::Setting => CompletionItemKind::PROPERTY,
        OfferKind::Marker => CompletionItemKind::KEYWORD,
        OfferKind::LookUp => CompletionItemKind::VARIABLE,
    }
}

/// `service ${1:name} {` and so on. The last place to go to is the inside of the block.
fn snippet(pattern: &[Piece]) -> String {
    let escape = |text: &str, special: &[char]| {
        text.chars()
            .flat_map(|c| special.contains(&c).then_some('\\').into_iter().chain([c]))
            .collect::<String>()
    };
    let mut out = String::new();
    let mut hole = 0;
    for piece in pattern {
        match piece {
            Piece::Text(text) => out += &escape(text, &['\\', '$', '}']),
            Piece::Hole { name, words } => {
                hole += 1;
                out += &match words {
                    [] => format!("${{{hole}:{}}}", escape(name, &['\\', '$', '}'])),
                    words => {
                        let words: Vec<String> = words.iter().map(|w| escape(w, &['\\', ',', '|'])).collect();
                        format!("${{{hole}|{}|}}", words.join(","))
                    }
                };
            }
            Piece::Block => out += &format!("\n{}$0\n", " ".repeat(INDENT)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_are_escaped() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let pattern = [
            text("a$}"),
            Piece::Hole { name: "n", words: &[] },
            Piece::Hole { name: "w", words: &["x", "y,z"] },
            text(" {"),
            Piece::Block,
            text("}"),
        ];
        assert_eq!(snippet(&pattern), "a\\$\\}${1:n}${2|x,y\\,z|} {\n  $0\n\\}");
    }
}
