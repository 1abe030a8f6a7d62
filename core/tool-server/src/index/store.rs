//! What is kept of files in memory, within a bound for all of them together.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::grams::Grams;
use super::reading::{read, read_through};
use super::rules::Verdict;
use super::stamp::Stamp;
use crate::grammar::Grammar;
use crate::rpc::{Cancel, locked};
use crate::syntax_tree::Parsed;
use crate::text::Text;

/// A file above this part of the bound is read anew each time.
const LARGEST_PART: usize = 4;
/// Trees take at most this part of what the texts take: they are some ten times a text's size.
const TREES_PART: usize = 8;
/// But small workspaces may have this much for trees, if the bound allows.
const TREES_MIN_BYTES: usize = 4 << 20;

/// A tree that this many queries did not use makes room for others.
const TREE_AGE: u32 = 16;

/// The memory that all roots share.
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

    fn now(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Everything that is kept of files.
    pub fn held_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed) + self.records.load(Ordering::Relaxed)
    }

    /// Whether eviction would stop before it made any more room than there is.
    fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit / 4 * 3
    }

    pub fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// Whether trees found no room since this was last asked.
    pub fn trees_were_full(&self) -> bool {
        self.trees_full.swap(false, Ordering::Relaxed)
    }

    fn trees_limit(&self) -> usize {
        let texts = self.used.load(Ordering::Relaxed) / TREES_PART;
        texts.max(TREES_MIN_BYTES).min(self.limit / 4)
    }

    /// Drops what was used longest ago: first texts and trees, then signatures.
    pub fn evict(&self, mut files: Vec<Arc<File>>) {
        let target = self.limit / 4 * 3;
        files.sort_by_key(|file| file.last_used.load(Ordering::Relaxed));
        for signatures_too in [false, true] {
            for file in &files {
                if self.used.load(Ordering::Relaxed) <= target {
                    return;
                }
                let mut slot = locked(&file.slot);
                slot.text = None;
                slot.tree = None;
                if signatures_too {
                    slot.grams = None;
                }
                file.account(&mut slot);
            }
        }
    }
}

/// One file of a root.
pub struct File {
    /// Relative to the root, with forward slashes.
    pub path: Box<str>,
    /// Where it lies, if the path above is not exactly its name.
    odd_path: Option<Box<Path>>,
    verdict: AtomicU8,
    last_used: AtomicU32,
    slot: Mutex<Slot>,
    store: Arc<Store>,
}

#[derive(Default)]
struct Slot {
    /// Counts changes: what was read before a change must not be kept after it.
    version: u32,
    text: Option<Arc<Text>>,
    reading: Reading,
    grams: Option<Box<Grams>>,
    tree: Option<Tree>,
    /// Of the file that `text` and `grams` are of; none if they cannot be told from later ones.
    stamp: Option<Box<Stamp>>,
    /// The bytes that this file counts for in the store.
    accounted: usize,
    accounted_tree: usize,
}

/// How far the text got that a search reads for the first time.
///
/// To keep the texts of a whole tree costs more than to search them: memory that was never used
/// before must be had from the system and filled. So the first search passes over them, and they
/// are kept after its answer.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Never,
    /// Searched, but not kept yet.
    Passed,
    /// Whoever reads it from now on keeps it.
    Kept,
}

struct Tree {
    grammar: Grammar,
    parsed: Parsed,
    last_used: u32,
}

/// What a file's signature says.
pub enum Candidate {
    No,
    /// The text is in memory.
    Loaded(Arc<Text>),
    Unloaded,
}

impl File {
    pub fn new(
        path: String,
        odd_path: Option<PathBuf>,
        verdict: Verdict,
        store: &Arc<Store>,
    ) -> Self {
        store
            .records
            .fetch_add(record_bytes(&path), Ordering::Relaxed);
        Self {
            path: path.into(),
            odd_path: odd_path.map(Into::into),
            verdict: AtomicU8::new(verdict as u8),
            last_used: AtomicU32::new(0),
            slot: Mutex::default(),
            store: Arc::clone(store),
        }
    }

    pub fn verdict(&self) -> Verdict {
        match self.verdict.load(Ordering::Relaxed) {
            0 => Verdict::Silent,
            1 => Verdict::Ignored,
            _ => Verdict::Wanted,
        }
    }

    pub fn set_verdict(&self, verdict: Verdict) {
        self.verdict.store(verdict as u8, Ordering::Relaxed);
    }

    pub fn full_path(&self, root: &Path) -> PathBuf {
        match &self.odd_path {
            Some(path) => path.to_path_buf(),
            None => root.join(&*self.path),
        }
    }

    /// The file changed: nothing that is known of it holds any more.
    pub fn invalidate(&self) {
        let mut slot = locked(&self.slot);
        slot.version = slot.version.wrapping_add(1);
        slot.text = None;
        slot.grams = None;
        slot.tree = None;
        slot.stamp = None;
        self.account(&mut slot);
    }

    /// Where no watch reports changes: compares the file's stamp with the one it had.
    pub fn revalidate(&self, root: &Path) {
        let known = {
            let slot = locked(&self.slot);
            if slot.text.is_none() && slot.grams.is_none() {
                return;
            }
            slot.stamp.as_deref().copied()
        };
        if known.is_none() || known != Stamp::of(&self.full_path(root)) {
            self.invalidate();
        }
    }

    pub fn candidate(&self, needs: &super::grams::Needs) -> Candidate {
        let slot = locked(&self.slot);
        if slot
            .grams
            .as_ref()
            .is_some_and(|grams| !grams.may_match(needs))
        {
            return Candidate::No;
        }
        match &slot.text {
            Some(text) => {
                self.touch();
                Candidate::Loaded(Arc::clone(text))
            }
            None => Candidate::Unloaded,
        }
    }

