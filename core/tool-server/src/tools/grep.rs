//! `grep`: lines that match a regular expression.

use std::sync::Arc;

use grep::matcher::Matcher;
use grep::regex::RegexMatcher;
use serde::Serialize;
use serde_json::{Value, json};

use super::scan::{Pending, candidates, in_parts, reads_many};
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::index::needs::Needs;
use crate::pattern::{Syntax, compile, has_text_anchor};
use crate::room::{MAX_ANSWER_BYTES, Room};
use crate::rpc::Cancel;
use crate::search::{Collector, Context, Found, searcher};
use crate::session::{Selection, Session, Source};
use crate::text::{PROBE_BYTES, Text};
use crate::workspace::Workspaces;

pub const MAX_LIMIT: usize = 100_000_000;
pub const DEFAULT_LIMIT: usize = 1000;
const MAX_CONTEXT: usize = 1000;

pub const TOOL: Tool = Tool {
    name: "grep",
    description: "Find what matches a regular expression or a literal text, with the same matches as ripgrep.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &["pattern"],
        &[
            json!({"pattern": {"type": "string", "description": "A regular expression (Rust syntax)."}}),
            schema::syntax(),
            options(),
            schema::limit(DEFAULT_LIMIT),
            schema::selection(),
            schema::documents(),
            schema::root(),
        ],
    )
}

pub fn options() -> Value {
    json!({
        "contextBefore": {"type": "integer", "minimum": 0, "maximum": MAX_CONTEXT},
        "contextAfter": {"type": "integer", "minimum": 0, "maximum": MAX_CONTEXT},
        "countOnly": {"type": "boolean", "description": "Give the number of matches of each file only."},
    })
}

#[derive(Serialize)]
pub struct Count {
    pub path: String,
    pub count: usize,
}

#[derive(Serialize)]
pub struct Matches {
    pub matches: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Vec<Count>>,
    /// How many files have matches.
    pub files: usize,
    /// How many matches there are; when truncated, how many are given.
    pub total: usize,
    /// How many files the selection holds.
    pub selected: usize,
    pub truncated: bool,
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let pattern = args.required_text("pattern")?;
    let mut syntax = Syntax::from_args(&mut args)?;
    syntax.multiline |= syntax.literal && pattern.contains('\n');
    let context = context(&mut args)?;
    let count_only = args.flag("countOnly")?;
    let limit = args.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let search = Search {
        matcher: compile(&[&pattern], syntax)?,
        single: Vec::new(),
        needs: Needs::of_patterns(&[&pattern], syntax),
        multiline: syntax.multiline,
        line_buffered: has_text_anchor(&[&pattern], syntax),
        context,
        count_only,
        limit,
    };
    search.run(&session, &session.select(&selection, cancel)?, cancel)
}

/// A search for one pattern or several, ready to run over files.
pub struct Search {
    /// Finds any of the patterns.
    pub matcher: RegexMatcher,
    /// Each by itself, if matches are to name their patterns.
    pub single: Vec<RegexMatcher>,
    pub needs: Needs,
    pub multiline: bool,
    /// See [`has_text_anchor`].
    pub line_buffered: bool,
    pub context: Context,
    pub count_only: bool,
    pub limit: usize,
}

/// What a part of the files gave.
struct Part {
    found: Vec<Found>,
    counts: Vec<Count>,
    total: usize,
    bytes: usize,
    truncated: bool,
    incomplete: bool,
}

impl Search {
    pub fn run(
        &self,
        session: &Session<'_>,
        sources: &[Source],
        cancel: &Cancel,
    ) -> Outcome<Report> {
        let pending = candidates(session, sources, &self.needs);
        let passing = reads_many(&pending);
        let room = Room::new(self.limit);
        let parts = in_parts(&pending, &room, cancel, |part| {
            let part = self.part(session, part, passing, cancel)?;
            room.take(part.found.len(), part.bytes, part.truncated);
            Ok(part)
        })?;
        cancel.check()?;
        self.report(parts, sources.len())
    }

