//! What a setting does and what it is: its documentation, its value in each environment, and every line that had a say
//! in it. Of a name, where it is declared. Secrets are names here: nothing reads their values.

use super::client::Page;
use super::position::Lines;
use super::view::View;
use deployfile_config::{Entry, Outline, Part, Project, Prop, Provenance, Refers, Spot};
use deployfile_model::Name;
use lsp_types::{Hover, HoverContents, Position};

/// Hosts of an environment whose values are looked at.
const HOSTS: usize = 16;
/// Different values that are shown.
const VALUES: usize = 8;
/// Declarations of one name that are shown.
const PLACES: usize = 8;

pub(super) fn of(view: &View<'_>, position: Position) -> Option<Hover> {
    let outline = Outline::of(view.text());
    let spot = outline.at(view.offset(position));
    let mut page = view.client.hover_page();
    match spot.part() {
        Part::Nothing => return None,
        Part::Marker => {
            let (marker, meaning) = spot.marker().filter(|(_, meaning)| !meaning.is_empty())?;
            page.paragraph(&format!("{}: {meaning}", page.strong(&page.code(&format!("({marker})")))));
        }
        Part::Name => setting(view, &spot, &mut page),
        Part::Property(_) => property(spot.property()?, &mut page),
        Part::Argument { .. } | Part::Value(_) | Part::Kind => {
            match (spot.refers(&view.file()), spot.property()) {
                (Some(Refers::Name { kind, name }), _) => reference(view, kind, &name, &mut page),
                (Some(Refers::File(path)), _) => files(view, &path, &mut page),
                (None, Some(prop)) => property(prop, &mut page),
                (None, None) if spot.range().is_empty() => return None,
                (None, None) => setting(view, &spot, &mut page),
            }
        }
    }
    let range = view.lines().range(spot.range());
    let contents = HoverContents::Markup((!page.is_empty()).then(|| page.into_markup())?);
    Some(Hover { contents, range: Some(range) })
}

fn setting(view: &View<'_>, spot: &Spot<'_, '_>, page: &mut Page) {
    let Some(spec) = spot.spec() else { return };
    let path = spot.path();
    page.paragraph(&page.strong(&page.code(path.as_deref().unwrap_or(spec.name))));
    page.paragraph(spec.doc);
    if !spec.built {
        page.paragraph("Not built yet: it is checked, and apply refuses it by name.");
    }
    let types: Vec<String> = spec.args.iter().map(|arg| format!("{}: {}", arg.name, arg.ty.what())).collect();
    let mut about = types;
    if !spec.default.is_empty() {
        about.push(format!("default: {}", spec.default));
    }
    if !spec.example.is_empty() {
        about.push(format!("example: {}", page.code(spec.example)));
    }
    if !about.is_empty() {
        page.paragraph(&format!("- {}", about.join("\n- ")));
    }
    values(view, spot, page);
}

fn property(prop: &Prop, page: &mut Page) {
    page.paragraph(&page.strong(&page.code(&format!("{}=", prop.name))));
    page.paragraph(prop.doc);
    page.paragraph(&format!("- type: {}", prop.ty.what()));
    match (prop.required, prop.default) {
        (true, _) => page.item("required"),
        (false, "") => {}
        (false, default) => page.item(&format!("default: {default}")),
    }
}

/// Where a name is declared.
fn reference(view: &View<'_>, kind: &str, name: &str, page: &mut Page) {
    let word = if kind == "vars" { "variable" } else { kind };
    let found = view.declared(kind, name);
    if found.is_empty() && kind == "secret" {
        // What stands here may be the secret itself: it is not repeated.
        return page.paragraph("No secret of this name is declared.");
    }
    page.paragraph(&page.strong(&format!("{word} {}", page.code(name))));
    if found.is_empty() && kind != "role" {
        page.paragraph("It is not declared.");
    }
    for (n, one) in found.iter().take(PLACES).enumerate() {
        let (line, _) = Lines::new(&one.text, view.client.encoding).characters(one.range.start);
        let text = one.text.get(one.node.clone()).unwrap_or("").lines().next().unwrap_or("");
        let item = format!("{}:{line}: {}", one.file, page.code(text.trim()));
        if n == 0 { page.paragraph(&format!("- {item}")) } else { page.item(&item) }
    }
    if found.len() > PLACES {
        page.item(&format!("and {} more", found.len() - PLACES));
    }
}

