//! What a call sees: the files of a root, with unsaved buffers over the disk.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};

use serde_json::Value;

use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::grammar::Grammar;
use crate::index::View;
use crate::index::filter::Filter;
use crate::index::grams::Needs;
use crate::index::reading;
use crate::index::store::{Candidate, File, Store};
use crate::memory;
use crate::rpc::{Cancel, locked};
use crate::syntax_tree::Parsed;
use crate::text::Text;

/// Views of more roots than this are dropped, the one used longest ago first.
const MAX_VIEWS: usize = 8;

/// Unsaved buffers by relative path; `None` stands for a file that is to count as deleted.
type Buffers = BTreeMap<String, Option<Arc<Text>>>;

/// Every root that this process has been asked about, and their unsaved buffers.
pub struct Workspaces {
    default_root: PathBuf,
    watching: bool,
    store: Arc<Store>,
    /// The one used last comes first.
    views: Mutex<Vec<Arc<View>>>,
    overlays: Mutex<HashMap<PathBuf, Buffers>>,
    unsigned: Sender<Weak<View>>,
    evicting: Mutex<()>,
}

impl Workspaces {
    pub fn new(default_root: PathBuf, memory_bytes: usize, watching: bool) -> Self {
        let (unsigned, views) = channel();
        // Without the thread, searches look at every text: slower, with the same results.
        let _ = std::thread::Builder::new()
            .name("signatures".into())
            .spawn(move || make_signatures(&views));
        Self {
            default_root,
            watching,
            store: Arc::new(Store::new(memory_bytes)),
            views: Mutex::default(),
            overlays: Mutex::default(),
            unsigned,
            evicting: Mutex::default(),
        }
    }

    fn root(&self, root: Option<&str>) -> Outcome<PathBuf> {
        let root = root.map_or_else(|| self.default_root.clone(), PathBuf::from);
        if !root.is_absolute() {
            return Err(Failure::rejected(format!(
                "root {} is not an absolute path",
                root.display()
            )));
        }
        root.canonicalize()
            .and_then(|real| std::fs::read_dir(&real).map(|_| real))
            .map_err(|error| {
                Failure::rejected(format!(
                    "root {} is not a folder that can be read: {error}",
                    root.display()
                ))
            })
    }

    /// Puts an unsaved buffer over a file for all later calls, or takes it away.
    pub fn set_overlay(&self, root: Option<&str>, path: &str, text: Option<String>) -> Outcome<()> {
        let root = self.root(root)?;
        let path = relative(&root, path)?;
        let mut overlays = locked(&self.overlays);
        let buffers = overlays.entry(root).or_default();
        match text {
            Some(text) => buffers.insert(path, Some(Arc::new(Text::from_buffer(text)))),
            None => buffers.remove(&path),
        };
        Ok(())
    }

    /// Opens the root that a call names, with the call's own buffers over the sticky ones.
    pub fn open(&self, args: &mut Args) -> Outcome<Session<'_>> {
        let root = self.root(args.text("root")?.as_deref())?;
        let mut buffers = locked(&self.overlays)
            .get(&root)
            .cloned()
            .unwrap_or_default();
        for document in args.list("documents")?.unwrap_or_default() {
            let (path, text) = document_parts(args, document)?;
            let text = text.map(|text| Arc::new(Text::from_buffer(text)));
            buffers.insert(relative(&root, &path)?, text);
        }
        self.store.tick();
        let view = self.view(root);
        view.refresh();
        if self.store.trees_were_full() {
            for file in view.all_files() {
                file.drop_old_tree();
            }
        }
        Ok(Session {
            root: view.root.clone(),
            buffers,
            view,
            workspaces: self,
            loaded: AtomicBool::new(false),
        })
    }

    fn view(&self, root: PathBuf) -> Arc<View> {
        let mut views = locked(&self.views);
        match views.iter().position(|view| view.root == root) {
            Some(at) => views[..=at].rotate_right(1),
            None => {
                let store = Arc::clone(&self.store);
                views.insert(0, Arc::new(View::new(root, store, self.watching)));
                views.truncate(MAX_VIEWS);
            }
        }
        Arc::clone(&views[0])
    }

    /// What is kept in memory on purpose: the files known, as far as they are cached, and the
    /// unsaved buffers.
    pub fn held_bytes(&self) -> usize {
        let overlays = locked(&self.overlays);
        let buffers = overlays.values().flat_map(BTreeMap::values).flatten();
        self.store.held_bytes() + buffers.map(|text| text.bytes.len()).sum::<usize>()
    }

    /// Makes room, if the files in memory take more than their bound.
    fn evict(&self) {
        if !self.store.is_over() {
            return;
        }
        if let Ok(_alone) = self.evicting.try_lock() {
            let views = locked(&self.views).clone();
            let files = views.iter().flat_map(|view| view.all_files()).collect();
            self.store.evict(files);
        }
    }
}