    fn part(
        &self,
        session: &Session<'_>,
        pending: &[Pending<'_>],
        passing: bool,
        cancel: &Cancel,
    ) -> Outcome<Part> {
        let mut searcher = searcher(self.multiline, self.context);
        let mut collector = Collector::new(&self.matcher, cancel, self.limit, self.count_only);
        collector.line_buffered = self.line_buffered;
        let several = !self.single.is_empty();
        let mut counts = Vec::new();
        let mut spare = Vec::with_capacity(if passing { PROBE_BYTES } else { 0 });
        for pending in pending {
            let loaded = match passing {
                true => pending.pass(session, &mut spare),
                false => pending.load(session),
            };
            let Ok(text) = loaded else {
                continue;
            };
            let before = collector.found.len();
            let on_disk = || session.full_path(pending.source);
            let path = pending.source.path();
            let count = collector.search(&mut searcher, path, &text, on_disk)?;
            for found in collector.found[before..].iter_mut().filter(|_| several) {
                cancel.check()?;
                found.patterns = self.patterns_of(found, &text);
            }
            if count > 0 {
                counts.push(Count {
                    path: path.to_owned(),
                    count,
                });
            }
            if collector.is_full() {
                break;
            }
            if let Some(text) = Arc::into_inner(text)
                && text.unfit.is_none()
            {
                spare = text.bytes;
            }
        }
        Ok(Part {
            found: collector.found,
            counts,
            total: collector.total,
            bytes: collector.bytes,
            truncated: collector.truncated,
            incomplete: collector.incomplete,
        })
    }

    /// The patterns that match where a match of any begins.
    fn patterns_of(&self, found: &Found, text: &Text) -> Vec<usize> {
        // The bytes of an unfit file are not held, but the matching line is.
        let (bytes, at) = match text.unfit {
            Some(_) => (found.text.as_bytes(), None),
            None => (&*text.bytes, usize::try_from(found.byte_offset).ok()),
        };
        let from = at.unwrap_or(0);
        // Without `multiline` the line is all that counts, and a miss stays cheap.
        let end = match memchr::memchr(b'\n', &bytes[from..]) {
            Some(newline) if !self.multiline => from + newline,
            _ => bytes.len(),
        };
        let named = self.matching_at(&bytes[..end], from, at.is_some());
        if !named.is_empty() || !self.line_buffered {
            return named;
        }
        // A text anchor matched at an end of the searcher's buffer: there, a line stands alone.
        let line = memchr::memrchr(b'\n', &bytes[..from]).map_or(0, |newline| newline + 1);
        self.matching_at(&bytes[line..end], from - line, at.is_some())
    }

    /// The patterns that match at or, unless `exactly`, after a place in a text.
    fn matching_at(&self, text: &[u8], from: usize, exactly: bool) -> Vec<usize> {
        let matches_here = |matcher: &RegexMatcher| {
            let found = matcher.find_at(text, from).ok().flatten();
            found.is_some_and(|found| !exactly || found.start() == from)
        };
        (0..self.single.len())
            .filter(|&index| matches_here(&self.single[index]))
            .collect()
    }

    fn report(&self, parts: Vec<Part>, selected: usize) -> Outcome<Report> {
        let mut result = Matches {
            matches: Vec::new(),
            counts: self.count_only.then(Vec::new),
            files: 0,
            total: 0,
            selected,
            truncated: false,
        };
        let mut bytes = 0;
        let mut cut = false;
        for part in parts {
            let room = self.limit - result.matches.len();
            bytes += part.bytes;
            cut |= part.truncated || part.found.len() > room || bytes > MAX_ANSWER_BYTES;
            result.truncated |= cut || part.incomplete;
            let mut last_file = None;
            for found in part.found.into_iter().take(room) {
                if last_file.as_ref() != Some(&found.path) {
                    result.files += 1;
                    last_file = Some(Arc::clone(&found.path));
                }
                result.matches.push(found);
            }
            if let Some(counts) = &mut result.counts {
                result.files += part.counts.len();
                result.total += part.total;
                counts.extend(part.counts);
            } else if cut {
                break;
            }
        }
        if !self.count_only {
            result.total = result.matches.len();
        }
        let more = if result.truncated {
            " (more were left out)"
        } else {
            ""
        };
        let summary = format!("{} matches in {} files{more}", result.total, result.files);
        Report::new(summary, &result)
    }
}

pub fn context(args: &mut Args) -> Outcome<Context> {
    Ok(Context {
        before: args.number("contextBefore", 0, MAX_CONTEXT)?.unwrap_or(0),
        after: args.number("contextAfter", 0, MAX_CONTEXT)?.unwrap_or(0),
    })
}
