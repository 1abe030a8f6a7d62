//! Syntax-tree patterns: compiling them, and finding them in files.

use std::collections::HashMap;

use ast_grep_core::matcher::{MatcherExt, PatternNode};
use ast_grep_core::{AstGrep, Matcher, NodeMatch, Pattern};
use serde_json::{Value, json};

use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::language::Language;
use crate::rpc::Cancel;
use crate::syntax_tree::Parsed;
use crate::workspace::{Selection, Session, Source};

pub type Match<'t> = NodeMatch<'t, Parsed>;
pub type Root = AstGrep<Parsed>;

/// A pattern in one language, and the texts that every match of it contains.
pub struct Compiled {
    pub language: &'static Language,
    pub pattern: Pattern,
    literals: Vec<String>,
}

impl Compiled {
    pub fn new(source: &str, language: &'static Language) -> Result<Self, String> {
        let pattern =
            Pattern::try_new(source, language.grammar).map_err(|error| error.to_string())?;
        if pattern.has_error() || contains_error(&pattern.node) {
            return Err("it has a syntax error".into());
        }
        let mut literals = Vec::new();
        collect_literals(&pattern.node, &mut literals);
        literals.sort_unstable();
        literals.dedup();
        Ok(Self {
            language,
            pattern,
            literals,
        })
    }

    /// Whether a text can contain a match at all: cheap, and spares the parser most files.
    pub fn may_match(&self, bytes: &[u8]) -> bool {
        self.literals
            .iter()
            .all(|literal| memchr::memmem::find(bytes, literal.as_bytes()).is_some())
    }

    /// The matches in the order of the text, nested ones too, until `each` answers false.
    pub fn each_match<'t>(
        &self,
        root: &'t Root,
        cancel: &Cancel,
        mut each: impl FnMut(Match<'t>) -> bool,
    ) -> Outcome<()> {
        let kinds = self.pattern.potential_kinds();
        for (count, node) in root.root().dfs().enumerate() {
            if count % 4096 == 0 {
                cancel.check()?;
            }
            if let Some(kinds) = &kinds
                && !kinds.contains(node.kind_id().into())
            {
                continue;
            }
            if let Some(found) = self.pattern.match_node(node)
                && !each(found)
            {
                break;
            }
        }
        Ok(())
    }
}

fn contains_error(node: &PatternNode) -> bool {
    match node {
        PatternNode::MetaVar { .. } => false,
        PatternNode::Terminal { kind_id, .. } => *kind_id == u16::MAX,
        PatternNode::Internal { kind_id, children } => {
            *kind_id == u16::MAX || children.iter().any(contains_error)
        }
    }
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
        session: &Session,
        selection: &Selection,
        cancel: &Cancel,
    ) -> Outcome<Vec<Source>> {
        let explicit = selection.paths.is_some();
        let mut sources = session.select(selection, cancel)?;
        let fixed = self.fixed;
        sources.retain(|source| {
            let language = Language::of(&source.path);
            match fixed {
                // A file that was named is read as the language that was named.
                Some(_) if explicit => true,
                Some(fixed) => language.is_some_and(|l| l.name == fixed.name),
                None => language.is_some(),
            }
        });
        if fixed.is_none() {
            for source in &sources {
                if let Some(language) = Language::of(&source.path) {
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

    pub fn compiled(&self) -> impl Iterator<Item = &Compiled> {
        self.compiled.values().filter_map(|c| c.as_ref().ok())
    }
}

pub fn pattern_schema() -> Value {
    json!({"pattern": {"type": "string", "description": "Code with $NAME for one syntax node, $$$NAME for any number of them, $_ for one that is not captured."}})
}
