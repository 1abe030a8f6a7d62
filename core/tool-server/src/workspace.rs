//! What a call sees: the files of a root, with unsaved buffers over the disk.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use ignore::overrides::{Override, OverrideBuilder};
use ignore::types::{Types, TypesBuilder};
use ignore::{WalkBuilder, WalkState};
use serde_json::Value;

use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::rpc::{Cancel, locked};
use crate::text::Text;

/// Unsaved buffers by relative path; `None` stands for a file that is to count as deleted.
type Buffers = BTreeMap<String, Option<Arc<Text>>>;

/// Every root that this process has been asked about, and their unsaved buffers.
pub struct Workspaces {
    default_root: PathBuf,
    #[allow(dead_code)]
    memory_bytes: usize,
    overlays: Mutex<HashMap<PathBuf, Buffers>>,
}

impl Workspaces {
    pub fn new(default_root: PathBuf, memory_bytes: usize) -> Self {
        Self {
            default_root,
            memory_bytes,
            overlays: Mutex::default(),
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
        root.canonicalize().map_err(|error| {
            Failure::rejected(format!("root {} cannot be read: {error}", root.display()))
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
    pub fn open(&self, args: &mut Args) -> Outcome<Session> {
        let root = self.root(args.text("root")?.as_deref())?;
        if !root.is_dir() {
            return Err(Failure::rejected(format!(
                "root {} is not a folder",
                root.display()
            )));
        }
        let mut buffers = locked(&self.overlays)
            .get(&root)
            .cloned()
            .unwrap_or_default();
        for document in args.list("documents")?.unwrap_or_default() {
            let (path, text) = document_parts(args, document)?;
            let text = text.map(|text| Arc::new(Text::from_buffer(text)));
            buffers.insert(relative(&root, &path)?, text);
        }
        Ok(Session { root, buffers })
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
#[derive(Clone, Default)]
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

/// One call's view of a root.
pub struct Session {
    pub root: PathBuf,
    buffers: Buffers,
}

/// A selected file.
pub struct Source {
    pub path: String,
    origin: Origin,
}

enum Origin {
    Disk(PathBuf),
    Buffer(Arc<Text>),
}

impl Source {
    /// The file's text, or why it cannot be read.
    pub fn load(&self) -> Result<Arc<Text>, String> {
        match &self.origin {
            Origin::Buffer(text) => Ok(Arc::clone(text)),
            Origin::Disk(path) => std::fs::read(path)
                .map(|bytes| Arc::new(Text::from_file_bytes(bytes)))
                .map_err(|error| error.to_string()),
        }
    }
}

impl Session {
    /// The selected files in the order of their paths.
    pub fn select(&self, selection: &Selection, cancel: &Cancel) -> Outcome<Vec<Source>> {
        let mut sources = match &selection.paths {
            Some(paths) => self.select_paths(paths, selection, cancel)?,
            None => self.walk(&self.root, selection, cancel)?,
        };
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        sources.dedup_by(|a, b| a.path == b.path);
        Ok(sources)
    }

    /// One file by its path, on disk or in a buffer.
    pub fn file(&self, path: &str) -> Outcome<Source> {
        let path = relative(&self.root, path)?;
        match self.buffers.get(&path) {
            Some(Some(text)) => Ok(Source {
                path,
                origin: Origin::Buffer(Arc::clone(text)),
            }),
            Some(None) => Err(Failure::rejected(format!(
                "{path} is deleted in the editor"
            ))),
            None => {
                let full = self.root.join(&path);
                let real = full.canonicalize().map_err(|error| {
                    Failure::rejected(format!("{path} cannot be read: {error}"))
                })?;
                if !real.starts_with(&self.root) {
                    return Err(Failure::rejected(format!(
                        "{path} is a link to {}, outside the root",
                        real.display()
                    )));
                }
                Ok(Source {
                    path,
                    origin: Origin::Disk(full),
                })
            }
        }
    }

    fn select_paths(
        &self,
        paths: &[String],
        selection: &Selection,
        cancel: &Cancel,
    ) -> Outcome<Vec<Source>> {
        let mut sources = Vec::new();
        for path in paths {
            let name = relative(&self.root, path)?;
            let full = self.root.join(&name);
            if full.is_dir() {
                sources.extend(self.walk(&full, selection, cancel)?);
            } else {
                sources.push(self.file(path)?);
            }
        }
        Ok(sources)
    }

    fn walk(&self, from: &Path, selection: &Selection, cancel: &Cancel) -> Outcome<Vec<Source>> {
        let (prefixes, globs) = self.split_prefixes(&selection.globs);
        let overrides = overrides(&self.root, &globs)?;
        let types = types(&selection.types)?;
        let found = Mutex::new(Vec::new());
        let mut builder = WalkBuilder::new(from);
        builder
            .hidden(!selection.hidden)
            .require_git(false)
            .types(types)
            .threads(2)
            .filter_entry(|entry| !is_private(entry.file_name()));
        if selection.no_ignore {
            builder
                .ignore(false)
                .git_ignore(false)
                .git_global(false)
                .git_exclude(false)
                .parents(false);
        } else {
            builder.add_custom_ignore_filename(".rgignore");
        }
        let narrow = selection.respect_ignore;
        if !narrow {
            builder.overrides(overrides.clone());
        }
        builder.build_parallel().run(|| {
            Box::new(|entry| {
                if cancel.is_set() {
                    return WalkState::Quit;
                }
                let Ok(entry) = entry else {
                    return WalkState::Continue;
                };
                if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                    return WalkState::Continue;
                }
                if narrow && overrides.matched(entry.path(), false).is_ignore() {
                    return WalkState::Continue;
                }
                let Ok(inner) = entry.path().strip_prefix(&self.root) else {
                    return WalkState::Continue;
                };
                let path = inner.to_string_lossy().into_owned();
                if below_any(&path, &prefixes) && !self.buffers.contains_key(&path) {
                    let origin = Origin::Disk(entry.into_path());
                    locked(&found).push(Source { path, origin });
                }
                WalkState::Continue
            })
        });
        cancel.check()?;
        let mut found = found.into_inner().unwrap_or_default();
        let types = self::types(&selection.types)?;
        for (path, buffer) in &self.buffers {
            let full = self.root.join(path);
            let hidden = path.split('/').any(|part| part.starts_with('.'));
            if let Some(text) = buffer
                && full.starts_with(from)
                && (selection.hidden || !hidden)
                && below_any(path, &prefixes)
                && !overrides.matched(&full, false).is_ignore()
                && !types.matched(&full, false).is_ignore()
            {
                found.push(Source {
                    path: path.clone(),
                    origin: Origin::Buffer(Arc::clone(text)),
                });
            }
        }
        Ok(found)
    }

    /// Takes out globs that name a folder: they mean everything below it.
    fn split_prefixes(&self, globs: &[String]) -> (Vec<String>, Vec<String>) {
        globs.iter().cloned().partition(|glob| {
            !glob.starts_with('!')
                && !glob.contains(['*', '?', '[', '{'])
                && (glob.ends_with('/') || self.root.join(glob.trim_matches('/')).is_dir())
        })
    }
}

fn below_any(path: &str, folders: &[String]) -> bool {
    folders.is_empty()
        || folders.iter().any(|folder| {
            let folder = folder.trim_start_matches("./").trim_matches('/');
            folder.is_empty()
                || folder == "."
                || path
                    .strip_prefix(folder)
                    .is_some_and(|rest| rest.starts_with('/'))
        })
}

/// Folders that no search enters: the repository's own, and this product's state.
pub fn is_private(name: &std::ffi::OsStr) -> bool {
    name == ".git" || name == ".opencode"
}

fn overrides(root: &Path, globs: &[String]) -> Outcome<Override> {
    let mut builder = OverrideBuilder::new(root);
    for glob in globs {
        builder
            .add(glob)
            .map_err(|error| Failure::rejected(format!("glob {glob:?} is not valid: {error}")))?;
    }
    builder
        .build()
        .map_err(|error| Failure::rejected(format!("the globs cannot be used: {error}")))
}

fn types(names: &[String]) -> Outcome<Types> {
    if names.is_empty() {
        return Ok(Types::empty());
    }
    let mut builder = TypesBuilder::new();
    builder.add_defaults();
    for name in names {
        match name.strip_prefix('!') {
            Some(negated) => builder.negate(negated),
            None => builder.select(name),
        };
    }
    builder
        .build()
        .map_err(|error| Failure::rejected(format!("types: {error}; `rg --type-list` lists them")))
}
