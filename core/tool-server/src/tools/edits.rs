//! `edits`: the small text edits that turn one text into another, for editors.

use serde::Serialize;
use serde_json::Value;
use similar::{DiffTag, TextDiff};

use super::diff::{lines, pairs};
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::place::CharCounter;
use crate::rpc::Cancel;
use crate::workspace::Workspaces;

pub const TOOL: Tool = Tool {
    name: "edits",
    description: "The smallest line-wise edits, trimmed to what differs, that turn one text into another.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    let file = serde_json::json!({
        "path": {"type": "string"},
        "before": {"type": "string"},
        "after": {"type": "string"},
    });
    schema::object(
        &[],
        &[
            file.clone(),
            serde_json::json!({"files": {"type": "array", "items": {"type": "object", "properties": file, "required": ["before", "after"]}}}),
        ],
    )
}

/// Code points `start..end` of the old text become `new_text`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Edit {
    start: usize,
    end: usize,
    start_byte: usize,
    end_byte: usize,
    new_text: String,
}

#[derive(Serialize)]
struct FileEdits {
    path: String,
    edits: Vec<Edit>,
}

#[derive(Serialize)]
struct AllEdits {
    files: Vec<FileEdits>,
    total: usize,
}

fn run(_workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let pairs = pairs(&mut args)?;
    args.finish()?;
    let mut all = AllEdits {
        files: Vec::new(),
        total: 0,
    };
    for pair in pairs {
        cancel.check()?;
        let edits = edits(&pair.before, &pair.after);
        all.total += edits.len();
        all.files.push(FileEdits {
            path: pair.path,
            edits,
        });
    }
    Report::new(
        format!("{} edits in {} files", all.total, all.files.len()),
        &all,
    )
}

fn edits(before: &str, after: &str) -> Vec<Edit> {
    let (old, new) = (lines(before), lines(after));
    let (old_at, new_at) = (starts(&old), starts(&new));
    let diff = TextDiff::configure().diff_slices(&old, &new);
    let mut chars = CharCounter::new(before);
    diff.ops()
        .iter()
        .filter(|op| op.tag() != DiffTag::Equal)
        .map(|op| {
            let (from, to) = (old_at[op.old_range().start], old_at[op.old_range().end]);
            let new_text = &after[new_at[op.new_range().start]..new_at[op.new_range().end]];
            let old_text = &before[from..to];
            let head = common_prefix(old_text, new_text);
            let tail = common_suffix(&old_text[head..], &new_text[head..]);
            let (start_byte, end_byte) = (from + head, to - tail);
            Edit {
                start: chars.chars_before(start_byte),
                end: chars.chars_before(end_byte),
                start_byte,
                end_byte,
                new_text: new_text[head..new_text.len() - tail].to_owned(),
            }
        })
        .collect()
}

/// Where each line starts, and where the text ends.
fn starts(lines: &[&str]) -> Vec<usize> {
    let mut at = 0;
    let mut starts = vec![0];
    for line in lines {
        at += line.len();
        starts.push(at);
    }
    starts
}

/// Bytes in common at the beginning, whole characters and no half of a line end.
fn common_prefix(a: &str, b: &str) -> usize {
    let mut common = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    while !(a.is_char_boundary(common) && b.is_char_boundary(common)) || splits_crlf(a, b, common) {
        common -= 1;
    }
    common
}

fn splits_crlf(a: &str, b: &str, at: usize) -> bool {
    let splits = |text: &str| {
        let bytes = text.as_bytes();
        at > 0 && bytes[at - 1] == b'\r' && bytes.get(at) == Some(&b'\n')
    };
    splits(a) || splits(b)
}

/// Bytes in common at the end, whole characters and no half of a line end.
fn common_suffix(a: &str, b: &str) -> usize {
    let mut common = a
        .bytes()
        .rev()
        .zip(b.bytes().rev())
        .take_while(|(x, y)| x == y)
        .count();
    let cuts = |text: &str, common: usize| {
        let at = text.len() - common;
        !text.is_char_boundary(at)
            || (at > 0
                && text.as_bytes()[at - 1] == b'\r'
                && text.as_bytes().get(at) == Some(&b'\n'))
    };
    while common > 0 && (cuts(a, common) || cuts(b, common)) {
        common -= 1;
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(before: &str, edits: &[Edit]) -> String {
        let chars: Vec<char> = before.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        for edit in edits {
            out.extend(&chars[at..edit.start]);
            out.push_str(&edit.new_text);
            at = edit.end;
        }
        out.extend(&chars[at..]);
        out
    }

    #[test]
    fn edits_turn_before_into_after() {
        for (before, after) in [
            ("a\nb\nc\n", "a\nx\nc\n"),
            ("", "new\n"),
            ("old", ""),
            ("ä𝄞ö\r\nb\r\n", "ä𝄞x\r\nb\r\nc"),
            ("a\r\n", "a\n"),
            ("aa", "aaa"),
            ("é\n", "è\n"),
        ] {
            assert_eq!(apply(before, &edits(before, after)), after);
        }
    }

    #[test]
    fn an_edit_is_trimmed_to_what_differs() {
        let edits = edits("x = assertEquals(1)\n", "x = assertEqual(1)\n");
        assert_eq!((edits.len(), edits[0].end - edits[0].start), (1, 1));
    }
}
