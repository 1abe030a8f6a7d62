//! An in-memory view of a root that is never behind the disk.
//!
//! [`View::refresh`] brings it up to date at the start of a query: it takes the change events
//! that are queued, and compares stamps where no events come from. Folders are listed when the
//! first query goes there, files read when the first query wants their text.

pub mod filter;
pub mod grams;
pub mod reading;
mod rules;
mod stamp;
pub mod store;
mod tree;
mod watch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::failure::{Failure, Outcome};
use crate::rpc::{Cancel, locked};
use filter::Filter;
use rules::{Outside, Rules, Verdict, is_rule_name};
use store::{File, Store};
use tree::{Entry, Folder, Lister, is_private, last_name};
use watch::{Event, Kind, WatchId, Watcher};

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

struct State {
    top: Folder,
    watcher: Option<Watcher>,
    /// The watched folders' paths.
    folders: HashMap<WatchId, Box<str>>,
    outside: Outside,
    /// Some listed folder has no watch.
    unwatched: bool,
    /// Counts changes of what there is and how it is judged; texts do not matter.
    generation: u64,
}

impl View {
    pub fn new(root: PathBuf, store: Arc<Store>, watching: bool) -> Self {
        let state = State {
            top: Folder {
                path: "".into(),
                full: root.clone(),
                verdict: Verdict::Silent,
                listing: None,
            },
            watcher: watching.then(|| Watcher::new(&root)).flatten(),
            folders: HashMap::new(),
            outside: Outside::read(&root),
            unwatched: false,
            generation: 0,
        };
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

impl State {
    /// Runs something that lists or judges folders, and takes note of what it watched.
    fn with_lister<T>(
        &mut self,
        view: &View,
        cancel: &Cancel,
        work: impl FnOnce(&Lister<'_>, &mut Folder, &Arc<Rules>) -> T,
    ) -> T {
        let lister = Lister {
            root: &view.root,
            watcher: self.watcher.as_ref(),
            global: &self.outside.global,
            store: &view.store,
            cancel,
            watches: Mutex::default(),
            excludes: Mutex::default(),
            unwatched: false.into(),
        };
        let result = work(&lister, &mut self.top, &self.outside.rules);
        let watches = std::mem::take(&mut *locked(&lister.watches));
        let excludes = std::mem::take(&mut *locked(&lister.excludes));
        self.unwatched |= lister.unwatched.into_inner();
        self.folders.extend(watches);
        for (path, stamp) in excludes {
            self.outside.note(path, stamp);
        }
        result
    }

    fn list_more(
        &mut self,
        view: &View,
        from: &str,
        filter: &Filter,
        cancel: &Cancel,
    ) -> Outcome<()> {
        self.generation += 1;
        let reached = self.with_lister(view, cancel, |lister, top, above| {
            let mut above = Arc::clone(above);
            let mut folder = top;
            for name in from.split('/').filter(|name| !name.is_empty()) {
                let path = folder.path.clone();
                let full = folder.full.clone();
                let listing = folder
                    .listing
                    .get_or_insert_with(|| lister.list(&path, &full, &above, Vec::new()));
                above = Arc::clone(&listing.rules);
                match listing.folder_mut(name) {
                    Some(child) => folder = child,
                    None => return false,
                }
            }
            lister.expand(folder, &above, filter);
            true
        });
        if reached {
            return Ok(());
        }
        Err(Failure::rejected(format!(
            "{from} is not a folder below the root {} that can be searched (links are not followed)",
            view.root.display()
        )))
    }

    fn take_events(&mut self, view: &View) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let mut events = Vec::new();
        watcher.drain(|event| events.push(event));
        let mut judged: Vec<Box<str>> = Vec::new();
        for event in events {
            match event {
                Event::Overflow => return self.start_over(view),
                Event::FolderGone(id) => {
                    if let Some(path) = self.folders.get(&id).cloned() {
                        self.forget_listing(&path);
                    }
                }
                Event::Entry { folder, name, kind } => {
                    let Some(path) = self.folders.get(&folder).cloned() else {
                        continue;
                    };
                    match name.to_str() {
                        Some(text) => self.take_entry(view, &path, text, kind),
                        // Names that are not UTF-8 may look alike: list them all again.
                        None => self.forget_listing(&path),
                    }
                    if is_rule_name(&name) && !judged.contains(&path) {
                        judged.push(path);
                    }
                }
            }
        }
        for path in judged {
            self.judge_below(view, &path);
        }
    }

    /// Takes in that an entry of a folder changed, came or went.
    fn take_entry(&mut self, view: &View, folder: &str, name: &str, kind: Kind) {
        let gone = self.with_lister(view, &Cancel::default(), |lister, top, _| {
            let folder = top.find_mut(folder)?;
            let listing = folder.listing.as_mut()?;
            if kind == Kind::FileChanged
                && let Some(file) = listing.file(name)
            {
                file.invalidate();
                return None;
            }
            let metadata = std::fs::symlink_metadata(folder.full.join(name)).ok();
            let old = listing.remove(name);
            let rules = Arc::clone(&listing.rules);
            let new = metadata.and_then(|metadata| {
                let kind = metadata.file_type();
                lister.entry(&folder.path, &folder.full, name.as_ref(), kind, &rules)
            });
            let mut gone = Vec::new();
            let mut kept = None;
            let had_file = matches!(&*old, [Entry::File(_)]);
            let has_file = matches!(&new, Some(Entry::File(_)));
            let same = had_file && has_file;
            for entry in old {
                match entry {
                    Entry::File(file) => {
                        file.invalidate();
                        kept = Some(file);
                    }
                    Entry::Folder(folder) => gone.push(folder),
                }
            }
            match (new, kept) {
                (Some(Entry::File(_)), Some(file)) => listing.insert(Entry::File(file)),
                (Some(new), _) => listing.insert(new),
                (None, _) => {}
            }
            Some((gone, same))
        });
        let Some((gone, same)) = gone else {
            return;
        };
        // A file put in the place of another, as editors save, is the same entry.
        self.generation += u64::from(!same);
        for folder in gone {
            self.unwatch(&folder);
        }
    }

    fn unwatch(&mut self, folder: &Folder) {
        let (watcher, folders) = (&self.watcher, &mut self.folders);
        folder.each_folder(&mut |folder| {
            let watch = folder.listing.as_ref().and_then(|listing| listing.watch);
            if let Some(id) = watch {
                folders.remove(&id);
                if let Some(watcher) = watcher {
                    watcher.unwatch(id);
                }
            }
        });
    }

    /// What lies in a folder is not known any more.
    fn forget_listing(&mut self, path: &str) {
        self.generation += 1;
        if let Some(folder) = self.top.find_mut(path) {
            let forgotten = Folder {
                path: folder.path.clone(),
                full: folder.full.clone(),
                verdict: folder.verdict,
                listing: folder.listing.take(),
            };
            self.unwatch(&forgotten);
        }
    }

    /// Events were lost: everything is listed and read anew.
    fn start_over(&mut self, view: &View) {
        self.generation += 1;
        self.folders.clear();
        self.watcher = view.watching.then(|| Watcher::new(&view.root)).flatten();
        self.top.listing = None;
        self.outside = Outside::read(&view.root);
        self.unwatched = false;
    }

    fn judge_below(&mut self, view: &View, path: &str) {
        self.generation += 1;
        self.with_lister(view, &Cancel::default(), |lister, top, above| {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let above = match path {
                "" => Some(Arc::clone(above)),
                _ => top
                    .find(parent)
                    .and_then(|folder| folder.listing.as_ref())
                    .map(|listing| Arc::clone(&listing.rules)),
            };
            if let (Some(above), Some(folder)) = (above, top.find_mut(path)) {
                lister.judge(folder, &above);
            }
        });
    }

    /// Looks at every folder without a watch, and at the files in it that are in memory.
    fn compare_stamps(&mut self, view: &View) {
        self.generation += 1;
        self.with_lister(view, &Cancel::default(), |lister, top, above| {
            lister.compare(top, above);
        });
    }
}
