//! Git object ids, computed for real, so that a client which checks them finds them right.
//!
//! Objects: gitformat-pack(5) and git-hash-object(1). Pointers: the Git LFS specification, version 1.

use paintbox_domain::digest::to_hex;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;

/// `sha1("blob " + length + "\0" + bytes)`.
pub(super) fn blob_id(bytes: &[u8]) -> String {
    object_id("blob", bytes)
}

/// The text that git keeps in an LFS file's place.
pub(super) fn lfs_pointer(sha256: &str, size: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n")
}

/// Ids of every folder of a commit, by path; the root's path is empty.
pub(super) fn tree_ids<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    // Folder → entries; git sorts a folder's entries as if folder names ended in a slash.
    let mut folders: BTreeMap<String, BTreeMap<String, (&str, String)>> = BTreeMap::new();
    folders.entry(String::new()).or_default();
    for (path, blob) in files {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        folders.entry(parent.to_owned()).or_default().insert(name.to_owned(), ("100644", blob.to_owned()));
        for parent in ancestors(parent) {
            folders.entry(parent.to_owned()).or_default();
        }
    }
    let mut ids = BTreeMap::new();
    // Deepest first: a folder's id needs those of the folders in it.
    let mut paths: Vec<String> = folders.keys().cloned().collect();
    paths.sort_by_key(|path| std::cmp::Reverse(depth(path)));
    for path in paths {
        let mut body = Vec::new();
        for (name, (mode, id)) in &folders[&path] {
            body.extend_from_slice(format!("{mode} {}\0", name.trim_end_matches('/')).as_bytes());
            body.extend((0..id.len() / 2).filter_map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).ok()));
        }
        let id = object_id("tree", &body);
        if !path.is_empty() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let entry = (format!("{name}/"), ("40000", id.clone()));
            folders.entry(parent.to_owned()).or_default().insert(entry.0, entry.1);
        }
        ids.insert(path, id);
    }
    ids
}

/// The id of a commit by the hub's own account.
pub(super) fn commit_id(tree: &str, parent: Option<&str>, unix_seconds: i64, message: &str) -> String {
    let parent = parent.map(|id| format!("parent {id}\n")).unwrap_or_default();
    let who = format!("system <system@huggingface.co> {unix_seconds} +0000");
    object_id("commit", format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{message}\n").as_bytes())
}

/// Every folder above and including `path`, the root left out.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(parent, _)| parent)).filter(|p| !p.is_empty())
}

fn depth(path: &str) -> usize {
    if path.is_empty() { 0 } else { 1 + path.matches('/').count() }
}

fn object_id(kind: &str, body: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("{kind} {}\0", body.len()));
    hash.update(body);
    to_hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_pointer_of_gpt2_has_the_recorded_id() {
        // tests/fixtures/hubs/huggingface/api/tree-entries-openai-community-gpt2.json
        let sha256 = "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707";
        let pointer = lfs_pointer(sha256, 548_105_171);
        assert_eq!(pointer.len(), 134);
        assert_eq!(blob_id(pointer.as_bytes()), "44b36d6e32d13c8fb28b0feab0ac8bfefa7efeda");
    }

    #[test]
    fn folders_and_commits_have_the_ids_that_git_gives_them() {
        // git 2.47.3: `git hash-object`, `git write-tree`, `git commit-tree` of these two files at time 0.
        let (a, b) = (blob_id(b"hello\n"), blob_id(b"world\n"));
        assert_eq!(a, "ce013625030ba8dba906f756967f9e9ca394464a");
        let ids = tree_ids([("a.txt", a.as_str()), ("a/b/c.txt", b.as_str())].into_iter());
        assert_eq!(ids.keys().map(String::as_str).collect::<Vec<_>>(), ["", "a", "a/b"]);
        assert_eq!(ids[""], "eb88523cb025f68ad75ef1d56b88a145a19c03b8");
        assert_eq!(commit_id(&ids[""], None, 0, "first"), "c474a9b1524660c14edca10dcfc388bde18c4747");
    }
}
