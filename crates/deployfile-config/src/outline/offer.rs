//! What may be written at a place of a file.

use super::{Outline, OutlineNode, Part, Spot, Within, Written};
use crate::check::MARKERS;
use crate::schema::{Arg, BlockKind, Count, NodeSpec, Prop, Several, TOP, Type, schema};
use crate::tree::{Data, Value};
use deployfile_render::expr::NAMES;
use std::collections::BTreeSet;
use std::ops::Range;

/// Something that may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What kind of thing it is.
    pub kind: OfferKind,
    /// What it is called, and what is written.
    pub text: String,
    /// The same with what should follow it, where it stands alone; a single [`Piece::Text`] where nothing should.
    pub pattern: Vec<Piece>,
    /// What values it takes, or what it is; may be empty.
    pub detail: String,
    /// What it does; may be empty.
    pub doc: &'static str,
    /// `false`: it may be written, and `apply` refuses it.
    pub built: bool,
}

/// What kind of thing is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OfferKind {
    /// A word that the schema knows.
    Word,
    /// A name that the project declares.
    Name,
    /// A property of a setting.
    Property,
    /// A setting.
    Setting,
    /// A marker before a setting, or `secret` before a value.
    Marker,
    /// The name of a look-up.
    LookUp,
}

/// A part of what would be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// To be filled in: what it is called, or one of a few words.
    Hole {
        /// What stands there meanwhile.
        name: &'static str,
        /// What may stand there; empty for anything.
        words: &'static [&'static str],
    },
    /// The empty inside of a block, on a line of its own.
    Block,
}

impl Spot<'_, '_> {
    /// What may be written here, and which bytes it replaces. `names` are the names of one kind (`service`, `vars`, …)
    /// that the project declares, without what is being written.
    pub fn offers(&self, names: &dyn Fn(&str) -> BTreeSet<String>) -> (Range<usize>, Vec<Offer>) {
        if let Some(range) = self.look_up() {
            return (range, self.look_ups(names));
        }
        // At the quotes of a string nothing can be written.
        if !(self.range().start..=self.range().end).contains(&self.offset) {
            return (self.offset..self.offset, Vec::new());
        }
        let offers = match self.part() {
            Part::Nothing => Vec::new(),
            Part::Marker => self.markers(),
            Part::Kind => vec![plain(OfferKind::Marker, "secret", "the name of a secret follows")],
            Part::Name => self.settings(),
            Part::Property(_) => self.properties(true),
            Part::Argument { bare, .. } => {
                let mut offers = self.values(names);
                if bare {
                    offers.extend(self.properties(false));
                }
                offers
            }
            Part::Value(_) => self.values(names),
        };
        (self.range(), offers)
    }

    fn look_ups(&self, names: &dyn Fn(&str) -> BTreeSet<String>) -> Vec<Offer> {
        let Some(position) = self.position() else { return Vec::new() };
        let vars = names("vars");
        let known = position.names(&vars);
        let all =
            NAMES.iter().map(|name| (*name).to_owned()).chain(vars.iter().map(|name| format!("vars.{name}")));
        all.filter(|name| known.contains(name)).map(|name| plain(OfferKind::LookUp, &name, "")).collect()
    }

    fn markers(&self) -> Vec<Offer> {
        MARKERS.into_iter().map(|marker| plain(OfferKind::Marker, marker, marker_doc(marker))).collect()
    }

    /// Settings that may begin here: all of the block, but those that stand in it already and may not stand twice.
    fn settings(&self) -> Vec<Offer> {
        let parent = match self.holder.map(|holder| self.outline.nodes[holder].holds()) {
            None => TOP,
            Some(Within::Settings(parent)) => parent,
            Some(Within::Free(_) | Within::Anything) => return Vec::new(),
        };
        let is_marked = self.marker().is_some();
        let others = self.outline.beneath(self.holder).filter(|(at, _)| Some(*at) != self.node);
        let others: BTreeSet<&str> = others.map(|(_, node)| node.name.text).collect();
        let stands =
            |spec: &NodeSpec| spec.several == Several::One && !is_marked && others.contains(spec.name);
        let is_header = |spec: &NodeSpec| spec.name == "deployfile" && !is_first(self.outline, self.offset);
        let goes_on = self.written().is_some_and(|node| !node.entries.is_empty() || node.block.is_some());
        let specs = schema().within(parent).filter(|spec| !stands(spec) && !is_header(spec));
        let offers = specs.map(|spec| Offer {
            kind: OfferKind::Setting,
            text: spec.name.to_owned(),
            pattern: if goes_on { vec![Piece::Text(spec.name.to_owned())] } else { pattern(spec) },
            detail: types(spec),
            doc: spec.doc,
            built: spec.built,
        });
        offers.collect()
    }