    fn touch(&self) {
        self.last_used.store(self.store.now(), Ordering::Relaxed);
    }

    /// The text for one look at it. The first time it is read, it is not kept, and `spare` is
    /// what it is read into.
    pub fn pass(&self, root: &Path, spare: &mut Vec<u8>) -> Result<Arc<Text>, String> {
        {
            let mut slot = locked(&self.slot);
            if slot.text.is_some() || slot.reading != Reading::Never {
                drop(slot);
                return self.load(root);
            }
            slot.reading = Reading::Passed;
        }
        self.touch();
        read_through(&self.full_path(root), spare)
            .map(|(text, _)| Arc::new(text))
            .map_err(|error| error.to_string())
    }

    /// Keeps the text that a search passed over, if there is room, and signs it.
    pub fn settle(&self, root: &Path) {
        let passed = {
            let mut slot = locked(&self.slot);
            let passed = slot.reading == Reading::Passed;
            if passed {
                slot.reading = Reading::Kept;
            }
            passed
        };
        if passed && self.store.has_room() {
            // What cannot be read has no text to keep; the next search tells of it again.
            let _ = self.load(root);
        }
        self.sign();
    }

    /// The text, from memory or disk.
    pub fn load(&self, root: &Path) -> Result<Arc<Text>, String> {
        self.touch();
        let version = {
            let slot = locked(&self.slot);
            if let Some(text) = &slot.text {
                return Ok(Arc::clone(text));
            }
            slot.version
        };
        let (text, stamp) = read(&self.full_path(root)).map_err(|error| error.to_string())?;
        let text = Arc::new(text);
        if text.bytes.len() <= self.store.limit / LARGEST_PART {
            let mut slot = locked(&self.slot);
            // A change seen since the reading began would otherwise be lost.
            if slot.version == version {
                slot.reading = Reading::Kept;
                slot.text = Some(Arc::clone(&text));
                slot.stamp = Some(stamp).filter(Stamp::is_settled).map(Box::new);
                self.account(&mut slot);
            }
        }
        Ok(text)
    }

    /// Makes the signature of a text in memory that has none yet.
    fn sign(&self) {
        let (text, version) = {
            let slot = locked(&self.slot);
            match (&slot.text, &slot.grams) {
                (Some(text), None) => (Arc::clone(text), slot.version),
                _ => return,
            }
        };
        // What may be found in an unfit file is on disk.
        if text.unfit.is_some() {
            return;
        }
        let grams = Box::new(Grams::of(&text.bytes));
        let mut slot = locked(&self.slot);
        if slot.version == version {
            slot.grams = Some(grams);
            self.account(&mut slot);
        }
    }

    /// The syntax tree of a text that was just loaded, from memory or by parsing.
    pub fn parse(&self, text: &Arc<Text>, grammar: Grammar, cancel: &Cancel) -> Option<Parsed> {
        let now = self.store.now();
        {
            let mut slot = locked(&self.slot);
            let current = slot.text.as_ref().is_some_and(|own| Arc::ptr_eq(own, text));
            if let Some(tree) = &mut slot.tree
                && tree.grammar == grammar
                && current
            {
                tree.last_used = now;
                return Some(tree.parsed.clone());
            }
        }
        let parsed = Parsed::new(text, grammar, cancel)?;
        let size = parsed.size_bytes();
        let used = self.store.trees.load(Ordering::Relaxed);
        if used + size > self.store.trees_limit() {
            // Dropping another tree for it now would make every tree of a large search be
            // parsed again each time; a later query drops those that are not used any more.
            self.store.trees_full.store(true, Ordering::Relaxed);
            return Some(parsed);
        }
        let mut slot = locked(&self.slot);
        if slot.text.as_ref().is_some_and(|own| Arc::ptr_eq(own, text)) {
            slot.tree = Some(Tree {
                grammar,
                parsed: parsed.clone(),
                last_used: now,
            });
            self.account(&mut slot);
        }
        Some(parsed)
    }

    /// Drops the tree, if no recent query used it.
    pub fn drop_old_tree(&self) {
        let now = self.store.now();
        let mut slot = locked(&self.slot);
        let old = |tree: &mut Tree| now.wrapping_sub(tree.last_used) > TREE_AGE;
        if slot.tree.take_if(old).is_some() {
            self.account(&mut slot);
        }
    }

    /// Brings the store's sums up to what the slot holds now.
    fn account(&self, slot: &mut Slot) {
        let text = slot.text.as_ref().map_or(0, |text| text.bytes.len());
        let grams = slot.grams.as_ref().map_or(0, |grams| grams.size_bytes());
        let tree = slot
            .tree
            .as_ref()
            .map_or(0, |tree| tree.parsed.size_bytes());
        let total = text + grams + tree;
        shift(&self.store.used, slot.accounted, total);
        shift(&self.store.trees, slot.accounted_tree, tree);
        slot.accounted = total;
        slot.accounted_tree = tree;
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let slot = std::mem::take(&mut *locked(&self.slot));
        shift(&self.store.used, slot.accounted, 0);
        shift(&self.store.trees, slot.accounted_tree, 0);
        shift(&self.store.records, record_bytes(&self.path), 0);
    }
}

/// What an entry takes: itself, its names here and in its folder, and its places in selections.
fn record_bytes(path: &str) -> usize {
    size_of::<File>() + 2 * path.len() + 8 * size_of::<Arc<File>>()
}

fn shift(sum: &AtomicUsize, old: usize, new: usize) {
    sum.fetch_add(new, Ordering::Relaxed);
    sum.fetch_sub(old, Ordering::Relaxed);
}
