//! How the C library's allocator serves a process that keeps much text.

/// Chooses large pages and few arenas.
///
/// Most of a first query's time in the kernel would be page faults, one for each 4 KiB of text.
/// And an arena for each thread would have free parts that no other thread could use.
///
/// Large pages can only be asked for by the environment at a program's start: the program starts
/// itself once more, as the same process. Where that fails it goes on with small ones.
pub fn choose() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt;

        const TUNABLES: &str = "GLIBC_TUNABLES";
        if std::env::var_os(TUNABLES).is_none()
            && let Ok(program) = std::env::current_exe()
        {
            let mut words = std::env::args_os();
            let mut again = std::process::Command::new(program);
            if let Some(name) = words.next() {
                again.arg0(name);
            }
            let _ = again
                .args(words)
                .env(TUNABLES, "glibc.malloc.hugetlb=1")
                .exec();
        }
        // SAFETY: takes no pointers; no other thread runs yet.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 2);
        }
    }
}

/// Gives free heap memory back to the system.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointers; safe at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
