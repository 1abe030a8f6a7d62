//! ast-grep's languages, mended where a pattern cannot be written as they read it.
//!
//! JSON has no names, so that `$NAME` is not JSON: patterns are read with a string in its place.
//! And a piece of code need not mean by itself what it means in its place: in Go,
//! `fmt.Println($A)` alone is a type conversion, in C `free($A)` a type, and in CSS a declaration
//! a selector. Such pieces are read within their surroundings.

use std::borrow::Cow;

use ast_grep_core::language::Language;
use ast_grep_core::matcher::{Pattern, PatternBuilder, PatternError, PatternNode};
use ast_grep_core::meta_var::MetaVariable;
use ast_grep_core::tree_sitter::{LanguageExt, StrDoc, TSLanguage};
use ast_grep_language::SupportLang;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grammar(pub SupportLang);

/// Marks the strings that stand for variables in JSON.
const JSON_MARK: &str = "\"\u{B5}";
/// What makes such a string a member of an object.
const JSON_MEMBER: &str = ": 0";

impl Language for Grammar {
    fn pre_process_pattern<'q>(&self, query: &'q str) -> Cow<'q, str> {
        match self.0 {
            SupportLang::Json => Cow::Owned(json_pattern(query)),
            other => other.pre_process_pattern(query),
        }
    }

    fn meta_var_char(&self) -> char {
        self.0.meta_var_char()
    }

    fn expando_char(&self) -> char {
        self.0.expando_char()
    }

    fn extract_meta_var(&self, source: &str) -> Option<MetaVariable> {
        if self.0 != SupportLang::Json {
            return self.0.extract_meta_var(source);
        }
        let source = source.strip_suffix(JSON_MEMBER).unwrap_or(source);
        let name = source.strip_prefix(JSON_MARK)?.strip_suffix('"')?;
        self.0.extract_meta_var(name)
    }

    fn kind_to_id(&self, kind: &str) -> u16 {
        self.0.kind_to_id(kind)
    }

    fn field_to_id(&self, field: &str) -> Option<u16> {
        self.0.field_to_id(field)
    }

    fn build_pattern(&self, builder: &PatternBuilder) -> Result<Pattern, PatternError> {
        builder.build(|source| StrDoc::try_new(source, *self))
    }
}

impl LanguageExt for Grammar {
    fn get_ts_language(&self) -> TSLanguage {
        self.0.get_ts_language()
    }
}

impl Grammar {
    /// Reads a pattern, by itself or in its surroundings.
    pub fn pattern(self, source: &str) -> Result<Pattern, String> {
        let alone = || match Pattern::try_new(source, self) {
            Err(error) => Err(error.to_string()),
            Ok(pattern) if contains_error(&pattern.node) => Err("it has a syntax error".into()),
            Ok(pattern) => Ok(pattern),
        };
        let placed = || {
            let mut places = self.surroundings().iter();
            places.find_map(|place| self.pattern_in(source.trim(), place))
        };
        match self.0 {
            // A type such as `vector<$T>` is a comparison where statements stand.
            SupportLang::Cpp if source.trim_end().ends_with('>') => alone(),
            SupportLang::Go | SupportLang::Css | SupportLang::C | SupportLang::Cpp => {
                placed().map_or_else(alone, Ok)
            }
            _ => alone().or_else(|why| placed().ok_or(why)),
        }
    }

