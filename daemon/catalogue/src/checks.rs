//! What checks of follows find: how each went, which models it reaches, and what is still to come.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{FileId, FollowId, ModelId};
use crate::journal::Happening;
use crate::open::Catalogue;
use crate::records::ModelRecord;
use crate::statements::statements;
use paintbox_domain::{Failure, Hub, Timestamp};
use std::collections::HashMap;

/// How a check of a follow went.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowCheck {
    pub at: Timestamp,
    pub next_at: Timestamp,
    pub outcome: Result<ListRead, Failure>,
}

/// A list that was read as far as it had to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRead {
    /// What to tell the list by next time; none leaves what is there.
    pub mark: Option<String>,
    /// All of it was read, not only what changed.
    pub full: bool,
    /// Versions that appeared.
    pub new_versions: u32,
}

statements! {
    RECORD_READ = "
        UPDATE follow SET last_check_ms = ?2, next_check_ms = ?3, failure_json = NULL, failures = 0,
            list_mark = coalesce(?4, list_mark), seeded_ms = coalesce(seeded_ms, ?2),
            full_read_ms = iif(?5, ?2, full_read_ms), new_versions = new_versions + ?6
        WHERE follow_id = ?1";
    RECORD_FAILURE = "
        UPDATE follow SET last_check_ms = ?2, next_check_ms = ?3, failure_json = ?4, failures = failures + 1
        WHERE follow_id = ?1";
    SET_NEXT_CHECK = "UPDATE follow SET next_check_ms = ?2 WHERE follow_id = ?1";
    NEW_VERSIONS = "
        SELECT version_id FROM version v JOIN follow_model fm USING (model_id)
        WHERE fm.follow_id = ?1 AND v.first_seen_ms >= ?2
            AND NOT EXISTS (SELECT 1 FROM follow_seen s WHERE s.follow_id = ?1 AND s.version_id = v.version_id)
        ORDER BY version_id";
    CLEAR_WANTED_FILES = "DELETE FROM follow_file WHERE follow_id = ?1";
    /// Over the file table, so that ids which are no longer there are passed over.
    SET_WANTED_FILES = "
        INSERT INTO follow_file (follow_id, file_id)
        SELECT follow_id, file_id FROM follow, file
        WHERE follow_id = ?1 AND file_id IN (SELECT value FROM json_each(?2))";
    MODELS_OF_FOLLOW = "SELECT model_id FROM follow_model WHERE follow_id = ?1 ORDER BY model_id";
    MODELS_STILL_LISTED = "
        SELECT m.external_id FROM follow_model fm JOIN model m USING (model_id)
        WHERE fm.follow_id = ?1 AND fm.left_ms IS NULL AND m.gone_ms IS NULL ORDER BY model_id";
    MODELS_THAT_LEFT = "
        SELECT m.external_id FROM follow_model fm JOIN model m USING (model_id)
        WHERE fm.follow_id = ?1 AND fm.left_ms IS NOT NULL AND m.gone_ms IS NULL ORDER BY model_id";
    LIST_MARKS = "
        SELECT m.external_id, m.list_mark FROM model m
        WHERE m.hub = ?1 AND m.list_mark IS NOT NULL AND m.gone_ms IS NULL
            AND m.external_id IN (SELECT m2.external_id FROM follow_model fm JOIN model m2 USING (model_id)
                                  WHERE fm.follow_id = ?2 AND fm.left_ms IS NULL)";
    CREATORS_OF_FOLLOW = "
        SELECT DISTINCT m.creator FROM follow_model fm JOIN model m USING (model_id)
        WHERE fm.follow_id = ?1 AND m.creator IS NOT NULL ORDER BY m.creator COLLATE NOCASE";
    CREATOR_IDS_OF_FOLLOW = "
        SELECT creator_id FROM follow WHERE follow_id = ?1 AND creator_id IS NOT NULL
        UNION
        SELECT m.creator_id FROM follow_model fm JOIN model m USING (model_id)
        WHERE fm.follow_id = ?1 AND m.creator_id IS NOT NULL";
    SET_CREATOR_ID = "UPDATE follow SET creator_id = ?2 WHERE follow_id = ?1";
    ANY_CHANGED_SINCE = "
        SELECT EXISTS (SELECT 1 FROM model_change
                       WHERE model_id IN (SELECT value FROM json_each(?1)) AND at_ms >= ?2)";
    HELD_BYTES = "
        SELECT follow_id, sum(size_bytes) FROM (
            SELECT DISTINCT fm.follow_id, a.artifact_id, a.size_bytes
            FROM follow_model fm JOIN version v USING (model_id) JOIN file f USING (version_id)
            JOIN artifact a USING (artifact_id)
            WHERE EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL))
        GROUP BY follow_id";
    /// Only models of which something is new: what nobody waits for is not asked about.
    LOCKED_MODELS = "
        SELECT m.external_id FROM follow_model fm JOIN model m USING (model_id) JOIN follow f USING (follow_id)
        WHERE fm.follow_id = ?1 AND fm.left_ms IS NULL AND m.gone_ms IS NULL AND m.state = 'gated'
            AND m.access_granted IS NOT 1 AND coalesce(m.access_asked_ms, 0) <= ?2
            AND (coalesce(f.policy_json ->> 'backfill', 'none') <> 'none'
                 OR EXISTS (SELECT 1 FROM version v WHERE v.model_id = m.model_id AND v.gone_ms IS NULL
                            AND NOT EXISTS (SELECT 1 FROM follow_seen s WHERE s.follow_id = fm.follow_id
                                            AND s.version_id = v.version_id)))
        ORDER BY m.model_id LIMIT ?3";
    SET_ACCESS = "
        UPDATE model SET access_granted = coalesce(?3, access_granted), access_asked_ms = ?4
        WHERE hub = ?1 AND external_id = ?2";
    DUE_FOLLOWS = "
        SELECT follow_id FROM follow WHERE coalesce(next_check_ms, created_ms) <= ?1
        ORDER BY coalesce(next_check_ms, created_ms), follow_id";
    DUE_AFTER = "SELECT follow_id FROM follow WHERE next_check_ms > ?1 AND failures = 0 ORDER BY follow_id";
    NEXT_DUE = "SELECT min(coalesce(next_check_ms, created_ms)) FROM follow";
    MARK_LEFT = "
        UPDATE follow_model SET left_ms = ?3 WHERE follow_id = ?1 AND left_ms IS NULL
            AND model_id IN (SELECT model_id FROM model WHERE hub = (SELECT hub FROM follow WHERE follow_id = ?1)
                             AND external_id IN (SELECT value FROM json_each(?2)))";
}

