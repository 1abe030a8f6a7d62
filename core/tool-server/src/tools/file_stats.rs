//! `file_stats`: files, lines and bytes by language.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::language::Language;
use crate::rpc::Cancel;
use crate::session::Selection;
use crate::text::Unfit;
use crate::workspace::Workspaces;

pub const TOOL: Tool = Tool {
    name: "file_stats",
    description: "Count files, lines and bytes by language; other files by extension.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &[],
        &[schema::selection(), schema::documents(), schema::root()],
    )
}

#[derive(Serialize, Default)]
struct Stats {
    files: usize,
    lines: usize,
    bytes: usize,
}

#[derive(Serialize)]
struct AllStats {
    languages: BTreeMap<String, Stats>,
    binary: usize,
    /// Files whose lines are not counted.
    #[serde(rename = "tooLarge")]
    too_large: usize,
    #[serde(flatten)]
    total: Stats,
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let mut all = AllStats {
        languages: BTreeMap::new(),
        binary: 0,
        too_large: 0,
        total: Stats::default(),
    };
    for source in session.select(&selection, cancel)? {
        cancel.check()?;
        let Ok(text) = session.load(&source) else {
            continue;
        };
        match text.unfit {
            None => {}
            Some(Unfit::TooLarge) => {
                all.too_large += 1;
                continue;
            }
            Some(_) => {
                all.binary += 1;
                continue;
            }
        }
        let newlines = memchr::memchr_iter(b'\n', &text.bytes).count();
        let unfinished = text.bytes.last().is_some_and(|&b| b != b'\n');
        let lines = newlines + usize::from(unfinished);
        for stats in [
            &mut all.total,
            all.languages.entry(kind(source.path())).or_default(),
        ] {
            stats.files += 1;
            stats.lines += lines;
            stats.bytes += text.bytes.len();
        }
    }
    Report::new(
        format!("{} text files, {} lines", all.total.files, all.total.lines),
        &all,
    )
}

fn kind(path: &str) -> String {
    if let Some(language) = Language::of(path) {
        return language.name.to_owned();
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!(".{}", extension.to_lowercase()),
        _ => "other".to_owned(),
    }
}
