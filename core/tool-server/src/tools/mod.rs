//! The tools: one module each, and the table that `tools/list` and `tools/call` read.

mod ast;
mod ast_rewrite;
mod ast_search;
mod diff;
mod edits;
mod file_stats;
mod git;
mod git_diff;
mod git_status;
mod glob;
mod grep;
mod multi_grep;
mod outline;
mod outline_kinds;
mod read;
mod replace;
mod rewriting;
mod scan;
mod schema;
mod syntax;

use serde::Serialize;
use serde_json::Value;

use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::rpc::Cancel;
use crate::workspace::Workspaces;

pub struct Tool {
    pub name: &'static str,
    pub description: &'static str,
    /// The JSON schema of the arguments.
    pub schema: fn() -> Value,
    pub run: fn(&Workspaces, Args, &Cancel) -> Outcome<Report>,
}

/// What a tool found, and one line that says so.
pub struct Report {
    pub summary: String,
    /// JSON text.
    pub structured: Vec<u8>,
}

impl Report {
    pub fn new(summary: String, result: &impl Serialize) -> Outcome<Self> {
        let structured = serde_json::to_vec(result)
            .map_err(|error| Failure::broken(format!("the result is not JSON: {error}")))?;
        Ok(Self {
            summary,
            structured,
        })
    }
}

pub static ALL: [Tool; 14] = [
    grep::TOOL,
    multi_grep::TOOL,
    glob::TOOL,
    ast_search::TOOL,
    ast_rewrite::TOOL,
    replace::TOOL,
    syntax::TOOL,
    diff::TOOL,
    edits::TOOL,
    outline::TOOL,
    file_stats::TOOL,
    git_status::TOOL,
    git_diff::TOOL,
    read::TOOL,
];

/// A file that a tool left out, and why.
#[derive(Serialize, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    pub path: String,
    pub reason: String,
}
