//! Models as records, as lines in a list, and with everything known of them.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{ModelId, VersionId};
use crate::libraries::claims;
use crate::open::Catalogue;
use crate::records::{ModelDetail, ModelRecord, ModelSummary};
use crate::statements::statements;
use crate::versions::{self, Parts};
use paintbox_domain::hub::ModelState;
use paintbox_domain::{Architecture, Hub, ModelKind, Timestamp};
use serde::Deserialize;
use sqlx::{FromRow, SqliteConnection};

/// That an artifact row `la`, to which a file row `lf` points, is weights that are on this machine and are not others than
/// the hub lists.
macro_rules! are_local_weights {
    () => {
        "la.format IN ('safetensors', 'gguf') \
         AND (lf.sha256 IS NULL OR lf.sha256 = la.sha256 OR lf.auto_v3 = la.auto_v3) \
         AND EXISTS (SELECT 1 FROM observation lo WHERE lo.artifact_id = la.artifact_id AND lo.gone_ms IS NULL)"
    };
}
pub(crate) use are_local_weights;

/// A file row `lf` of version `lv` with such weights `la`, for a model row `m`.
macro_rules! local_weights {
    () => {
        concat!(
            "FROM version lv JOIN file lf ON lf.version_id = lv.version_id \
             JOIN artifact la ON la.artifact_id = lf.artifact_id WHERE lv.model_id = m.model_id AND ",
            $crate::detail::are_local_weights!()
        )
    };
}
pub(crate) use local_weights;

/// The columns of [`TaggedRow`] for a model row `m`.
macro_rules! summary_columns {
    () => {
        concat!(
            "m.model_id, m.hub, m.external_id, m.name, m.kind, m.kind_label, m.creator, m.nsfw_level, m.downloads, \
            m.state, m.published_ms, m.gone_ms, \
            (SELECT bv.base_model FROM version bv WHERE bv.model_id = m.model_id AND bv.base_model IS NOT NULL \
             ORDER BY bv.gone_ms IS NOT NULL, bv.position LIMIT 1) AS base_model, \
            iif(m.hub = 'local', (SELECT nullif(lf.architecture, 'unknown') FROM library_file lf \
                WHERE lf.library_file_id = CAST(m.external_id AS INTEGER)), (SELECT la.architecture ",
        local_weights!(),
        " AND la.architecture <> 'unknown' \
             ORDER BY lf.is_primary DESC, lv.gone_ms IS NOT NULL, lf.replaced_ms IS NOT NULL, lv.position, lf.position, \
                lf.file_id LIMIT 1)) AS architecture, \
            m.hub = 'local' OR EXISTS (SELECT 1 ",
        local_weights!(),
        ") AS downloaded, \
            (SELECT json_group_array(name) FROM (SELECT t.name FROM model_tag mt JOIN tag t USING (tag_id) \
             WHERE mt.model_id = m.model_id ORDER BY mt.position)) AS tags"
        )
    };
}

/// The columns of [`PageRow`] for a model row `m`.
macro_rules! page_columns {
    () => {
        concat!(
            summary_columns!(),
            ", m.description, m.licence, m.likes, m.first_seen_ms, m.updated_ms, ",
            versions::parts!()
        )
    };
}

statements! {
    MODEL_RECORDS = "
        SELECT model_id, hub, external_id, name, kind, kind_label, creator, nsfw_level, licence, state, published_ms,
               updated_ms, first_seen_ms, gone_ms, access_granted,
               (SELECT json_group_array(t.name) FROM model_tag mt JOIN tag t USING (tag_id)
                WHERE mt.model_id = model.model_id) AS tags
        FROM model WHERE model_id IN (SELECT value FROM json_each(?1)) ORDER BY model_id";
    SUMMARY_BY_NAME =
        concat!("SELECT ", summary_columns!(), " FROM model m WHERE m.hub = ?1 AND m.external_id = ?2");
    SUMMARY_WITH_VERSION = concat!(
        "SELECT ",
        summary_columns!(),
        ", (SELECT external_id FROM version WHERE version_id = ?2) AS version FROM model m WHERE m.model_id = ?1"
    );
    PAGE = concat!("SELECT ", page_columns!(), " FROM model m WHERE m.model_id = ?1");
    PAGE_BY_NAME = concat!("SELECT ", page_columns!(), " FROM model m WHERE m.hub = ?1 AND m.external_id = ?2");
    /// Nothing is renamed onto a model that is known on its own.
    RENAME_MODEL = "
        UPDATE model SET external_id = ?3, list_mark = NULL
        WHERE hub = ?1 AND external_id = ?2
            AND NOT EXISTS (SELECT 1 FROM model other WHERE other.hub = ?1 AND other.external_id = ?3)";
    MODEL_ID = "SELECT model_id FROM model WHERE hub = ?1 AND external_id = ?2";
}

const ATTEMPT: &str = "read a model";

