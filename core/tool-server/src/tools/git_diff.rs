//! `git_diff`: the unified diff of the working tree, or of what is staged.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, Tool, git, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::rpc::Cancel;
use crate::workspace::Workspaces;

pub const TOOL: Tool = Tool {
    name: "git_diff",
    description: "The unified diff of the working tree, or of what is staged.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &[],
        &[
            git::paths_schema(),
            json!({
                "staged": {"type": "boolean"},
                "context": {"type": "integer", "minimum": 0, "maximum": 1000, "default": 3},
            }),
            schema::root(),
        ],
    )
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

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let paths = git::paths(&session.root, args.texts("paths")?)?;
    let staged = args.flag("staged")?;
    let context = args.number("context", 0, 1000)?.unwrap_or(3);
    args.finish()?;
    let context = format!("--unified={context}");
    let diff = |form: &[&str]| {
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
        git::run(&session.root, &words, cancel)
    };
    let text = diff(&[&context])?;
    let counts = diff(&["--numstat", "-z"])?;
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
