//! The memory that all roots share: how much is kept of files, and what makes room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use super::file::File;

/// A file above this part of the bound is read anew each time.
const LARGEST_PART: usize = 4;
/// Trees take at most this part of what the texts take: they are some ten times a text's size.
const TREES_PART: usize = 8;
/// But small workspaces may have this much for trees, if the bound allows.
const TREES_MIN_BYTES: usize = 4 << 20;

/// What is held, in sums, within a bound for all files together.
pub struct Store {
    limit: usize,
    used: AtomicUsize,
    trees: AtomicUsize,
    /// What the files' own records take; they are not dropped for want of room.
    records: AtomicUsize,
    /// Set when a tree found no room.
    trees_full: AtomicBool,
    /// Counts queries: what an older query used last is dropped first.
    clock: AtomicU32,
}

/// What one file takes in the store.
#[derive(Clone, Copy, Default)]
pub struct Held {
    /// The tree included.
    pub bytes: usize,
    pub tree_bytes: usize,
}

impl Store {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            trees: AtomicUsize::new(0),
            records: AtomicUsize::new(0),
            trees_full: AtomicBool::new(false),
            clock: AtomicU32::new(0),
        }
    }

    pub fn tick(&self) {
        self.clock.fetch_add(1, Ordering::Relaxed);
    }

    pub fn now(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Everything that is kept of files.
    pub fn held_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed) + self.records.load(Ordering::Relaxed)
    }

    /// A file takes what it has now in place of what it had.
    pub fn shift(&self, old: Held, new: Held) {
        shift(&self.used, old.bytes, new.bytes);
        shift(&self.trees, old.tree_bytes, new.tree_bytes);
    }

    /// A file's own record takes so much more, or less.
    pub fn shift_records(&self, old: usize, new: usize) {
        shift(&self.records, old, new);
    }

    /// Whether a text of this size may be kept.
    pub fn keeps(&self, size: usize) -> bool {
        size <= self.limit / LARGEST_PART
    }

    /// Whether eviction would stop before it made any more room than there is.
    pub fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit / 4 * 3
    }

    pub fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// Whether there is room for a tree of this size; where not, that is noted.
    pub fn has_room_for_tree(&self, size: usize) -> bool {
        let texts = self.used.load(Ordering::Relaxed) / TREES_PART;
        let limit = texts.max(TREES_MIN_BYTES).min(self.limit / 4);
        let fits = self.trees.load(Ordering::Relaxed) + size <= limit;
        if !fits {
            self.trees_full.store(true, Ordering::Relaxed);
        }
        fits
    }

    /// Whether trees found no room since this was last asked.
    pub fn trees_were_full(&self) -> bool {
        self.trees_full.swap(false, Ordering::Relaxed)
    }

    /// Drops what was used longest ago: first texts and trees, then signatures.
    pub fn evict(&self, mut files: Vec<Arc<File>>) {
        let target = self.limit / 4 * 3;
        files.sort_by_key(|file| file.last_used());
        for signatures_too in [false, true] {
            for file in &files {
                if self.used.load(Ordering::Relaxed) <= target {
                    return;
                }
                file.drop_text(signatures_too);
            }
        }
    }
}

fn shift(sum: &AtomicUsize, old: usize, new: usize) {
    sum.fetch_add(new, Ordering::Relaxed);
    sum.fetch_sub(old, Ordering::Relaxed);
}
