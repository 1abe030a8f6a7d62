//! `syntax`: how many syntax errors files have, for a comparison of before and after.

use serde::Serialize;
use serde_json::Value;
use tree_sitter::Node;

use super::{Report, Skipped, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::language::Language;
use crate::place::Locator;
use crate::rpc::Cancel;
use crate::session::Selection;
use crate::text::Text;
use crate::workspace::Workspaces;

/// How many errors of a file are described; all are counted.
const DESCRIBED: usize = 5;
const EXCERPT_CHARS: usize = 80;

pub const TOOL: Tool = Tool {
    name: "syntax",
    description: "Count the syntax errors of files in the languages that have a grammar.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &[],
        &[
            schema::language(),
            schema::selection(),
            schema::documents(),
            schema::root(),
        ],
    )
}

#[derive(Serialize)]
struct Files {
    files: Vec<FileErrors>,
    skipped: Vec<Skipped>,
    errors: usize,
}

#[derive(Serialize)]
struct FileErrors {
    path: String,
    language: &'static str,
    errors: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    first: Vec<Mistake>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mistake {
    line: usize,
    column: usize,
    utf16_column: usize,
    text: String,
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let fixed = args
        .text("language")?
        .map(|name| Language::named(&name))
        .transpose()?;
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let mut result = Files {
        files: Vec::new(),
        skipped: Vec::new(),
        errors: 0,
    };
    for source in session.select(&selection, cancel)? {
        cancel.check()?;
        let Some(language) = fixed.or_else(|| Language::of(source.path())) else {
            continue;
        };
        let text = match session.load_parsable(&source) {
            Ok(text) => text,
            Err(reason) => {
                result.skipped.push(Skipped {
                    path: source.path().to_owned(),
                    reason,
                });
                continue;
            }
        };
        let parsed = session.parse(&source, &text, language.grammar, cancel)?;
        let (errors, first) = mistakes(parsed.tree.root_node(), &text);
        result.errors += errors;
        result.files.push(FileErrors {
            path: source.path().to_owned(),
            language: language.name,
            errors,
            first,
        });
    }
    Report::new(
        format!(
            "{} syntax errors in {} files",
            result.errors,
            result.files.len()
        ),
        &result,
    )
}

fn mistakes(root: Node<'_>, text: &Text) -> (usize, Vec<Mistake>) {
    let mut count = 0;
    let mut first = Vec::new();
    let mut locator = Locator::new(&text.bytes);
    let mut pending = vec![root];
    while let Some(node) = pending.pop() {
        if !node.has_error() && !node.is_missing() {
            continue;
        }
        if node.is_error() || node.is_missing() {
            count += 1;
            if first.len() < DESCRIBED {
                let place = locator.place(node.start_byte());
                first.push(Mistake {
                    line: place.line,
                    column: place.column,
                    utf16_column: place.utf16_column,
                    text: excerpt(node, text),
                });
            }
        }
        let children: Vec<Node<'_>> = node.children(&mut node.walk()).collect();
        pending.extend(children.into_iter().rev());
    }
    (count, first)
}

fn excerpt(node: Node<'_>, text: &Text) -> String {
    if node.is_missing() {
        return format!("missing {}", node.kind());
    }
    String::from_utf8_lossy(&text.bytes[node.byte_range()])
        .chars()
        .take(EXCERPT_CHARS)
        .collect()
}
