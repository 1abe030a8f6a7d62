//! `outline`: the symbols that files declare.

use serde::Serialize;
use serde_json::{Value, json};
use tree_sitter::Node;

use super::outline_kinds::{Rule, rules};
use super::{Report, Skipped, Tool, schema};
use crate::args::Args;
use crate::failure::Outcome;
use crate::language::Language;
use crate::place::Locator;
use crate::room::{RECORD_BYTES, Room};
use crate::rpc::Cancel;
use crate::session::Selection;
use crate::text::Text;
use crate::workspace::Workspaces;

/// Deeper nesting is not looked into.
const MAX_DEPTH: usize = 200;

pub const TOOL: Tool = Tool {
    name: "outline",
    description: "List the classes, functions and other symbols that files declare.",
    schema: arguments,
    run,
};

fn arguments() -> Value {
    schema::object(
        &[],
        &[
            json!({"path": {"type": "string", "description": "One file; or select several."}}),
            schema::selection(),
            schema::documents(),
            schema::root(),
        ],
    )
}

#[derive(Serialize)]
struct Files {
    files: Vec<FileSymbols>,
    skipped: Vec<Skipped>,
}

#[derive(Serialize)]
struct FileSymbols {
    path: String,
    language: &'static str,
    symbols: Vec<Symbol>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Symbol {
    kind: &'static str,
    name: String,
    line: usize,
    column: usize,
    utf16_column: usize,
    end_line: usize,
    /// The names of the symbols around it, outermost first, joined by dots.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
}

fn run(workspaces: &Workspaces, mut args: Args, cancel: &Cancel) -> Outcome<Report> {
    let session = workspaces.open(&mut args)?;
    let path = args.text("path")?;
    let mut selection = Selection::from_args(&mut args)?;
    if let Some(path) = path {
        selection.paths.get_or_insert_default().push(path);
    }
    args.finish()?;

    let mut result = Files {
        files: Vec::new(),
        skipped: Vec::new(),
    };
    let room = Room::unlimited();
    for source in session.select(&selection, cancel)? {
        cancel.check()?;
        let Some(language) = Language::of(source.path()) else {
            continue;
        };
        let rules = rules(language.name);
        if rules.is_empty() {
            continue;
        }
        let text = match session.load_parsable(&source) {
            Ok(text) => text,
            Err(reason) => {
                result.skipped.push(Skipped {
                    path: source.path().to_owned(),
                    reason,
                });
                continue;
            }
        };
        let parsed = session.parse(&source, &text, language.grammar, cancel)?;
        let mut outline = Outline {
            text: &text,
            rules,
            locator: Locator::new(&text.bytes),
            containers: Vec::new(),
            symbols: Vec::new(),
        };
        outline.visit(parsed.tree.root_node(), 0);
        room.add(outline.symbols.len() * RECORD_BYTES)?;
        result.files.push(FileSymbols {
            path: source.path().to_owned(),
            language: language.name,
            symbols: outline.symbols,
        });
    }
    let symbols: usize = result.files.iter().map(|file| file.symbols.len()).sum();
    Report::new(
        format!("{symbols} symbols in {} files", result.files.len()),
        &result,
    )
}

struct Outline<'a> {
    text: &'a Text,
    rules: &'static [Rule],
    locator: Locator<'a>,
    containers: Vec<(String, &'static str)>,
    symbols: Vec<Symbol>,
}

impl Outline<'_> {
    fn visit(&mut self, node: Node<'_>, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let declared = self.declare(node);
        let entered = declared.is_some();
        self.containers.extend(declared);
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            self.visit(child, depth + 1);
        }
        if entered {
            self.containers.pop();
        }
    }

    /// Notes the symbol that a node declares, if it declares one.
    fn declare(&mut self, node: Node<'_>) -> Option<(String, &'static str)> {
        let kind = self
            .rules
            .iter()
            .find(|(name, _)| *name == node.kind())
            .map(|(_, kind)| *kind)?;
        if node.kind() == "variable_declarator" && !holds_function(node) {
            return None;
        }
        // Without a body, C's specifiers only refer to a type.
        if node.kind().ends_with("_specifier") && node.child_by_field_name("body").is_none() {
            return None;
        }
        let name = self.name(node)?;
        let inside_type = self
            .containers
            .last()
            .is_some_and(|(_, kind)| TYPES.contains(kind));
        let kind = match kind {
            "function" if inside_type => "method",
            kind => kind,
        };
        let place = self.locator.place(node.start_byte());
        let container: Vec<&str> = self.containers.iter().map(|(name, _)| &**name).collect();
        self.symbols.push(Symbol {
            kind,
            name: name.clone(),
            line: place.line,
            column: place.column,
            utf16_column: place.utf16_column,
            end_line: node.end_position().row + 1,
            container: (!container.is_empty()).then(|| container.join(".")),
        });
        Some((name, kind))
    }

    fn name(&self, node: Node<'_>) -> Option<String> {
        let named = ["name", "declarator", "type"]
            .iter()
            .find_map(|field| node.child_by_field_name(field))?;
        // C wraps a function's name in declarators for pointers and parameters.
        let mut named = match node.kind() {
            "type_definition" => node.child_by_field_name("declarator")?,
            _ => named,
        };
        while let Some(inner) = named.child_by_field_name("declarator") {
            named = inner;
        }
        let text = String::from_utf8_lossy(&self.text.bytes[named.byte_range()]);
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

const TYPES: [&str; 7] = [
    "class",
    "struct",
    "trait",
    "impl",
    "interface",
    "enum",
    "union",
];

fn holds_function(declarator: Node<'_>) -> bool {
    declarator
        .child_by_field_name("value")
        .is_some_and(|value| {
            matches!(
                value.kind(),
                "arrow_function" | "function_expression" | "generator_function" | "class"
            )
        })
}
