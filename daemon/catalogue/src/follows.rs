//! Follows: what is wanted to arrive by itself, under which policy, and how it stands.

use crate::error::{CatalogueError, could_not};
use crate::ids::FollowId;
use crate::journal::Happening;
use crate::open::Catalogue;
use crate::statements::statements;
use crate::{codec, policy_json};
use paintbox_domain::follow::{FollowPolicy, FollowTarget};
use paintbox_domain::{Failure, Timestamp};
use sqlx::FromRow;

/// How a follow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FollowState {
    /// Its list has not been read to its end yet.
    New,
    Active,
    /// The hub is down or asks for patience; it is asked again by itself.
    Waiting,
    /// The last check failed in a way that time alone does not mend.
    Failing,
}

/// Something whose new work is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Follow {
    pub id: FollowId,
    /// Unique and made from the target, such as `civitai-konan`; a change of the creator's name leaves it.
    pub name: String,
    pub target: FollowTarget,
    pub policy: FollowPolicy,
    pub created_at: Timestamp,
    /// When its list had been read to its end for the first time.
    pub seeded_at: Option<Timestamp>,
    /// When all of its list was last read.
    pub full_read_at: Option<Timestamp>,
    pub last_check_at: Option<Timestamp>,
    pub next_check_at: Option<Timestamp>,
    /// What the hub client made of the list's first page.
    pub list_mark: Option<String>,
    /// Versions that appeared since the follow began.
    pub new: u32,
    /// Files that the latest plan wanted and that are not here yet.
    pub pending: u32,
    /// Checks that failed in a row, the last of them with `failure`.
    pub failures: u32,
    pub failure: Option<Failure>,
}

impl Follow {
    #[must_use]
    pub fn state(&self) -> FollowState {
        match &self.failure {
            Some(failure) if failure.class.is_retryable() => FollowState::Waiting,
            Some(_) => FollowState::Failing,
            None if self.seeded_at.is_none() => FollowState::New,
            None => FollowState::Active,
        }
    }
}

