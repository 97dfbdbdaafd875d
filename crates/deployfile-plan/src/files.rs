//! Rendered files of a release.

use crate::fill::HostContext;
use crate::listing::setting;
use crate::{Refusal, services};
use deployfile_model::site::{Handler, Location, Site};
use deployfile_model::stage::{StageSpec, TemplateFile};
use deployfile_model::{RelPath, Text};
use deployfile_record::effect::{FileEffect, Quoting};
use deployfile_record::unit::Unit;
use deployfile_record::{Piece, Tail, Why};
use deployfile_render::nginx::{FilledHandler, FilledLocation, FilledSite, server_block};
use deployfile_render::template::render;
use std::collections::BTreeMap;

/// Everything that the stage `render` writes, in order, with the setting that asked for it.
pub(crate) fn rendered(
    context: &HostContext<'_>,
    tail: &Tail,
) -> Result<Vec<(FileEffect, Why)>, Vec<Refusal>> {
    let mut out = Vec::new();
    let mut refusals = Vec::new();
    for service in context.host.services.iter() {
        match services::rendered(context, service) {
            Ok(files) => out.extend(files.into_iter().map(|file| (file, setting(&service.place)))),
            Err(refusal) => refusals.push(refusal),
        }
    }
    for site in context.host.sites.iter() {
        match site_file(context, site) {
            Ok(file) => out.push((file, setting(&site.place))),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut text = serde_json::to_string_pretty(tail).unwrap_or_default();
    text.push('\n');
    let path = deployfile_record::release::rel(Tail::PATH);
    out.push((FileEffect { path, content: vec![Piece::Text(text)], mode: 0o644 }, Why::Always));
    Ok(out)
}

/// Files of the release that hold secrets.
pub(crate) fn secret_paths(context: &HostContext<'_>) -> Vec<RelPath> {
    let services = context.host.services.iter().filter(|service| services::has_secret_file(context, service));
    let templates = context.host.stages.values().flat_map(StageSpec::templates);
    services
        .filter_map(|service| RelPath::new(Unit::environment_path(&service.name)).ok())
        .chain(
            templates
                .filter(|file| file.secrets().next().is_some())
                .filter_map(|f| context.rel_path(&f.to).ok()),
        )
        .collect()
}

/// A file made from a template beside the deployfile.
pub(crate) fn template(context: &HostContext<'_>, file: &TemplateFile) -> Result<FileEffect, Refusal> {
    let text = render(&file.source, &file.content, file.kind, context.values()).map_err(|e| {
        Refusal::new(
            "render::template",
            e.to_string(),
            "see the names that templates know: deployfile schema",
        )
        .at(&file.place)
    })?;
    let ends_its_line = text.is_empty() || text.ends_with('\n') || file.env.is_empty();
    let mut content = vec![Piece::Text(if ends_its_line { text } else { text + "\n" })];
    let mut env = BTreeMap::new();
    for (name, value) in &file.env {
        env.insert(name.clone(), vec![context.piece(None, value, Quoting::EnvFile)?]);
    }
    content.extend(environment(&env).map_err(|why| {
        let message = format!("the `env` of template `{}` cannot be written: {why}", file.source);
        Refusal::new("render::refused", message, "change the value that is named").at(&file.place)
    })?);
    Ok(FileEffect { path: context.rel_path(&file.to)?, content, mode: file.mode })
}

/// `KEY="value"` lines.
pub(crate) fn environment(env: &BTreeMap<String, Vec<Piece>>) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    for (name, pieces) in env {
        deployfile_render::env::check_name(name).map_err(|e| e.to_string())?;
        out.push(Piece::Text(format!("{name}=\"")));
        for piece in pieces {
            out.push(match piece {
                Piece::Text(text) => Piece::Text(
                    deployfile_render::env::quote_inside(text).map_err(|e| format!("{name}: {e}"))?,
                ),
                Piece::Secret(secret, _) => Piece::Secret(secret.clone(), Quoting::EnvFile),
            });
        }
        out.push(Piece::Text("\"\n".to_owned()));
    }
    Ok(out)
}

fn site_file(context: &HostContext<'_>, site: &Site) -> Result<FileEffect, Refusal> {
    let texts = |texts: &[Text]| context.texts(texts);
    let mut locations = Vec::new();
    for location in &site.locations {
        locations.push(location_of(context, location)?);
    }
    let filled = FilledSite {
        name: site.name.to_string(),
        listen: texts(&site.listen)?,
        server_names: texts(&site.server_names)?,
        root: site.root.as_ref().map(|root| context.text(root)).transpose()?,
        index: texts(&site.index)?,
        locations,
    };
    let refused = |why: String| {
        let message = format!("site `{}` cannot be written for nginx: {why}", site.name);
        Refusal::new("render::refused", message, "change the value that is named").at(&site.place)
    };
    let text = server_block(&filled).map_err(|e| refused(e.to_string()))?;
    let path =
        RelPath::new(format!("services/nginx/{}.conf", site.name)).map_err(|e| refused(e.to_string()))?;
    Ok(FileEffect { path, content: vec![Piece::Text(text)], mode: 0o644 })
}

fn location_of(context: &HostContext<'_>, location: &Location) -> Result<FilledLocation, Refusal> {
    let handler = match &location.handler {
        Handler::Static => FilledHandler::Static,
        Handler::Proxy(to) => FilledHandler::Proxy(context.upstream(to)?),
        Handler::Fastcgi(to) => FilledHandler::Fastcgi(context.upstream(to)?),
    };
    Ok(FilledLocation {
        pattern: context.text(&location.pattern)?,
        try_files: context.texts(&location.try_files)?,
        handler,
    })
}
