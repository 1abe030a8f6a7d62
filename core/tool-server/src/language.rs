//! The programming languages that have a grammar compiled in.

use std::path::Path;

use ast_grep_language::SupportLang;

use crate::failure::{Failure, Outcome};
use crate::grammar::Grammar;

pub struct Language {
    pub name: &'static str,
    aliases: &'static [&'static str],
    extensions: &'static [&'static str],
    pub grammar: Grammar,
}

const fn language(
    name: &'static str,
    aliases: &'static [&'static str],
    extensions: &'static [&'static str],
    grammar: SupportLang,
) -> Language {
    Language {
        name,
        aliases,
        extensions,
        grammar: Grammar(grammar),
    }
}

pub static LANGUAGES: [Language; 17] = [
    language(
        "bash",
        &["sh", "shell", "zsh"],
        &["sh", "bash", "zsh", "ksh", "bats"],
        SupportLang::Bash,
    ),
    language("c", &[], &["c", "h"], SupportLang::C),
    language(
        "cpp",
        &["c++", "cc", "cxx"],
        &[
            "cpp", "cc", "cxx", "c++", "hpp", "hh", "hxx", "h++", "cu", "ino",
        ],
        SupportLang::Cpp,
    ),
    language("csharp", &["c#", "cs"], &["cs"], SupportLang::CSharp),
    language("css", &[], &["css"], SupportLang::Css),
    language("go", &["golang"], &["go"], SupportLang::Go),
    language(
        "html",
        &["htm"],
        &["html", "htm", "xhtml"],
        SupportLang::Html,
    ),
    language("java", &[], &["java"], SupportLang::Java),
    language(
        "javascript",
        &["js", "jsx", "node"],
        &["js", "jsx", "mjs", "cjs"],
        SupportLang::JavaScript,
    ),
    language("json", &[], &["json"], SupportLang::Json),
    language("php", &[], &["php"], SupportLang::Php),
    language(
        "python",
        &["py", "python3"],
        &["py", "pyi", "py3", "pyw", "bzl"],
        SupportLang::Python,
    ),
    language(
        "ruby",
        &["rb"],
        &["rb", "rbw", "gemspec", "rake"],
        SupportLang::Ruby,
    ),
    language("rust", &["rs"], &["rs"], SupportLang::Rust),
    language("tsx", &[], &["tsx"], SupportLang::Tsx),
    language(
        "typescript",
        &["ts"],
        &["ts", "mts", "cts"],
        SupportLang::TypeScript,
    ),
    language("yaml", &["yml"], &["yaml", "yml"], SupportLang::Yaml),
];

impl Language {
    /// Finds a language by name or alias.
    pub fn named(name: &str) -> Outcome<&'static Self> {
        let wanted = name.to_ascii_lowercase();
        LANGUAGES
            .iter()
            .find(|l| l.name == wanted || l.aliases.contains(&wanted.as_str()))
            .ok_or_else(|| {
                let names: Vec<&str> = LANGUAGES.iter().map(|l| l.name).collect();
                Failure::rejected(format!(
                    "unknown language {name:?}; the languages are {}",
                    names.join(", ")
                ))
            })
    }

    /// The language of a file, by its extension.
    pub fn of(path: &str) -> Option<&'static Self> {
        let extension = Path::new(path).extension()?.to_str()?;
        let lower = extension.to_ascii_lowercase();
        LANGUAGES
            .iter()
            .find(|l| l.extensions.contains(&lower.as_str()))
    }
}
