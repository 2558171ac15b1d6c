//! What the planner reads: everything that some intent reaches, with what is here of it.
//!
//! Nothing is decided here beyond reach. Whether a version is new enough for a follow, or a file is of the kind
//! that is wanted, is the planner's to say.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{FileId, FollowId, ModelId, PullId, VersionId};
use crate::open::Catalogue;
use crate::pulls::Pull;
use crate::records::{FileRecord, ModelRecord, VersionRecord};
use crate::statements::statements;
use crate::{detail, pulls, versions};
use paintbox_domain::follow::{FollowPolicy, FollowTarget};
use paintbox_domain::{Hub, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Which intent is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All follows and all pulls.
    Everything,
    Follows(Vec<FollowId>),
    Pulls(Vec<PullId>),
}

/// How much of what follows reach is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it: for a plan that explains everything.
    All,
    /// Only models with something that a follow may want: a version that was not there when it began, or any at all
    /// where its policy has a backfill. What is left out would only be refused.
    News,
}

/// A model that some intent reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedModel {
    pub model: ModelRecord,
    /// The follows that reach it, the one with the highest priority first; none when only pulls do.
    pub follows: Vec<FollowInterest>,
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
    pub followed_at: Timestamp,
}

/// A version that some intent reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedVersion {
    /// With the files and previews that the hub still lists.
    pub version: VersionRecord,
    /// The follows for which it is back catalogue: it was there when they began.
    pub seen_by: Vec<FollowId>,
    /// Files whose content was in the back catalogue of these follows already, such as the weights of a commit that
    /// changed only the page.
    pub same_content: Vec<(FollowId, FileId)>,
    /// How many versions of the model that the hub still lists are newer.
    pub newer_versions: u32,
    /// A pull wants the version as a whole.
    pub pulled: bool,
    /// Files that are pulled by name.
    pub pulled_files: Vec<FileId>,
    /// Files that were left out because the hub no longer lists them or put others in their place.
    pub gone_files: u32,
    /// Of those, the names of files whose place was taken by other bytes.
    pub replaced_files: Vec<String>,
    /// Previews that were left out because the hub no longer lists them.
    pub gone_previews: u32,
}

statements! {
    /// ?1 is a JSON array of follow ids, or null for all of them; ?2 whether only models with news are meant.
    FOLLOWED_MODELS = "
        SELECT fm.model_id, fm.follow_id
        FROM follow_model fm JOIN follow f USING (follow_id) JOIN model m USING (model_id)
        WHERE (?1 IS NULL OR fm.follow_id IN (SELECT value FROM json_each(?1)))
            AND (fm.left_ms IS NULL OR m.state <> 'published')
            AND (NOT ?2 OR (m.gone_ms IS NULL AND (
                coalesce(f.policy_json ->> 'backfill', 'none') <> 'none'
                OR EXISTS (SELECT 1 FROM version v WHERE v.model_id = fm.model_id AND v.gone_ms IS NULL
                           AND NOT EXISTS (SELECT 1 FROM follow_seen s WHERE s.follow_id = fm.follow_id
                                           AND s.version_id = v.version_id)
                           AND EXISTS (SELECT 1 FROM file f WHERE f.version_id = v.version_id
                                       AND f.gone_ms IS NULL AND f.replaced_ms IS NULL AND f.removed_ms IS NULL
                                       AND NOT EXISTS (SELECT 1 FROM observation o
                                                       WHERE o.artifact_id = f.artifact_id AND o.gone_ms IS NULL))))))";
    SEEN_VERSIONS = "
        SELECT s.version_id, s.follow_id FROM follow_seen s JOIN version v USING (version_id)
        WHERE v.model_id IN (SELECT value FROM json_each(?1))";
}

impl Catalogue {
    /// Everything that `scope` reaches, ordered by model id.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn wanted(&self, scope: &Scope, extent: Extent) -> Result<Vec<WantedModel>, CatalogueError> {
        let attempt = "read what is wanted";
        let only: Option<&[FollowId]> = match scope {
            Scope::Everything => None,
            Scope::Follows(ids) => Some(ids),
            Scope::Pulls(_) => Some(&[]),
        };
        let follows = self.interests(only).await?;
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;

        let followed: Vec<(i64, i64)> = match scope {
            Scope::Pulls(_) => Vec::new(),
            Scope::Everything | Scope::Follows(_) => {
                let only = match scope {
                    Scope::Follows(ids) => Some(codec::id_list(ids.iter().map(|id| id.0))),
                    Scope::Everything | Scope::Pulls(_) => None,
                };
                sqlx::query_as(FOLLOWED_MODELS)
                    .bind(only)
                    .bind(extent == Extent::News)
                    .fetch_all(&mut *tx)
                    .await
                    .map_err(could_not(attempt))?
            }
        };
        let pulls = match scope {
            Scope::Everything => pulls::load(&mut tx, None).await?,
            Scope::Pulls(ids) => pulls::load(&mut tx, Some(ids)).await?,
            Scope::Follows(_) => Vec::new(),
        };