#[derive(FromRow)]
struct RecordRow {
    model_id: i64,
    hub: String,
    external_id: String,
    name: String,
    kind: String,
    kind_label: Option<String>,
    creator: Option<String>,
    nsfw_level: i64,
    licence: Option<String>,
    state: String,
    published_ms: Option<i64>,
    updated_ms: Option<i64>,
    first_seen_ms: i64,
    gone_ms: Option<i64>,
    access_granted: Option<bool>,
    tags: String,
}

#[derive(FromRow, Deserialize)]
pub(crate) struct SummaryRow {
    pub(crate) model_id: i64,
    hub: String,
    external_id: String,
    name: String,
    kind: String,
    kind_label: Option<String>,
    creator: Option<String>,
    nsfw_level: i64,
    pub(crate) downloads: Option<i64>,
    state: String,
    published_ms: Option<i64>,
    gone_ms: Option<i64>,
    base_model: Option<String>,
    architecture: Option<String>,
    downloaded: bool,
}

#[derive(FromRow)]
struct TaggedRow {
    #[sqlx(flatten)]
    summary: SummaryRow,
    tags: String,
}

#[derive(FromRow)]
struct WithVersion {
    #[sqlx(flatten)]
    tagged: TaggedRow,
    version: Option<String>,
}

/// Everything of a model but the content of its files.
#[derive(FromRow)]
struct PageRow {
    #[sqlx(flatten)]
    tagged: TaggedRow,
    description: Option<String>,
    licence: Option<String>,
    likes: Option<i64>,
    first_seen_ms: i64,
    updated_ms: Option<i64>,
    #[sqlx(flatten)]
    parts: Parts,
}

impl TaggedRow {
    fn summary(self) -> Result<ModelSummary, CatalogueError> {
        self.summary.summary(codec::texts("a model's tags", &self.tags)?)
    }
}

impl PageRow {
    /// What of its files is here is read after the page, and may be a moment newer.
    async fn detail(self, connection: &mut SqliteConnection) -> Result<ModelDetail, CatalogueError> {
        let summary = self.tagged.summary()?;
        let versions = versions::of_parts(&mut *connection, vec![self.parts]).await?.remove(&summary.id);
        Ok(ModelDetail {
            gone_at: summary.gone_at,
            identity: claims::of_page(connection, summary.hub, &summary.external_id).await?,
            summary,
            description: self.description,
            licence: self.licence,
            likes: self.likes.map(codec::counted),
            first_seen_at: Timestamp::from_unix_ms(self.first_seen_ms),
            updated_at: codec::time(self.updated_ms),
            versions: versions.unwrap_or_default(),
        })
    }
}

impl SummaryRow {
    pub(crate) fn summary(self, tags: Vec<String>) -> Result<ModelSummary, CatalogueError> {
        let hub = codec::origin(&self.hub)?;
        Ok(ModelSummary {
            id: ModelId(self.model_id),
            hub,
            reference: codec::model_reference(hub, &self.external_id),
            external_id: self.external_id,
            name: self.name,
            kind: ModelKind::from_name(&self.kind).unwrap_or(ModelKind::Unknown),
            kind_label: self.kind_label,
            base_model: self.base_model,
            architecture: self.architecture.as_deref().and_then(Architecture::from_name),
            creator: self.creator,
            downloaded: self.downloaded,
            nsfw_level: codec::small(self.nsfw_level),
            tags,
            published_at: codec::time(self.published_ms),
            downloads: self.downloads.map(codec::counted),
            state: codec::named("a model's state", &self.state, ModelState::from_name)?,
            gone_at: codec::time(self.gone_ms),
        })
    }
}

impl RecordRow {
    fn record(self) -> Result<ModelRecord, CatalogueError> {
        let hub = codec::named("a model's hub", &self.hub, Hub::from_name)?;
        Ok(ModelRecord {
            id: ModelId(self.model_id),
            hub,
            reference: codec::model_reference(Some(hub), &self.external_id),
            external_id: self.external_id,
            name: self.name,
            kind: ModelKind::from_name(&self.kind).unwrap_or(ModelKind::Unknown),
            kind_label: self.kind_label,
            creator: self.creator,
            nsfw_level: codec::small(self.nsfw_level),
            licence: self.licence,
            state: codec::named("a model's state", &self.state, ModelState::from_name)?,
            published_at: codec::time(self.published_ms),
            updated_at: codec::time(self.updated_ms),
            first_seen_at: Timestamp::from_unix_ms(self.first_seen_ms),
            gone_at: codec::time(self.gone_ms),
            access_granted: self.access_granted,
            tags: codec::texts("a model's tags", &self.tags)?,
        })
    }
}

/// The records of these models, ordered by id.
pub(crate) async fn model_records(
    connection: &mut SqliteConnection,
    ids: impl IntoIterator<Item = ModelId>,
) -> Result<Vec<ModelRecord>, CatalogueError> {
    let rows: Vec<RecordRow> = sqlx::query_as(MODEL_RECORDS)
        .bind(codec::id_list(ids.into_iter().map(|id| id.0)))
        .fetch_all(connection)
        .await
        .map_err(could_not("read models"))?;
    rows.into_iter().map(RecordRow::record).collect()
}

