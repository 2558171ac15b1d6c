//! The points between which a process may be killed: every write that is to last announces itself here first. Programs
//! do nothing with that; a test puts a hook here which counts the points, and kills its own process at one of them.

use std::sync::OnceLock;

static HOOK: OnceLock<fn(&'static str)> = OnceLock::new();

/// Announces a lasting write that comes next.
#[inline]
pub fn point(what: &'static str) {
    if let Some(hook) = HOOK.get() {
        hook(what);
    }
}

/// Has every later point call `hook`. A process has one hook for good: false when it has one already.
pub fn set_hook(hook: fn(&'static str)) -> bool {
    HOOK.set(hook).is_ok()
}
