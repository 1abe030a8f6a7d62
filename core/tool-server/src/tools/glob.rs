//! `glob`: the paths of files.

use serde::Serialize;
use serde_json::Value;

use super::grep::MAX_LIMIT;
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::rpc::Cancel;
use crate::session::{Selection, Source};
use crate::workspace::Workspaces;

const DEFAULT_LIMIT: usize = 100_000;

pub const TOOL: Tool = Tool {
    name: "glob",
    description: "List files by globs, types and ignore rules, in the order of their paths.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &[],
        &[
            schema::selection(),
            schema::limit(DEFAULT_LIMIT),
            schema::documents(),
            schema::root(),
        ],
    )
}

#[derive(Serialize)]
struct Paths<'a> {
    paths: Vec<&'a str>,
    truncated: bool,
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let limit = args.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let sources = session.select(&selection, cancel)?;
    let paths: Vec<&str> = sources.iter().take(limit).map(Source::path).collect();
    let truncated = sources.len() > limit;
    let more = if truncated {
        " (more were left out)"
    } else {
        ""
    };
    Report::new(
        format!("{} files{more}", paths.len()),
        &Paths { paths, truncated },
    )
}