/// The row id behind a hub's id; without a hub, behind the number of a library's file.
pub(crate) async fn find_model(
    connection: &mut SqliteConnection,
    hub: Option<Hub>,
    external_id: &str,
) -> Result<Option<ModelId>, CatalogueError> {
    let id: Option<i64> = sqlx::query_scalar(MODEL_ID)
        .bind(hub.map_or(codec::LOCAL, Hub::as_str))
        .bind(external_id)
        .fetch_optional(connection)
        .await
        .map_err(could_not("find a model"))?;
    Ok(id.map(ModelId))
}

impl Catalogue {
    /// Everything known of a model.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn model(&self, id: ModelId) -> Result<ModelDetail, CatalogueError> {
        let mut reader = self.reader(ATTEMPT).await?;
        let row = sqlx::query_as(PAGE).bind(id.0).fetch_optional(&mut *reader).await.map_err(could_not(ATTEMPT))?;
        let row: PageRow = row.ok_or_else(|| CatalogueError::ModelNotFound { reference: format!("row {id}") })?;
        row.detail(&mut reader).await
    }

    /// The same of the model with this id on its hub, if there is one; without a hub, of a library's file.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn model_by_name(
        &self,
        hub: Option<Hub>,
        external_id: &str,
    ) -> Result<Option<ModelDetail>, CatalogueError> {
        let mut reader = self.reader(ATTEMPT).await?;
        let row: Option<PageRow> = sqlx::query_as(PAGE_BY_NAME)
            .bind(hub.map_or(codec::LOCAL, Hub::as_str))
            .bind(external_id)
            .fetch_optional(&mut *reader)
            .await
            .map_err(could_not(ATTEMPT))?;
        match row {
            Some(row) => row.detail(&mut reader).await.map(Some),
            None => Ok(None),
        }
    }

    /// What a list shows of the model with this id on its hub, if there is one; without a hub, of a library's file.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn model_summary_by_name(
        &self,
        hub: Option<Hub>,
        external_id: &str,
    ) -> Result<Option<ModelSummary>, CatalogueError> {
        let row: Option<TaggedRow> = sqlx::query_as(SUMMARY_BY_NAME)
            .bind(hub.map_or(codec::LOCAL, Hub::as_str))
            .bind(external_id)
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not(ATTEMPT))?;
        row.map(TaggedRow::summary).transpose()
    }

    /// What a list shows of a model, and its hub's id of one of its versions.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn model_summary_with_version(
        &self,
        id: ModelId,
        version: Option<VersionId>,
    ) -> Result<(ModelSummary, Option<String>), CatalogueError> {
        let row = sqlx::query_as(SUMMARY_WITH_VERSION)
            .bind(id.0)
            .bind(version.map(|version| version.0))
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not(ATTEMPT))?;
        let row: WithVersion = row.ok_or_else(|| CatalogueError::ModelNotFound { reference: format!("row {id}") })?;
        Ok((row.tagged.summary()?, row.version))
    }

    /// The model with this id on its hub, exactly as the hub spells it.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn find_model(
        &self,
        hub: impl Into<Option<Hub>>,
        external_id: &str,
    ) -> Result<Option<ModelId>, CatalogueError> {
        let mut reader = self.reader("find a model").await?;
        find_model(&mut reader, hub.into(), external_id).await
    }

    /// Records that the hub calls a model by another id now, so that it stays the model that is known. False when the
    /// former id is not known, or the new one is.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn rename_model(&self, hub: Hub, former: &str, external_id: &str) -> Result<bool, CatalogueError> {
        let rename = sqlx::query(RENAME_MODEL).bind(hub.as_str()).bind(former).bind(external_id);
        Ok(self.write_one("record a model's new id", rename).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{commit, opened, repo};
    use paintbox_domain::Hub;

    #[tokio::test]
    async fn a_renamed_model_stays_the_same_model() {
        let (catalogue, _home) = opened().await;
        let old = repo("old/x", vec![commit(&"a".repeat(40), 1)]);
        let id = catalogue.record_models(&[old.clone(), repo("other/y", old.versions.clone())], None).await.unwrap()[0];
        let rename = async |from, to| catalogue.rename_model(Hub::HuggingFace, from, to).await.unwrap();
        assert!(!rename("old/x", "other/y").await, "never onto another model");
        assert!(!rename("nobody/z", "new/z").await);
        assert!(rename("old/x", "new/x").await);
        let again = catalogue.record_models(&[repo("new/x", old.versions)], None).await.unwrap()[0];
        assert_eq!(again, id);
        assert_eq!(catalogue.model(id).await.unwrap().summary.reference.to_string(), "hf:new/x");
    }
}
