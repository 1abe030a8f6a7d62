//! Asking the `git` program, for the tools that tell what it says as structure.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::room::MAX_ANSWER_BYTES;
use crate::rpc::Cancel;
use crate::session::relative;

const POLL: Duration = Duration::from_millis(5);

pub fn paths_schema() -> Value {
    json!({"paths": {"type": "array", "items": {"type": "string"}, "description": "Only these files or folders."}})
}

/// The paths that a call names, for the command line.
pub fn paths(root: &Path, paths: Option<Vec<String>>) -> Outcome<Vec<String>> {
    paths
        .unwrap_or_default()
        .iter()
        .map(|path| {
            let inner = relative(root, path)?;
            // Git reads glob and magic characters in paths; these are names.
            Ok(format!(":(literal){inner}"))
        })
        .collect()
}

/// Runs git without anything that a repository's configuration could make it start for a
/// query, and without taking locks that a person's own git may need.
pub fn run(root: &Path, words: &[&str], cancel: &Cancel) -> Outcome<Vec<u8>> {
    let mut child = Command::new("git")
        .args(["--no-optional-locks", "--no-pager"])
        .args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=false"])
        .arg("-C")
        .arg(root)
        .args(words)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            Failure::broken(format!(
                "git cannot be started ({error}): install git, or put it on the PATH"
            ))
        })?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, cancel)?;
    let output = stdout.join().unwrap_or_default();
    let complaint = stderr.join().unwrap_or_default();
    if status.success() && output.len() > MAX_ANSWER_BYTES {
        return Err(Failure::rejected(format!(
            "git {} prints more than {} MiB: name fewer paths",
            words[0],
            MAX_ANSWER_BYTES >> 20
        )));
    }
    if status.success() {
        return Ok(output);
    }
    let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
    if complaint.contains("not a git repository") {
        return Err(Failure::rejected(format!(
            "{} is not in a git repository",
            root.display()
        )));
    }
    Err(Failure::broken(format!("git {}: {complaint}", words[0])))
}

fn wait(child: &mut Child, cancel: &Cancel) -> Outcome<ExitStatus> {
    loop {
        if cancel.is_set() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::cancelled());
        }
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => std::thread::sleep(POLL),
            Err(error) => return Err(Failure::broken(format!("git: {error}"))),
        }
    }
}

/// Reads all that git prints, as much as an answer may have of it; else git would wait for a reader.
fn drain<R: Read + Send + 'static>(pipe: Option<R>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let most = MAX_ANSWER_BYTES as u64 + 1;
            let _ = pipe.by_ref().take(most).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        bytes
    })
}
