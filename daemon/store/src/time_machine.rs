//! Files that the system's backups leave out.
//!
//! On a Mac a file is left out of Time Machine, with all in it if it is a folder, when it carries an extended attribute, the
//! same that `tmutil addexclusion` sets and `tmutil isexcluded` reads. The system is asked to set it (`foundation`), since it
//! is said to do more than that: people who set the attribute alone found their files in backups (github samuelmeuli/tmignore#19),
//! above all where Spotlight does not look, as it does not look here (Reeywhaar/tmbliss#4), while it held for others who had
//! `tmutil` set it in hidden folders (tg44/heptapod#6). What it leaves undone is done here. Elsewhere there is no such thing.
//!
//! Which files are left out is not for the store to say; it keeps the marks. Whatever is on its way, in `partials/` and
//! `incoming/`, is left out as a whole, and what is set aside never is. A file system that keeps no attributes, or a file
//! that somebody else owns, is a line in the log and nothing more: a backup that is too large is no reason to fail.

#[cfg(target_os = "macos")]
mod foundation;

use crate::{Store, durable};
use paintbox_domain::{Sha256, crash};
use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;

/// eclecticlight.co, "xattr: com.apple.metadata:com_apple_backup_excludeItem, exclude from backups" (2017-12-13).
const ATTRIBUTE: &str = "com.apple.metadata:com_apple_backup_excludeItem";
/// The text `com.apple.backupd` as a binary property list (ibid.; `plistlib.dumps(text, fmt=plistlib.FMT_BINARY)`).
const VALUE: &[u8; 61] = b"bplist00\x5f\x10\x11com.apple.backupd\
    \x08\0\0\0\0\0\0\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x1c";
#[cfg(target_vendor = "apple")]
const NO_SUCH_ATTRIBUTE: Errno = Errno::NOATTR;
#[cfg(not(target_vendor = "apple"))]
const NO_SUCH_ATTRIBUTE: Errno = Errno::NODATA;

/// The attribute that marks a file as left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(&'static str);

impl Mark {
    /// What this system's backups heed, if there is anything.
    pub(crate) fn of_system() -> Option<Self> {
        cfg!(target_os = "macos").then_some(Self(ATTRIBUTE))
    }

    /// Whether a file is marked as it should be.
    fn is_right(self, file: &File, left_out: bool) -> io::Result<bool> {
        // Longer by one, so that a value that only begins like ours is another one.
        let mut value = [0; VALUE.len() + 1];
        match rustix::fs::fgetxattr(file, self.0, &mut value[..]) {
            Ok(length) => Ok(left_out && value[..length] == VALUE[..]),
            Err(Errno::RANGE) => Ok(false),
            Err(NO_SUCH_ATTRIBUTE) => Ok(!left_out),
            Err(error) => Err(error.into()),
        }
    }

    /// Marks a file that is writable, or takes its mark away. The path is where it lies.
    fn put(self, file: &File, path: &Path, left_out: bool) -> io::Result<()> {
        crash::point("mark for backups");
        #[cfg(target_os = "macos")]
        if self.0 == ATTRIBUTE {
            note(path, Some(foundation::leave_out(path, left_out)));
            if self.is_right(file, left_out)? {
                return Ok(());
            }
        }
        #[cfg(not(target_os = "macos"))]
        let _nobody_is_asked = path;
        if left_out {
            rustix::fs::fsetxattr(file, self.0, VALUE, XattrFlags::empty())?;
        } else {
            rustix::fs::fremovexattr(file, self.0)?;
        }
        Ok(())
    }

    /// Has a folder left out, with all that comes into it.
    fn put_on_folder(self, path: &Path) -> io::Result<()> {
        let folder = File::open(path)?;
        if self.is_right(&folder, true)? { Ok(()) } else { self.put(&folder, path, true) }
    }

    /// Makes a file's mark what it should be. Attributes are written by who may write the file, be it its owner: so a file
    /// that is not marked right is writable afterwards, until it is sealed.
    fn settle(self, file: &File, path: &Path, left_out: bool) -> io::Result<()> {
        if self.is_right(file, left_out)? {
            return Ok(());
        }
        durable::make_writable(file)?;
        self.put(file, path, left_out)
    }

    /// The same for a file that is to be read-only before and after. Nothing of its bytes or times of change is touched.
    fn settle_sealed(self, path: &Path, left_out: bool) -> io::Result<()> {
        // Not through a link: whatever that leads to is not ours.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let settled = self.settle(&file, path, left_out);
        // Whatever became of it; and a kill may have left it writable the last time.
        settled.and(durable::seal_again(&file))
    }
}

