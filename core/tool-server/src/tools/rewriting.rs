//! What `replace` and `ast_rewrite` answer with: edits of files that nobody has changed yet.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, Skipped};
use crate::failure::Outcome;
use crate::place::{CharCounter, Locator};
use crate::room::Room;
use crate::text::Text;

/// One replacement. Offsets leave a byte-order mark out; `start` and `end` count code points.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    pub start: usize,
    pub end: usize,
    pub start_byte: usize,
    pub end_byte: usize,
    pub start_line: usize,
    pub start_column: usize,
    pub new_text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEdits {
    pub path: String,
    /// Of the file's bytes as they were read, or of the buffer's text in UTF-8.
    pub sha256: String,
    pub bom: bool,
    pub edits: Vec<Edit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_text: Option<String>,
}

#[derive(Default, Serialize)]
pub struct Rewriting {
    pub files: Vec<FileEdits>,
    pub skipped: Vec<Skipped>,
    /// How many edits there are in all files.
    pub total: usize,
    /// How many files the selection holds, changed or not.
    pub selected: usize,
}

/// A replacement before its places are known: bytes `start..end` become `new_text`.
pub struct Change {
    pub start: usize,
    pub end: usize,
    pub new_text: String,
}

impl Rewriting {
    /// Adds a file's changes, which ascend and do not overlap. Those that change nothing do
    /// not count.
    pub fn add(
        &mut self,
        path: &str,
        text: &Text,
        source: &str,
        changes: Vec<Change>,
        whole: bool,
        room: &Room,
    ) -> Outcome<()> {
        let mut chars = CharCounter::new(source);
        let mut locator = Locator::new(source.as_bytes());
        let edits: Vec<Edit> = changes
            .into_iter()
            .filter(|change| source[change.start..change.end] != change.new_text)
            .map(|change| {
                let place = locator.place(change.start);
                Edit {
                    start: chars.chars_before(change.start),
                    end: chars.chars_before(change.end),
                    start_byte: change.start,
                    end_byte: change.end,
                    start_line: place.line,
                    start_column: place.column,
                    new_text: change.new_text,
                }
            })
            .collect();
        if edits.is_empty() {
            return Ok(());
        }
        if whole {
            let inserted: usize = edits.iter().map(|edit| edit.new_text.len()).sum();
            room.add(source.len() + inserted)?;
        }
        self.total += edits.len();
        self.files.push(FileEdits {
            path: path.to_owned(),
            sha256: text.sha256(),
            bom: text.bom.name().is_some(),
            new_text: whole.then(|| apply(source, &edits)),
            edits,
        });
        Ok(())
    }

    /// Adds what other files gave.
    pub fn append(&mut self, other: Self) {
        self.files.extend(other.files);
        self.skipped.extend(other.skipped);
        self.total += other.total;
    }

    pub fn skip(&mut self, path: &str, reason: impl Into<String>) {
        self.skipped.push(Skipped {
            path: path.to_owned(),
            reason: reason.into(),
        });
    }

    pub fn report(self) -> Outcome<Report> {
        let skipped = match self.skipped.len() {
            0 => String::new(),
            n => format!(", {n} files skipped"),
        };
        Report::new(
            format!(
                "{} edits in {} files{skipped}; nothing was written",
                self.total,
                self.files.len()
            ),
            &self,
        )
    }
}

fn apply(source: &str, edits: &[Edit]) -> String {
    let mut text = String::with_capacity(source.len());
    let mut at = 0;
    for edit in edits {
        text.push_str(&source[at..edit.start_byte]);
        text.push_str(&edit.new_text);
        at = edit.end_byte;
    }
    text.push_str(&source[at..]);
    text
}

pub fn whole_text_schema() -> Value {
    json!({"newText": {"type": "boolean", "description": "Also give each file's whole new text."}})
}
