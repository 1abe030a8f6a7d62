//! Syntax-tree patterns: compiling them, and finding them in files.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use ast_grep_core::matcher::{MatcherExt, PatternNode};
use ast_grep_core::{AstGrep, Matcher, NodeMatch, Pattern};
use serde_json::{Value, json};

use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::index::needs::Needs;
use crate::language::Language;
use crate::rpc::Cancel;
use crate::session::{Selection, Session, Source};
use crate::syntax_tree::Parsed;
use crate::text::Text;

pub type Match<'t> = NodeMatch<'t, Parsed>;

/// A pattern in one language, and the texts that every match of it contains.
pub struct Compiled {
    pub language: &'static Language,
    pub pattern: Pattern,
    literals: Vec<String>,
    /// In this language, names touch no other letter.
    whole_words: bool,
}

impl Compiled {
    pub fn new(source: &str, language: &'static Language) -> Result<Self, String> {
        let pattern = language.grammar.pattern(source)?;
        let mut literals = Vec::new();
        collect_literals(&pattern.node, &mut literals);
        literals.sort_unstable();
        literals.dedup();
        Ok(Self {
            language,
            pattern,
            literals,
            whole_words: WHOLE_WORDS.contains(&language.name),
        })
    }

    /// Where a match may be: the places of the literal that is found least often. `None` if a
    /// literal is missing, so that nothing matches and the text need not be parsed; all places
    /// if the pattern has no literal.
    fn places(&self, bytes: &[u8]) -> Option<Places> {
        let mut rarest: Option<Vec<usize>> = None;
        for literal in &self.literals {
            let most = rarest.as_ref().map_or(usize::MAX, Vec::len);
            let found: Vec<usize> = memchr::memmem::find_iter(bytes, literal.as_bytes())
                .filter(|&at| !self.whole_words || stands_alone(bytes, at, literal.len()))
                .take(most)
                .collect();
            if found.is_empty() {
                return None;
            }
            if found.len() < most {
                rarest = Some(found);
            }
        }
        Some(Places(rarest))
    }

    /// Whether a text has all literals of the pattern.
    pub fn may_match(&self, bytes: &[u8]) -> bool {
        self.places(bytes).is_some()
    }

    /// The signature that texts with a match have.
    pub fn needs(&self) -> Needs {
        Needs::of_literals(self.literals.iter().map(String::as_str))
    }

    /// The matches in a text in the order they begin, nested ones too, until `each` answers
    /// false. The text is parsed, or its tree taken from memory, only if it can match.
    pub fn each_match(
        &self,
        session: &Session<'_>,
        source: &Source,
        text: &Arc<Text>,
        cancel: &Cancel,
        mut each: impl FnMut(Match<'_>) -> bool,
    ) -> Outcome<()> {
        let Some(places) = self.places(&text.bytes) else {
            return Ok(());
        };
        let parsed = session.parse(source, text, self.language.grammar, cancel)?;
        let root = AstGrep::doc(parsed);
        let kinds = self.pattern.potential_kinds();
        let mut pending = vec![root.root()];
        let mut visited = 0usize;
        while let Some(node) = pending.pop() {
            visited += 1;
            if visited.is_multiple_of(4096) {
                cancel.check()?;
            }
            let possible = kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(node.kind_id().into()));
            if possible
                && let Some(found) = self.pattern.match_node(node.clone())
                && !each(found)
            {
                break;
            }
            let first = pending.len();
            pending.extend(
                node.children()
                    .filter(|child| places.any_in(&child.range())),
            );
            pending[first..].reverse();
        }
        Ok(())
    }
}

/// Ascending offsets, one of which lies in every match; none if nothing is known.
struct Places(Option<Vec<usize>>);

impl Places {
    fn any_in(&self, range: &Range<usize>) -> bool {
        self.0.as_ref().is_none_or(|places| {
            let next = places.partition_point(|&place| place < range.start);
            places.get(next).is_some_and(|&place| place < range.end)
        })
    }
}

/// Languages whose names cannot be part of a longer word, as units are in CSS.
const WHOLE_WORDS: [&str; 9] = [
    "python",
    "javascript",
    "typescript",
    "tsx",
    "java",
    "go",
    "rust",
    "c",
    "cpp",
];

