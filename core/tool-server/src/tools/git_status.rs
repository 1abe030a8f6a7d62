//! `git_status`: the branch and what differs from it, file by file.

use serde::Serialize;
use serde_json::Value;

use super::{Report, Tool, git, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::rpc::Cancel;
use crate::workspace::Workspaces;

pub const TOOL: Tool = Tool {
    name: "git_status",
    description: "The branch, and changed, untracked and conflicting files.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(&[], &[git::paths_schema(), schema::root()])
}

#[derive(Serialize, Default)]
struct Status {
    /// Absent on a detached head.
    branch: Option<String>,
    /// Absent before the first commit.
    commit: Option<String>,
    upstream: Option<String>,
    ahead: i64,
    behind: i64,
    files: Vec<FileStatus>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileStatus {
    path: String,
    /// `modified`, `added`, `deleted`, `renamed`, `copied`, `typeChanged`, `untracked`, or
    /// `conflict`; of the index, else of the working tree.
    status: &'static str,
    staged: bool,
    unstaged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_path: Option<String>,
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let paths = git::paths(&session.root, args.texts("paths")?)?;
    args.finish()?;
    let mut words = vec![
        "status",
        "--porcelain=v2",
        "-z",
        "--branch",
        "--untracked-files=all",
        "--",
    ];
    words.extend(paths.iter().map(String::as_str));
    let output = git::run(&session.root, &words, cancel)?;
    let prefix = git::run(&session.root, &["rev-parse", "--show-prefix"], cancel)?;
    let prefix = String::from_utf8_lossy(&prefix).trim_end().to_owned();
    let status = parse_status(&String::from_utf8_lossy(&output), &prefix);
    let branch = status.branch.as_deref().unwrap_or("detached head");
    Report::new(
        format!("{branch}: {} changed files", status.files.len()),
        &status,
    )
}

/// Parses `git status --porcelain=v2 -z`; paths are made relative to the root.
fn parse_status(output: &str, prefix: &str) -> Status {
    let mut status = Status::default();
    let inner = |path: &str| path.strip_prefix(prefix).unwrap_or(path).to_owned();
    let mut records = output.split('\0');
    while let Some(record) = records.next() {
        let (kind, rest) = record.split_once(' ').unwrap_or((record, ""));
        match kind {
            "#" => header(&mut status, rest),
            "1" | "u" => {
                // XY, sub, modes and object names, then the path, which may hold blanks.
                let fields = if kind == "1" { 8 } else { 10 };
                let Some(path) = rest.splitn(fields, ' ').nth(fields - 1) else {
                    continue;
                };
                status
                    .files
                    .push(file_status(kind, rest, inner(path), None));
            }
            "2" => {
                let original = records.next().map(inner);
                if let Some(path) = rest.splitn(9, ' ').nth(8) {
                    status
                        .files
                        .push(file_status(kind, rest, inner(path), original));
                }
            }
            "?" => status.files.push(FileStatus {
                path: inner(rest),
                status: "untracked",
                staged: false,
                unstaged: true,
                original_path: None,
            }),
            _ => {}
        }
    }
    status
}

fn header(status: &mut Status, line: &str) {
    match line.split_once(' ') {
        Some(("branch.oid", "(initial)") | ("branch.head", "(detached)")) => {}
        Some(("branch.oid", commit)) => status.commit = Some(commit.into()),
        Some(("branch.head", branch)) => status.branch = Some(branch.into()),
        Some(("branch.upstream", upstream)) => status.upstream = Some(upstream.into()),
        Some(("branch.ab", counts)) => {
            let mut counts = counts.split(' ').filter_map(|n| n.parse::<i64>().ok());
            status.ahead = counts.next().unwrap_or(0);
            status.behind = -counts.next().unwrap_or(0);
        }
        _ => {}
    }
}

fn file_status(kind: &str, rest: &str, path: String, original: Option<String>) -> FileStatus {
    let mut codes = rest.chars();
    let (index, tree) = (codes.next().unwrap_or('.'), codes.next().unwrap_or('.'));
    let code = if index == '.' { tree } else { index };
    FileStatus {
        path,
        status: match (kind, code) {
            ("u", _) => "conflict",
            (_, 'A') => "added",
            (_, 'D') => "deleted",
            (_, 'R') => "renamed",
            (_, 'C') => "copied",
            (_, 'T') => "typeChanged",
            _ => "modified",
        },
        staged: kind != "u" && index != '.',
        unstaged: tree != '.',
        original_path: original,
    }
}
