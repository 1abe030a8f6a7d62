//! What is kept of one file in memory, and what it counts for.

use std::sync::Arc;

use super::grams::Grams;
use super::stamp::Stamp;
use super::store::{Held, Store};
use crate::grammar::Grammar;
use crate::syntax_tree::Parsed;
use crate::text::Text;

/// A tree that this many queries did not use makes room for others.
const TREE_AGE: u32 = 16;

#[derive(Default)]
pub struct Kept {
    /// Counts changes: what was read before a change must not be kept after it.
    pub version: u32,
    pub text: Option<Arc<Text>>,
    pub reading: Reading,
    pub grams: Option<Box<Grams>>,
    /// Of the file that `text` and `grams` are of; none if they cannot be told from later ones.
    pub stamp: Option<Box<Stamp>>,
    tree: Option<Tree>,
    /// What was last accounted for.
    held: Held,
}

/// How far the text got that a search reads for the first time.
///
/// To keep the texts of a whole tree costs more than to search them: memory that was never used
/// before must be had from the system and filled. So the first search passes over them, and they
/// are kept after its answer.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Reading {
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
    /// By the clock of the store.
    last_used: u32,
}

impl Kept {
    /// The file changed: nothing that is known of it holds any more.
    pub fn forget(&mut self) {
        self.version = self.version.wrapping_add(1);
        self.stamp = None;
        self.drop_text(true);
    }

    /// Drops the text and its tree, and the signature if told so.
    pub fn drop_text(&mut self, signature_too: bool) {
        self.text = None;
        self.tree = None;
        if signature_too {
            self.grams = None;
        }
    }

    fn is_of(&self, text: &Arc<Text>) -> bool {
        self.text.as_ref().is_some_and(|own| Arc::ptr_eq(own, text))
    }

    /// The tree of a text, if that is kept, which now is used.
    pub fn parsed(&mut self, text: &Arc<Text>, grammar: Grammar, now: u32) -> Option<Parsed> {
        let current = self.is_of(text);
        let tree = self.tree.as_mut()?;
        if !current || tree.grammar != grammar {
            return None;
        }
        tree.last_used = now;
        Some(tree.parsed.clone())
    }

    /// Keeps the tree of a text, if that is still the file's.
    pub fn keep_tree(&mut self, text: &Arc<Text>, grammar: Grammar, parsed: &Parsed, now: u32) {
        if self.is_of(text) {
            self.tree = Some(Tree {
                grammar,
                parsed: parsed.clone(),
                last_used: now,
            });
        }
    }

    /// Drops the tree, if no recent query used it; whether it did.
    pub fn drop_old_tree(&mut self, now: u32) -> bool {
        let old = |tree: &mut Tree| now.wrapping_sub(tree.last_used) > TREE_AGE;
        self.tree.take_if(old).is_some()
    }

    /// Brings the store's sums up to what is kept now.
    pub fn account(&mut self, store: &Store) {
        let text = self.text.as_ref().map_or(0, |text| text.bytes.len());
        let grams = self.grams.as_ref().map_or(0, |grams| grams.size_bytes());
        let tree = self
            .tree
            .as_ref()
            .map_or(0, |tree| tree.parsed.size_bytes());
        let held = Held {
            bytes: text + grams + tree,
            tree_bytes: tree,
        };
        store.shift(self.held, held);
        self.held = held;
    }
}
