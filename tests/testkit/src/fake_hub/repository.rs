//! What Hugging Face holds: repositories with their commits, real bytes behind them, and who may see what.

use super::git;
use super::rate_limit::Rates;
use super::xet_store::{self, Object};
use bytes::Bytes;
use jiff::{Timestamp, ToSpan};
use paintbox_domain::digest::to_hex;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Endings that the hub's usual `.gitattributes` keep in LFS.
const LFS_ENDINGS: &[&str] =
    &["safetensors", "bin", "ckpt", "pt", "pth", "onnx", "onnx_data", "gguf", "msgpack", "zip", "npz"];

/// A repository to publish, or the next state of one that is there.
#[derive(Debug, Clone)]
pub struct FakeRepository {
    /// `namespace/name`.
    pub id: String,
    /// Path → bytes: the whole tree of the commit.
    pub files: BTreeMap<String, Bytes>,
    /// The card's front matter. Non-empty: `README.md` is written from it and [`Self::card_text`].
    pub card: Map<String, Value>,
    pub card_text: String,
    pub pipeline_tag: Option<String>,
    pub library_name: Option<String>,
    /// None, `auto` or `manual`.
    pub gated: Option<String>,
    pub private: bool,
    /// Info stays readable, files do not.
    pub disabled: bool,
    /// Ids that redirect here: a legacy name without namespace, or one from before a renaming.
    pub former_ids: Vec<String>,
    pub message: String,
}

impl FakeRepository {
    /// An open repository of these files.
    #[must_use]
    pub fn new(id: &str, files: BTreeMap<String, Bytes>) -> Self {
        Self {
            id: id.to_owned(),
            files,
            card: Map::new(),
            card_text: String::new(),
            pipeline_tag: None,
            library_name: None,
            gated: None,
            private: false,
            disabled: false,
            former_ids: Vec::new(),
            message: "Upload files".to_owned(),
        }
    }
}

/// A file of a commit.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Git's id of what git keeps: the content, or the LFS pointer.
    pub(super) oid: String,
    pub(super) size: u64,
    pub(super) lfs: Option<Lfs>,
    /// None for recorded files whose content is not kept here.
    pub(super) bytes: Option<Bytes>,
}

#[derive(Debug, Clone)]
pub(super) struct Lfs {
    pub(super) sha256: String,
    pub(super) pointer_size: u64,
    /// The hash that the content has in the store of chunks; of a file whose content is not kept here, something that
    /// looks like one.
    pub(super) xet_hash: String,
}

impl Entry {
    pub(super) fn of(path: &str, bytes: Bytes) -> Self {
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        let size = bytes.len() as u64;
        if LFS_ENDINGS.contains(&ending) {
            let mut entry = Self::pointer(&to_hex(&Sha256::digest(&bytes)), size);
            if let Some(lfs) = &mut entry.lfs {
                lfs.xet_hash = xet_store::hash_of(&bytes);
            }
            Self { bytes: Some(bytes), ..entry }
        } else {
            Self { oid: git::blob_id(&bytes), size, lfs: None, bytes: Some(bytes) }
        }
    }

    /// An LFS file of which only the pointer is known.
    pub(super) fn pointer(sha256: &str, size: u64) -> Self {
        let pointer = git::lfs_pointer(sha256, size);
        let lfs = Lfs {
            sha256: sha256.to_owned(),
            pointer_size: pointer.len() as u64,
            xet_hash: to_hex(&Sha256::digest(format!("xet of {sha256}"))),
        };
        Self { oid: git::blob_id(pointer.as_bytes()), size, lfs: Some(lfs), bytes: None }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) time: Timestamp,
    pub(super) files: BTreeMap<String, Entry>,
    /// Ids of its folders by path.
    pub(super) folders: BTreeMap<String, String>,
}

/// A repository as it stands.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub(super) about: FakeRepository,
    /// Oldest first; the last is `main`.
    pub(super) commits: Vec<Commit>,
    /// Heads of the branches beside `main`. What a branch held before is not kept.
    pub(super) branches: BTreeMap<String, Commit>,
    pub(super) counters: Counters,
}

/// What other people do with a repository.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) downloads: u64,
    pub(super) likes: u64,
}

impl Repository {
    pub(super) fn main(&self) -> &Commit {
        self.commits.last().expect("a repository is made with its first commit")
    }

    /// The commit that a branch, a commit id or the start of one names.
    pub(super) fn commit(&self, revision: &str) -> Option<&Commit> {
        let branch = revision.strip_prefix("refs/heads/").unwrap_or(revision);
        if branch == "main" {
            return Some(self.main());
        }
        let by_id = || {
            let mut commits = self.commits.iter().chain(self.branches.values());
            commits.find(|commit| revision.len() >= 7 && commit.id.starts_with(revision))
        };
        self.branches.get(branch).or_else(by_id)
    }

    pub(super) fn author(&self) -> &str {
        self.about.id.split('/').next().unwrap_or_default()
    }
}

/// Somebody's like.
#[derive(Debug, Clone)]
pub(super) struct Like {
    pub(super) user: String,
    /// `model`, `dataset` or `space`.
    pub(super) kind: String,
    pub(super) repository: String,
}

/// The hub.
#[derive(Debug, Default)]
pub(crate) struct HuggingFace {
    pub(super) most_items_per_page: Option<usize>,
    pub(super) announce_xet: bool,
    /// Objects of the store of chunks, by hash; made when a file is first asked for that way.
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) rates: Rates,
    pub(super) repositories: Vec<Repository>,
    /// Gated repositories that the account of the token may read.
    pub(super) granted: BTreeSet<String>,
    /// Accounts of people, with or without repositories.
    pub(super) users: BTreeSet<String>,
    /// Who likes what, the newest like last.
    pub(super) likes: Vec<Like>,
    commits_made: i64,
}

