//! What the planner reads: everything that some intent reaches, with what is here of it.
//!
//! Nothing is decided here beyond reach. Whether a version is new enough for a follow, or a file is of the kind
//! that is wanted, is the planner's to say.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{FileId, FollowId, ModelId, PullId, VersionId};
use crate::open::Catalogue;
use crate::pulls::Pull;
use crate::records::{ModelRecord, VersionRecord};
use crate::statements::statements;
use crate::{detail, pulls, versions};
use paintbox_domain::follow::{FollowPolicy, FollowTarget};
use paintbox_domain::{Hub, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// Which intent is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All follows and all pulls.
    Everything,
    Follows(Vec<FollowId>),
    Pulls(Vec<PullId>),
}

/// A model that some intent reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedModel {
    pub model: ModelRecord,
    /// The follow that reaches it, the oldest if several do; none when only pulls do.
    pub follow: Option<FollowInterest>,
    /// The versions that are reached, newest first. Versions that the hub no longer lists are left out unless they
    /// are pulled by name, and so is everything of a model that is gone.
    ///
    /// A follow reaches every CivitAI version, but of a Hugging Face repository only the newest commit, because each
    /// commit holds all the files again.
    pub versions: Vec<WantedVersion>,
    /// Versions that were left out because the hub no longer lists them.
    pub gone_versions: u32,
}

/// What a follow asks of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowInterest {
    pub id: FollowId,
    pub name: String,
    pub target: FollowTarget,
    pub policy: FollowPolicy,
    /// Since when the creator is followed: what is published later is always wanted.
    pub followed_at: Timestamp,
}

/// A version that some intent reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedVersion {
    /// With the files and previews that the hub still lists.
    pub version: VersionRecord,
    /// A pull wants the version as a whole.
    pub pulled: bool,
    /// Files that are pulled by name.
    pub pulled_files: Vec<FileId>,
    /// Files that were left out because the hub no longer lists them or put others in their place.
    pub gone_files: u32,
    /// Previews that were left out because the hub no longer lists them.
    pub gone_previews: u32,
}

statements! {
    /// ?1 is a JSON array of follow ids, or null for all of them.
    FOLLOWED_MODELS = "
        SELECT model_id, min(follow_id) FROM follow_model
        WHERE ?1 IS NULL OR follow_id IN (SELECT value FROM json_each(?1))
        GROUP BY model_id";
}

impl Catalogue {
    /// Everything that `scope` reaches, ordered by model id.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn wanted(&self, scope: &Scope) -> Result<Vec<WantedModel>, CatalogueError> {
        let attempt = "read what is wanted";
        let follows: HashMap<FollowId, FollowInterest> = self
            .follows()
            .await?
            .into_iter()
            .map(|follow| {
                let interest = FollowInterest {
                    id: follow.id,
                    name: follow.name,
                    target: follow.target,
                    policy: follow.policy,
                    followed_at: follow.created_at,
                };
                (follow.id, interest)
            })
            .collect();
        let mut tx = self.read(attempt).await?;

        let followed: Vec<(i64, i64)> = match scope {
            Scope::Pulls(_) => Vec::new(),
            Scope::Everything | Scope::Follows(_) => {
                let only = match scope {
                    Scope::Follows(ids) => Some(codec::id_list(ids.iter().map(|id| id.0))),
                    Scope::Everything | Scope::Pulls(_) => None,
                };
                sqlx::query_as(FOLLOWED_MODELS).bind(only).fetch_all(&mut *tx).await.map_err(could_not(attempt))?
            }
        };
        let pulls = match scope {
            Scope::Everything => pulls::load(&mut tx, None).await?,
            Scope::Pulls(ids) => pulls::load(&mut tx, Some(ids)).await?,
            Scope::Follows(_) => Vec::new(),
        };

        let mut reached: BTreeMap<ModelId, (Option<FollowInterest>, Vec<Pull>)> = BTreeMap::new();
        for (model, follow) in followed {
            let interest = follows.get(&FollowId(follow)).cloned();
            reached.entry(ModelId(model)).or_default().0 = interest;
        }
        for pull in pulls {
            reached.entry(pull.model).or_default().1.push(pull);
        }

