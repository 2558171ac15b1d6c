//! Where a home lies: a folder in memory, or a disk so small that not everything fits.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What a catalogue and its log take up.
pub(super) const CATALOGUE_BYTES: u64 = 8 << 20;

pub(super) struct Room {
    folder: TempDir,
    is_small: bool,
}

impl Room {
    /// A home; on a disk of `bytes` where that is given and this process may mount one.
    pub(super) fn new(bytes: Option<u64>) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let is_small = bytes.is_some_and(|bytes| mount(folder.path(), &format!("size={bytes}")));
        std::fs::create_dir(folder.path().join("home")).unwrap();
        Self { folder, is_small }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(super) fn is_small(&self) -> bool {
        self.is_small
    }

    /// Somebody tidied up.
    pub(super) fn make_room(&mut self) {
        if self.is_small {
            assert!(mount(self.folder.path(), "remount,size=1g"));
        }
    }
}

/// Only Linux has such disks, and only root may have one.
fn mount(folder: &Path, options: &str) -> bool {
    cfg!(target_os = "linux")
        && Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder)
            .output()
            .is_ok_and(|output| output.status.success())
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.is_small {
            drop(Command::new("umount").arg("--lazy").arg(self.folder.path()).output());
        }
    }
}
