//! `multi_grep`: many patterns in one pass over the files.

use grep::matcher::Matcher;
use serde_json::{Value, json};

use super::grep::{Count, DEFAULT_LIMIT, MAX_LIMIT, context, options, report};
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::pattern::{Syntax, compile};
use crate::rpc::Cancel;
use crate::search::{Collector, searcher};
use crate::workspace::{Selection, Workspaces};

pub const TOOL: Tool = Tool {
    name: "multi_grep",
    description: "Find what matches any of several patterns; each match names, by index, the patterns that match there.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &["patterns"],
        &[
            json!({"patterns": {"type": "array", "items": {"type": "string"}, "minItems": 1}}),
            schema::syntax(),
            options(),
            schema::limit(DEFAULT_LIMIT),
            schema::selection(),
            schema::documents(),
            schema::root(),
        ],
    )
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let patterns = args.texts("patterns")?.unwrap_or_default();
    if patterns.is_empty() {
        return Err(args.missing("patterns", "at least one pattern"));
    }
    let mut syntax = Syntax::from_args(&mut args)?;
    syntax.multiline |= syntax.literal && patterns.iter().any(|p| p.contains('\n'));
    let context = context(&mut args)?;
    let count_only = args.flag("countOnly")?;
    let limit = args.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let all: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let matcher = compile(&all, syntax)?;
    let single = all
        .iter()
        .map(|pattern| compile(&[pattern], syntax))
        .collect::<Outcome<Vec<_>>>()?;
    let mut searcher = searcher(syntax.multiline, context);
    let mut collector = Collector::new(&matcher, cancel, limit, count_only);
    let mut counts = Vec::new();
    let sources = session.select(&selection, cancel)?;
    let selected = sources.len();
    for source in sources {
        let Ok(text) = source.load() else { continue };
        let before = collector.found.len();
        let count = collector.search(&mut searcher, &source.path, &text)?;
        // A leftmost match of any pattern may start where several patterns match.
        for found in &mut collector.found[before..] {
            let at = found.byte_offset as usize;
            found.patterns = (0..single.len())
                .filter(|&index| starts_at(&single[index], syntax.multiline, &text.bytes, at))
                .collect();
        }
        if count > 0 {
            counts.push(Count {
                path: source.path,
                count,
            });
        }
        if collector.is_full() {
            break;
        }
    }
    cancel.check()?;
    report(collector, counts, selected)
}

fn starts_at(matcher: &impl Matcher, multiline: bool, bytes: &[u8], at: usize) -> bool {
    // Without `multiline` the line is all that counts, and a miss stays cheap.
    let end = match memchr::memchr(b'\n', &bytes[at..]) {
        Some(newline) if !multiline => at + newline,
        _ => bytes.len(),
    };
    matches!(matcher.find_at(&bytes[..end], at), Ok(Some(found)) if found.start() == at)
}
