//! `replace`: edits that replace what a regular expression matches (a dry run).

use std::cell::RefCell;
use std::path::PathBuf;

use grep::matcher::{Captures, Match, Matcher};
use grep::regex::RegexMatcher;
use serde_json::{Value, json};

use super::rewriting::{Change, Rewriting, whole_text_schema};
use super::scan::candidates;
use super::{Report, Tool, schema};
use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::index::needs::Needs;
use crate::pattern::{Syntax, compile};
use crate::room::Room;
use crate::rpc::Cancel;
use crate::search::{Collector, Context, searcher};
use crate::session::Selection;
use crate::text::Text;
use crate::workspace::Workspaces;

pub const TOOL: Tool = Tool {
    name: "replace",
    description: "Compute the edits that replace what a regular expression or literal text matches; nothing is written.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &["pattern", "replacement"],
        &[
            json!({
                "pattern": {"type": "string", "description": "A regular expression (Rust syntax); without `multiline` it matches within lines."},
                "replacement": {"type": "string", "description": "The new text, with $1, ${name} for groups and $$ for a dollar; as it stands if `literal`."},
            }),
            schema::syntax(),
            whole_text_schema(),
            schema::selection(),
            schema::documents(),
            schema::root(),
        ],
    )
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let pattern = args.required_text("pattern")?;
    let replacement = args.required_text("replacement")?;
    let mut syntax = Syntax::from_args(&mut args)?;
    syntax.multiline |= syntax.literal && pattern.contains('\n');
    let whole = args.flag("newText")?;
    let selection = Selection::from_args(&mut args)?;
    args.finish()?;

    let unix = Replacer::new(&pattern, &replacement, syntax)?;
    let windows = Replacer::new(
        &pattern,
        &replacement,
        Syntax {
            crlf: true,
            ..syntax
        },
    )?;
    let sources = session.select(&selection, cancel)?;
    let mut rewriting = Rewriting {
        selected: sources.len(),
        ..Rewriting::default()
    };
    let needs = Needs::of_patterns(&[&pattern], syntax);
    let room = Room::unlimited();
    for pending in candidates(&session, &sources, &needs) {
        cancel.check()?;
        let path = pending.source.path();
        let text = match pending.load(&session) {
            Ok(text) => text,
            Err(reason) => {
                rewriting.skip(path, reason);
                continue;
            }
        };
        match text.editable() {
            Ok(content) => {
                let crlf = memchr::memmem::find(&text.bytes, b"\r\n").is_some();
                let replacer = if crlf { &windows } else { &unix };
                let changes = replacer.changes(content, &room, cancel)?;
                rewriting.add(path, &text, content, changes, whole, &room)?;
            }
            // Only what would have matched is worth telling.
            Err(reason) => {
                let on_disk = || session.full_path(pending.source);
                if unix.found_in(path, &text, on_disk, cancel)? {
                    rewriting.skip(path, reason);
                }
            }
        }
    }
    rewriting.report()
}

struct Replacer<'a> {
    matcher: RegexMatcher,
    replacement: &'a str,
    literal: bool,
    multiline: bool,
}

impl<'a> Replacer<'a> {
    fn new(pattern: &str, replacement: &'a str, syntax: Syntax) -> Outcome<Self> {
        let matcher = compile(&[pattern], syntax)?;
        if !syntax.literal {
            check_groups(&matcher, replacement)?;
        }
        Ok(Self {
            matcher,
            replacement,
            literal: syntax.literal,
            multiline: syntax.multiline,
        })
    }

    /// Whether a text that cannot be edited has a match.
    fn found_in(
        &self,
        path: &str,
        text: &Text,
        on_disk: impl FnOnce() -> PathBuf,
        cancel: &Cancel,
    ) -> Outcome<bool> {
        let mut searcher = searcher(self.multiline, Context::default());
        let mut collector = Collector::new(&self.matcher, cancel, 1, true);
        Ok(collector.search(&mut searcher, path, text, on_disk)? > 0)
    }

    fn changes(&self, text: &str, room: &Room, cancel: &Cancel) -> Outcome<Vec<Change>> {
        let bytes = text.as_bytes();
        let mut captures = self
            .matcher
            .new_captures()
            .map_err(|error| Failure::broken(error.to_string()))?;
        let mut changes = Vec::new();
        let mut fits = Ok(());
        let name_to_index = |name: &str| self.matcher.capture_index(name);
        self.matcher
            .captures_iter(bytes, &mut captures, |groups| {
                let found = groups.as_match();
                if found.is_empty() && !may_be_empty_at(text, found.start()) {
                    return !cancel.is_set();
                }
                let mut new_text = Vec::new();
                if self.literal {
                    new_text.extend_from_slice(self.replacement.as_bytes());
                } else {
                    groups.interpolate(
                        name_to_index,
                        bytes,
                        self.replacement.as_bytes(),
                        &mut new_text,
                    );
                }
                fits = room.add(new_text.len());
                changes.push(Change {
                    start: found.start(),
                    end: found.end(),
                    new_text: String::from_utf8_lossy(&new_text).into_owned(),
                });
                fits.is_ok() && !cancel.is_set()
            })
            .map_err(|error| Failure::broken(error.to_string()))?;
        cancel.check()?;
        fits.map(|()| changes)
    }
}

/// Whether an empty match counts: not inside a character or a line end, and not after the last
/// line's end, where no line is.
fn may_be_empty_at(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let inside_crlf = at > 0 && bytes[at - 1] == b'\r' && bytes.get(at) == Some(&b'\n');
    let after_last = at == bytes.len() && bytes.last().is_none_or(|&b| b == b'\n');
    text.is_char_boundary(at) && !inside_crlf && !after_last
}

/// Refuses a replacement that names a group which the pattern does not have.
fn check_groups(matcher: &RegexMatcher, replacement: &str) -> Outcome<()> {
    let probe = Probe {
        groups: matcher.capture_count(),
        unknown: RefCell::new(None),
    };
    let name_to_index = |name: &str| {
        let index = matcher.capture_index(name);
        if index.is_none() {
            probe.unknown.borrow_mut().get_or_insert(name.to_owned());
        }
        index
    };
    probe.interpolate(name_to_index, b"", replacement.as_bytes(), &mut Vec::new());
    match probe.unknown.take() {
        None => Ok(()),
        Some(name) => Err(Failure::rejected(format!(
            "the replacement uses ${{{name}}}, but the pattern has no such group; write $$ for a \
             dollar, ${{1}}x for group 1 before a letter"
        ))),
    }
}

/// Stands in for the groups of a match, and notes which one a replacement asks for in vain.
struct Probe {
    groups: usize,
    unknown: RefCell<Option<String>>,
}

impl Captures for Probe {
    fn len(&self) -> usize {
        self.groups
    }

    fn get(&self, index: usize) -> Option<Match> {
        if index >= self.groups {
            self.unknown.borrow_mut().get_or_insert(index.to_string());
        }
        None
    }
}
