//! `opencode-tool-server confine … -- COMMAND`: restricts this process, then becomes the command.
//!
//! Files: Landlock lets the command write below the folders named, and read what is not hidden.
//! Network and other programs' sockets: a user, mount and network namespace of its own, or where
//! the system has none to give, a seccomp filter. What holds is inherited by all that the command
//! starts, and cannot be taken off again.

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod namespaces;
#[cfg(target_os = "linux")]
mod network_filter;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

const USAGE: &str = "usage: opencode-tool-server confine [--write DIR]… [--read-only PATH]… \
[--hide PATH]… [--network] [--no-namespaces] [--strict] (--status | -- COMMAND [ARGUMENT]…)";

/// The command could not be confined, or not be started: the code that `env` and `timeout` use.
const CANNOT: u8 = 125;

/// Where programs share memory: of the command's own where it has a namespace for mounts.
#[cfg(target_os = "linux")]
const SHARED_MEMORY: &str = "/dev/shm";

/// What the command line asks for.
#[derive(Default)]
struct Wish {
    /// Folders that may be written below.
    write: Vec<PathBuf>,
    /// What may not be written although it lies below one of them.
    read_only: Vec<PathBuf>,
    /// What may not be read.
    hide: Vec<PathBuf>,
    network: bool,
    no_namespaces: bool,
    strict: bool,
    status: bool,
    command: Vec<String>,
}

/// What is in force, as `--status` prints it.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct InForce {
    /// The kernel's Landlock version; 0 where there is none.
    landlock: u8,
    /// Writes outside of the folders named are refused.
    files: bool,
    /// What is hidden cannot be read.
    hidden: bool,
    /// How the network is cut off: `namespace`, `seccomp`, or empty where it is not.
    network: &'static str,
    /// The path-bound sockets of other programs are out of reach.
    sockets: bool,
    /// Paths inside writable folders can be made read-only.
    read_only: bool,
    /// Programs outside get no signals.
    signals: bool,
}

/// Confines this process as its arguments say, and runs the command in its place.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let wish = match wish(arguments) {
        Ok(wish) => wish,
        Err(message) => {
            eprintln!("confine: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match confine(&wish) {
        Ok(in_force) if wish.status => {
            println!("{}", serde_json::to_string(&in_force).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Ok(in_force) if wish.strict && !in_force.files => {
            failed("this system cannot keep a command from writing where it should not")
        }
        Ok(in_force) if wish.strict && !wish.network && in_force.network.is_empty() => {
            failed("this system cannot keep a command from the network")
        }
        Ok(_) => failed(&become_command(&wish.command)),
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("confine: {message}");
    ExitCode::from(CANNOT)
}

fn wish(mut words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut wish = Wish::default();
    while let Some(word) = words.next() {
        let mut path = || {
            let value = words.next().ok_or(format!("{word} needs a path"))?;
            std::path::absolute(&value).map_err(|error| format!("{word} {value}: {error}"))
        };
        match word.as_str() {
            "--write" => wish.write.push(path()?),
            "--read-only" => wish.read_only.push(path()?),
            "--hide" => wish.hide.push(path()?),
            "--network" => wish.network = true,
            "--no-namespaces" => wish.no_namespaces = true,
            "--strict" => wish.strict = true,
            "--status" => wish.status = true,
            "--" => {
                wish.command = words.collect();
                break;
            }
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    if wish.command.is_empty() && !wish.status {
        return Err("a command is missing".into());
    }
    Ok(wish)
}

#[cfg(target_os = "linux")]
fn confine(wish: &Wish) -> Result<InForce, String> {
    let mut in_force = InForce::default();
    if !wish.no_namespaces {
        match namespaces::enter(wish) {
            Ok(()) => {
                in_force.sockets = true;
                in_force.read_only = true;
                in_force.network = if wish.network { "" } else { "namespace" };
            }
            // Nothing is lost yet when only asked what there is.
            Err(_) if wish.status => {}
            Err(message) => return Err(message),
        }
    }
    files::restrict(wish, &mut in_force)?;
    if !wish.network && in_force.network.is_empty() && network_filter::install()? {
        in_force.network = "seccomp";
    }
    Ok(in_force)
}

#[cfg(not(target_os = "linux"))]
fn confine(wish: &Wish) -> Result<InForce, String> {
    let _ = (&wish.write, &wish.read_only, &wish.hide, wish.no_namespaces);
    Ok(InForce::default())
}

/// Runs the command in place of this process; returns only to say why it could not.
#[cfg(unix)]
fn become_command(command: &[String]) -> String {
    use std::os::unix::process::CommandExt;
    let error = std::process::Command::new(&command[0])
        .args(&command[1..])
        .exec();
    format!("{} cannot be started: {error}", command[0])
}

#[cfg(not(unix))]
fn become_command(_: &[String]) -> String {
    "commands cannot be confined on this system".into()
}
