//! Line-oriented search of one text, with the same matches as ripgrep.

use std::io::Cursor;
use std::ops::Range;
use std::path::PathBuf;

use grep::matcher::Matcher;
use grep::regex::RegexMatcher;
use grep::searcher::{
    BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkContextKind, SinkMatch,
};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::place::Locator;
use crate::room::{MAX_ANSWER_BYTES, RECORD_BYTES};
use crate::rpc::Cancel;
use crate::text::{MAX_HELD_BYTES, Text, Unfit};

/// Longer lines are cut around the match in results.
const MAX_LINE_BYTES: usize = 2048;
const CUT_BYTES: usize = 200;
/// How far beyond a match a look-around assertion may look, as ripgrep has it.
const MAX_LOOK_AHEAD: usize = 128;

/// One occurrence of a pattern. Lines and columns are 1-based, offsets 0-based; a column counts
/// characters, its UTF-16 twin the units that editors count.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub path: std::sync::Arc<str>,
    pub line: usize,
    pub column: usize,
    pub utf16_column: usize,
    pub byte_offset: u64,
    pub end_byte_offset: u64,
    /// The matching line or lines, without the last line's end.
    pub text: String,
    /// `text` is only the part of a very long line around the match.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// In searches for many patterns: the indices of those that match here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<usize>,
}

#[derive(Clone, Copy, Default)]
pub struct Context {
    pub before: usize,
    pub after: usize,
}

/// Builds the searcher; one serves any number of texts, one after the other.
pub fn searcher(multiline: bool, context: Context) -> Searcher {
    build(multiline, context, false)
}

/// Texts in memory are decoded already; of files on disk the encoding is told by their mark.
fn build(multiline: bool, context: Context, sniff: bool) -> Searcher {
    SearcherBuilder::new()
        .multi_line(multiline)
        .line_number(true)
        .before_context(context.before)
        .after_context(context.after)
        .bom_sniffing(sniff)
        .binary_detection(BinaryDetection::none())
        .heap_limit(Some(2 * MAX_HELD_BYTES))
        .build()
}

/// Collects matches of one text after the other, up to a limit for all of them.
pub struct Collector<'a> {
    pub matcher: &'a RegexMatcher,
    pub cancel: &'a Cancel,
    pub limit: usize,
    pub count_only: bool,
    pub found: Vec<Found>,
    pub total: usize,
    /// Memory that `found` takes.
    pub bytes: usize,
    pub truncated: bool,
    /// Some line was too long to be looked at.
    pub incomplete: bool,
    /// Search as ripgrep searches a file that it reads piece by piece.
    pub line_buffered: bool,
    path: std::sync::Arc<str>,
    pending_before: Vec<String>,
    stopped: bool,
}

impl<'a> Collector<'a> {
    pub fn new(
        matcher: &'a RegexMatcher,
        cancel: &'a Cancel,
        limit: usize,
        count_only: bool,
    ) -> Self {
        Self {
            matcher,
            cancel,
            limit,
            count_only,
            found: Vec::new(),
            total: 0,
            bytes: 0,
            truncated: false,
            incomplete: false,
            line_buffered: false,
            path: "".into(),
            pending_before: Vec::new(),
            stopped: false,
        }
    }

    /// Searches one text. Returns how many matches it has.
    pub fn search(
        &mut self,
        searcher: &mut Searcher,
        path: &str,
        text: &Text,
        on_disk: impl FnOnce() -> PathBuf,
    ) -> Outcome<usize> {
        let before = self.total;
        self.path = path.into();
        self.pending_before.clear();
        let matcher = self.matcher;
        // ripgrep looks for NUL as it reads, so what it finds before one depends on its
        // buffers: the same code over the same buffers gives the same answer.
        let outcome = match text.unfit {
            None if self.line_buffered => {
                searcher.search_reader(matcher, Cursor::new(&text.bytes), &mut *self)
            }
            None => searcher.search_slice(matcher, &text.bytes, &mut *self),
            Some(Unfit::EarlyNul) => Ok(()),
            Some(unfit) => {
                let context = Context {
                    before: searcher.before_context(),
                    after: searcher.after_context(),
                };
                let mut searcher =
                    build(searcher.multi_line(), context, unfit != Unfit::NulInBuffer);
                searcher.set_binary_detection(BinaryDetection::quit(0));
                match unfit {
                    Unfit::NulInBuffer => {
                        searcher.search_reader(matcher, Cursor::new(&text.bytes), &mut *self)
                    }
                    _ => searcher.search_path(matcher, on_disk(), &mut *self),
                }
            }
        };
        match outcome {
            // A line, or with `multiline` the text, does not fit into the searcher's buffer.
            Err(_) if text.unfit == Some(Unfit::TooLarge) => self.incomplete = true,
            outcome => outcome.map_err(|error| Failure::broken(format!("{path}: {error}")))?,
        }
        self.cancel.check()?;
        Ok(self.total - before)
    }

