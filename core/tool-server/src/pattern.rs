//! Regular expressions with ripgrep's meaning, and errors that show where a pattern is wrong.

use grep::regex::{RegexMatcher, RegexMatcherBuilder};
use regex_syntax::hir::Hir;
use serde_json::json;

use crate::args::Args;
use crate::failure::{Failure, Outcome};

/// How a pattern is to be read, as ripgrep's flags of the same names.
#[derive(Clone, Copy, Default)]
pub struct Syntax {
    pub literal: bool,
    pub ignore_case: bool,
    pub word: bool,
    pub multiline: bool,
    /// `\r\n` ends a line like `\n`: `$` matches before it, and nothing matches its parts.
    pub crlf: bool,
}

impl Syntax {
    pub fn from_args(args: &mut Args) -> Outcome<Self> {
        Ok(Self {
            literal: args.flag("literal")?,
            ignore_case: args.flag("ignoreCase")?,
            word: args.flag("word")?,
            multiline: args.flag("multiline")?,
            crlf: false,
        })
    }
}

/// Compiles patterns into one matcher that finds any of them.
pub fn compile(patterns: &[&str], syntax: Syntax) -> Outcome<RegexMatcher> {
    let mut builder = RegexMatcherBuilder::new();
    builder
        .multi_line(true)
        .unicode(true)
        .octal(false)
        .case_insensitive(syntax.ignore_case)
        .word(syntax.word)
        .fixed_strings(syntax.literal)
        .crlf(syntax.crlf);
    if !syntax.multiline && !syntax.crlf {
        builder.line_terminator(Some(b'\n'));
    }
    if syntax.multiline {
        builder.line_terminator(None);
    }
    builder
        .build_many(patterns)
        .map_err(|error| explain(patterns, syntax, &error.to_string()))
}

/// The syntax of a pattern as the matcher reads it; none if it is not valid.
pub fn parse(pattern: &str, syntax: Syntax) -> Option<Hir> {
    let source = match syntax.literal {
        true => regex_syntax::escape(pattern),
        false => pattern.to_owned(),
    };
    regex_syntax::ParserBuilder::new()
        .utf8(false)
        .multi_line(true)
        .crlf(syntax.crlf)
        .case_insensitive(syntax.ignore_case)
        .build()
        .parse(&source)
        .ok()
}

/// Whether a pattern asks for the beginning or end of the whole text. What ripgrep takes for
/// those are the ends of its buffer: only the same buffering gives the same matches.
pub fn has_text_anchor(patterns: &[&str], syntax: Syntax) -> bool {
    patterns.iter().any(|pattern| {
        parse(pattern, syntax)
            .is_some_and(|hir| hir.properties().look_set().contains_anchor_haystack())
    })
}

fn explain(patterns: &[&str], syntax: Syntax, message: &str) -> Failure {
    if !syntax.literal {
        for pattern in patterns {
            if let Some((offset, what)) = first_mistake(pattern) {
                return pointed(pattern, offset, &what);
            }
        }
    }
    let mut text = format!("the regular expression cannot be used: {message}");
    if !syntax.multiline
        && patterns
            .iter()
            .any(|p| p.contains("\\n") || p.contains('\n'))
    {
        text.push_str("; set `multiline` to let a pattern match across lines");
    }
    Failure::rejected(text).with_data(json!({"pattern": patterns.first()}))
}

fn pointed(pattern: &str, offset: usize, what: &str) -> Failure {
    let before = &pattern[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_end = pattern[offset..]
        .find('\n')
        .map_or(pattern.len(), |at| offset + at);
    let caret = " ".repeat(pattern[line_start..offset].chars().count());
    Failure::rejected(format!(
        "the regular expression does not compile: {what}, at byte {offset}\n    {}\n    {caret}^",
        &pattern[line_start..line_end]
    ))
    .with_data(json!({"offset": offset, "pattern": pattern}))
}

/// The byte offset and description of the first mistake in a regular expression.
fn first_mistake(pattern: &str) -> Option<(usize, String)> {
    let parsed = regex_syntax::ParserBuilder::new()
        .utf8(false)
        .multi_line(true)
        .build()
        .parse(pattern);
    let (offset, what) = match parsed.err()? {
        regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
        regex_syntax::Error::Translate(error) => {
            (error.span().start.offset, error.kind().to_string())
        }
        other => (0, other.to_string()),
    };
    let mut offset = offset.min(pattern.len());
    while !pattern.is_char_boundary(offset) {
        offset -= 1;
    }
    Some((offset, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_with_a_caret() {
        let failure = compile(&["ab(c"], Syntax::default()).err().unwrap();
        assert!(
            failure.message.contains("\n    ab(c\n      ^"),
            "{}",
            failure.message
        );
        assert_eq!(failure.data.unwrap()["offset"], 2);
    }
}
