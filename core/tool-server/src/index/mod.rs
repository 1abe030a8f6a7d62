//! An in-memory view of a root that is never behind the disk.
//!
//! [`View::refresh`] brings it up to date at the start of a query: it takes the change events
//! that are queued, and compares stamps where no events come from. Folders are listed when the
//! first query goes there, files read when the first query wants their text.

pub mod file;
pub mod filter;
mod grams;
mod kept;
mod lister;
pub mod needs;
pub mod reading;
mod rules;
mod stamp;
mod state;
pub mod store;
mod tree;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::failure::Outcome;
use crate::rpc::{Cancel, locked};
use file::File;
use filter::Filter;
use state::State;
use store::Store;
use tree::{Entry, Folder, is_private, last_name};

pub struct View {
    pub root: PathBuf,
    store: Arc<Store>,
    state: RwLock<State>,
    watching: bool,
    /// What recent queries selected, the last one first.
    selected: Mutex<Vec<Selected>>,
}

/// The files that a filter admits, as long as no folder changes.
struct Selected {
    generation: u64,
    from: String,
    filter: Arc<Filter>,
    files: Arc<[Arc<File>]>,
}

/// So many selections are remembered: agents ask of the same few again and again.
const MAX_SELECTED: usize = 8;

impl View {
    pub fn new(root: PathBuf, store: Arc<Store>, watching: bool) -> Self {
        let state = State::new(&root, watching);
        Self {
            root,
            store,
            state: RwLock::new(state),
            watching,
            selected: Mutex::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in every change made before the call.
    pub fn refresh(&self) {
        let mut state = self.write();
        state.take_events(self);
        if state.outside.changed() {
            state.outside = state.outside.read_again(&self.root);
            state.judge_below(self, "");
        }
        if state.unwatched {
            state.compare_stamps(self);
        }
    }

    /// The files that a filter admits below a folder, in the order of their paths.
    pub fn files(
        &self,
        from: &str,
        filter: &Arc<Filter>,
        cancel: &Cancel,
    ) -> Outcome<Arc<[Arc<File>]>> {
        loop {
            {
                let state = self.read();
                if let Some(files) = self.remembered(state.generation, from, filter) {
                    return Ok(files);
                }
                let mut files = Vec::new();
                if let Some(folder) = state.top.find(from)
                    && collect(folder, filter, &mut files)
                {
                    return Ok(self.remember(state.generation, from, filter, files));
                }
            }
            self.write().list_more(self, from, filter, cancel)?;
            cancel.check()?;
        }
    }

    fn remembered(&self, generation: u64, from: &str, filter: &Filter) -> Option<Arc<[Arc<File>]>> {
        let mut selected = locked(&self.selected);
        let at = selected.iter().position(|known| {
            known.generation == generation && known.from == from && known.filter.same_as(filter)
        })?;
        selected[..=at].rotate_right(1);
        Some(Arc::clone(&selected[0].files))
    }

    fn remember(
        &self,
        generation: u64,
        from: &str,
        filter: &Arc<Filter>,
        files: Vec<Arc<File>>,
    ) -> Arc<[Arc<File>]> {
        let files: Arc<[Arc<File>]> = files.into();
        let mut selected = locked(&self.selected);
        selected.retain(|known| known.generation == generation);
        selected.truncate(MAX_SELECTED - 1);
        selected.insert(
            0,
            Selected {
                generation,
                from: from.to_owned(),
                filter: Arc::clone(filter),
                files: Arc::clone(&files),
            },
        );
        files
    }

    /// A file that is listed already.
    pub fn file(&self, path: &str) -> Option<Arc<File>> {
        let state = self.read();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let listing = state.top.find(folder)?.listing.as_ref()?;
        listing.file(name).cloned()
    }

    /// Whether a filter admits a path that need not be on disk.
    pub fn admits(&self, path: &str, from: &str, filter: &Filter) -> bool {
        let inside = from.is_empty()
            || path
                .strip_prefix(from)
                .is_some_and(|rest| rest.starts_with('/'));
        if !inside || path.split('/').any(|name| is_private(name.as_ref())) {
            return false;
        }
        let state = self.read();
        let mut rules = &state.outside.rules;
        let mut folder = Some(&state.top);
        let ends = path.match_indices('/').map(|(at, _)| (at, true));
        for (end, is_dir) in ends.chain([(path.len(), false)]) {
            let listing = folder.and_then(|folder| folder.listing.as_ref());
            if let Some(listing) = listing {
                rules = &listing.rules;
            }
            let part = &path[..end];
            let full = self.root.join(part);
            let verdict = rules.verdict(&full, is_dir, &state.outside.global);
            // The folder that the search begins in, and those above it, are not in question.
            let beyond = end > from.len();
            let admitted = match is_dir {
                true => filter.enters(part, verdict),
                false => filter.admits(part, verdict),
            };
            if beyond && !admitted {
                return false;
            }
            folder = listing.and_then(|listing| listing.folder(last_name(part)));
        }
        true
    }

    pub fn all_files(&self) -> Vec<Arc<File>> {
        let mut files = Vec::new();
        self.read()
            .top
            .each_file(&mut |file| files.push(Arc::clone(file)));
        files
    }
}

/// Collects what is listed; false if a folder that the filter enters is not.
fn collect(folder: &Folder, filter: &Filter, files: &mut Vec<Arc<File>>) -> bool {
    let Some(listing) = &folder.listing else {
        return false;
    };
    listing.entries.iter().all(|entry| match entry {
        Entry::File(file) => {
            if filter.admits(&file.path, file.verdict()) {
                files.push(Arc::clone(file));
            }
            true
        }
        Entry::Folder(child) => {
            !filter.enters(&child.path, child.verdict) || collect(child, filter, files)
        }
    })
}
