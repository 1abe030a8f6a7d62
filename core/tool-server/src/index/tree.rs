//! The folders and files of a root, listed as far as queries went.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, Mutex};

use ignore::gitignore::Gitignore;

use super::filter::Filter;
use super::rules::{Rules, Verdict, exclude_file, is_rule_name};
use super::stamp::Stamp;
use super::store::{File, Store};
use super::watch::{WatchId, Watcher};
use crate::rpc::{Cancel, locked};

pub struct Folder {
    /// Relative to the root, with forward slashes; empty for the root itself.
    pub path: Box<str>,
    pub full: PathBuf,
    pub verdict: Verdict,
    /// What lies in it, once a query went here.
    pub listing: Option<Listing>,
}

pub struct Listing {
    pub rules: Arc<Rules>,
    /// In the order of paths: folders sort as if their names ended in a slash.
    pub entries: Vec<Entry>,
    pub watch: Option<WatchId>,
    /// Where there is no watch: of the folder before it was read, if that can be told from
    /// later states.
    pub stamp: Option<Stamp>,
}

pub enum Entry {
    File(Arc<File>),
    Folder(Box<Folder>),
}

impl Entry {
    fn key(&self) -> (&str, bool) {
        match self {
            Self::File(file) => (last_name(&file.path), false),
            Self::Folder(folder) => (last_name(&folder.path), true),
        }
    }
}

pub fn last_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn order(a: (&str, bool), b: (&str, bool)) -> Ordering {
    let common = a.0.len().min(b.0.len());
    let (a_head, a_rest) = a.0.as_bytes().split_at(common);
    let (b_head, b_rest) = b.0.as_bytes().split_at(common);
    let ending = |folder: bool| folder.then_some(&b'/');
    a_head.cmp(b_head).then_with(|| {
        let a_rest = a_rest.iter().chain(ending(a.1));
        a_rest.cmp(b_rest.iter().chain(ending(b.1)))
    })
}

/// Folders that no search enters: the repository's own, and this product's state.
pub fn is_private(name: &OsStr) -> bool {
    name == ".git" || name == ".opencode"
}

/// What listing a folder needs to know.
pub struct Lister<'a> {
    pub root: &'a Path,
    pub watcher: Option<&'a Watcher>,
    pub global: &'a Gitignore,
    pub store: &'a Arc<Store>,
    pub cancel: &'a Cancel,
    /// The watches made on the way, with their folders' paths.
    pub watches: Mutex<Vec<(WatchId, Box<str>)>>,
    /// The exclude files of repositories found on the way, as they were when they were read.
    pub excludes: Mutex<Vec<(PathBuf, Option<Stamp>)>>,
    /// Whether some folder could not be watched.
    pub unwatched: AtomicBool,
}

impl Lister<'_> {
    /// Lists a folder and those below it that a filter admits, in parallel.
    pub fn expand(&self, folder: &mut Folder, above: &Arc<Rules>, filter: &Filter) {
        rayon::scope(|scope| self.expand_in(scope, folder, Arc::clone(above), filter));
    }

    fn expand_in<'s>(
        &'s self,
        scope: &rayon::Scope<'s>,
        folder: &'s mut Folder,
        above: Arc<Rules>,
        filter: &'s Filter,
    ) {
        if self.cancel.is_set() {
            return;
        }
        if folder.listing.is_none() {
            folder.listing = Some(self.list(&folder.path, &folder.full, &above, Vec::new()));
        }
        let Some(listing) = &mut folder.listing else {
            return;
        };
        for entry in &mut listing.entries {
            let Entry::Folder(child) = entry else {
                continue;
            };
            if filter.enters(&child.path, child.verdict) {
                let rules = Arc::clone(&listing.rules);
                scope.spawn(move |scope| self.expand_in(scope, child, rules, filter));
            }
        }
    }

    /// Reads a folder. The watch comes first, so that no change falls between the two. Of the
    /// entries that were there before, what is known is kept.
    pub fn list(
        &self,
        path: &str,
        full: &Path,
        above: &Arc<Rules>,
        mut before: Vec<Entry>,
    ) -> Listing {
        let watch = self.watcher.and_then(|watcher| watcher.watch(full));
        match watch {
            Some(id) => locked(&self.watches).push((id, path.into())),
            None => self.unwatched.store(true, atomic::Ordering::Relaxed),
        }
        let stamp = match watch {
            Some(_) => None,
            None => Stamp::of(full).filter(Stamp::is_settled),
        };
        let found: Vec<fs::DirEntry> = fs::read_dir(full)
            .map(|entries| entries.flatten().collect())
            .unwrap_or_default();
        let names: Vec<_> = found
            .iter()
            .map(fs::DirEntry::file_name)
            .filter(|name| is_rule_name(name))
            .collect();
        let has = |name: &str| names.iter().any(|found| found == name);
        if has(".git") {
            let exclude = exclude_file(full);
            let stamp = Stamp::of(&exclude);
            locked(&self.excludes).push((exclude, stamp));
        }
        let rules = Rules::below(above, full, has);
        let mut entries = Vec::with_capacity(found.len());
        for entry in found {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let name = entry.file_name();
            if let Some(mut entry) = self.entry(path, full, &name, kind, &rules) {
                keep_known(&mut entry, &mut before);
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| order(a.key(), b.key()));
        Listing {
            rules,
            entries,
            watch,
            stamp,
        }
    }

    /// The entry for a name in a folder; none for links and what is neither file nor folder.
    pub fn entry(
        &self,
        folder: &str,
        full: &Path,
        name: &OsStr,
        kind: fs::FileType,
        rules: &Rules,
    ) -> Option<Entry> {
        if is_private(name) || !(kind.is_file() || kind.is_dir()) {
            return None;
        }
        let full = full.join(name);
        let shown = name.to_string_lossy();
        let path = match folder {
            "" => shown.clone().into_owned(),
            folder => format!("{folder}/{shown}"),
        };
        let verdict = rules.verdict(&full, kind.is_dir(), self.global);
        if kind.is_dir() {
            return Some(Entry::Folder(Box::new(Folder {
                path: path.into(),
                full,
                verdict,
                listing: None,
            })));
        }
        let odd = name.to_str().is_none() || full != self.root.join(&path);
        let file = File::new(path, odd.then_some(full), verdict, self.store);
        Some(Entry::File(Arc::new(file)))
    }

    /// Judges everything that is listed below a folder anew, after its rules changed.
    pub fn judge(&self, folder: &mut Folder, above: &Arc<Rules>) {
        let Some(listing) = &mut folder.listing else {
            return;
        };
        listing.rules = Rules::below(above, &folder.full, |_| true);
        for entry in &mut listing.entries {
            match entry {
                Entry::File(file) => {
                    let full = file.full_path(self.root);
                    file.set_verdict(listing.rules.verdict(&full, false, self.global));
                }
                Entry::Folder(child) => {
                    child.verdict = listing.rules.verdict(&child.full, true, self.global);
                    self.judge(child, &listing.rules);
                }
            }
        }
    }
}