/// Signs texts in the background, after the calls that loaded them have been answered.
fn make_signatures(views: &Receiver<Weak<View>>) {
    while let Ok(view) = views.recv() {
        let files = view.upgrade().map(|view| view.all_files());
        for file in files.unwrap_or_default() {
            file.sign();
        }
        // What loading and parsing took besides what is kept.
        memory::trim();
    }
}

fn document_parts(args: &Args, document: Value) -> Outcome<(String, Option<String>)> {
    const EXPECTED: &str = "a list of {\"path\": …, \"text\": … or null}";
    let Value::Object(mut fields) = document else {
        return Err(args.wrong("documents", EXPECTED, &document));
    };
    let path = match fields.remove("path") {
        Some(Value::String(path)) => path,
        other => return Err(args.wrong("documents", EXPECTED, &other.unwrap_or_default())),
    };
    match fields.remove("text") {
        Some(Value::String(text)) => Ok((path, Some(text))),
        None | Some(Value::Null) => Ok((path, None)),
        Some(other) => Err(args.wrong("documents", EXPECTED, &other)),
    }
}

/// A path as results name it: relative to the root, with forward slashes.
pub fn relative(root: &Path, path: &str) -> Outcome<String> {
    let outside = || {
        Failure::rejected(format!(
            "path {path:?} is outside the root {}: give a path inside it",
            root.display()
        ))
    };
    let given = Path::new(path);
    let inner = if given.is_absolute() {
        given.strip_prefix(root).map_err(|_| outside())?
    } else {
        given
    };
    let mut parts = Vec::new();
    for part in inner.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy()),
            Component::CurDir => {}
            _ => return Err(outside()),
        }
    }
    Ok(parts.join("/"))
}

/// Which files a call is about.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Selection {
    pub globs: Vec<String>,
    pub paths: Option<Vec<String>>,
    pub types: Vec<String>,
    pub hidden: bool,
    pub no_ignore: bool,
    /// Globs only narrow: they do not bring back ignored or hidden files as ripgrep's do.
    pub respect_ignore: bool,
}

impl Selection {
    pub fn from_args(args: &mut Args) -> Outcome<Self> {
        Ok(Self {
            globs: args.texts("globs")?.unwrap_or_default(),
            paths: args.texts("paths")?,
            types: args.texts("types")?.unwrap_or_default(),
            hidden: args.flag("hidden")?,
            no_ignore: args.flag("no_ignore")?,
            respect_ignore: args.flag("respect_ignore")?,
        })
    }
}

/// One call's view of a root. Calls that run at the same time share what they load.
pub struct Session<'a> {
    pub root: PathBuf,
    buffers: Buffers,
    view: Arc<View>,
    workspaces: &'a Workspaces,
    /// Texts were read or parsed.
    loaded: AtomicBool,
}

/// A selected file.
pub enum Source {
    Indexed(Arc<File>),
    Buffer(String, Arc<Text>),
    /// A file that was named, but is not in the view: ignored, or reached through a link.
    Loose(String, PathBuf),
}

impl Source {
    pub fn path(&self) -> &str {
        match self {
            Self::Indexed(file) => &file.path,
            Self::Buffer(path, _) | Self::Loose(path, _) => path,
        }
    }
}

