//! `ast_rewrite`: edits that turn code of one shape into another (a dry run).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ast_grep_core::replacer::TemplateFix;
use serde_json::{Value, json};

use super::ast::{Compiled, Query, pattern_schema};
use super::rewriting::{Change, Rewriting, whole_text_schema};
use super::scan::{Pending, candidates, in_parts};
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::room::Room;
use crate::rpc::Cancel;
use crate::session::{Selection, Session, Source};
use crate::text::Text;
use crate::workspace::Workspaces;

pub const TOOL: Tool = Tool {
    name: "ast_rewrite",
    description: "Compute the edits that rewrite code by its syntax tree; nothing is written. Of nested matches the outermost is rewritten.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &["pattern", "rewrite"],
        &[
            pattern_schema(),
            json!({"rewrite": {"type": "string", "description": "The new code, with the pattern's variables."}}),
            schema::language(),
            whole_text_schema(),
            schema::selection(),
            schema::documents(),
            schema::root(),
        ],
    )
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let mut query = Query::from_args(&mut args)?;
    let rewrite = args.required_text("rewrite")?;
    let whole = args.flag("newText")?;
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let sources = query.files(&session, &selection, cancel)?;
    let mut templates = HashMap::new();
    for compiled in query.compiled() {
        templates.insert(compiled.language.name, template(compiled, &rewrite)?);
    }
    let mut rewriting = Rewriting {
        selected: sources.len(),
        ..Rewriting::default()
    };
    let pending = candidates(&session, &sources, &query.needs());
    let room = Room::unlimited();
    let parts = in_parts(&pending, &room, cancel, |part| {
        rewrite_part(&query, &templates, &session, part, whole, &room, cancel)
    })?;
    for part in parts {
        rewriting.append(part);
    }
    rewriting.report()
}

fn rewrite_part(
    query: &Query,
    templates: &HashMap<&'static str, TemplateFix>,
    session: &Session<'_>,
    pending: &[Pending<'_>],
    whole: bool,
    room: &Room,
    cancel: &Cancel,
) -> Outcome<Rewriting> {
    let mut rewriting = Rewriting::default();
    for pending in pending {
        cancel.check()?;
        let path = pending.source.path();
        let Some(compiled) = query.for_path(path) else {
            continue;
        };
        let loaded = pending.load(session);
        let text = match loaded {
            Ok(text) => text,
            Err(reason) => {
                rewriting.skip(path, reason);
                continue;
            }
        };
        match text.parsable() {
            Ok(code) => {
                let template = &templates[compiled.language.name];
                let source = pending.source;
                let changes = changes(compiled, template, session, source, &text, room, cancel)?;
                rewriting.add(path, &text, code, changes, whole, room)?;
            }
            // Only what could have matched is worth telling.
            Err(reason) if compiled.may_match(&text.bytes) => rewriting.skip(path, reason),
            Err(_) => {}
        }
    }
    Ok(rewriting)
}

fn template(compiled: &Compiled, rewrite: &str) -> Outcome<TemplateFix> {
    let template = TemplateFix::try_new(rewrite, &compiled.language.grammar)
        .map_err(|error| Failure::rejected(format!("the rewrite cannot be used: {error}")))?;
    let captured = compiled.pattern.defined_vars();
    let unknown: HashSet<&str> = template
        .used_vars()
        .difference(&captured)
        .copied()
        .collect();
    match unknown.into_iter().min() {
        None => Ok(template),
        Some(name) => Err(Failure::rejected(format!(
            "the rewrite uses ${name}, which the pattern does not capture"
        ))),
    }
}

fn changes(
    compiled: &Compiled,
    template: &TemplateFix,
    session: &Session<'_>,
    source: &Source,
    text: &Arc<Text>,
    room: &Room,
    cancel: &Cancel,
) -> Outcome<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    let mut fits = Ok(());
    let mut end = 0;
    compiled.each_match(session, source, text, cancel, |found| {
        let edit = found.make_edit(&compiled.pattern, template);
        // Matches come in the order of their starts, outer ones before those inside them.
        if edit.position >= end {
            end = edit.position + edit.deleted_length;
            fits = room.add(edit.inserted_text.len());
            changes.push(Change {
                start: edit.position,
                end,
                new_text: String::from_utf8_lossy(&edit.inserted_text).into_owned(),
            });
        }
        fits.is_ok()
    })?;
    fits.map(|()| changes)
}
