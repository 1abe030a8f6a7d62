//! `diff`: how two texts differ, as a unified diff and as hunks.

use serde::Serialize;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::rpc::Cancel;
use crate::workspace::Workspaces;

const DEFAULT_CONTEXT: usize = 3;

pub const TOOL: Tool = Tool {
    name: "diff",
    description: "Compare texts: a unified diff, and its hunks.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    let file = json!({
        "path": {"type": "string"},
        "before": {"type": "string"},
        "after": {"type": "string"},
    });
    schema::object(
        &[],
        &[
            file.clone(),
            json!({
                "files": {"type": "array", "items": {"type": "object", "properties": file, "required": ["before", "after"]}},
                "context": {"type": "integer", "minimum": 0, "maximum": 1000, "default": DEFAULT_CONTEXT},
            }),
        ],
    )
}

/// Two texts of one file.
pub struct Pair {
    pub path: String,
    pub before: String,
    pub after: String,
}

/// Reads `files`, or the one file given by `before`, `after` and `path`.
pub fn pairs(args: &mut Args) -> Outcome<Vec<Pair>> {
    const EXPECTED: &str = "a list of {\"path\": …, \"before\": …, \"after\": …}";
    let Some(files) = args.list("files")? else {
        return Ok(vec![Pair {
            path: args.text("path")?.unwrap_or_default(),
            before: args.required_text("before")?,
            after: args.required_text("after")?,
        }]);
    };
    files
        .into_iter()
        .map(|file| {
            let text = |name: &str| file.get(name).and_then(Value::as_str).map(str::to_owned);
            match (text("before"), text("after")) {
                (Some(before), Some(after)) => Ok(Pair {
                    path: text("path").unwrap_or_default(),
                    before,
                    after,
                }),
                _ => Err(args.wrong("files", EXPECTED, &file)),
            }
        })
        .collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hunk {
    old_start: usize,
    old_lines: usize,
    new_start: usize,
    new_lines: usize,
    /// Each with its mark: a space, `-` or `+`.
    lines: Vec<String>,
}

#[derive(Serialize)]
struct FileDiff {
    path: String,
    hunks: Vec<Hunk>,
    added: usize,
    removed: usize,
}

#[derive(Serialize)]
struct Diffs {
    diff: String,
    files: Vec<FileDiff>,
    hunks: usize,
}

fn run(_workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let context = args.number("context", 0, 1000)?.unwrap_or(DEFAULT_CONTEXT);
    let pairs = pairs(&mut args)?;
    args.finish()?;

    let mut all = Diffs {
        diff: String::new(),
        files: Vec::new(),
        hunks: 0,
    };
    for pair in pairs {
        cancel.check()?;
        let (text, file) = compare(&pair, context);
        all.diff.push_str(&text);
        all.hunks += file.hunks.len();
        all.files.push(file);
    }
    Report::new(
        format!("{} hunks in {} files", all.hunks, all.files.len()),
        &all,
    )
}

fn compare(pair: &Pair, context: usize) -> (String, FileDiff) {
    let (old, new) = (lines(&pair.before), lines(&pair.after));
    let diff = TextDiff::configure().diff_slices(&old, &new);
    let mut file = FileDiff {
        path: pair.path.clone(),
        hunks: Vec::new(),
        added: 0,
        removed: 0,
    };
    let mut text = String::new();
    for group in diff.grouped_ops(context) {
        let mut hunk = Hunk {
            old_start: 0,
            old_lines: 0,
            new_start: 0,
            new_lines: 0,
            lines: Vec::new(),
        };
        if let (Some(first), Some(last)) = (group.first(), group.last()) {
            hunk.old_lines = last.old_range().end - first.old_range().start;
            hunk.new_lines = last.new_range().end - first.new_range().start;
            // An empty side is counted from the line before it.
            hunk.old_start = first.old_range().start + usize::from(hunk.old_lines > 0);
            hunk.new_start = first.new_range().start + usize::from(hunk.new_lines > 0);
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let mark = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            file.removed += usize::from(mark == '-');
            file.added += usize::from(mark == '+');
            hunk.lines.push(format!("{mark}{}", change.value()));
        }
        if text.is_empty() {
            let name = if pair.path.is_empty() {
                "text"
            } else {
                &pair.path
            };
            text = format!("--- a/{name}\n+++ b/{name}\n");
        }
        push_hunk(&mut text, &hunk);
        for line in &mut hunk.lines {
            let kept = line.trim_end_matches('\n').len();
            line.truncate(kept);
        }
        file.hunks.push(hunk);
    }
    (text, file)
}

fn push_hunk(text: &mut String, hunk: &Hunk) {
    let range = |start: usize, count: usize| match count {
        1 => start.to_string(),
        _ => format!("{start},{count}"),
    };
    text.push_str(&format!(
        "@@ -{} +{} @@\n",
        range(hunk.old_start, hunk.old_lines),
        range(hunk.new_start, hunk.new_lines)
    ));
    for line in &hunk.lines {
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Lines with their ends; only `\n` ends a line, as in git.
pub fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}
