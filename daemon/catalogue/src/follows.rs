//! Follows: whose new work is wanted, how the last check went, and what is still to come.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{FileId, FollowId, ModelId};
use crate::open::Catalogue;
use crate::records::ModelRecord;
use crate::statements::statements;
use paintbox_domain::follow::{Backfill, FollowPolicy, FollowTarget};
use paintbox_domain::{Failure, Hub, Timestamp};
use sqlx::FromRow;

/// Whether the last check of a follow worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FollowState {
    Active,
    Failing,
}

impl FollowState {
    /// The stable name, as sent and printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Failing => "failing",
        }
    }
}

/// A creator whose new work is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Follow {
    pub id: FollowId,
    /// Unique and made from the target, such as `civitai-konan`.
    pub name: String,
    pub target: FollowTarget,
    pub policy: FollowPolicy,
    /// Failing while `failure` is set.
    pub state: FollowState,
    pub created_at: Timestamp,
    pub last_check_at: Option<Timestamp>,
    pub next_check_at: Option<Timestamp>,
    /// Versions first seen in the last check.
    pub new: u32,
    /// Files that the latest plan wanted and that are not here yet.
    pub pending: u32,
    pub failure: Option<Failure>,
}

/// How a check of a follow went.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowCheck {
    pub at: Timestamp,
    pub next_at: Timestamp,
    pub failure: Option<Failure>,
    pub new_versions: u32,
}

macro_rules! select_follows {
    ($rest:literal) => {
        concat!(
            "SELECT follow_id, name, hub, creator, backfill, backfill_newest, created_ms, last_check_ms, \
             next_check_ms, new_versions, failure_json, \
             (SELECT count(*) FROM follow_file ff JOIN file USING (file_id) \
              WHERE ff.follow_id = follow.follow_id AND file.gone_ms IS NULL AND file.replaced_ms IS NULL \
                AND NOT EXISTS (SELECT 1 FROM observation o \
                                WHERE o.artifact_id = file.artifact_id AND o.gone_ms IS NULL)) AS pending \
             FROM follow ",
            $rest
        )
    };
}

