//! `read`: a file's text, whole or a range of lines.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::rpc::Cancel;
use crate::workspace::Workspaces;

pub const TOOL: Tool = Tool {
    name: "read",
    description: "Read a text file, or the lines startLine to endLine of it (1-based, both included).",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    let line = json!({"type": "integer", "minimum": 1});
    schema::object(
        &["path"],
        &[
            json!({"path": {"type": "string"}, "startLine": line, "endLine": line}),
            schema::documents(),
            schema::root(),
        ],
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    path: String,
    text: String,
    start_line: usize,
    end_line: usize,
    total_lines: usize,
    /// Of the file's bytes, or of the buffer's text in UTF-8.
    sha256: String,
    size_bytes: usize,
    /// The byte-order mark that was left out of the text, by its encoding's name.
    bom: Option<&'static str>,
    encoding: &'static str,
    /// `\n`, `\r\n`, `mixed`, or `none` in a text of one line.
    eol: &'static str,
}

fn run(workspaces: &Workspaces, mut args: Args, _cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let path = args.required_text("path")?;
    let start = args.number("startLine", 1, usize::MAX)?;
    let end = args.number("endLine", 1, usize::MAX)?;
    let source = session.file(&path)?;
    let backwards = matches!((start, end), (Some(start), Some(end)) if end < start);
    if backwards {
        return Err(args.rejected("endLine lies before startLine"));
    }
    args.finish()?;

    let path = source.path().to_owned();
    let text = session
        .load(&source)
        .map_err(|reason| Failure::rejected(format!("{path}: {reason}")))?;
    if let Some(unfit) = text.unfit {
        return Err(Failure::rejected(format!(
            "{path} cannot be read as text: it is {}, {} bytes",
            unfit.reason(),
            text.size_bytes
        )));
    }
    let (content, encoding) = match std::str::from_utf8(&text.bytes) {
        Ok(content) => (content.to_owned(), text.bom.name().unwrap_or("utf-8")),
        Err(_) => (
            String::from_utf8_lossy(&text.bytes).into_owned(),
            "not utf-8",
        ),
    };
    let lines: Vec<&str> = content.split_inclusive('\n').collect();
    let total_lines = lines.len();
    let first = start.unwrap_or(1);
    if first > total_lines.max(1) {
        return Err(Failure::rejected(format!(
            "startLine {first} lies after the last line of {}: it has {total_lines}",
            path
        )));
    }
    let last = end.unwrap_or(total_lines).min(total_lines);
    let part = lines.get(first - 1..last).unwrap_or_default().concat();
    Report::new(
        format!("{} lines of {}", last + 1 - first.min(last + 1), path),
        &Content {
            text: part,
            start_line: first,
            end_line: last,
            total_lines,
            sha256: text.sha256(),
            size_bytes: text.size_bytes,
            bom: text.bom.name(),
            encoding,
            eol: eol(&text.bytes),
            path,
        },
    )
}

fn eol(bytes: &[u8]) -> &'static str {
    let all = memchr::memchr_iter(b'\n', bytes).count();
    let crlf = memchr::memmem::find_iter(bytes, b"\r\n").count();
    match (crlf, all - crlf) {
        (0, 0) => "none",
        (0, _) => "\n",
        (_, 0) => "\r\n",
        _ => "mixed",
    }
}
