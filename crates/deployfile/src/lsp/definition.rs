//! Where what is named here is declared, and the files that are named here.

use super::view::View;
use deployfile_config::{Outline, Refers};
use lsp_types::{Location, Position, Range};

pub(super) fn of(view: &View<'_>, position: Position) -> Vec<Location> {
    let outline = Outline::of(view.text());
    match outline.at(view.offset(position)).refers(&view.file()) {
        Some(Refers::Name { kind, name }) => view.locations(&view.declared(kind, &name)),
        Some(Refers::File(path)) => {
            let files = view.files(&path);
            let uris = files.iter().filter_map(|path| view.documents.uri(path));
            uris.map(|uri| Location::new(uri, Range::default())).collect()
        }
        None => Vec::new(),
    }
}
