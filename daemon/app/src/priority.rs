//! What goes first where there are fewer processors than there is to do: painting, since somebody waits minutes for it, and
//! not the answers and the background work beside it, whose milliseconds nobody sees.

/// How much the threads that serve step back. A thread of 5 gets a third of what one of 0 gets while both want all
/// (sched_prio_to_weight, kernel/sched/core.c of Linux 6.12: 335 of 1024), and all of what is left otherwise.
#[cfg(target_os = "linux")]
const SERVING: i32 = 5;

/// Has this thread, and those that it starts, step back behind painting. The thread that paints is started from none of
/// them. Elsewhere than on Linux niceness is the whole process's, and stays as it was.
pub(crate) fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(SERVING) {
        tracing::debug!(%error, "a thread keeps the priority that it was started with");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_serves_steps_back_and_what_paints_does_not() {
        let before = rustix::process::nice(0).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().on_thread_start(step_back).build().unwrap();
        let own = runtime.block_on(async {
            // As the thread that paints, which the daemon's main thread starts.
            let painter = std::thread::spawn(|| rustix::process::nice(0).unwrap()).join().unwrap();
            let serving = tokio::spawn(async { rustix::process::nice(0).unwrap() }).await.unwrap();
            let aside = tokio::task::spawn_blocking(|| rustix::process::nice(0).unwrap()).await.unwrap();
            (painter, serving, aside)
        });
        let behind = (before + SERVING).min(19);
        assert_eq!(own, (before, behind, behind));
    }
}
