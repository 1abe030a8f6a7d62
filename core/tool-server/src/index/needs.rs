//! Which texts can match at all: what a search needs a text to have, read off its pattern.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::grams::{Grams, SHORT, sequences};
use crate::pattern::{Syntax, parse};

/// A class of more bytes than this is not a letter in its cases.
const MAX_CLASS: usize = 4;

/// What a text must contain for a pattern to match; an empty `All` asks for nothing.
#[derive(Debug, PartialEq)]
enum Need {
    Grams(Vec<u64>),
    All(Vec<Need>),
    Any(Vec<Need>),
}

impl Need {
    fn may_be_met_by(&self, text: &Grams) -> bool {
        match self {
            Self::Grams(grams) => grams.iter().all(|&gram| text.has(gram)),
            Self::All(parts) => parts.iter().all(|part| part.may_be_met_by(text)),
            Self::Any(parts) => parts.iter().any(|part| part.may_be_met_by(text)),
        }
    }
}

/// The needs of a search. Texts of ASCII only cannot hold what some letters also stand for when
/// case is ignored (`ſ` for `s`), so that more is known of them.
#[derive(Debug)]
pub struct Needs {
    ascii: Need,
    any: Need,
}

impl Needs {
    /// Of a search that any of the patterns satisfies.
    pub fn of_patterns(patterns: &[&str], syntax: Syntax) -> Self {
        let hirs: Vec<Option<Hir>> = patterns
            .iter()
            .map(|pattern| parse(pattern, syntax))
            .collect();
        let need = |ascii: bool| {
            Need::Any(
                hirs.iter()
                    .map(|hir| match hir {
                        Some(hir) => Walk::needs(hir, ascii),
                        None => Need::All(Vec::new()),
                    })
                    .collect(),
            )
        };
        Self {
            ascii: need(true),
            any: need(false),
        }
    }

    /// Of a text that must contain every one of these.
    pub fn of_literals<'a>(literals: impl Iterator<Item = &'a str> + Clone) -> Self {
        let need = || {
            Need::All(
                literals
                    .clone()
                    .map(|l| Need::Grams(sequences(l.as_bytes())))
                    .collect(),
            )
        };
        Self {
            ascii: need(),
            any: need(),
        }
    }

    /// Whether a text with this signature may match.
    pub fn may_be_met_by(&self, text: &Grams) -> bool {
        let need = if text.is_ascii() {
            &self.ascii
        } else {
            &self.any
        };
        need.may_be_met_by(text)
    }

    /// Of a search that needs to look at everything.
    pub fn nothing() -> Self {
        Self {
            ascii: Need::All(Vec::new()),
            any: Need::All(Vec::new()),
        }
    }
}

/// Collects what a regular expression needs: runs of bytes that follow each other.
struct Walk {
    ascii: bool,
    run: Vec<u8>,
    needs: Vec<Need>,
}

impl Walk {
    fn needs(hir: &Hir, ascii: bool) -> Need {
        let mut walk = Self {
            ascii,
            run: Vec::new(),
            needs: Vec::new(),
        };
        walk.visit(hir);
        walk.end_run();
        Need::All(walk.needs)
    }

    fn end_run(&mut self) {
        if self.run.len() >= SHORT {
            self.needs.push(Need::Grams(sequences(&self.run)));
        }
        self.run.clear();
    }

    fn visit(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => self.run.extend_from_slice(&literal.0),
            HirKind::Class(class) => match single_letter(class, self.ascii) {
                Some(byte) => self.run.push(byte),
                None => self.end_run(),
            },
            HirKind::Capture(capture) => self.visit(&capture.sub),
            HirKind::Concat(parts) => {
                for part in parts {
                    self.visit(part);
                }
            }
            HirKind::Repetition(repetition) => {
                self.end_run();
                if repetition.min > 0 {
                    self.needs.push(Self::needs(&repetition.sub, self.ascii));
                }
            }
            HirKind::Alternation(branches) => {
                self.end_run();
                let branches = branches.iter().map(|b| Self::needs(b, self.ascii));
                self.needs.push(Need::Any(branches.collect()));
            }
        }
    }
}

/// The one byte, with ASCII letters folded, that a class stands for; if `ascii`, members that
/// no ASCII text holds do not count.
fn single_letter(class: &Class, ascii: bool) -> Option<u8> {
    let mut folded = None;
    let mut count = 0usize;
    let mut take = |low: u32, high: u32| {
        for member in low..=high {
            count += 1;
            if count > MAX_CLASS {
                return false;
            }
            match u8::try_from(member).ok().filter(u8::is_ascii) {
                Some(byte) => {
                    let byte = byte.to_ascii_lowercase();
                    if folded.is_some_and(|seen| seen != byte) {
                        return false;
                    }
                    folded = Some(byte);
                }
                None if ascii => {}
                None => return false,
            }
        }
        true
    };
    let single = match class {
        Class::Unicode(class) => class
            .iter()
            .all(|range| take(u32::from(range.start()), u32::from(range.end()))),
        Class::Bytes(class) => class
            .iter()
            .all(|range| take(u32::from(range.start()), u32::from(range.end()))),
    };
    folded.filter(|_| single)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(pattern: &str, ignore_case: bool, text: &str) -> bool {
        let syntax = Syntax {
            ignore_case,
            ..Syntax::default()
        };
        Needs::of_patterns(&[pattern], syntax).may_be_met_by(&Grams::of(text.as_bytes()))
    }

    #[test]
    fn what_matches_passes() {
        for (pattern, text) in [
            ("hello", "say hello"),
            ("he(llo|y) wor", "hey world"),
            ("a+bcd", "aaabcd"),
            (r"\bdef\s+\w+\(", "def f("),
            ("", "x"),
            ("ab", "ab"),
        ] {
            assert!(passes(pattern, false, text), "{pattern}");
        }
        for text in ["MASK", "maſk", "mas\u{212A}"] {
            assert!(passes("mask", true, text), "{text}");
        }
    }

    #[test]
    fn large_texts_are_told_apart_by_longer_sequences() {
        let words = "parse def args _a e_ ef pa ".repeat(4000);
        assert!(!passes("def parse_args", false, &words));
        assert!(passes(
            "def parse_args",
            false,
            &format!("{words} def parse_args")
        ));
        assert!(passes(
            "DEF PARSE_args",
            true,
            &format!("{words} def parse_args")
        ));
    }

    #[test]
    fn what_lacks_a_needed_sequence_does_not_pass() {
        assert!(!passes("hello", false, "help, yell"));
        assert!(!passes("import (numpy|pandas)", false, "import os, sys"));
        assert!(!passes("mask", true, "desk"));
    }
}
