//! How the C library keeps memory that nobody needs any more, where it can be told.

/// Larger pieces are given back at once. By itself glibc takes the first large piece that is given back as a sign to keep
/// all that are as large (mallopt(3), `M_MMAP_THRESHOLD`): after a first look at a library of 100,000 files it held 302 MB,
/// and 192 MB with these two.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 128 << 10;
/// Pools of smaller pieces. There would be eight for each core, of which none gives back what another could use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const POOLS: libc::c_int = 2;

/// Has the system take back what catalogues let go of, whenever they did: what lies between pieces that are still in use
/// stays the C library's else. After a search among a million models a daemon at rest held 80 MB, and 30 MB with this.
pub(crate) async fn give_back() {
    loop {
        paintbox_catalogue::memory_was_given_back().await;
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        drop(tokio::task::spawn_blocking(trim).await);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    #[expect(unsafe_code, reason = "nothing else has glibc do it")]
    // SAFETY: malloc_trim(3) may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// To be called before there are threads.
pub(crate) fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "glibc can be told in this way or by the environment, which is its caller's")]
    // SAFETY: mallopt(3) takes two numbers; before there are threads nobody else is within malloc.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_ARENA_MAX, POOLS);
    }
}
