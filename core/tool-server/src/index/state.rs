//! What is known of a root's folders and files, and how it is brought up to date.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::View;
use super::filter::Filter;
use super::lister::Lister;
use super::rules::{Outside, Rules, Verdict, is_rule_name};
use super::tree::{Entry, Folder};
use super::watch::{Event, Kind, WatchId, Watcher};
use crate::failure::{Failure, Outcome};
use crate::rpc::{Cancel, locked};

pub struct State {
    pub top: Folder,
    watcher: Option<Watcher>,
    /// The watched folders' paths.
    folders: HashMap<WatchId, Box<str>>,
    pub outside: Outside,
    /// Some listed folder has no watch.
    pub unwatched: bool,
    /// Counts changes of what there is and how it is judged; texts do not matter.
    pub generation: u64,
}

impl State {
    pub fn new(root: &Path, watching: bool) -> Self {
        Self {
            top: Folder {
                path: "".into(),
                full: root.to_path_buf(),
                verdict: Verdict::Silent,
                listing: None,
            },
            watcher: watching.then(|| Watcher::new(root)).flatten(),
            folders: HashMap::new(),
            outside: Outside::read(root),
            unwatched: false,
            generation: 0,
        }
    }

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

    pub fn list_more(
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

    pub fn take_events(&mut self, view: &View) {
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

    pub fn judge_below(&mut self, view: &View, path: &str) {
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
    pub fn compare_stamps(&mut self, view: &View) {
        self.generation += 1;
        self.with_lister(view, &Cancel::default(), |lister, top, above| {
            lister.compare(top, above);
        });
    }
}
