//! One call's view of a root: the files that it selects, with unsaved buffers over them.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::grammar::Grammar;
use crate::index::View;
use crate::index::file::{Candidate, File};
use crate::index::filter::Filter;
use crate::index::needs::Needs;
use crate::index::reading;
use crate::rpc::Cancel;
use crate::syntax_tree::Parsed;
use crate::text::Text;
use crate::workspace::{Buffers, Workspaces};

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
            no_ignore: args.flag("noIgnore")?,
            respect_ignore: args.flag("respectIgnore")?,
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

impl<'a> Session<'a> {
    pub fn new(workspaces: &'a Workspaces, view: Arc<View>, buffers: Buffers) -> Self {
        workspaces.calls.begin();
        Self {
            root: view.root.clone(),
            buffers,
            view,
            workspaces,
            loaded: AtomicBool::new(false),
        }
    }

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

    /// The text, if it can be parsed: else the reason why not.
    pub fn load_parsable(&self, source: &Source) -> Result<Arc<Text>, String> {
        let text = self.load(source)?;
        text.parsable()?;
        Ok(text)
    }

    /// The text as [`Self::load`] gives it, for one look at it; `spare` is memory for that.
    pub fn pass(&self, source: &Source, spare: &mut Vec<u8>) -> Result<Arc<Text>, String> {
        let Source::Indexed(file) = source else {
            return self.load(source);
        };
        let text = file.pass(&self.root, spare)?;
        self.loaded.store(true, Ordering::Relaxed);
        self.workspaces.evict();
        Ok(text)
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
        self.workspaces.calls.end();
        if self.loaded.load(Ordering::Relaxed) {
            self.workspaces.loaded(&self.view);
        }
    }
}