        let mut reached: BTreeMap<ModelId, Reached> = BTreeMap::new();
        for (model, follow) in followed {
            // A follow that began since the follows were read is for the next plan.
            if let Some(interest) = follows.get(&FollowId(follow)) {
                reached.entry(ModelId(model)).or_default().follows.push(interest.clone());
            }
        }
        for pull in pulls {
            reached.entry(pull.model).or_default().pulls.push(pull);
        }

        if reached.is_empty() {
            return Ok(Vec::new());
        }
        let records = detail::model_records(&mut tx, reached.keys().copied()).await?;
        let mut versions = versions::of_models(&mut tx, reached.keys().map(|id| id.0)).await?;
        let mut seen: HashMap<VersionId, Vec<FollowId>> = HashMap::new();
        let rows: Vec<(i64, i64)> = sqlx::query_as(SEEN_VERSIONS)
            .bind(codec::id_list(reached.keys().map(|id| id.0)))
            .fetch_all(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        for (version, follow) in rows {
            seen.entry(VersionId(version)).or_default().push(FollowId(follow));
        }
        Ok(records
            .into_iter()
            .filter_map(|model| {
                let reached = reached.remove(&model.id)?;
                let versions = versions.remove(&model.id).unwrap_or_default();
                Some(reached.of(model, versions, &seen))
            })
            .collect())
    }
}

impl Catalogue {
    /// What these follows ask, or all of them.
    async fn interests(&self, only: Option<&[FollowId]>) -> Result<HashMap<FollowId, FollowInterest>, CatalogueError> {
        let follows = match only {
            None => self.follows().await?,
            Some(ids) => {
                let mut found = Vec::with_capacity(ids.len());
                for id in ids {
                    found.extend(self.follow_by_id(*id).await?);
                }
                found
            }
        };
        let interests = follows.into_iter().map(|follow| {
            let interest = FollowInterest {
                id: follow.id,
                name: follow.name,
                target: follow.target,
                policy: follow.policy,
                followed_at: follow.created_at,
            };
            (follow.id, interest)
        });
        Ok(interests.collect())
    }

    /// What a follow that does not exist yet would reach of `models`, all of it being its back catalogue: for telling
    /// what a policy would fetch before anything is followed.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn would_be_wanted(
        &self,
        models: &[ModelId],
        interest: &FollowInterest,
    ) -> Result<Vec<WantedModel>, CatalogueError> {
        let mut reader = self.reader("read what would be wanted").await?;
        let mut tx = reader.snapshot("read what would be wanted").await?;
        let records = detail::model_records(&mut tx, models.iter().copied()).await?;
        let mut versions = versions::of_models(&mut tx, models.iter().map(|id| id.0)).await?;
        Ok(records
            .into_iter()
            .map(|model| {
                let versions = versions.remove(&model.id).unwrap_or_default();
                let seen = versions.iter().map(|version| (version.id, vec![interest.id])).collect();
                let reached = Reached { follows: vec![interest.clone()], pulls: Vec::new() };
                reached.of(model, versions, &seen)
            })
            .collect())
    }
}

/// What reaches one model.
#[derive(Default)]
struct Reached {
    follows: Vec<FollowInterest>,
    pulls: Vec<Pull>,
}