/// Whether no longer name goes over the bytes `at..at + len`, if they are a name. A digit before
/// it may be a number's, and this its suffix.
fn stands_alone(bytes: &[u8], at: usize, len: usize) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_' || !byte.is_ascii();
    let name = letter(&bytes[at]);
    let longer_before = at > 0 && letter(&bytes[at - 1]);
    let longer_after = bytes
        .get(at + len)
        .is_some_and(|byte| letter(byte) || byte.is_ascii_digit());
    !(name && (longer_before || (longer_after && letter(&bytes[at + len - 1]))))
}

/// Named leaves must be in the text as they are; the matcher may skip unnamed ones.
fn collect_literals(node: &PatternNode, literals: &mut Vec<String>) {
    match node {
        PatternNode::Terminal { text, is_named, .. } if *is_named && !text.is_empty() => {
            literals.push(text.clone());
        }
        PatternNode::Internal { children, .. } => {
            for child in children {
                collect_literals(child, literals);
            }
        }
        _ => {}
    }
}

/// A pattern for the languages of the selected files.
pub struct Query {
    source: String,
    fixed: Option<&'static Language>,
    compiled: HashMap<&'static str, Result<Compiled, String>>,
}

impl Query {
    pub fn from_args(args: &mut Args) -> Outcome<Self> {
        let source = args.required_text("pattern")?;
        let fixed = args
            .text("language")?
            .map(|name| Language::named(&name))
            .transpose()?;
        let mut query = Self {
            source,
            fixed,
            compiled: HashMap::new(),
        };
        if let Some(language) = fixed {
            query.compile(language);
            if let Some(Err(why)) = query.compiled.get(language.name) {
                return Err(query.refused(language.name, why));
            }
        }
        Ok(query)
    }

    fn refused(&self, language: &str, why: &str) -> Failure {
        Failure::rejected(format!(
            "the pattern does not parse as {language}: {why}\n    {}\nwrite code of that \
             language, with $NAME for one node and $$$NAME for any number",
            self.source.replace('\n', "\n    ")
        ))
        .with_data(json!({"pattern": self.source, "language": language}))
    }

    fn compile(&mut self, language: &'static Language) {
        self.compiled
            .entry(language.name)
            .or_insert_with(|| Compiled::new(&self.source, language));
    }

    /// The selected files that have a language, with the pattern compiled for all of those.
    pub fn files(
        &mut self,
        session: &Session<'_>,
        selection: &Selection,
        cancel: &Cancel,
    ) -> Outcome<Vec<Source>> {
        let explicit = selection.paths.is_some();
        let mut sources = session.select(selection, cancel)?;
        let fixed = self.fixed;
        sources.retain(|source| {
            let language = Language::of(source.path());
            match fixed {
                // A file that was named is read as the language that was named.
                Some(_) if explicit => true,
                Some(fixed) => language.is_some_and(|l| l.name == fixed.name),
                None => language.is_some(),
            }
        });
        if fixed.is_none() {
            for source in &sources {
                if let Some(language) = Language::of(source.path()) {
                    self.compile(language);
                }
            }
            let first_error = self
                .compiled
                .iter()
                .find_map(|(name, result)| result.as_ref().err().map(|why| (*name, why)));
            if let Some((name, why)) = first_error
                && self.compiled.values().all(Result::is_err)
            {
                return Err(self.refused(name, why));
            }
        }
        Ok(sources)
    }

    /// The pattern for a file, if it can be written in the file's language.
    pub fn for_path(&self, path: &str) -> Option<&Compiled> {
        let language = self.fixed.or_else(|| Language::of(path))?;
        self.compiled.get(language.name)?.as_ref().ok()
    }

    /// The signature that files with a match have, as far as all languages agree on it.
    pub fn needs(&self) -> Needs {
        let mut compiled = self.compiled();
        match (compiled.next(), compiled.next()) {
            (Some(only), None) => only.needs(),
            _ => Needs::nothing(),
        }
    }

    pub fn compiled(&self) -> impl Iterator<Item = &Compiled> {
        self.compiled.values().filter_map(|c| c.as_ref().ok())
    }
}

pub fn pattern_schema() -> Value {
    json!({"pattern": {"type": "string", "description": "Code with $NAME for one syntax node, $$$NAME for any number of them, $_ for one that is not captured."}})
}
