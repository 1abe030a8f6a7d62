//! `ast_rewrite`: edits that turn code of one shape into another (a dry run).

use std::collections::{HashMap, HashSet};

use ast_grep_core::AstGrep;
use ast_grep_core::replacer::TemplateFix;
use serde_json::{Value, json};

use super::ast::{Compiled, Query, Root, pattern_schema};
use super::rewriting::{Change, Rewriting, whole_text_schema};
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::rpc::Cancel;
use crate::syntax_tree::Parsed;
use crate::workspace::{Selection, Workspaces};

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
    for source in sources {
        cancel.check()?;
        let Some(compiled) = query.for_path(&source.path) else {
            continue;
        };
        let text = match source.load() {
            Ok(text) => text,
            Err(reason) => {
                rewriting.skip(&source.path, reason);
                continue;
            }
        };
        let code = match text.editable() {
            Ok(code) => code,
            Err(reason) => {
                rewriting.skip(&source.path, reason);
                continue;
            }
        };
        if !compiled.may_match(&text.bytes) {
            continue;
        }
        let parsed =
            Parsed::new(&text, compiled.language.grammar, cancel).ok_or_else(Failure::cancelled)?;
        let root = AstGrep::doc(parsed);
        let changes = changes(compiled, &templates[compiled.language.name], &root, cancel)?;
        rewriting.add(&source.path, &text, code, changes, whole);
    }
    rewriting.report()
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
    root: &Root,
    cancel: &Cancel,
) -> Outcome<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    let mut end = 0;
    compiled.each_match(root, cancel, |found| {
        let edit = found.make_edit(&compiled.pattern, template);
        // Matches come in the order of their starts, outer ones before those inside them.
        if edit.position >= end {
            end = edit.position + edit.deleted_length;
            changes.push(Change {
                start: edit.position,
                end,
                new_text: String::from_utf8_lossy(&edit.inserted_text).into_owned(),
            });
        }
        true
    })?;
    Ok(changes)
}
