//! Which texts can match at all: a small signature of each text's three-byte sequences.
//!
//! The idea is Russ Cox's trigram index ("Regular Expression Matching with a Trigram Index",
//! 2012), with one Bloom filter a file instead of posting lists: a changed file costs its own
//! signature only. ASCII letters are folded, so that one signature serves both cases. A large
//! text has most short sequences somewhere, so its signature holds those of six bytes, too. What
//! a signature lets pass, the real matcher confirms.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::pattern::{Syntax, parse};

const MIN_BITS_LOG2: u32 = 9;
const MAX_BITS_LOG2: u32 = 22;
/// Texts from this size on have sequences of six bytes in their signatures.
const LARGE_BYTES: usize = 64 << 10;
const SHORT: usize = 3;
const LONG: usize = 6;
/// Tells a long sequence from a short one that begins with zeros.
const LONG_MARK: u64 = 1 << 48;
/// A class of more bytes than this is not a letter in its cases.
const MAX_CLASS: usize = 4;

/// The signature of one text.
pub struct Grams {
    bits: Box<[u64]>,
    shift: u32,
    ascii: bool,
    large: bool,
}

/// Multiplicative hashing (Knuth): the highest bits of the product.
fn slot(gram: u64, shift: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize
}

impl Grams {
    /// Takes about one bit for two bytes of text; for a large text, one for each byte.
    pub fn of(text: &[u8]) -> Self {
        let large = text.len() >= LARGE_BYTES;
        let wanted = if large { text.len() } else { text.len() / 2 };
        let log2 = wanted
            .next_power_of_two()
            .trailing_zeros()
            .clamp(MIN_BITS_LOG2, MAX_BITS_LOG2);
        let shift = 64 - log2;
        let mut bits = vec![0u64; 1 << (log2 - 6)].into_boxed_slice();
        let mut window = 0u64;
        for (at, byte) in text.iter().enumerate() {
            window = (window << 8 | u64::from(byte.to_ascii_lowercase())) & (LONG_MARK - 1);
            if at + 1 >= SHORT {
                let slot = slot(window & 0x00FF_FFFF, shift);
                bits[slot >> 6] |= 1 << (slot & 63);
            }
            if large && at + 1 >= LONG {
                let slot = slot(window | LONG_MARK, shift);
                bits[slot >> 6] |= 1 << (slot & 63);
            }
        }
        Self {
            bits,
            shift,
            ascii: text.is_ascii(),
            large,
        }
    }

    pub fn size_bytes(&self) -> usize {
        self.bits.len() * 8 + size_of::<Self>()
    }

    fn has(&self, gram: u64) -> bool {
        if gram & LONG_MARK != 0 && !self.large {
            return true;
        }
        let slot = slot(gram, self.shift);
        self.bits[slot >> 6] & (1 << (slot & 63)) != 0
    }

    pub fn may_match(&self, need: &Needs) -> bool {
        self.satisfies(if self.ascii { &need.ascii } else { &need.any })
    }

    fn satisfies(&self, need: &Need) -> bool {
        match need {
            Need::Grams(grams) => grams.iter().all(|&gram| self.has(gram)),
            Need::All(parts) => parts.iter().all(|part| self.satisfies(part)),
            Need::Any(parts) => parts.iter().any(|part| self.satisfies(part)),
        }
    }
}

/// What a text must contain for a pattern to match; an empty `All` asks for nothing.
#[derive(Debug, PartialEq)]
enum Need {
    Grams(Vec<u64>),
    All(Vec<Need>),
    Any(Vec<Need>),
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
        let need = || Need::All(literals.clone().map(|l| grams(l.as_bytes())).collect());
        Self {
            ascii: need(),
            any: need(),
        }
    }

    /// Of a search that needs to look at everything.
    pub fn nothing() -> Self {
        Self {
            ascii: Need::All(Vec::new()),
            any: Need::All(Vec::new()),
        }
    }
}

/// The sequences of a run of bytes, long ones first: few texts have them.
fn grams(run: &[u8]) -> Need {
    let fold = |window: &[u8]| {
        window
            .iter()
            .fold(0, |gram, b| gram << 8 | u64::from(b.to_ascii_lowercase()))
    };
    let long = run.windows(LONG).map(|window| fold(window) | LONG_MARK);
    Need::Grams(long.chain(run.windows(SHORT).map(fold)).collect())
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
            self.needs.push(grams(&self.run));
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
        Grams::of(text.as_bytes()).may_match(&Needs::of_patterns(&[pattern], syntax))
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