        let records = detail::model_records(&mut tx, reached.keys().copied()).await?;
        let mut versions = versions::of_models(&mut tx, reached.keys().map(|id| id.0)).await?;
        Ok(records
            .into_iter()
            .filter_map(|model| {
                let (follow, pulls) = reached.remove(&model.id)?;
                let versions = versions.remove(&model.id).unwrap_or_default();
                Some(reach(model, follow, &pulls, versions))
            })
            .collect())
    }
}

/// Leaves of a model's versions what the follow and the pulls reach.
fn reach(
    model: ModelRecord,
    follow: Option<FollowInterest>,
    pulls: &[Pull],
    versions: Vec<VersionRecord>,
) -> WantedModel {
    let newest: Option<VersionId> = versions.iter().find(|version| version.gone_at.is_none()).map(|version| version.id);
    let mut gone_versions = 0;
    let mut reached = Vec::new();
    for mut version in versions {
        let of_this = |pull: &&Pull| match pull.version {
            Some(named) => named == version.id,
            None => newest == Some(version.id),
        };
        let named = pulls.iter().any(|pull| pull.version == Some(version.id));
        if model.gone_at.is_some() || (version.gone_at.is_some() && !named) {
            gone_versions += 1;
            continue;
        }
        let pulled = pulls.iter().filter(of_this).any(|pull| pull.file.is_none());
        let pulled_files: Vec<FileId> = pulls.iter().filter(of_this).filter_map(|pull| pull.file).collect();
        let followed = follow.is_some()
            && match model.hub {
                Hub::Civitai => version.gone_at.is_none(),
                Hub::HuggingFace => newest == Some(version.id),
            };
        if !(followed || pulled || !pulled_files.is_empty()) {
            continue;
        }
        let (all_files, all_previews) = (version.files.len(), version.previews.len());
        version.files.retain(|file| file.gone_at.is_none() && file.replaced_at.is_none());
        version.previews.retain(|preview| preview.gone_at.is_none());
        let missing = |all: usize, left: usize| u32::try_from(all - left).unwrap_or(u32::MAX);
        reached.push(WantedVersion {
            pulled,
            pulled_files,
            gone_files: missing(all_files, version.files.len()),
            gone_previews: missing(all_previews, version.previews.len()),
            version,
        });
    }
    WantedModel { model, follow, versions: reached, gone_versions }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{commit, file, model, opened, repo, version};

    async fn follow(catalogue: &Catalogue, target: &str) -> FollowId {
        catalogue.create_follow(&target.parse().unwrap(), FollowPolicy::default()).await.unwrap().id
    }

    fn ids(wanted: &[WantedModel]) -> Vec<Vec<&str>> {
        wanted
            .iter()
            .map(|model| model.versions.iter().map(|wanted| wanted.version.external_id.as_str()).collect())
            .collect()
    }

    #[tokio::test]
    async fn scopes_reach_follows_and_pulls_and_nothing_else() {
        let (catalogue, _home) = opened().await;
        let konan = follow(&catalogue, "civitai:Konan").await;
        let other = follow(&catalogue, "civitai:Other").await;
        let mut two = model("2", "Two");
        two.versions = vec![version("21"), version("20")];
        catalogue.record_models(&[model("1", "One")], Some(konan)).await.unwrap();
        let pulled = catalogue.record_models(&[two, model("3", "Three")], None).await.unwrap();
        let pull = catalogue.add_pull(pulled[0], None, None).await.unwrap();
        assert_eq!(catalogue.add_pull(pulled[0], None, None).await.unwrap(), pull);

        let everything = catalogue.wanted(&Scope::Everything).await.unwrap();
        assert_eq!(ids(&everything), [vec!["10"], vec!["21"]], "a pull of a model means its newest version");
        assert_eq!(everything[0].follow.as_ref().unwrap().name, "civitai-konan");
        assert_eq!((everything[0].versions[0].pulled, everything[1].versions[0].pulled), (false, true));
        assert_eq!(catalogue.wanted(&Scope::Follows(vec![konan])).await.unwrap(), everything[..1]);
        assert_eq!(catalogue.wanted(&Scope::Pulls(vec![pull.id])).await.unwrap(), everything[1..]);
        assert!(catalogue.wanted(&Scope::Follows(vec![other])).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_the_hub_no_longer_lists_is_left_out_but_counted() {
        let (catalogue, _home) = opened().await;
        let konan = follow(&catalogue, "civitai:Konan").await;
        let mut listed = model("1", "One");
        listed.versions = vec![version("11"), version("10")];
        listed.versions[0].files.push(file("999", 9));
        catalogue.record_models(std::slice::from_ref(&listed), Some(konan)).await.unwrap();
        listed.versions.pop();
        listed.versions[0].files.pop();
        listed.versions[0].previews.clear();
        catalogue.record_models(&[listed], Some(konan)).await.unwrap();
        let wanted = catalogue.wanted(&Scope::Everything).await.unwrap();
        assert_eq!(ids(&wanted), [["11"]]);
        assert_eq!(wanted[0].gone_versions, 1);
        let left = &wanted[0].versions[0];
        assert_eq!((left.gone_files, left.gone_previews, left.version.files.len()), (1, 1, 1));

        catalogue.record_model_gone(Hub::Civitai, "1").await.unwrap();
        let wanted = catalogue.wanted(&Scope::Everything).await.unwrap();
        assert!(wanted[0].versions.is_empty() && wanted[0].model.gone_at.is_some());
        assert_eq!(wanted[0].gone_versions, 2);
    }

    #[tokio::test]
    async fn a_pull_of_a_file_or_version_names_just_that() {
        let (catalogue, _home) = opened().await;
        let mut listed = model("1", "One");
        listed.versions = vec![version("11"), version("10")];
        let id = catalogue.record_models(&[listed], None).await.unwrap()[0];
        let detail = catalogue.model(id).await.unwrap();
        let (old, old_file) = (detail.versions[1].id, detail.versions[1].files[0].id);
        let by_file = catalogue.add_pull(id, None, Some(old_file)).await.unwrap();
        assert_eq!(by_file.version, Some(old));
        let wanted = catalogue.wanted(&Scope::Everything).await.unwrap();
        assert_eq!(ids(&wanted), [["10"]]);
        assert!(!wanted[0].versions[0].pulled);
        assert_eq!(wanted[0].versions[0].pulled_files, [old_file]);

        let stranger = catalogue.record_models(&[model("2", "Two")], None).await.unwrap()[0];
        assert!(catalogue.add_pull(stranger, Some(old), None).await.is_err());
        assert!(catalogue.add_pull(stranger, None, Some(old_file)).await.is_err());
        assert!(catalogue.add_pull(ModelId(99), None, None).await.is_err());
        assert_eq!(catalogue.pulls().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn of_a_repository_only_the_newest_commit_is_followed_but_a_pinned_one_is_kept() {
        let (catalogue, _home) = opened().await;
        let org = follow(&catalogue, "hf:org").await;
        let (old, new) = ("a".repeat(40), "b".repeat(40));
        let id = catalogue.record_models(&[repo("org/repo", vec![commit(&old, 1)])], Some(org)).await.unwrap()[0];
        catalogue.record_models(&[repo("org/repo", vec![commit(&new, 2)])], Some(org)).await.unwrap();
        assert_eq!(ids(&catalogue.wanted(&Scope::Everything).await.unwrap()), [[new.as_str()]]);

        // Asking for the old commit again says nothing about the new one.
        catalogue.record_model_in_part(&repo("org/repo", vec![commit(&old, 1)])).await.unwrap();
        let detail = catalogue.model(id).await.unwrap();
        assert_eq!(detail.versions.iter().map(|v| &v.external_id).collect::<Vec<_>>(), [&new, &old]);
        let pull = catalogue.add_pull(id, Some(detail.versions[1].id), None).await.unwrap();
        let pinned = catalogue.wanted(&Scope::Pulls(vec![pull.id])).await.unwrap();
        assert_eq!(ids(&pinned), [[old.as_str()]]);
        assert_eq!(pinned[0].versions[0].version.files.len(), 1, "a commit's files never go");
        assert_eq!(ids(&catalogue.wanted(&Scope::Everything).await.unwrap()), [[new.as_str(), old.as_str()]]);
    }
}