impl HuggingFace {
    pub(super) fn publish(&mut self, mut about: FakeRepository) -> String {
        let mut files = std::mem::take(&mut about.files);
        if !about.card.is_empty() {
            files.insert("README.md".to_owned(), Bytes::from(card_file(&about)));
        }
        let entries = files.into_iter().map(|(path, bytes)| (path.clone(), Entry::of(&path, bytes))).collect();
        self.publish_entries(about, entries)
    }

    pub(super) fn publish_entries(&mut self, about: FakeRepository, files: BTreeMap<String, Entry>) -> String {
        let position = self.repositories.iter().position(|other| other.about.id == about.id);
        let mut repository = match position {
            Some(position) => self.repositories.remove(position),
            None => Repository {
                about: about.clone(),
                commits: Vec::new(),
                branches: BTreeMap::new(),
                counters: Counters::default(),
            },
        };
        let commit = self.commit(repository.commits.last(), &about.message, files);
        let id = commit.id.clone();
        repository.commits.push(commit);
        repository.about = about;
        self.repositories.push(repository);
        id
    }

    /// Commits onto a branch of a repository that is there, making the branch if need be.
    pub(super) fn publish_branch(&mut self, id: &str, branch: &str, files: BTreeMap<String, Bytes>) -> Option<String> {
        let repository = self.repository(id)?;
        let parent = repository.branches.get(branch).unwrap_or(repository.main()).clone();
        let entries = files.into_iter().map(|(path, bytes)| (path.clone(), Entry::of(&path, bytes))).collect();
        let commit = self.commit(Some(&parent), &format!("Work on {branch}"), entries);
        let commit_id = commit.id.clone();
        self.repository_mut(id)?.branches.insert(branch.to_owned(), commit);
        Some(commit_id)
    }

    fn commit(&mut self, parent: Option<&Commit>, message: &str, files: BTreeMap<String, Entry>) -> Commit {
        // Each commit a minute after the one before, so that `lastModified` orders them.
        let first: Timestamp = "2026-08-11T21:00:00Z".parse().expect("a date as the hub writes them");
        let time = first.checked_add(self.commits_made.minutes()).unwrap_or(first);
        self.commits_made += 1;
        let folders = git::tree_ids(files.iter().map(|(path, entry)| (path.as_str(), entry.oid.as_str())));
        let id = git::commit_id(&folders[""], parent.map(|commit| commit.id.as_str()), time.as_second(), message);
        Commit { id, title: message.to_owned(), time, files, folders }
    }

    pub(super) fn remove(&mut self, id: &str) -> bool {
        let before = self.repositories.len();
        self.repositories.retain(|repository| repository.about.id != id);
        self.repositories.len() < before
    }

    pub(super) fn grant(&mut self, id: &str) {
        self.granted.insert(id.to_owned());
    }

    pub(super) fn repository(&self, id: &str) -> Option<&Repository> {
        self.repositories.iter().find(|repository| repository.about.id == id)
    }

    pub(super) fn repository_mut(&mut self, id: &str) -> Option<&mut Repository> {
        self.repositories.iter_mut().find(|repository| repository.about.id == id)
    }

    /// The present id of a repository that was called `id`, or is written so in another case.
    pub(super) fn canonical_id(&self, id: &str) -> Option<&str> {
        self.repositories
            .iter()
            .find(|repository| {
                repository.about.former_ids.iter().any(|former| former == id)
                    || (repository.about.id != id && repository.about.id.eq_ignore_ascii_case(id))
            })
            .map(|repository| repository.about.id.as_str())
    }

    /// The bytes behind a Xet hash.
    pub(super) fn by_xet_hash(&self, hash: &str) -> Option<Bytes> {
        self.repositories
            .iter()
            .flat_map(|repository| repository.commits.iter().chain(repository.branches.values()))
            .flat_map(|commit| commit.files.values())
            .find(|entry| entry.lfs.as_ref().is_some_and(|lfs| lfs.xet_hash == hash))?
            .bytes
            .clone()
    }
}

/// `README.md` with its front matter. JSON values are YAML values.
fn card_file(about: &FakeRepository) -> String {
    let keys: String = about.card.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    format!("---\n{keys}---\n{}", about.card_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_commit_keeps_the_ones_before_it_reachable() {
        let mut hub = HuggingFace::default();
        let file = |text: &'static str| BTreeMap::from([("a.txt".to_owned(), Bytes::from_static(text.as_bytes()))]);
        let first = hub.publish(FakeRepository::new("me/it", file("one")));
        let second = hub.publish(FakeRepository::new("me/it", file("two")));
        let repository = hub.repository("me/it").unwrap();
        assert_ne!(first, second);
        assert_eq!(repository.main().id, second);
        assert_eq!(repository.commit(&first[..7]).unwrap().id, first);
        assert!(repository.commit("nowhere").is_none());
    }

    #[test]
    fn a_card_is_written_in_front_of_its_text() {
        let mut hub = HuggingFace::default();
        let mut repository = FakeRepository::new("me/it", BTreeMap::new());
        repository.card.insert("license".to_owned(), json!("apache-2.0"));
        repository.card_text = "# It\n".to_owned();
        hub.publish(repository);
        let entry = &hub.repository("me/it").unwrap().main().files["README.md"];
        assert_eq!(entry.bytes.as_deref(), Some(&b"---\nlicense: \"apache-2.0\"\n---\n# It\n"[..]));
    }
}