impl Reached {
    /// Leaves of a model's versions what the follows and the pulls reach.
    fn of(
        mut self,
        model: ModelRecord,
        versions: Vec<VersionRecord>,
        seen: &HashMap<VersionId, Vec<FollowId>>,
    ) -> WantedModel {
        self.follows.sort_by_key(|follow| (std::cmp::Reverse(follow.policy.priority), follow.id));
        let newest = versions.iter().find(|version| version.gone_at.is_none()).map(|version| version.id);
        let seen_content = self.seen_content(&versions, seen);
        let (mut gone_versions, mut newer_versions) = (0, 0);
        let mut reached = Vec::new();
        for mut version in versions {
            let of_this = |pull: &&Pull| match pull.version {
                Some(named) => named == version.id,
                None => newest == Some(version.id),
            };
            let named = self.pulls.iter().any(|pull| pull.version == Some(version.id));
            if model.gone_at.is_some() || (version.gone_at.is_some() && !named) {
                gone_versions += 1;
                continue;
            }
            let newer = newer_versions;
            newer_versions += u32::from(version.gone_at.is_none());
            let pulled = self.pulls.iter().filter(of_this).any(|pull| pull.file.is_none());
            let pulled_files: Vec<FileId> = self.pulls.iter().filter(of_this).filter_map(|pull| pull.file).collect();
            let followed = !self.follows.is_empty()
                && match model.hub {
                    Hub::Civitai => version.gone_at.is_none(),
                    Hub::HuggingFace => newest == Some(version.id),
                };
            if !(followed || pulled || !pulled_files.is_empty()) {
                continue;
            }
            let replaced_files =
                version.files.iter().filter(|file| file.replaced_at.is_some()).map(|file| file.name.clone()).collect();
            let (all_files, all_previews) = (version.files.len(), version.previews.len());
            version.files.retain(|file| file.gone_at.is_none() && file.replaced_at.is_none());
            version.previews.retain(|preview| preview.gone_at.is_none());
            let missing = |all: usize, left: usize| u32::try_from(all - left).unwrap_or(u32::MAX);
            let same_content = self
                .follows
                .iter()
                .flat_map(|follow| version.files.iter().map(move |file| (follow.id, file)))
                .filter(|(follow, file)| content_of(file).is_some_and(|key| seen_content.contains(&(*follow, key))))
                .map(|(follow, file)| (follow, file.id))
                .collect();
            reached.push(WantedVersion {
                seen_by: seen.get(&version.id).cloned().unwrap_or_default(),
                same_content,
                newer_versions: newer,
                pulled,
                pulled_files,
                gone_files: missing(all_files, version.files.len()),
                replaced_files,
                gone_previews: missing(all_previews, version.previews.len()),
                version,
            });
        }
        WantedModel { model, follows: self.follows, versions: reached, gone_versions }
    }

    /// The content of the versions that were there when each follow began.
    fn seen_content(
        &self,
        versions: &[VersionRecord],
        seen: &HashMap<VersionId, Vec<FollowId>>,
    ) -> HashSet<(FollowId, Content)> {
        let mut content = HashSet::new();
        for version in versions {
            for follow in seen.get(&version.id).into_iter().flatten() {
                content.extend(version.files.iter().filter_map(content_of).map(|key| (*follow, key)));
            }
        }
        content
    }
}

/// What a file's content is told by: the hub's digest of it.
type Content = Vec<u8>;