impl Catalogue {
    /// Records how a check went. A follow that was deleted meanwhile is passed over.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_follow_check(&self, follow: FollowId, check: &FollowCheck) -> Result<(), CatalogueError> {
        let at =
            |statement| sqlx::query(statement).bind(follow.0).bind(check.at.unix_ms()).bind(check.next_at.unix_ms());
        let query = match &check.outcome {
            Ok(read) => at(RECORD_READ).bind(&read.mark).bind(read.full).bind(read.new_versions),
            Err(failure) => at(RECORD_FAILURE).bind(codec::failure_json(failure)),
        };
        self.write_one("record the check of a follow", query).await?;
        self.journal.note(Happening::Follow(follow));
        Ok(())
    }

    /// Sets when these follows are looked at next, all at once.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn schedule_checks(&self, due: &[(FollowId, Timestamp)]) -> Result<(), CatalogueError> {
        let attempt = "schedule checks";
        let mut tx = self.write(attempt).await?;
        for (follow, at) in due {
            sqlx::query(SET_NEXT_CHECK)
                .bind(follow.0)
                .bind(at.unix_ms())
                .execute(&mut *tx)
                .await
                .map_err(could_not(attempt))?;
        }
        tx.commit().await.map_err(could_not(attempt))
    }

    /// Versions that a follow reaches, that were not there when it began, and that were first recorded at `since` or
    /// later: with the time at which a check began, what that check found.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn new_versions(
        &self,
        follow: FollowId,
        since: Timestamp,
    ) -> Result<Vec<crate::VersionId>, CatalogueError> {
        let ids: Vec<i64> = sqlx::query_scalar(NEW_VERSIONS)
            .bind(follow.0)
            .bind(since.unix_ms())
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("find new versions"))?;
        Ok(ids.into_iter().map(crate::VersionId).collect())
    }

    /// Records which files the latest plan wants for a follow, here or not. [`crate::Follow::pending`] counts those
    /// that are not here, and falls by itself as they arrive.
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
        tx.commit().await.map_err(could_not(attempt))?;
        self.journal.note(Happening::Follow(follow));
        Ok(())
    }

    /// The models that arrived by a follow, those that left its list or are gone included.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn models_of_follow(&self, follow: FollowId) -> Result<Vec<ModelRecord>, CatalogueError> {
        let attempt = "read a follow's models";
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let ids: Vec<i64> = sqlx::query_scalar(MODELS_OF_FOLLOW)
            .bind(follow.0)
            .fetch_all(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        crate::detail::model_records(&mut tx, ids.into_iter().map(ModelId)).await
    }

    /// External ids of the models that a follow's list showed when it was last read, as far as the hub still has
    /// them: what a whole listing is compared with to find out what vanished.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn listed_by_follow(&self, follow: FollowId) -> Result<Vec<String>, CatalogueError> {
        self.texts_of_follow(MODELS_STILL_LISTED, follow, "read what a follow lists").await
    }

    /// External ids of the models that a follow's list showed once and does not show now, though the hub has them, such
    /// as archived ones.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn left_by_follow(&self, follow: FollowId) -> Result<Vec<String>, CatalogueError> {
        self.texts_of_follow(MODELS_THAT_LEFT, follow, "read what left a list").await
    }

    /// The texts that a statement about one follow selects.
    async fn texts_of_follow(
        &self,
        statement: &'static str,
        follow: FollowId,
        attempt: &'static str,
    ) -> Result<Vec<String>, CatalogueError> {
        sqlx::query_scalar(statement).bind(follow.0).fetch_all(&self.readers).await.map_err(could_not(attempt))
    }

    /// What lists said of the models that a follow reaches, by external id.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn list_marks(&self, hub: Hub, follow: FollowId) -> Result<HashMap<String, String>, CatalogueError> {
        let marks: Vec<(String, String)> = sqlx::query_as(LIST_MARKS)
            .bind(hub.as_str())
            .bind(follow.0)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read what lists said"))?;
        Ok(marks.into_iter().collect())
    }

    /// Everybody whose work arrived by a follow.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn creators_of_follow(&self, follow: FollowId) -> Result<Vec<String>, CatalogueError> {
        self.texts_of_follow(CREATORS_OF_FOLLOW, follow, "read whose work a follow brought").await
    }

    /// The hub's numbers for everybody whose work arrived by a follow, as far as it gave them.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn creator_ids_of_follow(&self, follow: FollowId) -> Result<Vec<String>, CatalogueError> {
        self.texts_of_follow(CREATOR_IDS_OF_FOLLOW, follow, "read whose work a follow brought").await
    }

    /// Records the hub's number for the creator whose work a follow brings.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_creator_id(&self, follow: FollowId, creator_id: &str) -> Result<(), CatalogueError> {
        let set = sqlx::query(SET_CREATOR_ID).bind(follow.0).bind(creator_id);
        self.write_one("record a creator's number", set).await.map(drop)
    }

    /// Whether what the hub says of any of these models became another at `since` or later.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn any_changed_since(&self, models: &[ModelId], since: Timestamp) -> Result<bool, CatalogueError> {
        sqlx::query_scalar(ANY_CHANGED_SINCE)
            .bind(codec::id_list(models.iter().map(|model| model.0)))
            .bind(since.unix_ms())
            .fetch_one(&self.readers)
            .await
            .map_err(could_not("read what changed"))
    }

    /// Bytes on this machine of the models that each follow reaches, each content counted once a follow.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn held_bytes(&self) -> Result<HashMap<FollowId, u64>, CatalogueError> {
        let sums: Vec<(i64, i64)> =
            sqlx::query_as(HELD_BYTES).fetch_all(&self.readers).await.map_err(could_not("add up what follows hold"))?;
        Ok(sums.into_iter().map(|(follow, bytes)| (FollowId(follow), codec::counted(bytes))).collect())
    }

    /// External ids of gated models with something new that this machine's account may not read as far as is known,
    /// and that were last asked about until `asked_until`.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn locked_models(
        &self,
        follow: FollowId,
        asked_until: Timestamp,
        most: u32,
    ) -> Result<Vec<String>, CatalogueError> {
        sqlx::query_scalar(LOCKED_MODELS)
            .bind(follow.0)
            .bind(asked_until.unix_ms())
            .bind(most)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("find gated models"))
    }

    /// Records that the hub was asked whether this machine's account may read a gated model's files; none when it did
    /// not tell.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_access(
        &self,
        hub: Hub,
        external_id: &str,
        granted: Option<bool>,
    ) -> Result<(), CatalogueError> {
        let set = sqlx::query(SET_ACCESS).bind(hub.as_str()).bind(external_id).bind(granted).bind(self.now().unix_ms());
        self.write_one("record who may read a model", set).await.map(drop)
    }

    /// The follows whose next look has come, the longest overdue first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn due_follows(&self, now: Timestamp) -> Result<Vec<FollowId>, CatalogueError> {
        self.follows_by_time(DUE_FOLLOWS, now).await
    }

    /// The follows whose last look went well and whose next one is later than `time`.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn follows_due_after(&self, time: Timestamp) -> Result<Vec<FollowId>, CatalogueError> {
        self.follows_by_time(DUE_AFTER, time).await
    }

    async fn follows_by_time(&self, statement: &'static str, time: Timestamp) -> Result<Vec<FollowId>, CatalogueError> {
        let ids: Vec<i64> = sqlx::query_scalar(statement)
            .bind(time.unix_ms())
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("find due follows"))?;
        Ok(ids.into_iter().map(FollowId).collect())
    }

    /// When the next follow is due; none without follows.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, CatalogueError> {
        let next: Option<i64> =
            sqlx::query_scalar(NEXT_DUE).fetch_one(&self.readers).await.map_err(could_not("find due follows"))?;
        Ok(codec::time(next))
    }

    /// Records that a follow's list no longer shows these models, though the hub has them.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_left(&self, follow: FollowId, external_ids: &[String]) -> Result<(), CatalogueError> {
        let mark =
            sqlx::query(MARK_LEFT).bind(follow.0).bind(codec::text_list(external_ids)).bind(self.now().unix_ms());
        self.write_one("record what left a list", mark).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{clock_at, model, new_artifact, opened, opened_with, version};
    use crate::{Catalogue, FollowState};
    use paintbox_domain::follow::FollowPolicy;
    use paintbox_domain::{ErrorClass, reason};
    use std::time::Duration;

    async fn follow(catalogue: &Catalogue, target: &str) -> FollowId {
        catalogue.create_follow(&target.parse().unwrap(), &FollowPolicy::default()).await.unwrap().id
    }

    fn check(at: i64, outcome: Result<ListRead, Failure>) -> FollowCheck {
        let at = Timestamp::from_unix_ms(at);
        FollowCheck { at, next_at: at.plus(Duration::from_secs(60)), outcome }
    }

    #[tokio::test]
    async fn a_check_is_remembered_and_a_failure_shows() {
        let (catalogue, _home) = opened().await;
        let id = follow(&catalogue, "civitai:Konan").await;
        let down = Failure::new(ErrorClass::Unavailable, reason::HUB_UNREACHABLE, "no route");
        for _ in 0..2 {
            catalogue.record_follow_check(id, &check(5_000, Err(down.clone()))).await.unwrap();
        }
        let waiting = catalogue.follow("civitai-konan").await.unwrap();
        assert_eq!((waiting.state(), waiting.failures, waiting.seeded_at), (FollowState::Waiting, 2, None));
        let gone = Failure::new(ErrorClass::NotFound, reason::CREATOR_NOT_FOUND, "nobody");
        catalogue.record_follow_check(id, &check(6_000, Err(gone))).await.unwrap();
        assert_eq!(catalogue.follow("civitai-konan").await.unwrap().state(), FollowState::Failing);
        let read = ListRead { mark: Some("m".into()), full: true, new_versions: 2 };
        catalogue.record_follow_check(id, &check(7_000, Ok(read))).await.unwrap();
        catalogue.record_follow_check(id, &check(8_000, Ok(ListRead::default()))).await.unwrap();
        let active = catalogue.follow("civitai-konan").await.unwrap();
        assert_eq!((active.state(), active.new, active.failures), (FollowState::Active, 2, 0));
        assert_eq!(active.list_mark.as_deref(), Some("m"));
        let times = [active.seeded_at, active.full_read_at, active.last_check_at, active.next_check_at];
        assert_eq!(times.map(|time| time.unwrap().unix_ms()), [7_000, 7_000, 8_000, 68_000]);
        catalogue.schedule_checks(&[(id, Timestamp::from_unix_ms(9))]).await.unwrap();
        assert_eq!(catalogue.follow("civitai-konan").await.unwrap().next_check_at.unwrap().unix_ms(), 9);
    }

    #[tokio::test]
    async fn pending_counts_wanted_files_and_falls_as_they_arrive() {
        let (catalogue, home) = opened().await;
        let id = follow(&catalogue, "civitai:Konan").await;
        let model = catalogue.record_models(&[model("1", "One")], Some(id)).await.unwrap()[0];
        let file = catalogue.model(model).await.unwrap().versions[0].files[0].clone();
        catalogue.record_follow_plan(id, &[file.id, FileId(999)]).await.unwrap();
        let pending = async || catalogue.follow("civitai-konan").await.unwrap().pending;
        assert_eq!(pending().await, 1);
        let content = new_artifact(file.sha256.unwrap(), home.path().join("blob"));
        catalogue.record_file(file.id, &content, true).await.unwrap();
        assert_eq!(pending().await, 0);
        assert!(catalogue.record_path_gone(&home.path().join("blob")).await.unwrap());
        assert_eq!(pending().await, 1);
    }

    #[tokio::test]
    async fn the_back_catalogue_is_not_new_and_what_comes_after_is() {
        let clock = clock_at(1_000);
        let (catalogue, _home) = opened_with(clock.clone()).await;
        let id = follow(&catalogue, "civitai:Konan").await;
        let start = Timestamp::from_unix_ms(1_000);
        let new = async || catalogue.new_versions(id, start).await.unwrap().len();
        // The list takes two attempts to be read for the first time; a version that appears meanwhile is new.
        catalogue.record_models(&[model("1", "One")], Some(id)).await.unwrap();
        clock.advance(Duration::from_millis(10));
        let mut fresh = model("2", "Two");
        fresh.versions[0].external_id = "20".into();
        fresh.versions[0].published_at = Some(Timestamp::from_unix_ms(1_005));
        let mut undated = model("3", "Three");
        undated.versions[0].published_at = None;
        catalogue.record_models(&[model("1", "One"), fresh, undated], Some(id)).await.unwrap();
        assert_eq!(new().await, 1);
        catalogue.record_follow_check(id, &check(1_010, Ok(ListRead::default()))).await.unwrap();

        // A version that joins an old model, however it is dated, is new.
        let mut grown = model("1", "One");
        let mut second = version("11");
        second.published_at = None;
        grown.versions.insert(0, second);
        catalogue.record_models(&[grown], Some(id)).await.unwrap();
        assert_eq!(new().await, 2);
        // Of an old model that joins the list, such as one that was hidden, the newest version is.
        let mut joined = model("4", "Four");
        joined.versions = vec![version("42"), version("41"), version("40")];
        catalogue.record_models(&[joined], Some(id)).await.unwrap();
        assert_eq!(new().await, 3);
        assert_eq!(catalogue.new_versions(id, Timestamp::from_unix_ms(2_000)).await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_left_a_list_is_not_missed_twice_and_may_come_back() {
        let (catalogue, _home) = opened().await;
        let id = follow(&catalogue, "civitai:collection:7").await;
        let models = [model("1", "One"), model("2", "Two"), model("3", "Three")];
        catalogue.record_models(&models, Some(id)).await.unwrap();
        let listed = async || catalogue.listed_by_follow(id).await.unwrap();
        assert_eq!(listed().await, ["1", "2", "3"]);
        catalogue.record_left(id, &["2".into(), "99".into()]).await.unwrap();
        catalogue.record_model_gone(Hub::Civitai, "3").await.unwrap();
        assert_eq!(listed().await, ["1"]);
        assert_eq!(catalogue.left_by_follow(id).await.unwrap(), ["2"]);
        assert_eq!(catalogue.models_of_follow(id).await.unwrap().len(), 3);
        catalogue.record_models(&models, Some(id)).await.unwrap();
        assert_eq!(listed().await, ["1", "2", "3"]);
        assert_eq!(catalogue.creators_of_follow(id).await.unwrap(), ["Konan"]);
        assert_eq!(catalogue.creator_ids_of_follow(id).await.unwrap(), ["77"]);
        catalogue.record_creator_id(id, "78").await.unwrap();
        assert_eq!(catalogue.creator_ids_of_follow(id).await.unwrap(), ["77", "78"]);
    }

    #[tokio::test]
    async fn list_marks_are_those_of_the_follows_models() {
        let (catalogue, _home) = opened().await;
        let id = follow(&catalogue, "hf:org").await;
        let marked = |name: &str, mark: Option<&str>| {
            let mut repo = crate::testing::repo(name, vec![crate::testing::commit(&"a".repeat(40), 1)]);
            repo.list_mark = mark.map(str::to_owned);
            repo
        };
        catalogue.record_models(&[marked("org/a", Some("1")), marked("org/b", None)], Some(id)).await.unwrap();
        catalogue.record_models(&[marked("other/c", Some("9"))], None).await.unwrap();
        let marks = catalogue.list_marks(Hub::HuggingFace, id).await.unwrap();
        assert_eq!(marks, HashMap::from([("org/a".to_owned(), "1".to_owned())]));
    }

    #[tokio::test]
    async fn due_follows_come_in_the_order_of_their_times() {
        let (catalogue, _home) = opened().await;
        assert_eq!(catalogue.next_due().await.unwrap(), None);
        let (a, b) = (follow(&catalogue, "civitai:A").await, follow(&catalogue, "civitai:B").await);
        let at = Timestamp::from_unix_ms;
        catalogue.schedule_checks(&[(a, at(5_000)), (b, at(4_000))]).await.unwrap();
        assert_eq!(catalogue.next_due().await.unwrap(), Some(at(4_000)));
        assert_eq!(catalogue.due_follows(at(3_999)).await.unwrap(), []);
        assert_eq!(catalogue.due_follows(at(9_000)).await.unwrap(), [b, a]);
        assert_eq!(catalogue.follows_due_after(at(4_000)).await.unwrap(), [a]);
    }

    #[tokio::test]
    async fn what_a_follow_holds_is_counted_once_and_falls_when_files_go() {
        let (catalogue, home) = opened().await;
        let id = follow(&catalogue, "civitai:Konan").await;
        let mut twins = [model("1", "One"), model("2", "Two")];
        twins[1].versions = twins[0].versions.clone();
        let models = catalogue.record_models(&twins, Some(id)).await.unwrap();
        let file = catalogue.model(models[0]).await.unwrap().versions[0].files[0].clone();
        let content = new_artifact(file.sha256.unwrap(), home.path().join("blob"));
        catalogue.record_file(file.id, &content, true).await.unwrap();
        assert_eq!(catalogue.held_bytes().await.unwrap(), HashMap::from([(id, content.size_bytes)]));
        catalogue.record_path_gone(&home.path().join("blob")).await.unwrap();
        assert!(catalogue.held_bytes().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_locked_model_is_asked_about_when_something_of_it_is_new_and_not_too_often() {
        let (catalogue, _home) = opened().await;
        let id = follow(&catalogue, "hf:org").await;
        let gated = |commit: &str| {
            let mut repo = crate::testing::repo("org/a", vec![crate::testing::commit(&commit.repeat(40), 1)]);
            repo.state = paintbox_domain::hub::ModelState::Gated;
            repo
        };
        let locked = async |until| catalogue.locked_models(id, Timestamp::from_unix_ms(until), 9).await.unwrap().len();
        catalogue.record_models(&[gated("a")], Some(id)).await.unwrap();
        catalogue.record_follow_check(id, &check(1_000, Ok(ListRead::default()))).await.unwrap();
        assert_eq!(locked(0).await, 0, "all of it is back catalogue");
        catalogue.record_models(&[gated("b")], Some(id)).await.unwrap();
        assert_eq!(locked(0).await, 1);
        catalogue.record_access(Hub::HuggingFace, "org/a", Some(false)).await.unwrap();
        assert_eq!((locked(999).await, locked(1_000).await), (0, 1));
        catalogue.record_access(Hub::HuggingFace, "org/a", None).await.unwrap();
        assert_eq!(locked(1_000).await, 1, "no answer is no news");
        catalogue.record_access(Hub::HuggingFace, "org/a", Some(true)).await.unwrap();
        assert_eq!(locked(1_000).await, 0);
    }
}
