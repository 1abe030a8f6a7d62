//! Change events of folders, read without waiting.
//!
//! Linux queues an inotify event before the call that made the change returns. Whoever drains
//! the queue has therefore seen every change made before, however short before. Network and
//! user-space file systems give no such promise, nor do other systems: folders there are not
//! watched, and their stamps are compared instead.

use std::ffi::OsString;
use std::path::Path;

/// A watched folder.
pub type WatchId = i32;

pub enum Event {
    /// An entry's text or attributes changed, or it came or went.
    Entry {
        folder: WatchId,
        name: OsString,
        kind: Kind,
    },
    /// The folder itself is gone, or moved, or is not watched any more.
    FolderGone(WatchId),
    /// Events were lost: anything may have changed.
    Overflow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    FileChanged,
    /// Created, deleted or moved.
    EntryMoved,
}

#[cfg(target_os = "linux")]
pub use linux::Watcher;
#[cfg(not(target_os = "linux"))]
pub use nowhere::Watcher;

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CString, OsStr};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;

    use super::{Event, Kind, Path, WatchId};

    const CHANGED: u32 = libc::IN_MODIFY | libc::IN_CLOSE_WRITE | libc::IN_ATTRIB;
    const MOVED: u32 = libc::IN_CREATE | libc::IN_DELETE | libc::IN_MOVED_FROM | libc::IN_MOVED_TO;
    const GONE: u32 =
        libc::IN_DELETE_SELF | libc::IN_MOVE_SELF | libc::IN_UNMOUNT | libc::IN_IGNORED;
    const HEADER_BYTES: usize = size_of::<libc::inotify_event>();
    const BUFFER_BYTES: usize = 64 << 10;

    /// Magic numbers of file systems whose changes may come from elsewhere: NFS, SMB, CIFS,
    /// SMB2, 9P, FUSE, AFS, Ceph, Coda.
    const REMOTE: [libc::__fsword_t; 9] = [
        0x6969,
        0x517B,
        0xFF53_4D42,
        0xFE53_4D42,
        0x0102_1997,
        0x6573_5546,
        0x5346_414F,
        0x00C3_6400,
        0x7375_7245,
    ];

    pub struct Watcher {
        queue: OwnedFd,
        buffer: Vec<u8>,
    }

    impl Watcher {
        /// `None` where watching cannot keep its promise.
        pub fn new(root: &Path) -> Option<Self> {
            if is_remote(root) {
                return None;
            }
            // SAFETY: plain system call; the descriptor is owned from here on.
            let queue = unsafe {
                let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
                if fd < 0 {
                    return None;
                }
                OwnedFd::from_raw_fd(fd)
            };
            Some(Self {
                queue,
                buffer: vec![0; BUFFER_BYTES],
            })
        }

        /// Watches a folder; `None` if the system refuses, for example for too many watches.
        pub fn watch(&self, folder: &Path) -> Option<WatchId> {
            let name = CString::new(folder.as_os_str().as_bytes()).ok()?;
            let mask = CHANGED
                | MOVED
                | libc::IN_DELETE_SELF
                | libc::IN_MOVE_SELF
                | libc::IN_ONLYDIR
                | libc::IN_DONT_FOLLOW;
            // SAFETY: `name` is a valid C string for the length of the call.
            let id =
                unsafe { libc::inotify_add_watch(self.queue.as_raw_fd(), name.as_ptr(), mask) };
            (id >= 0).then_some(id)
        }

        pub fn unwatch(&self, id: WatchId) {
            // SAFETY: takes no pointers; an id that is gone already is refused harmlessly.
            unsafe {
                libc::inotify_rm_watch(self.queue.as_raw_fd(), id);
            }
        }

        /// Takes every event that is queued now.
        pub fn drain(&mut self, mut each: impl FnMut(Event)) {
            loop {
                // SAFETY: the kernel writes at most the buffer's length into it.
                let read = unsafe {
                    libc::read(
                        self.queue.as_raw_fd(),
                        self.buffer.as_mut_ptr().cast(),
                        self.buffer.len(),
                    )
                };
                let Ok(length) = usize::try_from(read) else {
                    let error = std::io::Error::last_os_error();
                    match error.kind() {
                        std::io::ErrorKind::Interrupted => continue,
                        std::io::ErrorKind::WouldBlock => return,
                        _ => return each(Event::Overflow),
                    }
                };
                if length == 0 {
                    return;
                }
                let mut at = 0;
                while at + HEADER_BYTES <= length {
                    // SAFETY: the kernel writes whole events; the read need not be aligned.
                    let header: libc::inotify_event =
                        unsafe { std::ptr::read_unaligned(self.buffer[at..].as_ptr().cast()) };
                    let end = at + HEADER_BYTES + header.len as usize;
                    let name = &self.buffer[at + HEADER_BYTES..end];
                    if let Some(event) = event(&header, name) {
                        each(event);
                    }
                    at = end;
                }
            }
        }
    }

    fn event(header: &libc::inotify_event, name: &[u8]) -> Option<Event> {
        if header.mask & libc::IN_Q_OVERFLOW != 0 {
            return Some(Event::Overflow);
        }
        if header.mask & GONE != 0 {
            return Some(Event::FolderGone(header.wd));
        }
        let name = name.split(|&b| b == 0).next().unwrap_or_default();
        if name.is_empty() {
            // The folder's own attributes: it may have become readable, or stopped being so.
            return (header.mask & libc::IN_ATTRIB != 0).then_some(Event::FolderGone(header.wd));
        }
        let kind = if header.mask & MOVED != 0 || header.mask & libc::IN_ISDIR != 0 {
            Kind::EntryMoved
        } else {
            Kind::FileChanged
        };
        Some(Event::Entry {
            folder: header.wd,
            name: OsStr::from_bytes(name).to_owned(),
            kind,
        })
    }

    fn is_remote(folder: &Path) -> bool {
        let Ok(name) = CString::new(folder.as_os_str().as_bytes()) else {
            return true;
        };
        // SAFETY: `name` is a valid C string and `data` a buffer of the right type.
        unsafe {
            let mut data: libc::statfs = std::mem::zeroed();
            libc::statfs(name.as_ptr(), &raw mut data) != 0 || REMOTE.contains(&data.f_type)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    use super::{Event, Path, WatchId};

    pub struct Watcher;

    impl Watcher {
        pub fn new(_root: &Path) -> Option<Self> {
            None
        }

        pub fn watch(&self, _folder: &Path) -> Option<WatchId> {
            None
        }

        pub fn unwatch(&self, _id: WatchId) {}

        pub fn drain(&mut self, _each: impl FnMut(Event)) {}
    }
}
