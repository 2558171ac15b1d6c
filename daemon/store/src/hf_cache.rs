//! What other tools keep of Hugging Face: their shared cache, read where it lies and never touched.
//!
//! ```text
//! root/                                    $HF_HUB_CACHE, or hub/ below $HF_HOME
//!   models--org--name/
//!     blobs/<sha256>                       a large file, named by the digest the Hub gives for it: 64 digits
//!     blobs/<git sha1>                     a small file, likewise: 40 digits
//!     blobs/<either>.incomplete            a download of somebody else's, under way or broken off
//!     snapshots/<commit>/<path>            a relative link into blobs/, or a copy where links are not to be had
//!     refs/, .no_exist/, trees/            not needed here
//! ```
//!
//! The layout is that of huggingface_hub @ ee0a4510f4bc (`src/huggingface_hub/file_download.py`,
//! `repo_folder_name`, `_hf_hub_download_to_cache_dir`). A name promises nothing: the Python client checks a file's
//! length only, a snapshot may be partial, and anybody may have written anything there since. Hence [`HfCache::find`]
//! only says where to look, and [`CachedFile::verify`] reads every byte.
//!
//! Nothing is written, locked, renamed or removed in these folders. Links are followed as long as they stay below the
//! root they were found in.

use crate::StoreError;
use crate::hashing::{Digests, Expected, Hashing, git_sha1_of};
use paintbox_domain::{GitSha1, Sha256};
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// The caches of other tools on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HfCache {
    roots: Vec<PathBuf>,
}

/// A file that a cache says it has. Whether it is the one that was asked for is for [`CachedFile::verify`] to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedFile {
    /// Where its bytes are, without links on the way.
    pub path: PathBuf,
    pub size_bytes: u64,
}

impl HfCache {
    /// Caches in these folders, the one to look into first first. They need not exist, now or later.
    #[must_use]
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots }
    }

    /// A file of `repository` (`org/name`, or a legacy `name`) that is already here: by its digest, or else by its
    /// `path` in the snapshot of `commit` (40 digits). Nothing is read but names and lengths.
    #[must_use]
    pub fn find(
        &self,
        repository: &str,
        commit: &str,
        path: &str,
        sha256: Option<Sha256>,
        git_sha1: Option<GitSha1>,
    ) -> Option<CachedFile> {
        let folder = folder_name(repository)?;
        let blobs = [sha256.map(|digest| digest.to_hex()), git_sha1.map(|digest| digest.to_hex())];
        let mut places: Vec<PathBuf> = blobs.into_iter().flatten().map(|name| Path::new("blobs").join(name)).collect();
        places.extend(snapshot_place(commit, path));
        self.roots.iter().find_map(|root| {
            // A cache that is itself behind a link is the user's doing; what is below must stay below.
            let root = fs::canonicalize(root).ok()?;
            places.iter().find_map(|place| file_at(&root, &folder, place))
        })
    }
}

impl CachedFile {
    /// Reads the whole file and compares it with what the hub says of it. What `expected` does not say is not checked;
    /// without a digest nothing but the length is.
    ///
    /// # Errors
    /// [`StoreError::LengthMismatch`] and [`StoreError::DigestMismatch`] when it is another file, and
    /// [`StoreError::Io`] when it cannot be read or is no file any more.
    pub fn verify(&self, expected: &Expected) -> Result<Digests, StoreError> {
        let key = self.path.display().to_string();
        let length =
            |expected_bytes, found_bytes| StoreError::LengthMismatch { key: key.clone(), expected_bytes, found_bytes };
        let read = |error| StoreError::io("read", &self.path)(error);
        let mut file = open(&self.path).map_err(StoreError::io("open", &self.path))?;
        let size_bytes = file.metadata().map_err(StoreError::io("measure", &self.path))?.len();
        // Before a byte is read: files here have gigabytes.
        if let Some(wanted) = expected.size.filter(|wanted| *wanted != size_bytes) {
            return Err(length(wanted, size_bytes));
        }
        let mut hashing = Hashing::default();
        hashing.update_from(&mut file, |_| {}).map_err(read)?;
        let digests = hashing.digests();
        if digests.size_bytes != size_bytes {
            // Somebody wrote to it meanwhile.
            return Err(length(size_bytes, digests.size_bytes));
        }
        expected.compare(&key, &digests, || {
            file.rewind().map_err(read)?;
            git_sha1_of(&mut file, size_bytes).map_err(read)
        })?;
        Ok(digests)
    }
}

/// `models--org--name`; none for a text that is no repository's id, and could lead elsewhere.
fn folder_name(repository: &str) -> Option<String> {
    let segments: Vec<&str> = repository.split('/').collect();
    let is_name = |name: &&str| {
        !matches!(*name, "" | "." | "..")
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    (segments.len() <= 2 && segments.iter().all(is_name)).then(|| format!("models--{}", segments.join("--")))
}

/// Where a snapshot has a path; none for a commit that is none, and for a path that would leave the snapshot.
fn snapshot_place(commit: &str, path: &str) -> Option<PathBuf> {
    let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = Path::new(path);
    let stays = !path.as_os_str().is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)));
    (is_commit && stays).then(|| Path::new("snapshots").join(commit.to_ascii_lowercase()).join(path))
}

/// The plain file at `place`, if that is where its links end, and below the root.
fn file_at(root: &Path, folder: &str, place: &Path) -> Option<CachedFile> {
    let named = root.join(folder).join(place);
    let path = fs::canonicalize(&named).ok()?;
    if !path.starts_with(root) {
        tracing::warn!(link = %named.display(), "a link leaves the cache that it is in; it is not followed");
        return None;
    }
    let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    let is_incomplete = path.extension().is_some_and(|ending| ending == "incomplete");
    (!is_incomplete).then_some(CachedFile { path, size_bytes: metadata.len() })
}

/// Opens a plain file for reading. It may have been replaced since it was found: by a link, which is not followed, or
/// by a pipe, which is not waited for.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"))
}

#[cfg(test)]
#[path = "hf_cache_tests.rs"]
mod tests;