impl Session<'_> {
    /// The selected files in the order of their paths.
    pub fn select(&self, selection: &Selection, cancel: &Cancel) -> Outcome<Vec<Source>> {
        let filter = Arc::new(Filter::new(&self.root, selection, |path| {
            self.is_folder(path)
        })?);
        let Some(paths) = &selection.paths else {
            return self.below("", &filter, cancel);
        };
        let mut sources = Vec::new();
        for path in paths {
            let name = relative(&self.root, path)?;
            if !self.buffers.contains_key(&name) && self.root.join(&name).is_dir() {
                sources.extend(self.below(&name, &filter, cancel)?);
            } else {
                sources.push(self.file(path)?);
            }
        }
        sources.sort_by(|a, b| a.path().cmp(b.path()));
        sources.dedup_by(|a, b| a.path() == b.path());
        Ok(sources)
    }

    /// Whether a path names a folder, on disk or with a buffer in it.
    fn is_folder(&self, path: &str) -> bool {
        let has_buffer = |name: &String| {
            name.strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        self.root.join(path).is_dir() || self.buffers.keys().any(has_buffer)
    }

    fn below(&self, from: &str, filter: &Arc<Filter>, cancel: &Cancel) -> Outcome<Vec<Source>> {
        let files = self.view.files(from, filter, cancel)?;
        if self.buffers.is_empty() {
            return Ok(files.iter().cloned().map(Source::Indexed).collect());
        }
        let mut sources: Vec<Source> = files
            .iter()
            .filter(|file| !self.buffers.contains_key(&*file.path))
            .map(|file| Source::Indexed(Arc::clone(file)))
            .collect();
        for (path, buffer) in &self.buffers {
            if let Some(text) = buffer
                && self.view.admits(path, from, filter)
            {
                sources.push(Source::Buffer(path.clone(), Arc::clone(text)));
            }
        }
        sources.sort_by(|a, b| a.path().cmp(b.path()));
        Ok(sources)
    }

    /// One file by its path, on disk or in a buffer.
    pub fn file(&self, path: &str) -> Outcome<Source> {
        let path = relative(&self.root, path)?;
        match self.buffers.get(&path) {
            Some(Some(text)) => return Ok(Source::Buffer(path, Arc::clone(text))),
            Some(None) => {
                return Err(Failure::rejected(format!("{path} counts as deleted here")));
            }
            None => {}
        }
        if let Some(file) = self.view.file(&path) {
            return Ok(Source::Indexed(file));
        }
        let full = self.root.join(&path);
        let real = full
            .canonicalize()
            .map_err(|error| Failure::rejected(format!("{path} cannot be read: {error}")))?;
        if !real.starts_with(&self.root) {
            return Err(Failure::rejected(format!(
                "{path} is a link to {}, outside the root",
                real.display()
            )));
        }
        Ok(Source::Loose(path, full))
    }

    /// The file's text, or why it cannot be read.
    pub fn load(&self, source: &Source) -> Result<Arc<Text>, String> {
        match source {
            Source::Buffer(_, text) => Ok(Arc::clone(text)),
            Source::Loose(_, full) => reading::read(full)
                .map(|(text, _)| Arc::new(text))
                .map_err(|error| error.to_string()),
            Source::Indexed(file) => {
                let text = file.load(&self.root)?;
                self.loaded.store(true, Ordering::Relaxed);
                self.workspaces.evict();
                Ok(text)
            }
        }
    }

    /// Whether a file can have what a search needs, as far as that is known.
    pub fn candidate(&self, source: &Source, needs: &Needs) -> Candidate {
        match source {
            Source::Indexed(file) => file.candidate(needs),
            Source::Buffer(_, text) => Candidate::Loaded(Arc::clone(text)),
            Source::Loose(..) => Candidate::Unloaded,
        }
    }

    /// Where a file lies on disk.
    pub fn full_path(&self, source: &Source) -> PathBuf {
        match source {
            Source::Indexed(file) => file.full_path(&self.root),
            Source::Buffer(path, _) => self.root.join(path),
            Source::Loose(_, full) => full.clone(),
        }
    }

    /// The syntax tree of a file's text; an error only if the call was cancelled.
    pub fn parse(
        &self,
        source: &Source,
        text: &Arc<Text>,
        grammar: Grammar,
        cancel: &Cancel,
    ) -> Outcome<Parsed> {
        self.loaded.store(true, Ordering::Relaxed);
        match source {
            Source::Indexed(file) => file.parse(text, grammar, cancel),
            _ => Parsed::new(text, grammar, cancel),
        }
        .ok_or_else(Failure::cancelled)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if self.loaded.load(Ordering::Relaxed) {
            let _ = self.workspaces.unsigned.send(Arc::downgrade(&self.view));
        }
    }
}
