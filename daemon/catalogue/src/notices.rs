//! Notices of new versions: what somebody asked to be told, told at least once even if the daemon ends in between.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{FollowId, VersionId};
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::{Hub, ModelKind, ModelRef, Timestamp};
use sqlx::FromRow;

/// A new version that one announcer has still to tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub id: i64,
    pub announcer: String,
    /// Target of the follow that brought it, if it is still followed.
    pub follow: Option<String>,
    pub version: ModelRef,
    pub version_name: String,
    pub model_name: String,
    pub creator: Option<String>,
    pub kind: ModelKind,
    pub base_model: Option<String>,
    pub created_at: Timestamp,
    /// Attempts that failed so far.
    pub attempts: u32,
}

statements! {
    ADD_NOTICES = "
        INSERT INTO notice (follow_id, version_id, announcer, created_ms, due_ms)
        SELECT ?1, v.value, a.value, ?4, ?4 FROM json_each(?2) v, json_each(?3) a";
    DUE_NOTICES = "
        SELECT n.notice_id, n.announcer, f.target, m.hub, m.external_id AS model_external_id,
               v.external_id AS version_external_id, v.name AS version_name, m.name AS model_name, m.creator, m.kind,
               v.base_model, n.created_ms, n.attempts
        FROM notice n JOIN version v USING (version_id) JOIN model m USING (model_id)
        LEFT JOIN follow f ON f.follow_id = n.follow_id
        WHERE n.due_ms <= ?1 ORDER BY n.due_ms, n.notice_id LIMIT ?2";
    NEXT_NOTICE = "SELECT min(due_ms) FROM notice WHERE due_ms IS NOT NULL";
    NOTICE_TOLD = "UPDATE notice SET told_ms = ?2, due_ms = NULL WHERE notice_id = ?1";
    NOTICE_FAILED = "UPDATE notice SET attempts = attempts + 1, due_ms = ?2 WHERE notice_id = ?1";
}

#[derive(FromRow)]
struct NoticeRow {
    notice_id: i64,
    announcer: String,
    target: Option<String>,
    hub: String,
    model_external_id: String,
    version_external_id: String,
    version_name: String,
    model_name: String,
    creator: Option<String>,
    kind: String,
    base_model: Option<String>,
    created_ms: i64,
    attempts: i64,
}

impl NoticeRow {
    fn notice(self) -> Result<Notice, CatalogueError> {
        let hub = codec::named("a model's hub", &self.hub, Hub::from_name)?;
        Ok(Notice {
            id: self.notice_id,
            announcer: self.announcer,
            follow: self.target,
            version: codec::version_reference(Some(hub), &self.model_external_id, &self.version_external_id),
            version_name: self.version_name,
            model_name: self.model_name,
            creator: self.creator,
            kind: ModelKind::from_name(&self.kind).unwrap_or(ModelKind::Unknown),
            base_model: self.base_model,
            created_at: Timestamp::from_unix_ms(self.created_ms),
            attempts: codec::small(self.attempts),
        })
    }
}

impl Catalogue {
    /// Puts on record that each of `announcers` is to tell of these versions.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn add_notices(
        &self,
        follow: FollowId,
        versions: &[VersionId],
        announcers: &[String],
    ) -> Result<(), CatalogueError> {
        if versions.is_empty() || announcers.is_empty() {
            return Ok(());
        }
        let add = sqlx::query(ADD_NOTICES)
            .bind(follow.0)
            .bind(codec::id_list(versions.iter().map(|version| version.0)))
            .bind(codec::text_list(announcers))
            .bind(self.now().unix_ms());
        self.write_one("record what is to be told", add).await.map(drop)
    }

    /// Notices whose time has come, the oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn due_notices(&self, now: Timestamp, most: u32) -> Result<Vec<Notice>, CatalogueError> {
        let rows: Vec<NoticeRow> = sqlx::query_as(DUE_NOTICES)
            .bind(now.unix_ms())
            .bind(most)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read what is to be told"))?;
        rows.into_iter().map(NoticeRow::notice).collect()
    }

    /// When the next notice is due.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn next_notice(&self) -> Result<Option<Timestamp>, CatalogueError> {
        let next: Option<i64> = sqlx::query_scalar(NEXT_NOTICE)
            .fetch_one(&self.readers)
            .await
            .map_err(could_not("read what is to be told"))?;
        Ok(codec::time(next))
    }

    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_notice_told(&self, notice: i64) -> Result<(), CatalogueError> {
        self.set_notice(NOTICE_TOLD, notice, Some(self.now())).await
    }

    /// Records a failed attempt; without `again_at` it was the last one.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_notice_failed(&self, notice: i64, again_at: Option<Timestamp>) -> Result<(), CatalogueError> {
        self.set_notice(NOTICE_FAILED, notice, again_at).await
    }

    async fn set_notice(
        &self,
        statement: &'static str,
        notice: i64,
        time: Option<Timestamp>,
    ) -> Result<(), CatalogueError> {
        let set = sqlx::query(statement).bind(notice).bind(codec::time_ms(time));
        self.write_one("record what was told", set).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{model, opened};
    use paintbox_domain::follow::FollowPolicy;

    #[tokio::test]
    async fn a_notice_is_told_once_by_each_announcer_and_tried_again_until_then() {
        let (catalogue, _home) = opened().await;
        let target = "civitai:Konan".parse().unwrap();
        let follow = catalogue.create_follow(&target, &FollowPolicy::default()).await.unwrap().id;
        let id = catalogue.record_models(&[model("1", "One")], Some(follow)).await.unwrap()[0];
        let version = catalogue.model(id).await.unwrap().versions[0].id;
        let at = Timestamp::from_unix_ms;
        catalogue.add_notices(follow, &[version], &["desktop".into(), "webhook".into()]).await.unwrap();
        catalogue.add_notices(follow, &[version], &[]).await.unwrap();
        assert_eq!(catalogue.due_notices(at(999), 10).await.unwrap(), []);
        let due = catalogue.due_notices(at(1_000), 10).await.unwrap();
        let told: Vec<_> = due.iter().map(|notice| (notice.announcer.as_str(), notice.version.to_string())).collect();
        assert_eq!(told, [("desktop", "civitai:1@10".to_owned()), ("webhook", "civitai:1@10".to_owned())]);
        assert_eq!(due[0].follow.as_deref(), Some("civitai:Konan"));
        catalogue.record_notice_told(due[0].id).await.unwrap();
        catalogue.record_notice_failed(due[1].id, Some(at(5_000))).await.unwrap();
        assert_eq!(catalogue.next_notice().await.unwrap(), Some(at(5_000)));
        assert_eq!(catalogue.due_notices(at(4_999), 10).await.unwrap(), []);
        // Unfollowing does not take back what is to be told.
        catalogue.delete_follow("civitai:Konan").await.unwrap();
        let again = catalogue.due_notices(at(5_000), 10).await.unwrap();
        assert_eq!((again.len(), again[0].attempts, &again[0].follow), (1, 1, &None));
        catalogue.record_notice_failed(again[0].id, None).await.unwrap();
        assert_eq!(catalogue.next_notice().await.unwrap(), None);
    }
}
