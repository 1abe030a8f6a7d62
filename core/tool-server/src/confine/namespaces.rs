//! Namespaces of the command's own: no network but a loopback, no other program's sockets, and
//! parts of writable folders that are read-only.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use super::{SHARED_MEMORY, Wish};

/// Enters new namespaces. This process must have one thread.
pub fn enter(wish: &Wish) -> Result<(), String> {
    let sockets = bound_sockets();
    // SAFETY: these take no pointers.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let network = if wish.network { 0 } else { libc::CLONE_NEWNET };
    let kinds = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | network;
    // SAFETY: takes no pointers.
    check(unsafe { libc::unshare(kinds) }, "a namespace")?;
    // Whoever it is outside, it is the same inside.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{user} {user} 1"))?;
    write("/proc/self/gid_map", &format!("{group} {group} 1"))?;
    mount(None, None, Path::new("/"), libc::MS_REC | libc::MS_PRIVATE)
        .map_err(|error| format!("mounts of its own: {error}"))?;
    // Semaphores of its own, rather than those of all programs.
    let _ = mount(Some(c"tmpfs"), None, Path::new(SHARED_MEMORY), 0);
    for path in &wish.read_only {
        protect(path).map_err(|error| format!("{} read-only: {error}", path.display()))?;
    }
    for path in sockets {
        let below = |folder: &PathBuf| path.starts_with(folder);
        if !wish.write.iter().any(below) && path.exists() {
            // One that this user cannot even see cannot be connected to either.
            let _ = mount(None, Some(Path::new("/dev/null")), &path, libc::MS_BIND);
        }
    }
    if !wish.network {
        // Without a loopback the command has still no network, only less of its own.
        let _ = raise_loopback();
    }
    Ok(())
}

/// The path-bound sockets of this machine's programs, as far as the kernel lists them.
fn bound_sockets() -> Vec<PathBuf> {
    let listing = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut paths: Vec<PathBuf> = listing
        .lines()
        .filter_map(|line| line.find(" /").map(|at| PathBuf::from(&line[at + 1..])))
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Makes a path read-only, if it is there.
fn protect(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    mount(None, Some(path), path, libc::MS_BIND | libc::MS_REC)?;
    let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | locked_flags(path)?;
    mount(None, None, path, flags)
}

/// Flags of the underlying mount that a namespace of less privilege must keep.
fn locked_flags(path: &Path) -> io::Result<libc::c_ulong> {
    let name = c_path(path)?;
    // SAFETY: `name` ends in NUL; the structure is plain numbers, filled in by the call.
    let found = unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(name.as_ptr(), &raw mut found) != 0 {
            return Err(io::Error::last_os_error());
        }
        found.f_flag
    };
    let kept = [
        (libc::ST_NOSUID, libc::MS_NOSUID),
        (libc::ST_NODEV, libc::MS_NODEV),
        (libc::ST_NOEXEC, libc::MS_NOEXEC),
        (libc::ST_NOATIME, libc::MS_NOATIME),
        (libc::ST_NODIRATIME, libc::MS_NODIRATIME),
        (libc::ST_RELATIME, libc::MS_RELATIME),
    ];
    Ok(kept
        .iter()
        .filter(|(seen, _)| found & seen != 0)
        .fold(0, |flags, (_, flag)| flags | flag))
}

fn mount(
    kind: Option<&CStr>,
    source: Option<&Path>,
    target: &Path,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let source = source.map(c_path).transpose()?;
    let target = c_path(target)?;
    let kind = kind.map_or(ptr::null(), CStr::as_ptr);
    let from = source.as_deref().map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: all strings end in NUL and live until the call is over; they may be null.
    let result = unsafe { libc::mount(from, target.as_ptr(), kind, flags, ptr::null()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn raise_loopback() -> io::Result<()> {
    // SAFETY: the request is plain numbers and outlives the calls; the socket is closed here.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        let result = libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request);
        let error = io::Error::last_os_error();
        libc::close(socket);
        if result == 0 { Ok(()) } else { Err(error) }
    }
}

fn write(file: &str, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{file}: {error}"))
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

fn check(result: libc::c_int, what: &str) -> Result<(), String> {
    if result == 0 {
        return Ok(());
    }
    Err(format!("{what}: {}", io::Error::last_os_error()))
}
