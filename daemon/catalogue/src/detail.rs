//! Models as records, as lines in a list, and with everything known of them.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::gathered::Answer;
use crate::ids::{ModelId, VersionId};
use crate::libraries::claims::{self, LocalIdentity};
use crate::open::Catalogue;
use crate::records::{ModelDetail, ModelRecord, ModelSummary, VersionRecord};
use crate::search::Memory;
use crate::search::card::{self, LineRow};
use crate::statements::statements;
use crate::versions::{self, Parts};
use paintbox_domain::hub::ModelState;
use paintbox_domain::{Architecture, Hub, ModelKind, Timestamp};
use serde::Deserialize;
use sqlx::{FromRow, SqliteConnection};
use std::sync::Arc;

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

/// The columns of [`PageRow`] for a model row `m`.
macro_rules! page_columns {
    () => {
        concat!(
            card::line_columns!(),
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
    LINE_WITH_VERSION = concat!(
        "SELECT ",
        card::line_columns!(),
        ", (SELECT external_id FROM version WHERE version_id = ?2) AS version FROM model m WHERE m.model_id = ?1"
    );
    PAGE = concat!("SELECT ", page_columns!(), " FROM model m WHERE m.model_id = ?1");
    /// ?1: a JSON array of hub and id.
    PAGES = concat!(
        "SELECT q.key AS place, ",
        page_columns!(),
        " FROM json_each(?1) q CROSS JOIN model m ON m.hub = q.value ->> 0 AND m.external_id = q.value ->> 1"
    );
    /// ?1: a JSON array of hub, id, and a version's id, which may be NULL.
    LINES = concat!(
        "SELECT q.key AS place, ",
        card::line_columns!(),
        ", EXISTS (SELECT 1 FROM version v WHERE v.model_id = m.model_id AND v.external_id = q.value ->> 2) AS has_version \
         FROM json_each(?1) q CROSS JOIN model m ON m.hub = q.value ->> 0 AND m.external_id = q.value ->> 1"
    );
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

/// A line as a card holds it; the order of its members is stored.
#[derive(Deserialize)]
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
struct WithVersion {
    #[sqlx(flatten)]
    line: LineRow,
    version: Option<String>,
}

/// Everything of a model but the content of its files.
#[derive(FromRow)]
struct PageRow {
    #[sqlx(flatten)]
    line: LineRow,
    #[sqlx(flatten)]
    parts: Parts,
    #[sqlx(flatten)]
    rest: RestRow,
}

#[derive(FromRow)]
struct RestRow {
    description: Option<String>,
    licence: Option<String>,
    likes: Option<i64>,
    first_seen_ms: i64,
    updated_ms: Option<i64>,
}

impl PageRow {
    fn parted(self) -> (LineRow, (Parts, RestRow)) {
        (self.line, (self.parts, self.rest))
    }
}

impl RestRow {
    fn detail(
        self,
        summary: ModelSummary,
        identity: Option<LocalIdentity>,
        versions: Vec<VersionRecord>,
    ) -> ModelDetail {
        ModelDetail {
            gone_at: summary.gone_at,
            summary,
            description: self.description,
            licence: self.licence,
            likes: self.likes.map(codec::counted),
            first_seen_at: Timestamp::from_unix_ms(self.first_seen_ms),
            updated_at: codec::time(self.updated_ms),
            identity,
            versions,
        }
    }
}

/// A row that answers a question of several.
#[derive(FromRow)]
struct Placed<T> {
    place: i64,
    #[sqlx(flatten)]
    row: T,
}

#[derive(FromRow)]
struct OneLine {
    #[sqlx(flatten)]
    line: LineRow,
    has_version: bool,
}

/// Everything known of models, by hub and id.
pub(crate) struct Pages(pub(crate) Arc<Memory>);

impl Answer for Pages {
    const ATTEMPT: &'static str = ATTEMPT;
    type Question = (Option<Hub>, String);
    type Answer = ModelDetail;

    async fn answer(
        &self,
        connection: &mut SqliteConnection,
        questions: &[Self::Question],
    ) -> Result<Vec<Option<ModelDetail>>, CatalogueError> {
        let names: Vec<_> = questions.iter().map(|(hub, id)| (codec::hub(*hub), id)).collect();
        let rows: Vec<Placed<PageRow>> = sqlx::query_as(PAGES)
            .bind(codec::json(&names))
            .fetch_all(&mut *connection)
            .await
            .map_err(could_not(ATTEMPT))?;
        let (places, rows): (Vec<i64>, Vec<PageRow>) = rows.into_iter().map(|row| (row.place, row.row)).unzip();
        let details = details(connection, rows, &self.0).await?;
        Ok(in_place(questions.len(), places.into_iter().zip(details)))
    }
}

/// What a list shows of models, and whether they have a version with an id.
pub(crate) struct Lines(pub(crate) Arc<Memory>);

impl Answer for Lines {
    const ATTEMPT: &'static str = ATTEMPT;
    type Question = (Option<Hub>, String, Option<String>);
    type Answer = (ModelSummary, bool);

    async fn answer(
        &self,
        connection: &mut SqliteConnection,
        questions: &[Self::Question],
    ) -> Result<Vec<Option<Self::Answer>>, CatalogueError> {
        let names: Vec<_> = questions.iter().map(|(hub, id, version)| (codec::hub(*hub), id, version)).collect();
        let rows: Vec<Placed<OneLine>> = sqlx::query_as(LINES)
            .bind(codec::json(&names))
            .fetch_all(&mut *connection)
            .await
            .map_err(could_not(ATTEMPT))?;
        let known: Vec<(i64, bool)> = rows.iter().map(|row| (row.place, row.row.has_version)).collect();
        let rows: Vec<LineRow> = rows.into_iter().map(|row| row.row.line).collect();
        let lines = card::of_rows(connection, &rows, &self.0.tag_names).await?;
        let lines = known.into_iter().zip(lines).map(|((place, has_version), line)| (place, (line, has_version)));
        Ok(in_place(questions.len(), lines))
    }
}

fn in_place<T>(questions: usize, answers: impl IntoIterator<Item = (i64, T)>) -> Vec<Option<T>> {
    let mut places: Vec<Option<T>> = std::iter::repeat_with(|| None).take(questions).collect();
    for (place, answer) in answers {
        if let Some(at) = usize::try_from(place).ok().and_then(|place| places.get_mut(place)) {
            *at = Some(answer);
        }
    }
    places
}

/// The pages of different models. What of their files is here is read after them, and may be a moment newer.
async fn details(
    connection: &mut SqliteConnection,
    rows: Vec<PageRow>,
    memory: &Memory,
) -> Result<Vec<ModelDetail>, CatalogueError> {
    let (lines, rest): (Vec<_>, Vec<_>) = rows.into_iter().map(PageRow::parted).unzip();
    let (parts, rest): (Vec<_>, Vec<_>) = rest.into_iter().unzip();
    let summaries = card::of_rows(&mut *connection, &lines, &memory.tag_names).await?;
    let mut versions = versions::of_parts(&mut *connection, parts).await?;
    let mut details = Vec::with_capacity(summaries.len());
    for (summary, rest) in summaries.into_iter().zip(rest) {
        let identity = claims::of_page(&mut *connection, summary.hub, &summary.external_id).await?;
        let versions = versions.remove(&summary.id).unwrap_or_default();
        details.push(rest.detail(summary, identity, versions));
    }
    Ok(details)
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
        .bind(codec::hub(hub))
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
        let details = details(&mut reader, Vec::from_iter(row), &self.search_memory).await?;
        details.into_iter().next().ok_or_else(|| CatalogueError::ModelNotFound { reference: format!("row {id}") })
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
        self.pages.ask((hub, external_id.to_owned())).await
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
        Ok(self.lines.ask((hub, external_id.to_owned(), None)).await?.map(|(summary, _)| summary))
    }

    /// What a list shows of a model, and its hub's id of one of its versions.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`; when the catalogue cannot be read.
    pub(crate) async fn model_summary_with_version(
        &self,
        id: ModelId,
        version: Option<VersionId>,
    ) -> Result<(ModelSummary, Option<String>), CatalogueError> {
        let mut reader = self.reader(ATTEMPT).await?;
        let row: Option<WithVersion> = sqlx::query_as(LINE_WITH_VERSION)
            .bind(id.0)
            .bind(version.map(|version| version.0))
            .fetch_optional(&mut *reader)
            .await
            .map_err(could_not(ATTEMPT))?;
        let unknown = || CatalogueError::ModelNotFound { reference: format!("row {id}") };
        let WithVersion { line, version } = row.ok_or_else(unknown)?;
        let summaries = card::of_rows(&mut reader, &[line], &self.search_memory.tag_names).await?;
        Ok((summaries.into_iter().next().ok_or_else(unknown)?, version))
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