statements! {
    INSERT_FOLLOW = "
        INSERT INTO follow (name, hub, creator, backfill, backfill_newest, created_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING follow_id";
    FOLLOWS = select_follows!("ORDER BY follow_id");
    FOLLOW_BY_ID = select_follows!("WHERE follow_id = ?1");
    FOLLOW_BY_NAME = select_follows!("WHERE name = ?1");
    FOLLOW_BY_TARGET = select_follows!("WHERE hub = ?1 AND creator = ?2 COLLATE NOCASE");
    DELETE_FOLLOW = "DELETE FROM follow WHERE follow_id = ?1";
    RECORD_CHECK = "
        UPDATE follow SET last_check_ms = ?2, next_check_ms = ?3, failure_json = ?4, new_versions = ?5
        WHERE follow_id = ?1";
    COUNT_NEW_VERSIONS = "
        SELECT count(*) FROM version JOIN follow_model USING (model_id)
        WHERE follow_id = ?1 AND version.first_seen_ms >= ?2";
    CLEAR_WANTED_FILES = "DELETE FROM follow_file WHERE follow_id = ?1";
    /// Over the file table, so that ids which are no longer there are passed over.
    SET_WANTED_FILES = "
        INSERT INTO follow_file (follow_id, file_id)
        SELECT follow_id, file_id FROM follow, file
        WHERE follow_id = ?1 AND file_id IN (SELECT value FROM json_each(?2))";
    MODELS_OF_FOLLOW = "SELECT model_id FROM follow_model WHERE follow_id = ?1 ORDER BY model_id";
}

#[derive(FromRow)]
struct FollowRow {
    follow_id: i64,
    name: String,
    hub: String,
    creator: String,
    backfill: String,
    backfill_newest: Option<i64>,
    created_ms: i64,
    last_check_ms: Option<i64>,
    next_check_ms: Option<i64>,
    new_versions: i64,
    failure_json: Option<String>,
    pending: i64,
}

impl FollowRow {
    fn follow(self) -> Result<Follow, CatalogueError> {
        let failure = codec::failure(self.failure_json.as_deref())?;
        let backfill = match (self.backfill.as_str(), self.backfill_newest) {
            ("all", None) => Backfill::All,
            ("none", None) => Backfill::None,
            ("newest", Some(versions)) => Backfill::Newest(codec::small(versions)),
            _ => return Err(CatalogueError::Corrupt { what: "a follow's backfill", value: self.backfill }),
        };
        Ok(Follow {
            id: FollowId(self.follow_id),
            name: self.name,
            target: FollowTarget {
                hub: codec::named("a follow's hub", &self.hub, Hub::from_name)?,
                creator: self.creator,
            },
            policy: FollowPolicy { backfill },
            state: if failure.is_some() { FollowState::Failing } else { FollowState::Active },
            created_at: Timestamp::from_unix_ms(self.created_ms),
            last_check_at: codec::time(self.last_check_ms),
            next_check_at: codec::time(self.next_check_ms),
            new: codec::small(self.new_versions),
            pending: codec::small(self.pending),
            failure,
        })
    }
}

/// Hubs compare creators' names without case, so one creator has one name here.
fn name_of(target: &FollowTarget) -> String {
    format!("{}-{}", target.hub, target.creator.to_ascii_lowercase())
}

impl Catalogue {
    /// Starts following.
    ///
    /// # Errors
    /// `FOLLOW_EXISTS` when this creator is followed already, whatever the case of the letters; when the catalogue
    /// cannot be written.
    pub async fn create_follow(&self, target: &FollowTarget, policy: FollowPolicy) -> Result<Follow, CatalogueError> {
        let attempt = "start a follow";
        let failed = could_not(attempt);
        let (backfill, newest) = match policy.backfill {
            Backfill::All => ("all", None),
            Backfill::Newest(versions) => ("newest", Some(versions)),
            Backfill::None => ("none", None),
        };
        let mut tx = self.write(attempt).await?;
        let existing: Option<FollowRow> = sqlx::query_as(FOLLOW_BY_TARGET)
            .bind(target.hub.as_str())
            .bind(&target.creator)
            .fetch_optional(&mut *tx)
            .await
            .map_err(&failed)?;
        if let Some(existing) = existing {
            return Err(CatalogueError::FollowExists { target: target.to_string(), name: existing.name });
        }
        let id: i64 = sqlx::query_scalar(INSERT_FOLLOW)
            .bind(name_of(target))
            .bind(target.hub.as_str())
            .bind(&target.creator)
            .bind(backfill)
            .bind(newest)
            .bind(self.now().unix_ms())
            .fetch_one(&mut *tx)
            .await
            .map_err(&failed)?;
        let row: FollowRow = sqlx::query_as(FOLLOW_BY_ID).bind(id).fetch_one(&mut *tx).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        row.follow()
    }

    /// Every follow, oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn follows(&self) -> Result<Vec<Follow>, CatalogueError> {
        let rows: Vec<FollowRow> =
            sqlx::query_as(FOLLOWS).fetch_all(&self.readers).await.map_err(could_not("read follows"))?;
        rows.into_iter().map(FollowRow::follow).collect()
    }

    /// The follow with this name (`civitai-konan`) or target (`civitai:Konan`).
    ///
    /// # Errors
    /// `FOLLOW_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn follow(&self, name_or_target: &str) -> Result<Follow, CatalogueError> {
        let text = name_or_target.trim();
        let query = match text.parse::<FollowTarget>() {
            Ok(target) => sqlx::query_as(FOLLOW_BY_TARGET).bind(target.hub.as_str()).bind(target.creator),
            Err(_) => sqlx::query_as(FOLLOW_BY_NAME).bind(text.to_ascii_lowercase()),
        };
        let row: Option<FollowRow> = query.fetch_optional(&self.readers).await.map_err(could_not("read a follow"))?;
        row.ok_or_else(|| CatalogueError::FollowNotFound { given: text.to_owned() })?.follow()
    }

    /// Stops following; what arrived by it stays. Returns the follow as it was.
    ///
    /// # Errors
    /// `FOLLOW_NOT_FOUND`; when the catalogue cannot be written.
    pub async fn delete_follow(&self, name_or_target: &str) -> Result<Follow, CatalogueError> {
        let attempt = "stop a follow";
        let follow = self.follow(name_or_target).await?;
        let mut tx = self.write(attempt).await?;
        let deleted =
            sqlx::query(DELETE_FOLLOW).bind(follow.id.0).execute(&mut *tx).await.map_err(could_not(attempt))?;
        if deleted.rows_affected() == 0 {
            return Err(CatalogueError::FollowNotFound { given: name_or_target.to_owned() });
        }
        tx.commit().await.map_err(could_not(attempt))?;
        Ok(follow)
    }

    /// Records how a check went. A follow that was deleted meanwhile is passed over.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_follow_check(&self, follow: FollowId, check: &FollowCheck) -> Result<(), CatalogueError> {
        let attempt = "record the check of a follow";
        let mut tx = self.write(attempt).await?;
        sqlx::query(RECORD_CHECK)
            .bind(follow.0)
            .bind(check.at.unix_ms())
            .bind(check.next_at.unix_ms())
            .bind(check.failure.as_ref().map(codec::failure_json))
            .bind(check.new_versions)
            .execute(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        tx.commit().await.map_err(could_not(attempt))
    }

    /// Versions of this follow's models that were first recorded at `since` or later: with the time at which a check
    /// began, what that check found.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn count_new_versions(&self, follow: FollowId, since: Timestamp) -> Result<u32, CatalogueError> {
        let count: i64 = sqlx::query_scalar(COUNT_NEW_VERSIONS)
            .bind(follow.0)
            .bind(since.unix_ms())
            .fetch_one(&self.readers)
            .await
            .map_err(could_not("count new versions"))?;
        Ok(codec::small(count))
    }

    /// Records which files the latest plan wants for a follow, here or not. [`Follow::pending`] counts those that
    /// are not here, and falls by itself as they arrive.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_follow_plan(&self, follow: FollowId, wanted: &[FileId]) -> Result<(), CatalogueError> {
        let attempt = "record what a follow wants";
        let mut tx = self.write(attempt).await?;
        sqlx::query(CLEAR_WANTED_FILES).bind(follow.0).execute(&mut *tx).await.map_err(could_not(attempt))?;
        sqlx::query(SET_WANTED_FILES)
            .bind(follow.0)
            .bind(codec::id_list(wanted.iter().map(|file| file.0)))
            .execute(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        tx.commit().await.map_err(could_not(attempt))
    }

    /// The models that arrived by a follow, those that are gone included: what a complete listing is compared with
    /// to find out what vanished.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn models_of_follow(&self, follow: FollowId) -> Result<Vec<ModelRecord>, CatalogueError> {
        let attempt = "read a follow's models";
        let mut tx = self.read(attempt).await?;
        let ids: Vec<i64> = sqlx::query_scalar(MODELS_OF_FOLLOW)
            .bind(follow.0)
            .fetch_all(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        crate::detail::model_records(&mut tx, ids.into_iter().map(ModelId)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{model, new_artifact, opened};
    use paintbox_domain::{Classify, ErrorClass, reason};
    use std::time::Duration;

    fn target(text: &str) -> FollowTarget {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_follow_is_found_by_name_and_target_in_any_case_and_only_once() {
        let (catalogue, _home) = opened().await;
        let made = catalogue
            .create_follow(&target("civitai:Konan"), FollowPolicy { backfill: Backfill::Newest(3) })
            .await
            .unwrap();
        assert_eq!((made.name.as_str(), made.state), ("civitai-konan", FollowState::Active));
        for given in ["civitai-konan", "civitai:konan", "civitai:KONAN"] {
            assert_eq!(catalogue.follow(given).await.unwrap(), made, "{given}");
        }
        let again = catalogue.create_follow(&target("civitai:konan"), FollowPolicy::default()).await.unwrap_err();
        assert_eq!(again.reason(), reason::FOLLOW_EXISTS);
        catalogue.create_follow(&target("hf:konan"), FollowPolicy { backfill: Backfill::None }).await.unwrap();
        let all = catalogue.follows().await.unwrap();
        assert_eq!(all.iter().map(|follow| follow.name.as_str()).collect::<Vec<_>>(), ["civitai-konan", "hf-konan"]);
        assert_eq!(all[1].policy.backfill, Backfill::None);
        assert_eq!(catalogue.follow("nobody").await.unwrap_err().reason(), reason::FOLLOW_NOT_FOUND);
    }

    #[tokio::test]
    async fn a_check_is_remembered_and_a_failure_shows() {
        let (catalogue, _home) = opened().await;
        let follow = catalogue.create_follow(&target("civitai:Konan"), FollowPolicy::default()).await.unwrap();
        let at = Timestamp::from_unix_ms(5_000);
        let failure = Failure::new(ErrorClass::Unavailable, reason::HUB_UNREACHABLE, "no route");
        let mut check = FollowCheck {
            at,
            next_at: at.plus(Duration::from_secs(60)),
            failure: Some(failure.clone()),
            new_versions: 0,
        };
        catalogue.record_follow_check(follow.id, &check).await.unwrap();
        let failing = catalogue.follow("civitai-konan").await.unwrap();
        assert_eq!((failing.state, failing.failure), (FollowState::Failing, Some(failure)));
        check.failure = None;
        check.new_versions = 2;
        catalogue.record_follow_check(follow.id, &check).await.unwrap();
        let active = catalogue.follow("civitai-konan").await.unwrap();
        assert_eq!((active.state, active.new, active.failure), (FollowState::Active, 2, None));
        assert_eq!((active.last_check_at, active.next_check_at), (Some(at), Some(at.plus(Duration::from_secs(60)))));
    }

    #[tokio::test]
    async fn pending_counts_wanted_files_and_falls_as_they_arrive() {
        let (catalogue, home) = opened().await;
        let follow = catalogue.create_follow(&target("civitai:Konan"), FollowPolicy::default()).await.unwrap();
        let id = catalogue.record_models(&[model("1", "One")], Some(follow.id)).await.unwrap()[0];
        assert_eq!(catalogue.count_new_versions(follow.id, Timestamp::from_unix_ms(1_000)).await.unwrap(), 1);
        assert_eq!(catalogue.count_new_versions(follow.id, Timestamp::from_unix_ms(1_001)).await.unwrap(), 0);
        let file = catalogue.model(id).await.unwrap().versions[0].files[0].clone();
        catalogue.record_follow_plan(follow.id, &[file.id, FileId(999)]).await.unwrap();
        assert_eq!(catalogue.follow("civitai-konan").await.unwrap().pending, 1);
        let content = new_artifact(file.sha256.unwrap(), home.path().join("blob"));
        catalogue.record_file(file.id, &content, true).await.unwrap();
        assert_eq!(catalogue.follow("civitai-konan").await.unwrap().pending, 0);
        assert!(catalogue.record_path_gone(&home.path().join("blob")).await.unwrap());
        assert_eq!(catalogue.follow("civitai-konan").await.unwrap().pending, 1);
    }

    #[tokio::test]
    async fn deleting_a_follow_keeps_models_and_files() {
        let (catalogue, home) = opened().await;
        let follow = catalogue.create_follow(&target("civitai:Konan"), FollowPolicy::default()).await.unwrap();
        let id = catalogue.record_models(&[model("1", "One")], Some(follow.id)).await.unwrap()[0];
        let file = catalogue.model(id).await.unwrap().versions[0].files[0].clone();
        catalogue.record_follow_plan(follow.id, &[file.id]).await.unwrap();
        let digest = file.sha256.unwrap();
        catalogue.record_file(file.id, &new_artifact(digest, home.path().join("blob")), true).await.unwrap();
        assert_eq!(catalogue.models_of_follow(follow.id).await.unwrap()[0].id, id);

        assert_eq!(catalogue.delete_follow("civitai:Konan").await.unwrap().id, follow.id);
        assert_eq!(catalogue.delete_follow("civitai:Konan").await.unwrap_err().reason(), reason::FOLLOW_NOT_FOUND);
        assert!(catalogue.model(id).await.unwrap().summary.downloaded);
        assert_eq!(catalogue.artifact(&digest).await.unwrap().unwrap().paths.len(), 1);

        // What a sync still reports for it harms nothing, and its id is never given to another follow.
        catalogue.record_models(&[model("2", "Two")], Some(follow.id)).await.unwrap();
        let next = catalogue.create_follow(&target("civitai:Other"), FollowPolicy::default()).await.unwrap();
        assert_ne!(next.id, follow.id);
        assert!(catalogue.models_of_follow(next.id).await.unwrap().is_empty());
    }
}
