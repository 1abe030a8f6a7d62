//! A file of a root, with what is kept of it: its text, its signature, its syntax tree.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::grams::Grams;
use super::kept::{Kept, Reading};
use super::needs::Needs;
use super::reading::{read, read_through};
use super::rules::Verdict;
use super::stamp::Stamp;
use super::store::Store;
use crate::grammar::Grammar;
use crate::rpc::{Cancel, locked};
use crate::syntax_tree::Parsed;
use crate::text::Text;

/// One file of a root.
pub struct File {
    /// Relative to the root, with forward slashes.
    pub path: Box<str>,
    /// Where it lies, if the path above is not exactly its name.
    odd_path: Option<Box<Path>>,
    verdict: AtomicU8,
    last_used: AtomicU32,
    kept: Mutex<Kept>,
    store: Arc<Store>,
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
        store.shift_records(0, record_bytes(&path));
        Self {
            path: path.into(),
            odd_path: odd_path.map(Into::into),
            verdict: AtomicU8::new(verdict as u8),
            last_used: AtomicU32::new(0),
            kept: Mutex::default(),
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
        let mut kept = locked(&self.kept);
        kept.forget();
        kept.account(&self.store);
    }

    /// Makes room: drops the text and its tree, and the signature if told so.
    pub fn drop_text(&self, signature_too: bool) {
        let mut kept = locked(&self.kept);
        kept.drop_text(signature_too);
        kept.account(&self.store);
    }

    /// Where no watch reports changes: compares the file's stamp with the one it had.
    pub fn revalidate(&self, root: &Path) {
        let known = {
            let kept = locked(&self.kept);
            if kept.text.is_none() && kept.grams.is_none() {
                return;
            }
            kept.stamp.as_deref().copied()
        };
        if known.is_none() || known != Stamp::of(&self.full_path(root)) {
            self.invalidate();
        }
    }

    pub fn candidate(&self, needs: &Needs) -> Candidate {
        let kept = locked(&self.kept);
        if kept
            .grams
            .as_ref()
            .is_some_and(|grams| !needs.may_be_met_by(grams))
        {
            return Candidate::No;
        }
        match &kept.text {
            Some(text) => {
                self.touch();
                Candidate::Loaded(Arc::clone(text))
            }
            None => Candidate::Unloaded,
        }
    }

    /// By the clock of the store.
    pub fn last_used(&self) -> u32 {
        self.last_used.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        self.last_used.store(self.store.now(), Ordering::Relaxed);
    }

    /// The text for one look at it. The first time it is read, it is not kept, and `spare` is
    /// what it is read into.
    pub fn pass(&self, root: &Path, spare: &mut Vec<u8>) -> Result<Arc<Text>, String> {
        {
            let mut kept = locked(&self.kept);
            if kept.text.is_some() || kept.reading != Reading::Never {
                drop(kept);
                return self.load(root);
            }
            kept.reading = Reading::Passed;
        }
        self.touch();
        read_through(&self.full_path(root), spare)
            .map(|(text, _)| Arc::new(text))
            .map_err(|error| error.to_string())
    }

    /// Keeps the text that a search passed over, if there is room, and signs it.
    pub fn settle(&self, root: &Path) {
        let passed = {
            let mut kept = locked(&self.kept);
            let passed = kept.reading == Reading::Passed;
            if passed {
                kept.reading = Reading::Kept;
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
            let kept = locked(&self.kept);
            if let Some(text) = &kept.text {
                return Ok(Arc::clone(text));
            }
            kept.version
        };
        let (text, stamp) = read(&self.full_path(root)).map_err(|error| error.to_string())?;
        let text = Arc::new(text);
        if self.store.keeps(text.bytes.len()) {
            let mut kept = locked(&self.kept);
            // A change seen since the reading began would otherwise be lost.
            if kept.version == version {
                kept.reading = Reading::Kept;
                kept.text = Some(Arc::clone(&text));
                kept.stamp = Some(stamp).filter(Stamp::is_settled).map(Box::new);
                kept.account(&self.store);
            }
        }
        Ok(text)
    }

    /// Makes the signature of a text in memory that has none yet.
    fn sign(&self) {
        let (text, version) = {
            let kept = locked(&self.kept);
            match (&kept.text, &kept.grams) {
                (Some(text), None) => (Arc::clone(text), kept.version),
                _ => return,
            }
        };
        // What may be found in an unfit file is on disk.
        if text.unfit.is_some() {
            return;
        }
        let grams = Box::new(Grams::of(&text.bytes));
        let mut kept = locked(&self.kept);
        if kept.version == version {
            kept.grams = Some(grams);
            kept.account(&self.store);
        }
    }

    /// The syntax tree of a text that was just loaded, from memory or by parsing.
    pub fn parse(&self, text: &Arc<Text>, grammar: Grammar, cancel: &Cancel) -> Option<Parsed> {
        let now = self.store.now();
        if let Some(parsed) = locked(&self.kept).parsed(text, grammar, now) {
            return Some(parsed);
        }
        let parsed = Parsed::new(text, grammar, cancel)?;
        if !self.store.has_room_for_tree(parsed.size_bytes()) {
            // Dropping another tree for it now would make every tree of a large search be
            // parsed again each time; a later query drops those that are not used any more.
            return Some(parsed);
        }
        let mut kept = locked(&self.kept);
        kept.keep_tree(text, grammar, &parsed, now);
        kept.account(&self.store);
        Some(parsed)
    }

    /// Drops the tree, if no recent query used it.
    pub fn drop_old_tree(&self) {
        let mut kept = locked(&self.kept);
        if kept.drop_old_tree(self.store.now()) {
            kept.account(&self.store);
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let mut kept = locked(&self.kept);
        kept.forget();
        kept.account(&self.store);
        self.store.shift_records(record_bytes(&self.path), 0);
    }
}

/// What an entry takes: itself, its names here and in its folder, and its places in selections.
fn record_bytes(path: &str) -> usize {
    size_of::<File>() + 2 * path.len() + 8 * size_of::<Arc<File>>()
}
