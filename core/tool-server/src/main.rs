//! `opencode-tool-server`: a persistent process that searches, rewrites and inspects a workspace.
//!
//! It speaks newline-delimited JSON-RPC 2.0 on stdio with the methods of the Model Context
//! Protocol, never writes to the workspace, and ends with its parent or with stdin.

mod args;
mod calls;
mod confine;
mod failure;
mod grammar;
mod index;
mod language;
mod mcp;
mod memory;
mod parent;
mod pattern;
mod place;
mod room;
mod rpc;
mod search;
mod session;
mod syntax_tree;
mod text;
mod tools;
mod wire;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

const USAGE: &str = "usage: opencode-tool-server [--root DIR] [--memory-mib N] [--max-request-mib N] [--no-watch] [--version]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|word| word == "confine").is_some() {
        return confine::run(arguments);
    }
    memory::choose();
    let options = match options(arguments) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    parent::die_with_parent();
    rpc::serve(options)
}

/// What the command line says.
pub struct Options {
    /// The folder that calls without a `root` argument work in.
    pub root: PathBuf,
    /// The bound for cached texts, trees and search signatures together.
    pub memory_bytes: usize,
    /// A longer request line is refused: it would be held in memory several times over.
    pub max_request_bytes: usize,
    /// Learn of changes by events, where the system has them; else stamps are compared.
    pub watching: bool,
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut root = None;
    let mut memory_mib = 512usize;
    let mut max_request_mib = 256usize;
    let mut watching = true;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--version" => {
                println!("opencode-tool-server {}", env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(None);
            }
            "--no-watch" => watching = false,
            "--root" => root = Some(words.next().ok_or("--root needs a folder")?),
            "--memory-mib" => memory_mib = number(&word, words.next())?,
            "--max-request-mib" => max_request_mib = number(&word, words.next())?,
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    let root = match root {
        Some(root) => PathBuf::from(root),
        None => std::env::current_dir().map_err(|e| format!("no current folder: {e}"))?,
    };
    let root = std::path::absolute(&root).map_err(|e| format!("--root {}: {e}", root.display()))?;
    Ok(Some(Options {
        root,
        memory_bytes: memory_mib << 20,
        max_request_bytes: max_request_mib << 20,
        watching,
    }))
}

fn number<T: FromStr>(option: &str, value: Option<String>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{option} needs a number"))?;
    value
        .parse()
        .map_err(|_| format!("{option} needs a whole number, not {value:?}"))
}
