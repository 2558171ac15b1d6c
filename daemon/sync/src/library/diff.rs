//! What is otherwise in a library than on record. Nothing is read or written here.
//!
//! A file is the one on record when number, length and time of change are the same, whatever its name is by now. When
//! only the number or the device is another one, as after a disk was mounted anew, it is in doubt, and a few of its
//! bytes decide. Everything else is a file that was not seen before.

use paintbox_catalogue::{LibraryFileId, LibraryPath};
use paintbox_domain::FileLook;
use paintbox_store::library::{SeenFile, Walked};
use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// Files on record by number and length.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<(u64, u64), Vec<(LibraryFileId, FileLook)>>);

impl Known {
    pub(crate) fn new(files: impl IntoIterator<Item = (LibraryFileId, FileLook)>) -> Self {
        let mut known: HashMap<_, Vec<_>> = HashMap::new();
        for (file, look) in files {
            known.entry((look.inode, look.size_bytes)).or_default().push((file, look));
        }
        Self(known)
    }

    /// The file that looks like this; one on the same device if there is one.
    fn like(&self, look: &FileLook) -> Option<(LibraryFileId, FileLook)> {
        let candidates = self.0.get(&(look.inode, look.size_bytes))?;
        let same = candidates.iter().filter(|(_, known)| known.is_same_file(look));
        same.copied().max_by_key(|(_, known)| known.device == look.device)
    }
}

/// A name whose file is new, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) path: PathBuf,
    pub(crate) look: FileLook,
    pub(crate) beside: u64,
    pub(crate) file: Arrived,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Seen before, under another name or none.
    Known(LibraryFileId),
    /// Perhaps that file, if a few of its bytes agree.
    Doubtful(LibraryFileId),
    New,
}

/// What a walk found to be otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Names that are no more.
    pub(crate) gone: Vec<PathBuf>,
    /// Names whose file is another one, or that were not there.
    pub(crate) arrivals: Vec<Arrival>,
    /// Files whose device has another number by now.
    pub(crate) looks: Vec<(LibraryFileId, FileLook)>,
    /// Files that are the same and have other notes beside them.
    pub(crate) described: Vec<(LibraryFileId, SeenFile)>,
}

/// What is on record under the names of a walk, and what is not among them any more. Both lists are in the order of their
/// paths' bytes, so that one look at each is enough.
pub(crate) struct Pairs<'a> {
    /// For each file of the walk.
    before: Vec<Option<&'a LibraryPath>>,
    missing: Vec<&'a LibraryPath>,
}

impl<'a> Pairs<'a> {
    pub(crate) fn new(known: &'a [LibraryPath], walked: &Walked) -> Self {
        let mut pairs = Self { before: Vec::with_capacity(walked.files.len()), missing: Vec::new() };
        let mut known = known.iter().peekable();
        for file in &walked.files {
            let path = file.path.as_os_str();
            while let Some(missing) = known.next_if(|known| known.path.as_os_str() < path) {
                pairs.missing.push(missing);
            }
            pairs.before.push(known.next_if(|known| known.path.as_os_str() == path));
        }
        pairs.missing.extend(known);
        pairs
    }

    /// The files that need more than what is on record of the library to be understood.
    pub(crate) fn unfamiliar(&self, walked: &Walked) -> Vec<FileLook> {
        let both = walked.files.iter().zip(&self.before);
        let unfamiliar =
            both.filter(|(file, before)| before.is_none_or(|before| !before.look.is_same_file(&file.look)));
        unfamiliar.map(|(file, _)| file.look).collect()
    }
}