fn files(view: &View<'_>, path: &str, page: &mut Page) {
    let count = view.files(path).len();
    page.paragraph(&page.strong(&page.code(path)));
    match count {
        0 => page.paragraph("There is no such file."),
        1 => {}
        count => page.paragraph(&format!("{count} files")),
    }
}

/// A value and where it holds.
struct Value<'p> {
    wheres: Vec<String>,
    path: String,
    entry: &'p Entry,
}

/// What the setting is in each environment, and why.
fn values(view: &View<'_>, spot: &Spot<'_, '_>, page: &mut Page) {
    let Some(read) = view.read else { return };
    let Some(project) = &read.project else {
        return page.paragraph("Its value is not known while something is wrong with the deployfile.");
    };
    let views: Vec<(String, Provenance)> = provenances(project, spot);
    let place = spot.name().map(|name| view.lines().characters(name.start));
    let file = view.file();
    let mut values: Vec<Value<'_>> = Vec::new();
    for (label, provenance) in &views {
        let here = |entry: &Entry| {
            let is_here =
                |at: &deployfile_model::Place| *at.file == *file && Some((at.line, at.column)) == place;
            entry.definitions.iter().any(|definition| is_here(&definition.place))
        };
        let entries: Vec<(&str, &Entry)> = match spot.path() {
            Some(path) => provenance.get(&path).map(|entry| ("", entry)).into_iter().collect(),
            // What repeats is told apart by its place.
            None => provenance.beneath("").filter(|(_, entry)| here(entry)).collect(),
        };
        for (path, entry) in entries {
            match values.iter_mut().find(|value| value.path == path && value.entry == entry) {
                Some(value) => value.wheres.push(label.clone()),
                None => values.push(Value { wheres: vec![label.clone()], path: path.to_owned(), entry }),
            }
        }
    }
    for value in values.iter().take(VALUES) {
        show(value, page);
    }
    if values.len() > VALUES {
        page.paragraph(&format!("and {} more", values.len() - VALUES));
    }
}

/// How the values are looked at: each environment as a whole, then each of its first hosts.
fn provenances(project: &Project, spot: &Spot<'_, '_>) -> Vec<(String, Provenance)> {
    let own = spot.environment();
    let environments =
        project.environments().into_iter().filter(|name| own.is_none_or(|own| own == name.as_str()));
    let mut views = Vec::new();
    for environment in environments {
        let hosts: Vec<Name> = project.host_names(&environment);
        if let [only] = hosts.as_slice() {
            views.push((environment.to_string(), project.provenance(&environment, Some(only))));
            continue;
        }
        let shared = project.provenance(&environment, None);
        let is_shared = spot.path().is_some_and(|path| shared.get(&path).is_some());
        views.push((environment.to_string(), shared));
        if !is_shared {
            let each = hosts.iter().take(HOSTS);
            views.extend(each.map(|host| (host.to_string(), project.provenance(&environment, Some(host)))));
        }
    }
    views
}

fn show(value: &Value<'_>, page: &mut Page) {
    let (shown, more) = value.wheres.split_at(value.wheres.len().min(4));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let text = match value.entry.value.as_str() {
        _ if value.entry.removed => " is removed".to_owned(),
        "" => String::new(),
        value => format!(" = {}", page.code(value)),
    };
    page.paragraph(&format!("{}{more}{text}", shown.join(", ")));
    for definition in &value.entry.definitions {
        let verdict = definition.verdict();
        let marker = definition.marker.as_ref().map(|marker| format!("({marker}) ")).unwrap_or_default();
        let code = page.code(&format!("{marker}{}", definition.value));
        let (place, scope) = (&definition.place, &definition.scope);
        page.item(&format!("{verdict}: {code}, {}:{}, {scope}", place.file, place.line));
    }
}
