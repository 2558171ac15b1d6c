//! What a path in a cache of Hugging Face says of where a file is from.

use std::path::{Component, Path};

/// A file of a repository at a commit, as the names of folders claim. The bytes may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `org/name`, or a legacy `name`.
    pub repository: String,
    /// 40 hexadecimal digits in lower case.
    pub commit: String,
    /// From the repository's root, with `/` between names.
    pub path: String,
}

impl Snapshot {
    /// Of `…/models--org--name/snapshots/<commit>/<path>`. No name on the hub has two dashes in a row, so those that join
    /// organisation and name are told from its own (huggingface/huggingface_hub @ ee0a4510f4bc
    /// `src/huggingface_hub/file_download.py`, `repo_folder_name`; `utils/_validators.py`, `validate_repo_id`).
    pub(super) fn of(path: &Path) -> Option<Self> {
        let mut names = path.components().map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        let joined = names.find_map(|name| name.and_then(|name| name.strip_prefix("models--")))?;
        let parts: Vec<&str> = joined.split("--").collect();
        let is_name = |name: &&str| {
            !matches!(*name, "" | "." | "..")
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        };
        if parts.len() > 2 || !parts.iter().all(is_name) || names.next() != Some(Some("snapshots")) {
            return None;
        }
        let commit = names.next()??;
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        let path = names.collect::<Option<Vec<&str>>>()?.join("/");
        (is_commit && !path.is_empty()).then(|| Self {
            repository: parts.join("/"),
            commit: commit.to_ascii_lowercase(),
            path,
        })
    }
}
