//! A good child: it does not outlive the one that started it, whatever ended that one, and lets
//! it have the processor first.

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::atomic::{AtomicI32, Ordering};

    static PARENT: AtomicI32 = AtomicI32::new(0);

    extern "C" fn on_parent_signal(_signal: libc::c_int) {
        // SAFETY: both calls are async-signal-safe.
        unsafe {
            if libc::getppid() != PARENT.load(Ordering::Relaxed) {
                libc::_exit(0);
            }
        }
    }

    /// Asks the kernel for a signal when the parent dies.
    ///
    /// The kernel sends it when the *thread* that started this process ends, too. A parent that
    /// starts tools from short-lived threads must not lose them, so the signal is handled and
    /// its handler looks whether the process itself is gone. The parent may also have died
    /// before the request took effect: then this process has another parent already.
    pub fn die_with_parent() {
        // SAFETY: the handler only makes async-signal-safe calls; the rest takes no pointers
        // but that of a fully initialised `sigaction`.
        unsafe {
            let parent = libc::getppid();
            PARENT.store(parent, Ordering::Relaxed);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_parent_signal as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut());
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR2);
            if libc::getppid() != parent {
                libc::_exit(0);
            }
        }
    }
}

#[cfg(target_os = "linux")]
pub use linux::die_with_parent;

/// Elsewhere the end of stdin ends the process.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent() {}