/// Compares a walk with what is on record. `like` holds the files that looks from [`Pairs::unfamiliar`] may be.
pub(crate) fn difference(pairs: &Pairs<'_>, walked: &Walked, like: &Known) -> Difference {
    let mut found = Difference::default();
    let mut renumbered = HashSet::new();
    let is_gone = |known: &&&LibraryPath| !walked.is_uncertain(&known.path);
    found.gone = pairs.missing.iter().filter(is_gone).map(|known| known.path.clone()).collect();
    // Only a doubt asks for it.
    let looks = LazyCell::new(|| walked.files.iter().map(|file| &file.look).collect::<HashSet<_>>());
    for (file, before) in walked.files.iter().zip(&pairs.before) {
        if let Some(before) = before.filter(|before| before.look.is_same_file(&file.look)) {
            if before.look != file.look && renumbered.insert(before.file) {
                found.looks.push((before.file, file.look));
            }
            if before.beside != file.beside {
                found.described.push((before.file, file.clone()));
            }
            continue;
        }
        let arrived = match (like.like(&file.look), before) {
            (Some((file_id, look)), _) if look.device == file.look.device => Arrived::Known(file_id),
            // The number may be that of a file which only happens to look like it.
            (Some((file_id, _)), _) => Arrived::Doubtful(file_id),
            // A file that is still there under its own number is not this one.
            (None, Some(before)) if before.look.seems_unchanged(&file.look) && !looks.contains(&before.look) => {
                Arrived::Doubtful(before.file)
            }
            (None, _) => Arrived::New,
        };
        let (path, look, beside) = (file.path.clone(), file.look, file.beside);
        found.arrivals.push(Arrival { path, look, beside, file: arrived });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const DISK: u64 = 1;

    fn look(device: u64, inode: u64, size_bytes: u64, modified_ns: i64) -> FileLook {
        FileLook { device, inode, size_bytes, modified_ns }
    }

    fn on_record(entries: &[(&str, i64, FileLook)]) -> Vec<LibraryPath> {
        let known = entries.iter().map(|(path, file, look)| LibraryPath {
            path: path.into(),
            file: LibraryFileId::new(*file),
            look: *look,
            beside: 0,
        });
        known.collect()
    }

    fn seen(entries: &[(&str, FileLook)]) -> Walked {
        let files = entries.iter().map(|(path, look)| SeenFile { path: path.into(), look: *look, beside: 0 });
        Walked { files: files.collect(), ..Walked::default() }
    }

    fn compared(known: &[LibraryPath], walked: &Walked, like: &[(i64, FileLook)]) -> (Difference, Vec<Arrived>) {
        let like = Known::new(like.iter().map(|(file, look)| (LibraryFileId::new(*file), *look)));
        let found = difference(&Pairs::new(known, walked), walked, &like);
        let arrived = found.arrivals.iter().map(|arrival| arrival.file).collect();
        (found, arrived)
    }

    #[test]
    fn what_is_the_same_costs_nothing() {
        let known = on_record(&[("a", 1, look(DISK, 10, 5, 7)), ("b", 1, look(DISK, 10, 5, 7))]);
        let walked = seen(&[("a", look(DISK, 10, 5, 7)), ("b", look(DISK, 10, 5, 7))]);
        assert_eq!(compared(&known, &walked, &[]).0, Difference::default());
        assert!(Pairs::new(&known, &walked).unfamiliar(&walked).is_empty());
    }

    #[test]
    fn other_notes_beside_a_file_are_other_notes_and_no_other_file() {
        let known = on_record(&[("a", 1, look(DISK, 10, 5, 7))]);
        let mut walked = seen(&[("a", look(DISK, 10, 5, 7))]);
        walked.files[0].beside = 9;
        let (found, arrived) = compared(&known, &walked, &[]);
        assert_eq!(found.described, [(LibraryFileId::new(1), walked.files[0].clone())]);
        assert!(arrived.is_empty() && found.gone.is_empty());
    }

    #[test]
    fn a_move_is_the_same_file_under_another_name() {
        let known = on_record(&[("a", 1, look(DISK, 10, 5, 7))]);
        let walked = seen(&[("b", look(DISK, 10, 5, 7))]);
        assert_eq!(Pairs::new(&known, &walked).unfamiliar(&walked), [look(DISK, 10, 5, 7)]);
        let (found, arrived) = compared(&known, &walked, &[(1, look(DISK, 10, 5, 7))]);
        assert_eq!((found.gone, arrived), (vec!["a".into()], vec![Arrived::Known(LibraryFileId::new(1))]));
    }

    #[test]
    fn other_bytes_are_another_file() {
        let known = on_record(&[("a", 1, look(DISK, 10, 5, 7)), ("b", 2, look(DISK, 11, 5, 7))]);
        for changed in [look(DISK, 10, 6, 7), look(DISK, 10, 5, 8), look(DISK, 12, 6, 8)] {
            let walked = seen(&[("a", changed), ("b", look(DISK, 11, 5, 7))]);
            let (found, arrived) = compared(&known, &walked, &[]);
            assert_eq!((found.gone.len(), arrived), (0, vec![Arrived::New]));
        }
    }

    #[test]
    fn another_number_of_the_device_means_nothing() {
        let known = on_record(&[("a", 1, look(DISK, 10, 5, 7)), ("b", 1, look(DISK, 10, 5, 7))]);
        let now = look(2, 10, 5, 7);
        let (found, arrived) = compared(&known, &seen(&[("a", now), ("b", now)]), &[]);
        assert_eq!((found.looks, arrived), (vec![(LibraryFileId::new(1), now)], vec![]));
    }

    #[test]
    fn another_number_of_the_file_is_a_doubt_unless_the_file_is_still_there() {
        let known = on_record(&[("a", 1, look(DISK, 10, 5, 7))]);
        let now = look(DISK, 99, 5, 7);
        let doubtful = Arrived::Doubtful(LibraryFileId::new(1));
        assert_eq!(compared(&known, &seen(&[("a", now)]), &[]).1, [doubtful]);
        // The file was moved and a copy of it put in its place.
        let (found, arrived) =
            compared(&known, &seen(&[("a", now), ("c", look(DISK, 10, 5, 7))]), &[(1, look(DISK, 10, 5, 7))]);
        assert_eq!((found.gone.len(), arrived), (0, vec![Arrived::New, Arrived::Known(LibraryFileId::new(1))]));
        // The same number, length and time on another disk.
        assert_eq!(compared(&[], &seen(&[("x", look(5, 10, 5, 7))]), &[(1, look(DISK, 10, 5, 7))]).1, [doubtful]);
    }

    #[test]
    fn names_are_told_apart_wherever_they_stand() {
        let same = look(DISK, 10, 5, 7);
        let known = on_record(&[("a", 1, same), ("b/x", 2, same), ("d", 3, same), ("e", 4, same)]);
        let walked = seen(&[("b", same), ("b/x", same), ("c", same), ("d", same), ("f", same)]);
        let pairs = Pairs::new(&known, &walked);
        let before: Vec<Option<i64>> = pairs.before.iter().map(|known| known.map(|known| known.file.get())).collect();
        assert_eq!(before, [None, Some(2), None, Some(3), None]);
        assert_eq!(pairs.missing.iter().map(|known| known.file.get()).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn what_could_not_be_read_is_not_gone() {
        let known = on_record(&[("a/x", 1, look(DISK, 10, 5, 7)), ("b/y", 2, look(DISK, 11, 5, 7))]);
        let walked = Walked { unreadable: vec!["a".into()], ..Walked::default() };
        assert_eq!(compared(&known, &walked, &[]).0.gone, [Path::new("b/y")]);
    }
}
