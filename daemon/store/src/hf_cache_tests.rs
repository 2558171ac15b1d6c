//! A cache as other tools leave it, whole and damaged.

use super::*;
use crate::hashing::sha256_of;
use paintbox_domain::{Classify, reason};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A repository's folder in a cache of its own.
struct Kept {
    home: tempfile::TempDir,
    root: PathBuf,
    repository: PathBuf,
}

impl Kept {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap().join("hub");
        let repository = root.join("models--org--name");
        for folder in ["blobs", "refs", &format!("snapshots/{COMMIT}/unet")] {
            fs::create_dir_all(repository.join(folder)).unwrap();
        }
        fs::write(repository.join("refs/main"), COMMIT).unwrap();
        Self { home, root, repository }
    }

    /// A blob of that name, and a link to it from the snapshot.
    fn keep(&self, name: &str, path: &str, bytes: &[u8]) -> PathBuf {
        let blob = self.repository.join("blobs").join(name);
        fs::write(&blob, bytes).unwrap();
        let up = "../".repeat(2 + path.matches('/').count());
        symlink(format!("{up}blobs/{name}"), self.snapshot(path)).unwrap();
        blob
    }

    fn snapshot(&self, path: &str) -> PathBuf {
        self.repository.join("snapshots").join(COMMIT).join(path)
    }

    fn cache(&self) -> HfCache {
        HfCache::new(vec![self.home.path().join("not there"), self.root.clone()])
    }

    fn by_path(&self, path: &str) -> Option<CachedFile> {
        self.cache().find("org/name", COMMIT, path, None, None)
    }
}

fn git_sha1(bytes: &[u8]) -> GitSha1 {
    git_sha1_of(&mut &bytes[..], bytes.len() as u64).unwrap()
}

fn expecting(bytes: &[u8]) -> Expected {
    Expected { size: Some(bytes.len() as u64), sha256: Some(sha256_of(bytes)), git_sha1: None }
}

/// Everything below a folder: kind, inode, length, times, and what is in it.
fn state_of(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut state = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                folders.push(path.clone());
                String::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                sha256_of(&fs::read(&path).unwrap()).to_hex()
            };
            let (times, mode) = ((metadata.mtime(), metadata.mtime_nsec(), metadata.ctime_nsec()), metadata.mode());
            state.insert(path, format!("{mode:o} {} {} {times:?} {content}", metadata.ino(), metadata.len()));
        }
    }
    state
}

#[test]
fn a_large_file_is_found_by_its_sha_256_and_verified() {
    let kept = Kept::new();
    let bytes = vec![7; 300_000];
    let blob = kept.keep(&sha256_of(&bytes).to_hex(), "unet/model.safetensors", &bytes);
    // Neither the commit nor the path need be right: the digest is what is asked for.
    let found = kept.cache().find("org/name", "another commit", "../x", Some(sha256_of(&bytes)), None).unwrap();
    assert_eq!(found, CachedFile { path: blob, size_bytes: 300_000 });
    let digests = found.verify(&expecting(&bytes)).unwrap();
    assert_eq!((digests.sha256, digests.size_bytes), (sha256_of(&bytes), 300_000));
}

#[test]
fn a_small_file_is_found_by_its_git_digest_and_verified() {
    let kept = Kept::new();
    let bytes = b"{\"_class_name\": \"UNet2DConditionModel\"}";
    let digest = git_sha1(bytes);
    kept.keep(&digest.to_hex(), "unet/config.json", bytes);
    let found = kept.cache().find("org/name", COMMIT, "unet/config.json", None, Some(digest)).unwrap();
    let expected = Expected { git_sha1: Some(digest), ..Expected::default() };
    assert_eq!(found.verify(&expected).unwrap().sha256, sha256_of(bytes));
    let other = Expected { git_sha1: Some(git_sha1(b"other")), ..Expected::default() };
    assert_eq!(found.verify(&other).unwrap_err().reason(), reason::DIGEST_MISMATCH);
}

#[test]
fn a_snapshots_link_or_copy_leads_to_the_file() {
    let kept = Kept::new();
    let blob = kept.keep("some-other-etag", "unet/linked.bin", b"linked");
    assert_eq!(kept.by_path("unet/linked.bin").unwrap().path, blob);
    fs::write(kept.snapshot("copied.json"), b"{}").unwrap();
    assert_eq!(kept.by_path("copied.json").unwrap().verify(&expecting(b"{}")).unwrap().size_bytes, 2);
    // A digest that is not among the blobs is still found by its path, as where links are not to be had.
    let copied = kept.cache().find("org/name", COMMIT, "copied.json", Some(sha256_of(b"{}")), None).unwrap();
    assert_eq!(copied.path, kept.snapshot("copied.json"));
    let upper = kept.cache().find("org/name", &COMMIT.to_ascii_uppercase(), "copied.json", None, None);
    assert!(upper.is_some());
    // A snapshot is partial as a matter of course.
    assert_eq!(kept.by_path("vae/not-yet.bin"), None);
    assert_eq!(kept.by_path("unet"), None, "a folder is no file");
}

#[test]
fn a_name_promises_nothing() {
    let kept = Kept::new();
    let wanted = sha256_of(b"good bytes");
    kept.keep(&wanted.to_hex(), "a.bin", b"evil bytes");
    let found = kept.cache().find("org/name", COMMIT, "a.bin", Some(wanted), None).unwrap();
    let error = found.verify(&expecting(b"good bytes")).unwrap_err();
    assert_eq!(error.reason(), reason::DIGEST_MISMATCH);
    assert!(error.to_string().contains(&wanted.to_hex()), "{error}");
    let error = found.verify(&expecting(b"good bytes and more")).unwrap_err();
    assert_eq!(error.reason(), reason::LENGTH_MISMATCH);
    fs::remove_file(&found.path).unwrap();
    assert_eq!(found.verify(&Expected::default()).unwrap_err().reason(), reason::STORE_FAILED);
}

