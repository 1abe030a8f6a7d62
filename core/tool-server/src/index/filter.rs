//! Which files a query is about: globs, types, hidden and ignored ones, with ripgrep's meaning.

use std::path::Path;

use ignore::Match;
use ignore::overrides::{Override, OverrideBuilder};
use ignore::types::{Types, TypesBuilder};

use super::rules::Verdict;
use super::tree::last_name;
use crate::failure::{Failure, Outcome};
use crate::session::Selection;

pub struct Filter {
    /// What this was made from.
    selection: Selection,
    globs: Override,
    /// The globs with `!` only: they hold below folders that were named, too.
    exclusions: Override,
    /// Folders that were named: all below them counts as if the search began there.
    folders: Vec<String>,
    types: Types,
    hidden: bool,
    no_ignore: bool,
    respect_ignore: bool,
}

impl Filter {
    /// `is_folder` tells of a path below the root whether it names a folder.
    pub fn new(
        root: &Path,
        selection: &Selection,
        is_folder: impl Fn(&str) -> bool,
    ) -> Outcome<Self> {
        let (folders, globs): (Vec<&String>, Vec<&String>) = selection
            .globs
            .iter()
            .partition(|glob| names_folder(glob, &is_folder));
        let exclusions: Vec<&String> = globs
            .iter()
            .copied()
            .filter(|glob| glob.starts_with('!'))
            .collect();
        Ok(Self {
            selection: selection.clone(),
            globs: overrides(root, &globs)?,
            exclusions: overrides(root, &exclusions)?,
            folders: folders
                .into_iter()
                .map(|folder| folder.trim_start_matches("./").trim_matches('/').to_owned())
                .map(|folder| if folder == "." { String::new() } else { folder })
                .collect(),
            types: types(&selection.types)?,
            hidden: selection.hidden,
            no_ignore: selection.no_ignore,
            respect_ignore: selection.respect_ignore,
        })
    }

    /// Whether both admit the same files. What is a folder may have changed between them.
    pub fn same_as(&self, other: &Self) -> bool {
        self.selection == other.selection && self.folders == other.folders
    }

    pub fn admits(&self, path: &str, verdict: Verdict) -> bool {
        self.judge(path, false, verdict)
    }

    pub fn enters(&self, path: &str, verdict: Verdict) -> bool {
        self.judge(path, true, verdict)
    }

    fn judge(&self, path: &str, is_dir: bool, verdict: Verdict) -> bool {
        match self.named(path, is_dir) {
            Match::Ignore(()) => return false,
            Match::Whitelist(()) if !self.respect_ignore => return true,
            _ => {}
        }
        let mut wanted = false;
        if !self.no_ignore {
            match verdict {
                Verdict::Ignored => return false,
                Verdict::Wanted => wanted = true,
                Verdict::Silent => {}
            }
        }
        if !self.types.is_empty() {
            match self.types.matched(path, is_dir) {
                Match::Ignore(_) => return false,
                Match::Whitelist(_) => wanted = true,
                Match::None => {}
            }
        }
        self.hidden || wanted || !last_name(path).starts_with('.')
    }

    /// What the globs and named folders say of a path.
    fn named(&self, path: &str, is_dir: bool) -> Match<()> {
        let by_globs = self.globs.matched(path, is_dir).map(|_| ());
        if self.folders.is_empty() || by_globs.is_whitelist() {
            return by_globs;
        }
        if self.folders.iter().any(|folder| is_below(path, folder)) {
            return self.exclusions.matched(path, is_dir).map(|_| ());
        }
        if !is_dir {
            return Match::Ignore(());
        }
        // Without other globs, nothing but the way to the named folders matters.
        let on_the_way = self
            .folders
            .iter()
            .any(|folder| is_below(folder, path) || folder == path);
        if self.globs.num_whitelists() == 0 && !on_the_way {
            return Match::Ignore(());
        }
        by_globs
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// A glob without special characters that is a folder's name means everything below it.
fn names_folder(glob: &str, is_folder: impl Fn(&str) -> bool) -> bool {
    !glob.starts_with('!')
        && !glob.contains(['*', '?', '[', '{', '\\'])
        && (glob.ends_with('/') || is_folder(glob.trim_matches('/')))
}

fn overrides(root: &Path, globs: &[&String]) -> Outcome<Override> {
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