macro_rules! select_follows {
    ($rest:literal) => {
        concat!(
            "SELECT follow_id, name, target, policy_json, created_ms, seeded_ms, full_read_ms, last_check_ms, \
             next_check_ms, list_mark, new_versions, failures, failure_json, \
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
    /// The name is the first of `slug`, `slug-2`, … that is free.
    INSERT_FOLLOW = "
        INSERT INTO follow (name, hub, target, policy_json, created_ms)
        VALUES (iif(EXISTS (SELECT 1 FROM follow WHERE name = ?1),
                    ?1 || '-' || (SELECT count(*) + 1 FROM follow WHERE name = ?1 OR name GLOB ?1 || '-[0-9]*'), ?1),
                ?2, ?3, ?4, ?5) RETURNING follow_id";
    FOLLOWS = select_follows!("ORDER BY follow_id");
    FOLLOW_BY_ID = select_follows!("WHERE follow_id = ?1");
    FOLLOW_BY_NAME = select_follows!("WHERE name = ?1");
    /// Hubs compare names without case. A creator's former names lead to the follow as well.
    FOLLOW_BY_TARGET = select_follows!(
        "WHERE target = ?1 COLLATE NOCASE OR follow_id IN \
            (SELECT follow_id FROM follow_rename WHERE former_target = ?1 COLLATE NOCASE) \
         ORDER BY target = ?1 COLLATE NOCASE DESC LIMIT 1"
    );
    FOLLOWED_TARGET = "SELECT name FROM follow WHERE target = ?1 COLLATE NOCASE";
    UPDATE_POLICY = "UPDATE follow SET policy_json = ?2 WHERE follow_id = ?1";
    DELETE_FOLLOW = "DELETE FROM follow WHERE follow_id = ?1";
    KEEP_FORMER_TARGET = "
        INSERT INTO follow_rename (follow_id, former_target, renamed_ms)
        SELECT follow_id, target, ?2 FROM follow WHERE follow_id = ?1";
    /// The list of another name is another list: nothing of the old one's mark holds.
    RENAME_TARGET = "UPDATE follow SET target = ?2, list_mark = NULL WHERE follow_id = ?1";
}

#[derive(FromRow)]
struct FollowRow {
    follow_id: i64,
    name: String,
    target: String,
    policy_json: String,
    created_ms: i64,
    seeded_ms: Option<i64>,
    full_read_ms: Option<i64>,
    last_check_ms: Option<i64>,
    next_check_ms: Option<i64>,
    list_mark: Option<String>,
    new_versions: i64,
    failures: i64,
    failure_json: Option<String>,
    pending: i64,
}

impl FollowRow {
    fn follow(self) -> Result<Follow, CatalogueError> {
        Ok(Follow {
            id: FollowId(self.follow_id),
            name: self.name,
            target: codec::named("a follow's target", &self.target, |text| text.parse().ok())?,
            policy: policy_json::read(&self.policy_json)?,
            created_at: Timestamp::from_unix_ms(self.created_ms),
            seeded_at: codec::time(self.seeded_ms),
            full_read_at: codec::time(self.full_read_ms),
            last_check_at: codec::time(self.last_check_ms),
            next_check_at: codec::time(self.next_check_ms),
            list_mark: self.list_mark,
            new: codec::small(self.new_versions),
            pending: codec::small(self.pending),
            failures: codec::small(self.failures),
            failure: codec::failure(self.failure_json.as_deref())?,
        })
    }
}

impl Catalogue {
    /// Starts following.
    ///
    /// # Errors
    /// `FOLLOW_EXISTS` when this target is followed already, whatever the case of the letters; when the catalogue
    /// cannot be written.
    pub async fn create_follow(&self, target: &FollowTarget, policy: &FollowPolicy) -> Result<Follow, CatalogueError> {
        let attempt = "start a follow";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let existing: Option<String> = sqlx::query_scalar(FOLLOWED_TARGET)
            .bind(target.to_string())
            .fetch_optional(&mut *tx)
            .await
            .map_err(&failed)?;
        if let Some(name) = existing {
            return Err(CatalogueError::FollowExists { target: target.to_string(), name });
        }
        let id: i64 = sqlx::query_scalar(INSERT_FOLLOW)
            .bind(target.slug())
            .bind(target.hub().as_str())
            .bind(target.to_string())
            .bind(policy_json::write(policy))
            .bind(self.now().unix_ms())
            .fetch_one(&mut *tx)
            .await
            .map_err(&failed)?;
        let row: FollowRow = sqlx::query_as(FOLLOW_BY_ID).bind(id).fetch_one(&mut *tx).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        self.journal.note(Happening::Follow(FollowId(id)));
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

    /// The follow with this name (`civitai-konan`) or target (`civitai:Konan`), also under a name that its creator
    /// has given up.
    ///
    /// # Errors
    /// `FOLLOW_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn follow(&self, name_or_target: &str) -> Result<Follow, CatalogueError> {
        let text = name_or_target.trim();
        let query = match text.parse::<FollowTarget>() {
            Ok(target) => sqlx::query_as(FOLLOW_BY_TARGET).bind(target.to_string()),
            Err(_) => sqlx::query_as(FOLLOW_BY_NAME).bind(text.to_lowercase()),
        };
        let row: Option<FollowRow> = query.fetch_optional(&self.readers).await.map_err(could_not("read a follow"))?;
        row.ok_or_else(|| CatalogueError::FollowNotFound { given: text.to_owned() })?.follow()
    }

    /// The follow with this row id; none when it was deleted meanwhile.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn follow_by_id(&self, id: FollowId) -> Result<Option<Follow>, CatalogueError> {
        let row: Option<FollowRow> = sqlx::query_as(FOLLOW_BY_ID)
            .bind(id.0)
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not("read a follow"))?;
        row.map(FollowRow::follow).transpose()
    }

    /// Replaces the policy of a follow, which from then on decides about everything that is listed.
    ///
    /// # Errors
    /// `FOLLOW_NOT_FOUND`; when the catalogue cannot be written.
    pub async fn update_follow(&self, name_or_target: &str, policy: &FollowPolicy) -> Result<Follow, CatalogueError> {
        let follow = self.follow(name_or_target).await?;
        let update = sqlx::query(UPDATE_POLICY).bind(follow.id.0).bind(policy_json::write(policy));
        if self.write_one("change a follow's policy", update).await? == 0 {
            return Err(CatalogueError::FollowNotFound { given: name_or_target.to_owned() });
        }
        self.journal.note(Happening::Follow(follow.id));
        Ok(Follow { policy: policy.clone(), ..follow })
    }

    /// Records that the hub gives a followed creator another name. The former one is kept beside it.
    ///
    /// # Errors
    /// `FOLLOW_EXISTS` when the new name is followed already; when the catalogue cannot be written.
    pub async fn rename_follow(&self, follow: FollowId, target: &FollowTarget) -> Result<(), CatalogueError> {
        let attempt = "record a creator's new name";
        let failed = could_not(attempt);
        let target = target.to_string();
        let mut tx = self.write(attempt).await?;
        let other: Option<String> =
            sqlx::query_scalar(FOLLOWED_TARGET).bind(&target).fetch_optional(&mut *tx).await.map_err(&failed)?;
        if let Some(name) = other {
            return Err(CatalogueError::FollowExists { target, name });
        }
        sqlx::query(KEEP_FORMER_TARGET)
            .bind(follow.0)
            .bind(self.now().unix_ms())
            .execute(&mut *tx)
            .await
            .map_err(&failed)?;
        sqlx::query(RENAME_TARGET).bind(follow.0).bind(target).execute(&mut *tx).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        self.journal.note(Happening::Follow(follow));
        Ok(())
    }

    /// Stops following; what arrived by it stays. Returns the follow as it was.
    ///
    /// # Errors
    /// `FOLLOW_NOT_FOUND`; when the catalogue cannot be written.
    pub async fn delete_follow(&self, name_or_target: &str) -> Result<Follow, CatalogueError> {
        let follow = self.follow(name_or_target).await?;
        let delete = sqlx::query(DELETE_FOLLOW).bind(follow.id.0);
        if self.write_one("stop a follow", delete).await? == 0 {
            return Err(CatalogueError::FollowNotFound { given: name_or_target.to_owned() });
        }
        self.journal.note(Happening::FollowDeleted(follow.name.clone()));
        Ok(follow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{model, new_artifact, opened};
    use paintbox_domain::follow::{Backfill, QuietHours};
    use paintbox_domain::{Classify, reason};

    fn target(text: &str) -> FollowTarget {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_follow_is_found_by_name_and_target_in_any_case_and_only_once() {
        let (catalogue, _home) = opened().await;
        let policy = FollowPolicy { backfill: Backfill::Newest(3), ..FollowPolicy::default() };
        let made = catalogue.create_follow(&target("civitai:Konan"), &policy).await.unwrap();
        assert_eq!((made.name.as_str(), made.state()), ("civitai-konan", FollowState::New));
        for given in ["civitai-konan", "civitai:konan", "civitai:KONAN", "https://civitai.com/user/Konan"] {
            assert_eq!(catalogue.follow(given).await.unwrap(), made, "{given}");
        }
        let again = catalogue.create_follow(&target("civitai:konan"), &policy).await.unwrap_err();
        assert_eq!(again.reason(), reason::FOLLOW_EXISTS);
        for other in ["hf:konan", "civitai:tag:ink wash", "civitai:tag:ink-wash", "civitai:4384"] {
            catalogue.create_follow(&target(other), &FollowPolicy::default()).await.unwrap();
        }
        let all = catalogue.follows().await.unwrap();
        assert_eq!(
            all.iter().map(|follow| follow.name.as_str()).collect::<Vec<_>>(),
            ["civitai-konan", "hf-konan", "civitai-tag-ink-wash", "civitai-tag-ink-wash-2", "civitai-4384"]
        );
        assert_eq!(all[1].policy, FollowPolicy::default());
        assert_eq!(catalogue.follow("nobody").await.unwrap_err().reason(), reason::FOLLOW_NOT_FOUND);
    }

    #[tokio::test]
    async fn a_policy_can_be_replaced() {
        let (catalogue, _home) = opened().await;
        catalogue.create_follow(&target("civitai:Konan"), &FollowPolicy::default()).await.unwrap();
        let policy = FollowPolicy { quiet_hours: QuietHours::parse("01:00-02:00"), ..FollowPolicy::default() };
        let changed = catalogue.update_follow("civitai:konan", &policy).await.unwrap();
        assert_eq!(changed.policy, policy);
        assert_eq!(catalogue.follow("civitai-konan").await.unwrap(), changed);
        let missing = catalogue.update_follow("nobody", &policy).await.unwrap_err();
        assert_eq!(missing.reason(), reason::FOLLOW_NOT_FOUND);
    }

    #[tokio::test]
    async fn a_creator_who_takes_another_name_is_found_by_both() {
        let (catalogue, _home) = opened().await;
        let konan = catalogue.create_follow(&target("civitai:Konan"), &FollowPolicy::default()).await.unwrap();
        catalogue.create_follow(&target("civitai:Other"), &FollowPolicy::default()).await.unwrap();
        let taken = catalogue.rename_follow(konan.id, &target("civitai:other")).await.unwrap_err();
        assert_eq!(taken.reason(), reason::FOLLOW_EXISTS);
        catalogue.rename_follow(konan.id, &target("civitai:Konan_XL")).await.unwrap();
        for given in ["civitai:konan_xl", "civitai:konan", "civitai-konan"] {
            let found = catalogue.follow(given).await.unwrap();
            assert_eq!((found.id, found.target.to_string().as_str()), (konan.id, "civitai:Konan_XL"), "{given}");
        }
        // Somebody else takes the name that was given up: a follow of its own.
        let second = catalogue.create_follow(&target("civitai:Konan"), &FollowPolicy::default()).await.unwrap();
        assert_eq!(second.name, "civitai-konan-2");
        assert_eq!(catalogue.follow("civitai:konan").await.unwrap().id, second.id);
    }

    #[tokio::test]
    async fn deleting_a_follow_keeps_models_and_files() {
        let (catalogue, home) = opened().await;
        let follow = catalogue.create_follow(&target("civitai:Konan"), &FollowPolicy::default()).await.unwrap();
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
        let next = catalogue.create_follow(&target("civitai:Other"), &FollowPolicy::default()).await.unwrap();
        assert_ne!(next.id, follow.id);
        assert!(catalogue.models_of_follow(next.id).await.unwrap().is_empty());
    }
}