fn content_of(file: &FileRecord) -> Option<Content> {
    match (&file.sha256, &file.git_sha1) {
        (Some(digest), _) => Some(digest.as_bytes().to_vec()),
        (None, Some(digest)) => Some(digest.as_bytes().to_vec()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{commit, file, model, opened, repo, version};
    use crate::{FollowCheck, ListRead};
    use paintbox_domain::follow::Backfill;

    async fn follow(catalogue: &Catalogue, target: &str) -> FollowId {
        catalogue.create_follow(&target.parse().unwrap(), &FollowPolicy::default()).await.unwrap().id
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

        let everything = catalogue.wanted(&Scope::Everything, Extent::All).await.unwrap();
        assert_eq!(ids(&everything), [vec!["10"], vec!["21"]], "a pull of a model means its newest version");
        assert_eq!(everything[0].follows[0].name, "civitai-konan");
        assert_eq!((everything[0].versions[0].pulled, everything[1].versions[0].pulled), (false, true));
        assert_eq!(catalogue.wanted(&Scope::Follows(vec![konan]), Extent::All).await.unwrap(), everything[..1]);
        assert_eq!(catalogue.wanted(&Scope::Pulls(vec![pull.id]), Extent::All).await.unwrap(), everything[1..]);
        assert!(catalogue.wanted(&Scope::Follows(vec![other]), Extent::All).await.unwrap().is_empty());
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
        let wanted = catalogue.wanted(&Scope::Everything, Extent::All).await.unwrap();
        assert_eq!(ids(&wanted), [["11"]]);
        assert_eq!(wanted[0].gone_versions, 1);
        let left = &wanted[0].versions[0];
        assert_eq!((left.gone_files, left.gone_previews, left.version.files.len()), (1, 1, 1));

        catalogue.record_model_gone(Hub::Civitai, "1").await.unwrap();
        let wanted = catalogue.wanted(&Scope::Everything, Extent::All).await.unwrap();
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
        let wanted = catalogue.wanted(&Scope::Everything, Extent::All).await.unwrap();
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
        assert_eq!(ids(&catalogue.wanted(&Scope::Everything, Extent::All).await.unwrap()), [[new.as_str()]]);

        // Asking for the old commit again says nothing about the new one.
        catalogue.record_model_in_part(&repo("org/repo", vec![commit(&old, 1)])).await.unwrap();
        let detail = catalogue.model(id).await.unwrap();
        assert_eq!(detail.versions.iter().map(|v| &v.external_id).collect::<Vec<_>>(), [&new, &old]);
        let pull = catalogue.add_pull(id, Some(detail.versions[1].id), None).await.unwrap();
        let pinned = catalogue.wanted(&Scope::Pulls(vec![pull.id]), Extent::All).await.unwrap();
        assert_eq!(ids(&pinned), [[old.as_str()]]);
        assert_eq!(pinned[0].versions[0].version.files.len(), 1, "a commit's files never go");
        assert_eq!(
            ids(&catalogue.wanted(&Scope::Everything, Extent::All).await.unwrap()),
            [[new.as_str(), old.as_str()]]
        );
    }

    #[tokio::test]
    async fn the_back_catalogue_is_told_apart_and_news_leave_it_out() {
        let (catalogue, _home) = opened().await;
        let konan = follow(&catalogue, "civitai:Konan").await;
        let all = FollowPolicy { backfill: Backfill::All, priority: 1, ..FollowPolicy::default() };
        let eager = catalogue.create_follow(&"civitai:tag:ink".parse().unwrap(), &all).await.unwrap().id;
        let old = [model("1", "One"), model("2", "Two")];
        catalogue.record_models(&old, Some(konan)).await.unwrap();
        catalogue.record_models(&old[1..], Some(eager)).await.unwrap();
        let read = FollowCheck {
            at: Timestamp::from_unix_ms(1_000),
            next_at: Timestamp::from_unix_ms(2_000),
            outcome: Ok(ListRead::default()),
        };
        catalogue.record_follow_check(konan, &read).await.unwrap();
        let wanted = catalogue.wanted(&Scope::Everything, Extent::All).await.unwrap();
        let follows: Vec<Vec<FollowId>> =
            wanted.iter().map(|model| model.follows.iter().map(|follow| follow.id).collect()).collect();
        assert_eq!(follows, [vec![konan], vec![eager, konan]], "the higher priority first");
        assert_eq!(wanted[1].versions[0].seen_by, [konan, eager]);
        let news = async |scope| ids(&catalogue.wanted(&scope, Extent::News).await.unwrap()).concat().len();
        assert_eq!((news(Scope::Follows(vec![konan])).await, news(Scope::Follows(vec![eager])).await), (0, 1));

        let mut grown = model("1", "One");
        grown.versions.insert(0, version("11"));
        catalogue.record_models(&[grown], Some(konan)).await.unwrap();
        let wanted = catalogue.wanted(&Scope::Follows(vec![konan]), Extent::News).await.unwrap();
        let seen: Vec<_> =
            wanted[0].versions.iter().map(|wanted| (&wanted.seen_by[..], wanted.newer_versions)).collect();
        assert_eq!(seen, [(&[][..], 0), (&[konan][..], 1)]);
    }

    #[tokio::test]
    async fn a_commit_that_changes_only_the_page_brings_no_new_content() {
        let (catalogue, _home) = opened().await;
        let org = follow(&catalogue, "hf:org").await;
        let (old, new) = ("a".repeat(40), "b".repeat(40));
        catalogue.record_models(&[repo("org/repo", vec![commit(&old, 1)])], Some(org)).await.unwrap();
        let read = FollowCheck {
            at: Timestamp::from_unix_ms(1_000),
            next_at: Timestamp::from_unix_ms(2_000),
            outcome: Ok(ListRead::default()),
        };
        catalogue.record_follow_check(org, &read).await.unwrap();
        let mut next = commit(&new, 1);
        next.files.push(file("more.safetensors", 2));
        catalogue.record_models(&[repo("org/repo", vec![next])], Some(org)).await.unwrap();
        let wanted = catalogue.wanted(&Scope::Everything, Extent::News).await.unwrap();
        let version = &wanted[0].versions[0];
        assert!(version.seen_by.is_empty());
        assert_eq!(version.same_content, [(org, version.version.files[0].id)]);
    }

    #[tokio::test]
    async fn what_left_a_list_is_reached_no_more() {
        let (catalogue, _home) = opened().await;
        let id = follow(&catalogue, "civitai:collection:7").await;
        catalogue.record_models(&[model("1", "One"), model("2", "Two")], Some(id)).await.unwrap();
        catalogue.record_left(id, &["1".to_owned()]).await.unwrap();
        let wanted = catalogue.wanted(&Scope::Everything, Extent::All).await.unwrap();
        assert_eq!(wanted.len(), 1);
        assert_eq!(wanted[0].model.external_id, "2");
    }
}