    /// Where statements, expressions and members stand, as text before and after.
    fn surroundings(self) -> &'static [(&'static str, &'static str)] {
        match self.0 {
            SupportLang::Go => &[
                ("package p\nfunc f() {\n", "\n}\n"),
                ("package p\nvar x = ", "\n"),
                ("package p\n", "\n"),
            ],
            SupportLang::Css => &[("a {", "}"), ("a {", ";}"), ("a { b: ", "; }")],
            SupportLang::Json => &[("{", "}")],
            SupportLang::Java => &[
                ("class A { void f() { ", " } }"),
                ("class A { void f() { ", "; } }"),
                ("class A { ", " }"),
            ],
            SupportLang::CSharp => &[
                ("class A { void F() { ", " } }"),
                ("class A { void F() { ", "; } }"),
                ("class A { ", " }"),
            ],
            SupportLang::C | SupportLang::Cpp => &[
                ("void f() { ", "; }"),
                ("void f() { ", " }"),
                ("struct A { ", " };"),
            ],
            SupportLang::Rust => &[
                ("fn f() { ", " }"),
                ("impl A { ", " }"),
                ("fn f() { match x { ", " } }"),
            ],
            SupportLang::JavaScript | SupportLang::TypeScript | SupportLang::Tsx => {
                &[("class A { ", " }"), ("({", "})")]
            }
            SupportLang::Php => &[("<?php ", ";"), ("<?php class A { ", " }")],
            _ => &[],
        }
    }

    /// The node that a piece of code is in its surroundings, if it is one there.
    fn pattern_in(self, source: &str, (before, after): &(&str, &str)) -> Option<Pattern> {
        // JSON's preprocessing looks at braces, so it must see the surroundings.
        let whole = match self.0 {
            SupportLang::Json => json_pattern(&format!("{before}{source}{after}")),
            _ => format!("{before}{}{after}", self.pre_process_pattern(source)),
        };
        let end = whole.len() - after.len();
        let document = StrDoc::try_new(&whole, self).ok()?;
        let root = ast_grep_core::AstGrep::doc(document);
        let found = |end: usize| {
            root.root()
                .dfs()
                .find(|node| node.range() == (before.len()..end))
        };
        // A statement or declaration may need an end that the piece was given without.
        let needs_end = found(end).is_none() && after.starts_with(';');
        let mut node = found(end + usize::from(needs_end))?;
        while node.children().len() == 1
            && let Some(only) = node.child(0)
            && only.range() == node.range()
        {
            node = only;
        }
        let mut pattern = Pattern::from(node);
        if needs_end && let PatternNode::Internal { children, .. } = &mut pattern.node {
            children.pop();
        }
        (!contains_error(&pattern.node)).then_some(pattern)
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

/// Puts strings in the place of variables outside strings; where a member of an object should
/// be, a member with such a name.
fn json_pattern(query: &str) -> String {
    let mut out = String::new();
    let mut in_object = Vec::new();
    let mut rest = query;
    while let Some(next) = rest.chars().next() {
        let (token, after) = rest.split_at(match next {
            '"' => string_length(rest),
            '$' => variable_length(rest),
            _ => next.len_utf8(),
        });
        match next {
            '{' => in_object.push(true),
            '[' => in_object.push(false),
            '}' | ']' => in_object.truncate(in_object.len().saturating_sub(1)),
            _ => {}
        }
        if SupportLang::Json.extract_meta_var(token).is_some() {
            let first = out.trim_end().ends_with(['{', ',']);
            let member = in_object.last() == Some(&true) && first;
            out.push_str(&format!("{JSON_MARK}{token}\""));
            if member && !after.trim_start().starts_with(':') {
                out.push_str(JSON_MEMBER);
            }
        } else {
            out.push_str(token);
        }
        rest = after;
    }
    out
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn variable_length(text: &str) -> usize {
    let name = text.trim_start_matches('$');
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    text.len() - name.len() + end.unwrap_or(name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_json_become_strings_and_members() {
        assert_eq!(json_pattern("{\"a$B\": $V}"), "{\"a$B\": \"\u{B5}$V\"}");
        assert_eq!(
            json_pattern("{$$$A, $K: [$$$]}"),
            "{\"\u{B5}$$$A\": 0, \"\u{B5}$K\": [\"\u{B5}$$$\"]}"
        );
    }

    #[test]
    fn pieces_are_read_in_their_surroundings() {
        for (grammar, source) in [
            (SupportLang::Go, "fmt.Println($A)"),
            (SupportLang::Go, "func $F($$$A) { $$$B }"),
            (SupportLang::Json, "\"a\": $V"),
            (SupportLang::Css, "color: $C"),
            (SupportLang::Java, "private int $F() { return $X; }"),
        ] {
            assert!(Grammar(grammar).pattern(source).is_ok(), "{source}");
        }
        assert!(Grammar(SupportLang::Python).pattern("def (").is_err());
    }
}
