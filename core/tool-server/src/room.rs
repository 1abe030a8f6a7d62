//! How large an answer may become, whatever lies in the workspace.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::failure::{Failure, Outcome};

/// The most that one answer takes in memory before it is written as JSON.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;
/// What a record takes besides its texts.
pub const RECORD_BYTES: usize = 192;

/// What the parts of one answer have taken so far. Safe to share between threads.
pub struct Room {
    limit: usize,
    records: AtomicUsize,
    bytes: AtomicUsize,
    cut: AtomicBool,
}

impl Room {
    /// For so many records at most.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            cut: AtomicBool::new(false),
        }
    }

    /// For an answer that is whole or an error.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// Takes note of a finished part; `cut` says that it left something out.
    pub fn take(&self, records: usize, bytes: usize, cut: bool) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.cut.fetch_or(cut, Ordering::Relaxed);
    }

    /// Whether later parts would be left out anyway.
    pub fn is_full(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
            || self.records.load(Ordering::Relaxed) > self.limit
            || self.bytes.load(Ordering::Relaxed) > MAX_ANSWER_BYTES
    }

    /// Makes room for one more record with so many bytes of text.
    pub fn add(&self, text_bytes: usize) -> Outcome<()> {
        self.take(1, text_bytes + RECORD_BYTES, false);
        if self.is_full() {
            return Err(Failure::rejected(format!(
                "the answer would be larger than {} MiB: select fewer files, or ask for less of each",
                MAX_ANSWER_BYTES >> 20
            )));
        }
        Ok(())
    }
}