impl Store {
    /// Whether files of this store can be marked.
    #[must_use]
    pub fn marks_for_backups(&self) -> bool {
        self.mark.is_some()
    }

    /// Has backups leave a blob out, or take it in.
    pub fn leave_out_of_backups(&self, sha256: &Sha256, left_out: bool) {
        self.mark_sealed(&self.blob_path(sha256), left_out);
    }

    /// The same store with files marked by an attribute of another name, which may be one that this system knows.
    #[doc(hidden)]
    #[must_use]
    pub fn marking_by(mut self, attribute: &'static str) -> Self {
        self.mark = Some(Mark(attribute));
        self.mark_folders();
        self
    }

    /// Has backups leave out what is on its way.
    pub(crate) fn mark_folders(&self) {
        for folder in [self.partials_folder(), self.incoming_folder()] {
            note(folder, self.mark.map(|mark| mark.put_on_folder(folder)));
        }
    }

    /// Marks a file that is not sealed yet.
    pub(crate) fn mark_unsealed(&self, file: &File, path: &Path, left_out: bool) {
        note(path, self.mark.map(|mark| mark.settle(file, path, left_out)));
    }

    /// Marks a file that is sealed.
    pub(crate) fn mark_sealed(&self, path: &Path, left_out: bool) {
        note(path, self.mark.map(|mark| mark.settle_sealed(path, left_out)));
    }
}

