//! Listing folders, watching them, and judging what lies in them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, Mutex};

use ignore::gitignore::Gitignore;

use super::file::File;
use super::filter::Filter;
use super::rules::{Rules, exclude_file, is_rule_name};
use super::stamp::Stamp;
use super::store::Store;
use super::tree::{Entry, Folder, Listing, is_private, last_name, order};
use super::watch::{WatchId, Watcher};
use crate::rpc::{Cancel, locked};

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
