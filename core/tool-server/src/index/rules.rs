//! Ignore rules with ripgrep's precedence, kept as a chain from each folder up to `/`.
//!
//! The chain answers for one path at a time, so that a change in one folder can be judged
//! without walking the tree again. A `.gitignore` counts outside repositories, too.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder, gitconfig_excludes_path};

use super::stamp::Stamp;

const CUSTOM: &str = ".rgignore";
const PLAIN: &str = ".ignore";
const GIT: &str = ".gitignore";

/// What the ignore files say of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Silent,
    Ignored,
    /// Named by a `!` rule, which also brings back hidden files.
    Wanted,
}

/// The rules of one folder, and of those above it.
pub struct Rules {
    parent: Option<Arc<Rules>>,
    custom: Gitignore,
    plain: Gitignore,
    git: Gitignore,
    exclude: Gitignore,
}

/// The rules above a root, and the files outside the tree that they were read from.
pub struct Outside {
    pub rules: Arc<Rules>,
    pub global: Gitignore,
    sources: Vec<(PathBuf, Option<Stamp>)>,
}

/// Whether a file of this name holds ignore rules, or makes a folder a repository.
pub fn is_rule_name(name: &OsStr) -> bool {
    [CUSTOM, PLAIN, GIT, ".git"]
        .iter()
        .any(|rule| name == *rule)
}

impl Outside {
    /// Reads the rules of the folders above the root, and the person's global ones.
    pub fn read(root: &Path) -> Self {
        let mut sources = Vec::new();
        let mut note = |path: PathBuf| {
            let stamp = Stamp::of(&path);
            sources.push((path, stamp));
        };
        let mut rules = Arc::new(Rules::none());
        let above: Vec<&Path> = root.ancestors().skip(1).collect();
        for folder in above.into_iter().rev() {
            for name in [CUSTOM, PLAIN, GIT] {
                note(folder.join(name));
            }
            note(exclude_file(folder));
            rules = Rules::below(&rules, folder, |_| true);
        }
        let global_path = gitconfig_excludes_path();
        if let Some(path) = &global_path {
            note(path.clone());
        }
        note(exclude_file(root));
        Self {
            rules,
            global: GitignoreBuilder::new(root).build_global().0,
            sources,
        }
    }

    /// Takes note of one more file of rules that lies where no watch reports its changes.
    pub fn note(&mut self, path: PathBuf, stamp: Option<Stamp>) {
        if !self.sources.iter().any(|(known, _)| *known == path) {
            self.sources.push((path, stamp));
        }
    }

    /// The same files as they are now.
    pub fn read_again(&self, root: &Path) -> Self {
        let mut fresh = Self::read(root);
        for (path, _) in &self.sources {
            fresh.note(path.clone(), Stamp::of(path));
        }
        fresh
    }

    pub fn changed(&self) -> bool {
        self.sources
            .iter()
            .any(|(path, stamp)| Stamp::of(path) != *stamp)
    }
}

impl Rules {
    fn none() -> Self {
        Self {
            parent: None,
            custom: Gitignore::empty(),
            plain: Gitignore::empty(),
            git: Gitignore::empty(),
            exclude: Gitignore::empty(),
        }
    }

    /// The rules below a folder, of whose entries `has` tells which are there. Folders without
    /// rules of their own share their parent's.
    pub fn below(parent: &Arc<Self>, folder: &Path, has: impl Fn(&str) -> bool) -> Arc<Self> {
        let read = |name: &str| match has(name) {
            true => gitignore(folder, &folder.join(name)),
            false => Gitignore::empty(),
        };
        let rules = Self {
            parent: Some(Arc::clone(parent)),
            custom: read(CUSTOM),
            plain: read(PLAIN),
            git: read(GIT),
            exclude: match has(".git") {
                true => gitignore(folder, &exclude_file(folder)),
                false => Gitignore::empty(),
            },
        };
        let own = [&rules.custom, &rules.plain, &rules.git, &rules.exclude];
        if own.iter().all(|matcher| matcher.is_empty()) {
            return Arc::clone(parent);
        }
        Arc::new(rules)
    }

    /// What the rules say of an absolute path. Within one kind of file the nearest folder's
    /// word counts; between kinds, the order is `.rgignore`, `.ignore`, `.gitignore`,
    /// `.git/info/exclude`, the global file.
    pub fn verdict(&self, path: &Path, is_dir: bool, global: &Gitignore) -> Verdict {
        let kinds: [fn(&Self) -> &Gitignore; 4] =
            [|r| &r.custom, |r| &r.plain, |r| &r.git, |r| &r.exclude];
        for kind in kinds {
            let mut rules = Some(self);
            while let Some(current) = rules {
                let matcher = kind(current);
                if !matcher.is_empty()
                    && let Some(verdict) = said(&matcher.matched(path, is_dir))
                {
                    return verdict;
                }
                rules = current.parent.as_deref();
            }
        }
        said(&global.matched(path, is_dir)).unwrap_or(Verdict::Silent)
    }
}

fn said<T>(matched: &Match<T>) -> Option<Verdict> {
    match matched {
        Match::None => None,
        Match::Ignore(_) => Some(Verdict::Ignored),
        Match::Whitelist(_) => Some(Verdict::Wanted),
    }
}

fn gitignore(folder: &Path, file: &Path) -> Gitignore {
    if !file.exists() {
        return Gitignore::empty();
    }
    let mut builder = GitignoreBuilder::new(folder);
    // A line that is not a valid glob does not count; the others do.
    let _ = builder.add(file);
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// A repository's own exclude file; for a linked worktree, the one of its main repository.
pub fn exclude_file(folder: &Path) -> PathBuf {
    let git = folder.join(".git");
    linked_repository(folder, &git)
        .unwrap_or(git)
        .join("info/exclude")
}

fn linked_repository(folder: &Path, git: &Path) -> Option<PathBuf> {
    if !git.is_file() {
        return None;
    }
    let pointer = std::fs::read_to_string(git).ok()?;
    let own = folder.join(pointer.lines().next()?.strip_prefix("gitdir: ")?);
    let common = std::fs::read_to_string(own.join("commondir")).ok()?;
    Some(own.join(common.lines().next()?))
}