    /// Notes one occurrence, of these bytes of its block of lines.
    fn keep(
        &mut self,
        mat: &SinkMatch<'_>,
        block: &[u8],
        locator: &mut Locator<'_>,
        inner: Range<usize>,
    ) {
        let before = std::mem::take(&mut self.pending_before);
        let place = locator.place(inner.start);
        let (text, cut) = excerpt(block, inner.start, inner.end.min(block.len()));
        let context: usize = before.iter().map(|l| size_of::<String>() + l.len()).sum();
        self.bytes += RECORD_BYTES + text.len() + context;
        self.total += 1;
        self.found.push(Found {
            path: std::sync::Arc::clone(&self.path),
            line: place.line,
            column: place.column,
            utf16_column: place.utf16_column,
            byte_offset: mat.absolute_byte_offset() + inner.start as u64,
            end_byte_offset: mat.absolute_byte_offset() + inner.end as u64,
            text,
            cut,
            before,
            after: Vec::new(),
            patterns: Vec::new(),
        });
    }

    /// Whether the limit is reached, so that further texts need not be looked at.
    pub fn is_full(&self) -> bool {
        self.truncated || self.stopped
    }
}

impl Sink for &mut Collector<'_> {
    type Error = std::io::Error;

    fn matched(&mut self, searcher: &Searcher, mat: &SinkMatch<'_>) -> std::io::Result<bool> {
        let range = mat.bytes_range_in_buffer();
        let block = &mat.buffer()[range.clone()];
        let line = usize::try_from(mat.line_number().unwrap_or(1)).unwrap_or(usize::MAX);
        let mut locator = Locator::from_line(block, line);
        let matcher = self.matcher;
        occurrences(
            searcher,
            matcher,
            mat.buffer(),
            range.clone(),
            |start, end| {
                if self.cancel.is_set() {
                    self.stopped = true;
                } else if self.count_only {
                    self.total += 1;
                } else if self.found.len() == self.limit || self.bytes > MAX_ANSWER_BYTES {
                    self.truncated = true;
                } else {
                    let inner = start - range.start..end - range.start;
                    self.keep(mat, block, &mut locator, inner);
                }
                !self.is_full()
            },
        );
        self.pending_before.clear();
        Ok(!self.is_full())
    }

    fn context(
        &mut self,
        _searcher: &Searcher,
        context: &SinkContext<'_>,
    ) -> std::io::Result<bool> {
        let line = line_text(context.bytes());
        match context.kind() {
            SinkContextKind::After => {
                if let Some(last) = self.found.last_mut() {
                    self.bytes += size_of::<String>() + line.len();
                    last.after.push(line);
                }
            }
            _ => self.pending_before.push(line),
        }
        Ok(true)
    }
}

/// Gives the occurrences within the lines that the searcher found to match, until `each` answers
/// false.
///
/// A line is searched without its end, and several lines with a bounded view beyond them, so
/// that `$` and word boundaries see what they saw in the search of the whole.
fn occurrences(
    searcher: &Searcher,
    matcher: &RegexMatcher,
    buffer: &[u8],
    range: Range<usize>,
    mut each: impl FnMut(usize, usize) -> bool,
) {
    let mut end = range.end;
    if searcher.multi_line_with_matcher(matcher) {
        end = (range.end + MAX_LOOK_AHEAD).min(buffer.len());
    } else if buffer[range.clone()].last() == Some(&b'\n') {
        end -= 1;
    }
    let _ = matcher.find_iter_at(&buffer[..end], range.start, |found| {
        found.start() < range.end && each(found.start(), found.end())
    });
}

fn line_text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    excerpt(line, 0, 0).0
}

/// The text of a match's lines; of very long ones, the part around the match.
fn excerpt(block: &[u8], start: usize, end: usize) -> (String, bool) {
    let whole = block.strip_suffix(b"\n").unwrap_or(block);
    let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
    if whole.len() <= MAX_LINE_BYTES {
        return (String::from_utf8_lossy(whole).into_owned(), false);
    }
    let from = start.saturating_sub(CUT_BYTES).min(whole.len());
    let to = (end.min(start + CUT_BYTES) + CUT_BYTES).clamp(from, whole.len());
    let part = String::from_utf8_lossy(&whole[from..to]).into_owned();
    let part = part.trim_matches('\u{FFFD}').to_owned();
    (part, true)
}
