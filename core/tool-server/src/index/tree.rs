//! The folders and files of a root, listed as far as queries went.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use super::file::File;
use super::rules::{Rules, Verdict};
use super::stamp::Stamp;
use super::watch::WatchId;

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
    pub fn key(&self) -> (&str, bool) {
        match self {
            Self::File(file) => (last_name(&file.path), false),
            Self::Folder(folder) => (last_name(&folder.path), true),
        }
    }
}

pub fn last_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub fn order(a: (&str, bool), b: (&str, bool)) -> Ordering {
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
