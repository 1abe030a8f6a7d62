//! Going through many files: leaving out what cannot match, and sharing large work out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Outcome;
use crate::index::file::Candidate;
use crate::index::needs::Needs;
use crate::room::Room;
use crate::rpc::{Cancel, locked};
use crate::session::{Session, Source};
use crate::text::Text;

/// Work above either of these is shared among the cores; below, several calls at once keep
/// them busy better than the parts of one.
const MANY_UNREAD: usize = 64;
const MANY_BYTES: usize = 8 << 20;
const FILES_A_PART: usize = 16;

/// A file that may match, with its text if that is in memory.
pub struct Pending<'s> {
    pub source: &'s Source,
    text: Option<Arc<Text>>,
}

impl Pending<'_> {
    /// The text, or why it cannot be read.
    pub fn load(&self, session: &Session<'_>) -> Result<Arc<Text>, String> {
        match &self.text {
            Some(text) => Ok(Arc::clone(text)),
            None => session.load(self.source),
        }
    }

    /// The text for one look at it, which `spare` is memory for.
    pub fn pass(&self, session: &Session<'_>, spare: &mut Vec<u8>) -> Result<Arc<Text>, String> {
        match &self.text {
            Some(text) => Ok(Arc::clone(text)),
            None => session.pass(self.source, spare),
        }
    }
}

/// Leaves out the files whose signatures say that they cannot match.
pub fn candidates<'s>(
    session: &Session<'_>,
    sources: &'s [Source],
    needs: &Needs,
) -> Vec<Pending<'s>> {
    let pending = |source| match session.candidate(source, needs) {
        Candidate::No => None,
        Candidate::Loaded(text) => Some(Pending {
            source,
            text: Some(text),
        }),
        Candidate::Unloaded => Some(Pending { source, text: None }),
    };
    sources.iter().filter_map(pending).collect()
}

/// Whether many of the files must be read first.
pub fn reads_many(pending: &[Pending<'_>]) -> bool {
    pending.iter().filter(|p| p.text.is_none()).count() > MANY_UNREAD
}

/// Runs `part` over consecutive parts of the files, in parallel if there is much to do, and
/// gives the results in the files' order. Parts are begun in that order, and none once `room` is
/// full: what is given is always a beginning of the whole.
pub fn in_parts<'s, T: Send>(
    pending: &[Pending<'s>],
    room: &Room,
    cancel: &Cancel,
    part: impl Fn(&[Pending<'s>]) -> Outcome<T> + Sync,
) -> Outcome<Vec<T>> {
    let bytes: usize = pending
        .iter()
        .filter_map(|p| p.text.as_ref().map(|text| text.bytes.len()))
        .sum();
    if !reads_many(pending) && bytes <= MANY_BYTES {
        return Ok(vec![part(pending)?]);
    }
    let chunks: Vec<&[Pending<'s>]> = pending.chunks(FILES_A_PART).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(chunks.len()));
    let work = || {
        while !room.is_full() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = chunks.get(number) else {
                return;
            };
            let result = cancel.check().and_then(|()| part(chunk));
            let failed = result.is_err();
            locked(&done).push((number, result));
            if failed {
                next.store(chunks.len(), Ordering::Relaxed);
            }
        }
    };
    rayon::scope(|scope| {
        for _ in 0..rayon::current_num_threads() {
            scope.spawn(|_| work());
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