#[test]
fn links_out_of_the_cache_and_hostile_names_lead_nowhere() {
    let kept = Kept::new();
    let secret = kept.home.path().join("secret");
    fs::write(&secret, b"secret").unwrap();
    let digest = sha256_of(b"secret");
    symlink(&secret, kept.snapshot("absolute")).unwrap();
    symlink("../../../../secret", kept.snapshot("relative")).unwrap();
    symlink(&secret, kept.repository.join("blobs").join(digest.to_hex())).unwrap();
    symlink("loop", kept.snapshot("loop")).unwrap();
    symlink("../../blobs/nothing", kept.snapshot("dangling")).unwrap();
    for path in ["absolute", "relative", "loop", "dangling", "../../../../secret", "/etc/hostname", "", "."] {
        assert_eq!(kept.cache().find("org/name", COMMIT, path, Some(digest), None), None, "{path}");
    }
    // A folder of the cache that is a link to somewhere else.
    let elsewhere = kept.home.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("blobs")).unwrap();
    fs::write(elsewhere.join("blobs").join(digest.to_hex()), b"secret").unwrap();
    symlink(&elsewhere, kept.root.join("models--org--moved")).unwrap();
    assert_eq!(kept.cache().find("org/moved", COMMIT, "x", Some(digest), None), None);
    fs::write(kept.root.join("secret"), b"secret").unwrap();
    for repository in ["", "..", "../x", "a/b/c", "a/..", "org/na me", "org/name/../../secret"] {
        assert_eq!(kept.cache().find(repository, COMMIT, "x", Some(digest), None), None, "{repository}");
    }
}

#[test]
fn a_cache_behind_a_link_is_a_cache() {
    let kept = Kept::new();
    let blob = kept.keep("etag", "a.bin", b"x");
    let link = kept.home.path().join("linked");
    symlink(&kept.root, &link).unwrap();
    let found = HfCache::new(vec![link]).find("org/name", COMMIT, "a.bin", None, None).unwrap();
    assert_eq!(found.path, blob);
}

#[test]
fn downloads_of_others_and_special_files_are_no_files() {
    let kept = Kept::new();
    let digest = sha256_of(b"half");
    fs::write(kept.repository.join("blobs").join(format!("{digest}.incomplete")), b"half").unwrap();
    symlink(format!("../../blobs/{digest}.incomplete"), kept.snapshot("half.bin")).unwrap();
    assert_eq!(kept.cache().find("org/name", COMMIT, "half.bin", Some(digest), None), None);

    // A file that was replaced by a link or by a pipe between finding and reading it.
    let blob = kept.keep("etag", "a.bin", b"here");
    let found = kept.by_path("a.bin").unwrap();
    fs::remove_file(&blob).unwrap();
    symlink("/etc/hostname", &blob).unwrap();
    assert_eq!(found.verify(&Expected::default()).unwrap_err().reason(), reason::STORE_FAILED);
    fs::remove_file(&blob).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(&blob).status().unwrap();
    assert!(pipe.success());
    assert_eq!(kept.by_path("a.bin"), None);
    let error = found.verify(&Expected::default()).unwrap_err();
    assert!(error.to_string().starts_with("cannot open"), "{error}");
}

#[test]
fn the_first_cache_that_has_it_is_used() {
    let (one, two) = (Kept::new(), Kept::new());
    two.keep("etag", "a.bin", b"two");
    let cache = HfCache::new(vec![one.root.clone(), two.root.clone()]);
    let find = || cache.find("org/name", COMMIT, "a.bin", None, None).unwrap().path;
    assert!(find().starts_with(&two.root));
    one.keep("etag", "a.bin", b"one");
    assert!(find().starts_with(&one.root));
    assert_eq!(HfCache::default().find("org/name", COMMIT, "a.bin", None, None), None);
}

#[test]
fn looking_changes_nothing_in_the_cache() {
    let kept = Kept::new();
    let bytes = vec![9; 100_000];
    kept.keep(&sha256_of(&bytes).to_hex(), "unet/a.safetensors", &bytes);
    kept.keep(&git_sha1(b"{}").to_hex(), "config.json", b"{}");
    fs::write(kept.repository.join("blobs/0.incomplete"), b"half").unwrap();
    symlink("/etc/hostname", kept.snapshot("away")).unwrap();
    let before = state_of(kept.home.path());
    assert_eq!(before.len(), 14, "{before:#?}");
    let cache = kept.cache();
    let found = cache.find("org/name", COMMIT, "unet/a.safetensors", Some(sha256_of(&bytes)), None).unwrap();
    found.verify(&expecting(&bytes)).unwrap();
    found.verify(&expecting(b"other")).unwrap_err();
    let small = cache.find("org/name", COMMIT, "config.json", None, Some(git_sha1(b"{}"))).unwrap();
    small.verify(&Expected { git_sha1: Some(git_sha1(b"{}")), ..Expected::default() }).unwrap();
    for path in ["away", "nothing", "unet"] {
        assert_eq!(cache.find("org/name", COMMIT, path, None, None), None);
    }
    assert_eq!(state_of(kept.home.path()), before);
}