    /// Properties that the line does not have yet. `has_value`: `=` follows already.
    fn properties(&self, has_value: bool) -> Vec<Offer> {
        let (Some(node), Some(spec)) = (self.written(), self.spec()) else { return Vec::new() };
        let written = |prop: &&Prop| {
            let mut others = node.entries.iter().filter(|entry| !self.is_at(entry));
            !others.any(|entry| entry.key.as_ref().is_some_and(|key| key.text == prop.name))
        };
        let offer = |prop: &Prop| {
            let text = if has_value { prop.name.to_owned() } else { format!("{}=", prop.name) };
            let mut pattern = vec![Piece::Text(text.clone())];
            if !has_value {
                value(&mut pattern, prop.name, prop.ty);
            }
            let (detail, doc, built) = (prop.ty.what(), prop.doc, prop.built);
            Offer { kind: OfferKind::Property, text, pattern, detail, doc, built }
        };
        spec.props.iter().filter(written).map(offer).collect()
    }

    fn is_at(&self, entry: &Written<'_>) -> bool {
        (entry.range.start..=entry.range.end).contains(&self.offset)
    }

    fn values(&self, names: &dyn Fn(&str) -> BTreeSet<String>) -> Vec<Offer> {
        let is_string =
            self.entry().and_then(|entry| entry.value.as_ref()).is_some_and(|word| word.range != word.inside);
        let write = |name: &str| if is_string { name.to_owned() } else { written(name) };
        if let Some(kind) = self.names() {
            let offer = |name: &String| plain(OfferKind::Name, &write(name), kind);
            return names(kind).iter().map(offer).collect();
        }
        let Some(ty) = self.ty() else { return Vec::new() };
        let mut offers = Vec::new();
        match ty {
            Type::Word { built, .. } | Type::WordOrText { built, .. } => {
                offers.extend(built.iter().map(|word| plain(OfferKind::Word, &write(word), "")));
            }
            Type::Flag if !is_string => {
                offers.extend(["#true", "#false"].map(|word| plain(OfferKind::Word, word, "")));
            }
            _ => {}
        }
        if matches!(ty, Type::Scalar { secret: true } | Type::Url { secret: true, .. }) && !is_string {
            let secret =
                |name: &String| plain(OfferKind::Name, &format!("(secret){}", written(name)), "secret");
            offers.extend(names("secret").iter().map(secret));
        }
        offers
    }
}

/// What a marker means.
pub(super) fn marker_doc(marker: &str) -> &'static str {
    match marker {
        "default" => "loses to a definition without a marker",
        "force" => "beats a definition without a marker",
        "add" => "appends to the list instead of replacing it",
        "only" => "drops what was repeated before",
        "remove" => "deletes the setting",
        _ => "",
    }
}

fn plain(kind: OfferKind, text: &str, detail: &str) -> Offer {
    let pattern = vec![Piece::Text(text.to_owned())];
    Offer { kind, text: text.to_owned(), pattern, detail: detail.to_owned(), doc: "", built: true }
}

/// A name as it is written as a value: with quotes where it needs them.
fn written(name: &str) -> String {
    let at = crate::sources::At { file: 0, offset: 0, len: 0 };
    Value { kind: None, data: Data::Text(name.to_owned()), at }.show()
}

fn is_first(outline: &Outline<'_>, offset: usize) -> bool {
    outline.nodes.iter().all(|node: &OutlineNode<'_>| node.range.end >= offset)
}

fn types(spec: &NodeSpec) -> String {
    let types: Vec<String> = spec.args.iter().map(|arg| arg.ty.what()).collect();
    types.join(", ")
}

/// The line of a setting with what must be filled in, and its block.
fn pattern(spec: &'static NodeSpec) -> Vec<Piece> {
    let mut pieces = vec![Piece::Text(spec.name.to_owned())];
    let needed = |arg: &&Arg| matches!(arg.count, Count::One | Count::Many);
    for arg in spec.args.iter().filter(needed) {
        pieces.push(Piece::Text(" ".to_owned()));
        value(&mut pieces, arg.name, arg.ty);
    }
    for prop in spec.props.iter().filter(|prop| prop.required) {
        pieces.push(Piece::Text(format!(" {}=", prop.name)));
        value(&mut pieces, prop.name, prop.ty);
    }
    // A block that only adds to a line is written when it is wanted.
    let has_block = !matches!(spec.block, BlockKind::None);
    if has_block && (spec.args.is_empty() || spec.several == Several::Named) {
        pieces.extend([Piece::Text(" {".to_owned()), Piece::Block, Piece::Text("}".to_owned())]);
    }
    pieces
}

/// A value that is to be filled in, with quotes where most values of the type need them.
fn value(pieces: &mut Vec<Piece>, name: &'static str, ty: Type) {
    let hole = |words| Piece::Hole { name, words };
    match ty {
        Type::Word { built, .. } => pieces.push(hole(built)),
        Type::WordOrText { .. } | Type::Name | Type::Variable | Type::Integer { .. } | Type::Any => {
            pieces.push(hole(&[]))
        }
        Type::Scalar { .. } => pieces.push(hole(&[])),
        Type::Flag => pieces.push(hole(&["#true", "#false"])),
        _ => pieces.extend([Piece::Text("\"".to_owned()), hole(&[]), Piece::Text("\"".to_owned())]),
    }
}
