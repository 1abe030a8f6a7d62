//! Which files may be written and read: Landlock.

use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{InForce, SHARED_MEMORY, Wish};

/// The newest version whose rights are known to do no harm to ordinary commands.
const KNOWN: ABI = ABI::V9;

/// Devices that commands write to.
const DEVICES: [&str; 6] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
];

/// Restricts this process for good. Where the kernel knows only a part, that part holds.
pub fn restrict(wish: &Wish, in_force: &mut InForce) -> Result<(), String> {
    let status = ruleset(wish, in_force.sockets).map_err(|error| format!("Landlock: {error}"))?;
    if let LandlockStatus::Available { effective_abi, .. } = status.landlock {
        in_force.landlock = effective_abi as u8;
    }
    in_force.files = status.ruleset != RulesetStatus::NotEnforced;
    in_force.hidden = in_force.files;
    in_force.signals = in_force.landlock >= ABI::V6 as u8;
    Ok(())
}

fn ruleset(wish: &Wish, own_memory: bool) -> Result<RestrictionStatus, landlock::RulesetError> {
    let mut handled = AccessFs::from_write(KNOWN);
    if wish.network {
        // A name service is asked through a socket somewhere in /run.
        handled.remove(AccessFs::ResolveUnix);
    }
    let hidden = with_targets(&wish.hide);
    if !hidden.is_empty() {
        handled |= AccessFs::ReadFile;
    }
    let mut rules = Ruleset::default()
        .handle_access(handled)?
        .scope(Scope::from_all(ABI::V6))?
        .create()?;
    for folder in &wish.write {
        rules = allow(rules, folder, handled)?;
    }
    for path in DEVICES.map(Path::new) {
        rules = allow(rules, path, handled & AccessFs::from_file(KNOWN))?;
    }
    if own_memory {
        rules = allow(rules, Path::new(SHARED_MEMORY), handled)?;
    }
    if !hidden.is_empty() {
        rules = allow_reading_around(rules, Path::new("/"), &hidden)?;
    }
    rules.restrict_self()
}

/// Lets everything below a path be done that `access` says; a path that is not there is no fault.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(opened) = PathFd::new(path) else {
        return Ok(rules);
    };
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(KNOWN)
    };
    rules.add_rule(PathBeneath::new(opened, access))
}

/// Lets all be read in a folder but what is hidden. Rules can only allow, so each neighbour of
/// what is hidden, and of the folders that lead there, gets one.
fn allow_reading_around(
    mut rules: RulesetCreated,
    folder: &Path,
    hidden: &[PathBuf],
) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(rules);
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // A link gives no right of its own: where it leads is judged there.
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_link || hidden.contains(&path) {
            continue;
        }
        rules = if hidden.iter().any(|other| other.starts_with(&path)) {
            allow_reading_around(rules, &path, hidden)?
        } else {
            allow(rules, &path, AccessFs::ReadFile.into())?
        };
    }
    Ok(rules)
}

/// The paths, and where they lead if they are links or lie behind one.
fn with_targets(paths: &[PathBuf]) -> Vec<PathBuf> {
    paths
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .collect()
}