impl Lister<'_> {
    /// Brings folders without a watch up to date by their stamps, and the files in them.
    pub fn compare(&self, folder: &mut Folder, above: &Arc<Rules>) {
        let Some(listing) = &mut folder.listing else {
            return;
        };
        if listing.watch.is_none() {
            let same = listing.stamp.is_some() && listing.stamp == Stamp::of(&folder.full);
            let has_rules = listing.entries.iter().any(|entry| match entry {
                Entry::File(file) => is_rule_name(last_name(&file.path).as_ref()),
                Entry::Folder(_) => false,
            });
            if !same || has_rules {
                let before = std::mem::take(&mut listing.entries);
                *listing = self.list(&folder.path, &folder.full, above, before);
                for entry in &mut listing.entries {
                    if let Entry::Folder(child) = entry {
                        self.judge(child, &listing.rules);
                    }
                }
            }
            for entry in &listing.entries {
                if let Entry::File(file) = entry {
                    file.revalidate(self.root);
                }
            }
        }
        for entry in &mut listing.entries {
            if let Entry::Folder(child) = entry {
                self.compare(child, &listing.rules);
            }
        }
    }
}

/// Puts the entry that was there before in the place of a new one of the same name and kind.
fn keep_known(entry: &mut Entry, before: &mut [Entry]) {
    let Ok(at) = before.binary_search_by(|known| order(known.key(), entry.key())) else {
        return;
    };
    let known = &mut before[at];
    if let (Entry::File(new), Entry::File(old)) = (&entry, &known) {
        old.set_verdict(new.verdict());
    }
    if let (Entry::Folder(new), Entry::Folder(old)) = (&entry, &mut *known) {
        old.verdict = new.verdict;
    }
    std::mem::swap(entry, known);
}

impl Listing {
    fn position(&self, name: &str, folder: bool) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|entry| order(entry.key(), (name, folder)))
    }

    pub fn file(&self, name: &str) -> Option<&Arc<File>> {
        match &self.entries[self.position(name, false).ok()?] {
            Entry::File(file) => Some(file),
            Entry::Folder(_) => None,
        }
    }

    pub fn folder(&self, name: &str) -> Option<&Folder> {
        match &self.entries[self.position(name, true).ok()?] {
            Entry::Folder(folder) => Some(folder),
            Entry::File(_) => None,
        }
    }

    pub fn folder_mut(&mut self, name: &str) -> Option<&mut Folder> {
        let at = self.position(name, true).ok()?;
        match &mut self.entries[at] {
            Entry::Folder(folder) => Some(folder),
            Entry::File(_) => None,
        }
    }

    /// Takes out whatever has this name.
    pub fn remove(&mut self, name: &str) -> Vec<Entry> {
        let mut removed = Vec::new();
        for folder in [false, true] {
            if let Ok(at) = self.position(name, folder) {
                removed.push(self.entries.remove(at));
            }
        }
        removed
    }

    pub fn insert(&mut self, entry: Entry) {
        let (name, folder) = entry.key();
        if let Err(at) = self.position(name, folder) {
            self.entries.insert(at, entry);
        }
    }
}

impl Folder {
    /// The listed folder at a path below this one.
    pub fn find(&self, path: &str) -> Option<&Self> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(self, |folder, name| folder.listing.as_ref()?.folder(name))
    }

    pub fn find_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(self, |folder, name| {
                folder.listing.as_mut()?.folder_mut(name)
            })
    }

    pub fn each_file(&self, each: &mut impl FnMut(&Arc<File>)) {
        for entry in self.listing.iter().flat_map(|listing| &listing.entries) {
            match entry {
                Entry::File(file) => each(file),
                Entry::Folder(folder) => folder.each_file(each),
            }
        }
    }

    pub fn each_folder(&self, each: &mut impl FnMut(&Self)) {
        each(self);
        for entry in self.listing.iter().flat_map(|listing| &listing.entries) {
            if let Entry::Folder(folder) = entry {
                folder.each_folder(each);
            }
        }
    }
}
