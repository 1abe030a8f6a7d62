//! `ast_search`: code that has the shape of a pattern.

use ast_grep_core::AstGrep;
use ast_grep_core::meta_var::MetaVariable;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::ast::{Match, Query, pattern_schema};
use super::grep::{DEFAULT_LIMIT, MAX_LIMIT};
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::rpc::Cancel;
use crate::syntax_tree::Parsed;
use crate::text::Locator;
use crate::workspace::{Selection, Workspaces};

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

#[derive(Serialize)]
struct Matches {
    matches: Vec<Found>,
    files: usize,
    total: usize,
    truncated: bool,
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let mut query = Query::from_args(&mut args)?;
    let limit = args.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let sources = query.files(&session, &selection, cancel)?;
    let mut matches = Vec::new();
    let (mut files, mut truncated) = (0, false);
    for source in sources {
        cancel.check()?;
        let Some(compiled) = query.for_path(&source.path) else {
            continue;
        };
        let Ok(text) = source.load() else { continue };
        if text.editable().is_err() || !compiled.may_match(&text.bytes) {
            continue;
        }
        let Some(parsed) = Parsed::new(&text, compiled.language.grammar, cancel) else {
            break;
        };
        let root = AstGrep::doc(parsed);
        let mut locator = Locator::new(&text.bytes);
        let before = matches.len();
        compiled.each_match(&root, cancel, |found| {
            if matches.len() == limit {
                truncated = true;
                return false;
            }
            matches.push(describe(&source.path, &found, &mut locator));
            true
        })?;
        files += usize::from(matches.len() > before);
        if truncated {
            break;
        }
    }
    cancel.check()?;
    let total = matches.len();
    let more = if truncated {
        " (more were left out)"
    } else {
        ""
    };
    Report::new(
        format!("{total} matches in {files} files{more}"),
        &Matches {
            matches,
            files,
            total,
            truncated,
        },
    )
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
