//! Parsed files that ast-grep's matcher can walk without a copy of the text.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use ast_grep_core::source::{Content, Doc, Edit};
use ast_grep_core::tree_sitter::LanguageExt;
use tree_sitter::{Node, ParseOptions, Parser, Tree};

use crate::grammar::Grammar;
use crate::rpc::Cancel;
use crate::text::Text;

thread_local! {
    /// Parsers keep tables of their language: one for each language and thread.
    static PARSERS: RefCell<HashMap<Grammar, Parser>> = RefCell::new(HashMap::new());
}

/// A text shared with the cache it came from.
#[derive(Clone)]
pub struct Shared(Arc<Text>);

impl Content for Shared {
    type Underlying = u8;

    fn get_range(&self, range: Range<usize>) -> &[u8] {
        &self.0.bytes[range]
    }

    fn decode_str(src: &str) -> Cow<'_, [u8]> {
        Cow::Borrowed(src.as_bytes())
    }

    fn encode_bytes(bytes: &[u8]) -> Cow<'_, str> {
        String::from_utf8_lossy(bytes)
    }

    fn get_char_column(&self, _column: usize, offset: usize) -> usize {
        let before = &self.0.bytes[..offset];
        let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        crate::place::count_chars(&before[start..])
    }
}

/// A text and its syntax tree.
#[derive(Clone)]
pub struct Parsed {
    source: Shared,
    grammar: Grammar,
    pub tree: Tree,
}

/// Memory that a tree takes, by its number of nodes; measured on Python and TypeScript.
const NODE_BYTES: usize = 176;

impl Parsed {
    pub fn size_bytes(&self) -> usize {
        self.tree.root_node().descendant_count() * NODE_BYTES
    }

    /// Parses a UTF-8 text; `None` if the call was cancelled on the way.
    pub fn new(text: &Arc<Text>, grammar: Grammar, cancel: &Cancel) -> Option<Self> {
        let tree = PARSERS.with_borrow_mut(|parsers| {
            let parser = parsers.entry(grammar).or_insert_with(|| {
                let mut parser = Parser::new();
                parser
                    .set_language(&grammar.get_ts_language())
                    .expect("grammars are built for this version of tree-sitter");
                parser
            });
            parser.reset();
            let mut progress = |_: &_| {
                if cancel.is_set() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            let bytes = &text.bytes;
            parser.parse_with_options(
                &mut |at, _| bytes.get(at..).unwrap_or_default(),
                None,
                Some(ParseOptions::new().progress_callback(&mut progress)),
            )
        })?;
        Some(Self {
            source: Shared(Arc::clone(text)),
            grammar,
            tree,
        })
    }
}

impl Doc for Parsed {
    type Source = Shared;
    type Lang = Grammar;
    type Node<'r> = Node<'r>;

    fn get_lang(&self) -> &Grammar {
        &self.grammar
    }

    fn get_source(&self) -> &Shared {
        &self.source
    }

    fn do_edit(&mut self, _edit: &Edit<Shared>) -> Result<(), String> {
        Err("a parsed file is read-only".into())
    }

    fn root_node(&self) -> Node<'_> {
        self.tree.root_node()
    }

    fn get_node_text<'a>(&'a self, node: &Node<'a>) -> Cow<'a, str> {
        String::from_utf8_lossy(&self.source.0.bytes[node.byte_range()])
    }
}