fn note(path: &Path, done: Option<io::Result<()>>) {
    if let Some(Err(error)) = done {
        tracing::debug!(path = %path.display(), %error, "cannot tell backups whether to leave it out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Expected, Partial, PartialKey};
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    const NAME: &str = "user.paintbox.backup";

    /// A store that marks; none where files keep no attributes.
    fn store() -> Option<(tempfile::TempDir, Store)> {
        let folder = tempfile::tempdir().unwrap();
        if let Err(error) = rustix::fs::setxattr(folder.path(), "user.paintbox.test", b"", XattrFlags::empty()) {
            eprintln!("LEFT OUT: files in {} keep no attributes: {error}", folder.path().display());
            return None;
        }
        let store = Store::open(&folder.path().join("store")).unwrap().marking_by(NAME);
        Some((folder, store))
    }

    fn value(path: &Path) -> Option<Vec<u8>> {
        let mut value = [0; 100];
        let length = rustix::fs::getxattr(path, NAME, &mut value[..]).ok()?;
        Some(value[..length].to_vec())
    }

    fn is_marked(path: &Path) -> bool {
        value(path).is_some_and(|value| value == VALUE)
    }

    fn whole(store: &Store, bytes: &[u8]) -> Partial {
        let mut partial = store.partial(&PartialKey::new("a")).unwrap();
        partial.begin(0, None, Some(bytes.len() as u64)).unwrap();
        partial.append(bytes).unwrap();
        partial
    }

    fn placed(store: &Store, bytes: &[u8], left_out: bool) -> crate::Blob {
        let partial = whole(store, bytes);
        let digests = partial.verify(&Expected::default()).unwrap();
        partial.leave_out_of_backups(left_out);
        partial.place(&digests).unwrap()
    }

    /// What must stay of a file: its bytes, mode and time of change.
    fn rest(path: &Path) -> (Vec<u8>, u32, i64, i64) {
        let found = fs::metadata(path).unwrap();
        (fs::read(path).unwrap(), found.mode() & 0o777, found.mtime(), found.mtime_nsec())
    }

    #[test]
    fn the_value_is_the_property_list_of_the_text() {
        let text = b"com.apple.backupd";
        // An ASCII text whose length, an integer of one byte, follows because it is not below fifteen.
        let mut wanted = b"bplist00".to_vec();
        wanted.extend([0x5f, 0x10, u8::try_from(text.len()).unwrap()]);
        wanted.extend(text);
        // One offset, that of the text; then how long offsets and references are, how many objects there are, which of
        // them is the first, and where the offsets are.
        let offsets_at = wanted.len() as u64;
        wanted.push(8);
        wanted.extend([0, 0, 0, 0, 0, 0, 1, 1]);
        wanted.extend([1, 0, offsets_at].into_iter().flat_map(u64::to_be_bytes));
        assert_eq!(VALUE[..], wanted);
    }

    #[test]
    fn a_fresh_file_is_marked_before_it_is_sealed() {
        let Some((_folder, store)) = store() else { return };
        assert!(store.marks_for_backups());
        for folder in [store.partials_folder(), store.incoming_folder()] {
            assert!(is_marked(folder), "{folder:?}");
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let fetched = placed(&store, b"abc", true);
        assert!(is_marked(&fetched.path));
        assert_eq!(rest(&fetched.path).1, 0o444);
        let own = placed(&store, b"abd", false);
        assert_eq!((value(&own.path), rest(&own.path).1), (None, 0o444));
        assert_eq!(value(&store.put_bytes(b"picture").unwrap().path), None);
        assert_eq!(value(store.quarantine_folder()).or(value(store.blobs_folder())), None);
    }

    #[test]
    fn a_mark_comes_and_goes_and_nothing_else_changes() {
        let Some((_folder, store)) = store() else { return };
        let blob = placed(&store, b"abc", false);
        let before = rest(&blob.path);
        for left_out in [true, true, false, false, true] {
            store.leave_out_of_backups(&blob.sha256, left_out);
            assert_eq!((is_marked(&blob.path), rest(&blob.path)), (left_out, before.clone()));
        }
        // Another value, also one that begins like ours, is none of ours.
        for other in [&b"<plist/>"[..], &[&VALUE[..], b"x"].concat(), &[7; 90]] {
            for left_out in [true, false] {
                fs::set_permissions(&blob.path, fs::Permissions::from_mode(0o600)).unwrap();
                rustix::fs::setxattr(&blob.path, NAME, other, XattrFlags::empty()).unwrap();
                store.leave_out_of_backups(&blob.sha256, left_out);
                let wanted = left_out.then(|| VALUE.to_vec());
                assert_eq!((value(&blob.path), rest(&blob.path)), (wanted, before.clone()));
            }
        }
        store.remove_blob(&blob.sha256).unwrap();
        store.leave_out_of_backups(&blob.sha256, true);
        assert!(!blob.path.exists());
    }

    #[test]
    fn what_cannot_be_marked_is_sealed_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        // Linux has no attributes of this name, for anybody.
        let store = Store::open(folder.path()).unwrap().marking_by("nowhere.paintbox");
        let blob = placed(&store, b"abc", true);
        assert_eq!(rest(&blob.path).1, 0o444);
    }

    #[test]
    fn what_a_kill_left_writable_is_sealed_again() {
        let Some((_folder, store)) = store() else { return };
        let blob = placed(&store, b"abc", false);
        fs::set_permissions(&blob.path, fs::Permissions::from_mode(0o600)).unwrap();
        store.leave_out_of_backups(&blob.sha256, false);
        assert_eq!(rest(&blob.path).1, 0o444);
    }

    #[test]
    fn a_link_in_the_place_of_a_blob_is_not_followed() {
        let Some((folder, store)) = store() else { return };
        let theirs = folder.path().join("theirs");
        fs::write(&theirs, b"abc").unwrap();
        let before = rest(&theirs);
        let blob = store.put_bytes(b"abc").unwrap();
        fs::remove_file(&blob.path).unwrap();
        std::os::unix::fs::symlink(&theirs, &blob.path).unwrap();
        store.leave_out_of_backups(&blob.sha256, true);
        assert_eq!((value(&theirs), rest(&theirs)), (None, before));
    }

    #[test]
    fn what_is_set_aside_is_in_backups() {
        let Some((_folder, store)) = store() else { return };
        let blob = placed(&store, b"abc", true);
        let aside = store.quarantine_blob(&blob.sha256).unwrap();
        assert_eq!(value(&aside), None);
        // Killed between its mark and its name, and then found to be wrong.
        let partial = whole(&store, b"abd");
        partial.leave_out_of_backups(true);
        assert!(is_marked(partial.path()));
        partial.discard().unwrap();
        assert_eq!(store.quarantined().unwrap().iter().filter(|(_, file)| value(&file.path).is_some()).count(), 0);
        assert_eq!(store.quarantined().unwrap().len(), 2);
    }

    #[test]
    fn a_clone_is_marked_as_it_is_said_whatever_the_other_file_is() {
        let Some((folder, store)) = store() else { return };
        let theirs = folder.path().join("theirs");
        fs::write(&theirs, b"abc").unwrap();
        rustix::fs::setxattr(&theirs, NAME, VALUE, XattrFlags::empty()).unwrap();
        for left_out in [false, true] {
            let Some(cloned) = store.clone_of(&theirs).unwrap() else {
                eprintln!("LEFT OUT: {} clones no files", folder.path().display());
                return;
            };
            cloned.leave_out_of_backups(left_out);
            let path = cloned.place(crate::hashing::sha256_of(b"abc")).unwrap();
            assert_eq!((is_marked(&path), rest(&path).1), (left_out, 0o444));
            assert!(is_marked(&theirs));
        }
    }
}
