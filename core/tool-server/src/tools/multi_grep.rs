//! `multi_grep`: many patterns in one pass over the files.

use serde_json::{Value, json};

use super::grep::{DEFAULT_LIMIT, MAX_LIMIT, Search, context, options};
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::index::needs::Needs;
use crate::pattern::{Syntax, compile, has_text_anchor};
use crate::rpc::Cancel;
use crate::session::Selection;
use crate::workspace::Workspaces;

pub const TOOL: Tool = Tool {
    name: "multi_grep",
    description: "Find what matches any of several patterns; each match names, by index, the patterns that match there.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &["patterns"],
        &[
            json!({"patterns": {"type": "array", "items": {"type": "string"}, "minItems": 1}}),
            schema::syntax(),
            options(),
            schema::limit(DEFAULT_LIMIT),
            schema::selection(),
            schema::documents(),
            schema::root(),
        ],
    )
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let patterns = args.texts("patterns")?.unwrap_or_default();
    if patterns.is_empty() {
        return Err(args.missing("patterns", "at least one pattern"));
    }
    let mut syntax = Syntax::from_args(&mut args)?;
    syntax.multiline |= syntax.literal && patterns.iter().any(|p| p.contains('\n'));
    let context = context(&mut args)?;
    let count_only = args.flag("countOnly")?;
    let limit = args.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let all: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let search = Search {
        matcher: compile(&all, syntax)?,
        single: all
            .iter()
            .map(|pattern| compile(&[pattern], syntax))
            .collect::<Outcome<Vec<_>>>()?,
        needs: Needs::of_patterns(&all, syntax),
        multiline: syntax.multiline,
        line_buffered: has_text_anchor(&all, syntax),
        context,
        count_only,
        limit,
    };
    search.run(&session, &session.select(&selection, cancel)?, cancel)
}
