//! `grep`: lines that match a regular expression.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::pattern::{Syntax, compile};
use crate::rpc::Cancel;
use crate::search::{Collector, Context, Found, searcher};
use crate::workspace::{Selection, Workspaces};

pub const MAX_LIMIT: usize = 100_000_000;
pub const DEFAULT_LIMIT: usize = 1000;
const MAX_CONTEXT: usize = 1000;

pub const TOOL: Tool = Tool {
    name: "grep",
    description: "Find what matches a regular expression or a literal text, with the same matches as ripgrep.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &["pattern"],
        &[
            json!({"pattern": {"type": "string", "description": "A regular expression (Rust syntax)."}}),
            schema::syntax(),
            options(),
            schema::limit(DEFAULT_LIMIT),
            schema::selection(),
            schema::documents(),
            schema::root(),
        ],
    )
}

pub fn options() -> Value {
    json!({
        "contextBefore": {"type": "integer", "minimum": 0, "maximum": MAX_CONTEXT},
        "contextAfter": {"type": "integer", "minimum": 0, "maximum": MAX_CONTEXT},
        "countOnly": {"type": "boolean", "description": "Give the number of matches of each file only."},
    })
}

#[derive(Serialize)]
pub struct Count {
    pub path: String,
    pub count: usize,
}

#[derive(Serialize)]
pub struct Matches {
    pub matches: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Vec<Count>>,
    /// How many files have matches.
    pub files: usize,
    /// How many matches there are; when truncated, how many are given.
    pub total: usize,
    /// How many files the selection holds.
    pub selected: usize,
    pub truncated: bool,
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let pattern = args.required_text("pattern")?;
    let mut syntax = Syntax::from_args(&mut args)?;
    syntax.multiline |= syntax.literal && pattern.contains('\n');
    let context = context(&mut args)?;
    let count_only = args.flag("countOnly")?;
    let limit = args.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let matcher = compile(&[&pattern], syntax)?;
    let mut searcher = searcher(syntax.multiline, context);
    let mut collector = Collector::new(&matcher, cancel, limit, count_only);
    let mut counts = Vec::new();
    let sources = session.select(&selection, cancel)?;
    let selected = sources.len();
    for source in sources {
        let Ok(text) = source.load() else { continue };
        let count = collector.search(&mut searcher, &source.path, &text)?;
        if count > 0 {
            counts.push(Count {
                path: source.path,
                count,
            });
        }
        if collector.is_full() {
            break;
        }
    }
    cancel.check()?;
    report(collector, counts, selected)
}

pub fn context(args: &mut Args) -> Outcome<Context> {
    Ok(Context {
        before: args.number("contextBefore", 0, MAX_CONTEXT)?.unwrap_or(0),
        after: args.number("contextAfter", 0, MAX_CONTEXT)?.unwrap_or(0),
    })
}

pub fn report(collector: Collector<'_>, counts: Vec<Count>, selected: usize) -> Outcome<Report> {
    let (files, total, truncated) = (counts.len(), collector.total, collector.truncated);
    let more = if truncated {
        " (more were left out)"
    } else {
        ""
    };
    Report::new(
        format!("{total} matches in {files} files{more}"),
        &Matches {
            matches: collector.found,
            counts: collector.count_only.then_some(counts),
            files,
            total,
            selected,
            truncated,
        },
    )
}
