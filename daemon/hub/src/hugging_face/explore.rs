//! Looking around on Hugging Face: searches, branches and tags, commits, and the files of a revision.

use super::paging::{self, ListQuery, Listing};
use super::{DEFAULT_BRANCH, HuggingFace, convert, encoded, encoded_path, must_be_repository};
use crate::error::HubError;
use crate::json;
use crate::refusal::Asked;
use hf_hub::repository::{GitCommitInfo, GitRefInfo};
use paintbox_domain::hub::{HubFile, HubModel};
use paintbox_domain::{Hub, Timestamp};
use serde_json::Value;

/// What to search for; everything that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HfQuery {
    /// A user or an organisation.
    pub author: Option<String>,
    /// Part of a repository's id.
    pub search: Option<String>,
    /// The Hub's word for a task, such as `text-to-image`.
    pub pipeline_tag: Option<String>,
    /// `diffusers`, or any other tag of the Hub.
    pub library: Option<String>,
    /// The most models to give.
    pub limit: usize,
}

/// The names of a repository's commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HfRefs {
    pub branches: Vec<HfRef>,
    pub tags: Vec<HfRef>,
}

/// A branch or a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HfRef {
    pub name: String,
    /// 40 digits.
    pub commit: String,
}

/// One commit of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HfCommit {
    /// 40 digits.
    pub id: String,
    pub title: String,
    pub message: String,
    /// Names of accounts, or of people without one.
    pub authors: Vec<String>,
    pub time: Option<Timestamp>,
}

impl HuggingFace {
    pub(crate) async fn search(&self, query: &HfQuery) -> Result<Vec<HubModel>, HubError> {
        let found = self.library.search(&self.site, query).await?;
        let models = found.into_iter().filter_map(|info| {
            let info = serde_json::to_value(info).ok()?;
            convert::model(&info, info.to_string(), None)
        });
        Ok(models.collect())
    }

    pub(crate) async fn refs(&self, repository: &str) -> Result<HfRefs, HubError> {
        must_be_repository(repository)?;
        let refs = self.library.refs(&self.site, repository).await?;
        let named = |refs: Vec<GitRefInfo>| -> Vec<HfRef> {
            refs.into_iter().map(|one| HfRef { name: one.name, commit: one.target_commit }).collect()
        };
        Ok(HfRefs { branches: named(refs.branches), tags: named(refs.tags) })
    }

    pub(crate) async fn commits(
        &self,
        repository: &str,
        revision: Option<&str>,
        limit: usize,
    ) -> Result<Vec<HfCommit>, HubError> {
        must_be_repository(repository)?;
        let revision = revision.unwrap_or(DEFAULT_BRANCH);
        let commits = self.library.commits(&self.site, repository, revision, limit).await?;
        Ok(commits.into_iter().map(commit).collect())
    }

    /// `GET /api/models/{id}/tree/{rev}?recursive=true`, paged by `Link` (huggingface_hub @ ee0a4510f4bc,
    /// `src/huggingface_hub/hf_api.py`, `list_repo_tree`). A branch is first resolved to its commit, because the
    /// files' addresses must not move under whoever fetches them.
    pub(crate) async fn tree(&self, repository: &str, revision: Option<&str>) -> Result<Vec<HubFile>, HubError> {
        must_be_repository(repository)?;
        let revision = revision.unwrap_or(DEFAULT_BRANCH);
        let asked = Asked::Version { model: repository, version: revision };
        let path = format!("/api/models/{}/revision/{}?expand=sha", encoded_path(repository), encoded(revision));
        let answer = self.transport.json(&self.site, &path, &asked).await?;
        let head: Value = serde_json::from_str(&answer.text).map_err(|source| HubError::Malformed {
            hub: Hub::HuggingFace,
            url: answer.from.clone(),
            source,
        })?;
        // The id of the answer, not of the question: a renamed repository answers under its present name.
        let id = json::text(&head, "id").filter(|id| convert::is_repository(id));
        let (Some(id), Some(commit)) = (id, convert::commit(&head)) else {
            let found = "a repository without an id or a commit";
            return Err(HubError::UnexpectedAnswer { hub: Hub::HuggingFace, url: answer.from, found });
        };
        let first = format!("/api/models/{}/tree/{commit}?recursive=true", encoded_path(&id));
        let path_of = |entry: &Value| json::text(entry, "path");
        let query = ListQuery { first: &first, asked, of: repository, known: None, id: path_of };
        match paging::read(&self.transport, &self.site, query).await? {
            Listing::Read { entries, .. } => {
                Ok(entries.iter().filter_map(|entry| convert::tree_file(&entry.value, &id, &commit)).collect())
            }
            Listing::Unchanged(_) => Ok(Vec::new()),
        }
    }
}

fn commit(info: GitCommitInfo) -> HfCommit {
    let time = info.date.and_then(|date| date.parse::<jiff::Timestamp>().ok());
    HfCommit {
        id: info.id,
        title: info.title,
        message: info.message,
        authors: info.authors.into_iter().filter_map(|author| author.user.or(author.name)).collect(),
        time: time.map(|time| Timestamp::from_unix_ms(time.as_millisecond())),
    }
}
