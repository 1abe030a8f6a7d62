//! `ast_search`: code that has the shape of a pattern.

use ast_grep_core::meta_var::MetaVariable;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::ast::{Match, Query, pattern_schema};
use super::grep::{DEFAULT_LIMIT, MAX_LIMIT};
use super::scan::{Pending, candidates, in_parts};
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::place::Locator;
use crate::room::{MAX_ANSWER_BYTES, RECORD_BYTES, Room};
use crate::rpc::Cancel;
use crate::session::{Selection, Session};
use crate::workspace::Workspaces;

pub const TOOL: Tool = Tool {
    name: "ast_search",
    description: "Find code by its syntax tree: the pattern is code with $META variables.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &["pattern"],
        &[
            pattern_schema(),
            schema::language(),
            schema::limit(DEFAULT_LIMIT),
            schema::selection(),
            schema::documents(),
            schema::root(),
        ],
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    path: String,
    line: usize,
    column: usize,
    utf16_column: usize,
    end_line: usize,
    end_column: usize,
    byte_offset: usize,
    end_byte_offset: usize,
    text: String,
    /// Captured texts by variable: a string, or a list for `$$$` variables.
    variables: Map<String, Value>,
}

impl Found {
    /// Memory that it takes: what variables stand for is part of the text, and seldom nested.
    fn size_bytes(&self) -> usize {
        let variables = self.variables.values().map(|value| match value {
            Value::Array(texts) => texts.len() * RECORD_BYTES,
            _ => RECORD_BYTES,
        });
        RECORD_BYTES + self.text.len() * 2 + variables.sum::<usize>()
    }
}

#[derive(Serialize)]
struct Matches {
    matches: Vec<Found>,
    files: usize,
    total: usize,
    selected: usize,
    truncated: bool,
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let mut query = Query::from_args(&mut args)?;
    let limit = args.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let sources = query.files(&session, &selection, cancel)?;
    let pending = candidates(&session, &sources, &query.needs());
    let room = Room::new(limit);
    let parts = in_parts(&pending, &room, cancel, |part| {
        let part = find(&query, &session, part, limit, cancel)?;
        room.take(part.found.len(), part.bytes, part.truncated);
        Ok(part)
    })?;
    cancel.check()?;
    let mut result = Matches {
        matches: Vec::new(),
        files: 0,
        total: 0,
        selected: sources.len(),
        truncated: false,
    };
    let mut bytes = 0;
    for part in parts {
        let room = limit - result.matches.len();
        bytes += part.bytes;
        let cut = part.truncated || part.found.len() > room || bytes > MAX_ANSWER_BYTES;
        result.truncated |= cut || part.incomplete;
        for found in part.found.into_iter().take(room) {
            let last = result.matches.last();
            result.files += usize::from(last.is_none_or(|last: &Found| last.path != found.path));
            result.matches.push(found);
        }
        if cut {
            break;
        }
    }
    result.total = result.matches.len();
    let more = if result.truncated {
        " (more were left out)"
    } else {
        ""
    };
    let summary = format!("{} matches in {} files{more}", result.total, result.files);
    Report::new(summary, &result)
}

/// What a part of the files gave.
#[derive(Default)]
struct Part {
    found: Vec<Found>,
    bytes: usize,
    truncated: bool,
    /// Some file was too large to be parsed.
    incomplete: bool,
}

/// The matches in some files.
fn find(
    query: &Query,
    session: &Session<'_>,
    pending: &[Pending<'_>],
    limit: usize,
    cancel: &Cancel,
) -> Outcome<Part> {
    let mut part = Part::default();
    for pending in pending {
        cancel.check()?;
        let path = pending.source.path();
        let Some(compiled) = query.for_path(path) else {
            continue;
        };
        let Ok(text) = pending.load(session) else {
            continue;
        };
        if text.parsable().is_err() {
            part.incomplete |= text.editable().is_ok() && compiled.may_match(&text.bytes);
            continue;
        }
        let mut locator = Locator::new(&text.bytes);
        compiled.each_match(session, pending.source, &text, cancel, |found| {
            if part.found.len() == limit || part.bytes > MAX_ANSWER_BYTES {
                part.truncated = true;
                return false;
            }
            let found = describe(path, &found, &mut locator);
            part.bytes += found.size_bytes();
            part.found.push(found);
            true
        })?;
        if part.truncated {
            break;
        }
    }
    Ok(part)
}

fn describe(path: &str, found: &Match<'_>, locator: &mut Locator<'_>) -> Found {
    let range = found.range();
    let start = locator.place(range.start);
    // The end lies ahead of where the next, perhaps nested, match starts.
    let end = locator.clone().place(range.end);
    Found {
        path: path.to_owned(),
        line: start.line,
        column: start.column,
        utf16_column: start.utf16_column,
        end_line: end.line,
        end_column: end.column,
        byte_offset: range.start,
        end_byte_offset: range.end,
        text: found.text().into_owned(),
        variables: variables(found),
    }
}

fn variables(found: &Match<'_>) -> Map<String, Value> {
    let env = found.get_env();
    let mut variables = Map::new();
    for variable in env.get_matched_variables() {
        match variable {
            MetaVariable::Capture(name, _) => {
                if let Some(node) = env.get_match(&name) {
                    variables.insert(name, json!(node.text()));
                }
            }
            MetaVariable::MultiCapture(name) => {
                let texts: Vec<_> = env
                    .get_multiple_matches(&name)
                    .iter()
                    .filter(|node| node.is_named())
                    .map(|node| node.text().into_owned())
                    .collect();
                variables.insert(name, json!(texts));
            }
            _ => {}
        }
    }
    variables
}
