//! Files as they are beside their bytes: what must stay of them, and the attributes that programs give them.

use rustix::fs::XattrFlags;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Whether files in a folder keep attributes; says so if not.
pub(super) fn are_kept_in(folder: &Path) -> bool {
    let tried = rustix::fs::setxattr(folder, "user.paintbox.test", b"", XattrFlags::empty());
    if let Err(error) = tried {
        eprintln!("LEFT OUT: files in {} keep no attributes: {error}", folder.display());
    }
    tried.is_ok()
}

pub(super) fn put(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// All of a file's attributes; none where files keep none.
pub(super) fn of(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut names, mut value) = ([0; 4096], [0; 4096]);
    let Ok(length) = rustix::fs::listxattr(path, &mut names[..]) else { return BTreeMap::new() };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let length = rustix::fs::getxattr(path, name, &mut value[..]).unwrap();
            (String::from_utf8(name.to_vec()).unwrap(), value[..length].to_vec())
        })
        .collect()
}

/// Bytes, mode and time of change.
pub(super) fn rest_of(path: &Path) -> (Vec<u8>, u32, (i64, i64)) {
    let found = path.metadata().unwrap();
    (std::fs::read(path).unwrap(), found.mode() & 0o777, (found.mtime(), found.mtime_nsec()))
}

/// Whatever there is to a file, with the time at which anything of that was touched last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Everything {
    attributes: BTreeMap<String, Vec<u8>>,
    rest: (Vec<u8>, u32, (i64, i64)),
    number: u64,
    touched: (i64, i64),
}

/// Everything about the files below a folder.
pub(super) fn everything_below(folder: &Path) -> BTreeMap<PathBuf, Everything> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut everything_below(&path));
        } else {
            let (attributes, rest, metadata) = (of(&path), rest_of(&path), path.metadata().unwrap());
            let touched = (metadata.ctime(), metadata.ctime_nsec());
            found.insert(path, Everything { attributes, rest, number: metadata.ino(), touched });
        }
    }
    found
}
