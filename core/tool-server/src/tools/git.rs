//! `git_status` and `git_diff`: what the `git` program says, as structure.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::room::MAX_ANSWER_BYTES;
use crate::rpc::Cancel;
use crate::session::relative;
use crate::workspace::Workspaces;

const POLL: Duration = Duration::from_millis(5);

pub const STATUS: Tool = Tool {
    name: "git_status",
    description: "The branch, and changed, untracked and conflicting files.",
    schema: status_arguments,
    run: status,
};

pub const DIFF: Tool = Tool {
    name: "git_diff",
    description: "The unified diff of the working tree, or of what is staged.",
    schema: diff_arguments,
    run: diff,
};

fn paths_schema() -> Value {
    json!({"paths": {"type": "array", "items": {"type": "string"}, "description": "Only these files or folders."}})
}

fn status_arguments() -> Value {
    schema::object(&[], &[paths_schema(), schema::root()])
}

fn diff_arguments() -> Value {
    schema::object(
        &[],
        &[
            paths_schema(),
            json!({
                "staged": {"type": "boolean"},
                "context": {"type": "integer", "minimum": 0, "maximum": 1000, "default": 3},
            }),
            schema::root(),
        ],
    )
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

fn status(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let paths = inner_paths(&session.root, args.texts("paths")?)?;
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
    let output = git(&session.root, &words, cancel)?;
    let prefix = git(&session.root, &["rev-parse", "--show-prefix"], cancel)?;
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

#[derive(Serialize)]
struct Diff {
    diff: String,
    files: Vec<DiffFile>,
}

#[derive(Serialize)]
struct DiffFile {
    path: String,
    added: usize,
    removed: usize,
    binary: bool,
}

fn diff(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let paths = inner_paths(&session.root, args.texts("paths")?)?;
    let staged = args.flag("staged")?;
    let context = args.number("context", 0, 1000)?.unwrap_or(3);
    args.finish()?;
    let context = format!("--unified={context}");
    let run = |form: &[&str]| {
        let mut words = vec![
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--relative",
            "--no-renames",
        ];
        words.extend(form);
        if staged {
            words.push("--cached");
        }
        words.push("--");
        words.extend(paths.iter().map(String::as_str));
        git(&session.root, &words, cancel)
    };
    let text = run(&[&context])?;
    let counts = run(&["--numstat", "-z"])?;
    let files: Vec<DiffFile> = String::from_utf8_lossy(&counts)
        .split('\0')
        .filter_map(|record| {
            let mut fields = record.splitn(3, '\t');
            let (added, removed, path) = (fields.next()?, fields.next()?, fields.next()?);
            Some(DiffFile {
                path: path.to_owned(),
                added: added.parse().unwrap_or(0),
                removed: removed.parse().unwrap_or(0),
                binary: added == "-",
            })
        })
        .collect();
    Report::new(
        format!("{} files differ", files.len()),
        &Diff {
            diff: String::from_utf8_lossy(&text).into_owned(),
            files,
        },
    )
}

fn inner_paths(root: &Path, paths: Option<Vec<String>>) -> Outcome<Vec<String>> {
    paths
        .unwrap_or_default()
        .iter()
        .map(|path| {
            let inner = relative(root, path)?;
            // Git reads glob and magic characters in paths; these are names.
            Ok(format!(":(literal){inner}"))
        })
        .collect()
}

/// Runs git without anything that a repository's configuration could make it start for a
/// query, and without taking locks that a person's own git may need.
fn git(root: &Path, words: &[&str], cancel: &Cancel) -> Outcome<Vec<u8>> {
    let mut child = Command::new("git")
        .args(["--no-optional-locks", "--no-pager"])
        .args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=false"])
        .arg("-C")
        .arg(root)
        .args(words)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            Failure::broken(format!(
                "git cannot be started ({error}): install git, or put it on the PATH"
            ))
        })?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = loop {
        if cancel.is_set() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::cancelled());
        }
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => std::thread::sleep(POLL),
            Err(error) => return Err(Failure::broken(format!("git: {error}"))),
        }
    };
    let output = stdout.join().unwrap_or_default();
    let complaint = stderr.join().unwrap_or_default();
    if status.success() && output.len() > MAX_ANSWER_BYTES {
        return Err(Failure::rejected(format!(
            "git {} prints more than {} MiB: name fewer paths",
            words[0],
            MAX_ANSWER_BYTES >> 20
        )));
    }
    if status.success() {
        return Ok(output);
    }
    let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
    if complaint.contains("not a git repository") {
        return Err(Failure::rejected(format!(
            "{} is not in a git repository",
            root.display()
        )));
    }
    Err(Failure::broken(format!("git {}: {complaint}", words[0])))
}

fn drain<R: Read + Send + 'static>(pipe: Option<R>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let most = MAX_ANSWER_BYTES as u64 + 1;
            let _ = pipe.by_ref().take(most).read_to_end(&mut bytes);
            // Else git would wait for a reader.
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        bytes
    })
}
