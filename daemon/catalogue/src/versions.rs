//! Versions with their files and previews, many models' at once or one's, in one statement that makes one row of each
//! model: a row takes longer to be handed over than to be read.

use crate::error::{CatalogueError, could_not};
use crate::ids::{ModelId, VersionId};
use crate::open::Catalogue;
use crate::records::VersionRecord;
use crate::statements::statements;
use crate::{assets, codec, files};
use paintbox_domain::Timestamp;
use paintbox_domain::hub::EarlyAccess;
use serde::Deserialize;
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;
use std::ops::Range;

/// The order of a model's version rows `v`: those that the hub lists come first, in its order, then those that it no longer
/// lists, newest first.
macro_rules! in_order {
    () => {
        "ORDER BY v.gone_ms IS NOT NULL, \
         iif(v.gone_ms IS NULL, v.position, -coalesce(v.published_ms, v.first_seen_ms)), v.version_id"
    };
}
pub(crate) use in_order;

/// The columns of [`Parts`] for a model row `m`, of all its version rows `v` or of those that are named.
macro_rules! parts {
    () => {
        $crate::versions::parts!("v.model_id = m.model_id")
    };
    ($named:literal) => {
        concat!(
            "(SELECT json_group_array(json_object(\
                'version_id', v.version_id, 'model_id', v.model_id, 'external_id', v.external_id, 'name', v.name, \
                'base_model', v.base_model, 'trained_words', v.trained_words, 'published_ms', v.published_ms, \
                'early_access', v.early_access, 'early_access_until_ms', v.early_access_until_ms, \
                'was_early_access', v.was_early_access, 'nsfw_level', v.nsfw_level, \
                'download_allowed', v.download_allowed, 'first_seen_ms', v.first_seen_ms, 'gone_ms', v.gone_ms, \
                'hub', m.hub, 'model_external_id', m.external_id) ",
            $crate::versions::in_order!(),
            ") FROM version v WHERE ",
            $named,
            ") AS versions, (SELECT ",
            $crate::files::files_json!(),
            " FROM version v CROSS JOIN file f ON f.version_id = v.version_id WHERE ",
            $named,
            ") AS files, (SELECT ",
            $crate::assets::previews_json!(),
            " FROM version v CROSS JOIN preview p ON p.version_id = v.version_id WHERE ",
            $named,
            ") AS previews"
        )
    };
}
pub(crate) use parts;

statements! {
    PARTS_OF_MODELS = concat!(
        "SELECT ", parts!(), " FROM model m WHERE m.model_id IN (SELECT value FROM json_each(?1))"
    );
    IDS_IN_ORDER = concat!("SELECT v.external_id FROM version v WHERE v.model_id = ?1 ", in_order!());
    PARTS_OF_VERSIONS = concat!(
        "SELECT ",
        parts!("v.model_id = m.model_id AND v.external_id IN (SELECT value FROM json_each(?2))"),
        " FROM model m WHERE m.model_id = ?1"
    );
    PARTS_OF_VERSION = concat!(
        "SELECT ", parts!("v.model_id = m.model_id AND v.external_id = ?2"), " FROM model m WHERE m.model_id = ?1"
    );
}

/// What belongs to a model, as JSON arrays.
#[derive(FromRow)]
pub(crate) struct Parts {
    versions: String,
    files: String,
    previews: String,
}

#[derive(Deserialize)]
struct VersionRow {
    version_id: i64,
    model_id: i64,
    external_id: String,
    name: String,
    base_model: Option<String>,
    trained_words: String,
    published_ms: Option<i64>,
    #[serde(deserialize_with = "codec::truth")]
    early_access: bool,
    early_access_until_ms: Option<i64>,
    #[serde(deserialize_with = "codec::truth")]
    was_early_access: bool,
    nsfw_level: i64,
    #[serde(deserialize_with = "codec::truth")]
    download_allowed: bool,
    first_seen_ms: i64,
    gone_ms: Option<i64>,
    hub: String,
    model_external_id: String,
}

/// The versions of each model, newest first.
pub(crate) async fn of_models(
    connection: &mut SqliteConnection,
    model_ids: impl IntoIterator<Item = i64>,
) -> Result<HashMap<ModelId, Vec<VersionRecord>>, CatalogueError> {
    let parts: Vec<Parts> = sqlx::query_as(PARTS_OF_MODELS)
        .bind(codec::id_list(model_ids))
        .fetch_all(&mut *connection)
        .await
        .map_err(could_not("read versions"))?;
    of_parts(connection, parts).await
}

/// The same of what was read already.
pub(crate) async fn of_parts(
    connection: &mut SqliteConnection,
    parts: Vec<Parts>,
) -> Result<HashMap<ModelId, Vec<VersionRecord>>, CatalogueError> {
    let (mut rows, mut file_rows, mut previews): (Vec<VersionRow>, Vec<_>, Vec<_>) = Default::default();
    for parts in parts {
        rows.extend(codec::list::<VersionRow>("versions", &parts.versions)?);
        file_rows.extend(codec::list("files", &parts.files)?);
        previews.extend(codec::list("previews", &parts.previews)?);
    }
    let mut files = files::by_version(connection, file_rows).await?;
    let mut previews = assets::by_version(previews)?;
    let mut versions: HashMap<ModelId, Vec<VersionRecord>> = HashMap::new();
    for row in rows {
        let hub = codec::origin(&row.hub)?;
        versions.entry(ModelId(row.model_id)).or_default().push(VersionRecord {
            id: VersionId(row.version_id),
            model_id: ModelId(row.model_id),
            reference: codec::version_reference(hub, &row.model_external_id, &row.external_id),
            external_id: row.external_id,
            name: row.name,
            base_model: row.base_model,
            trained_words: codec::texts("a version's trained words", &row.trained_words)?,
            published_at: codec::time(row.published_ms),
            early_access: row.early_access.then(|| EarlyAccess { until: codec::time(row.early_access_until_ms) }),
            was_early_access: row.was_early_access,
            nsfw_level: codec::small(row.nsfw_level),
            download_allowed: row.download_allowed,
            first_seen_at: Timestamp::from_unix_ms(row.first_seen_ms),
            gone_at: codec::time(row.gone_ms),
            files: files.remove(&row.version_id).unwrap_or_default(),
            previews: previews.remove(&row.version_id).unwrap_or_default(),
        });
    }
    Ok(versions)
}

impl Catalogue {
    /// A version of a model by its id on the hub, with its files and previews.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn version(&self, model: ModelId, external_id: &str) -> Result<Option<VersionRecord>, CatalogueError> {
        let attempt = "read a version";
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let parts: Vec<Parts> = sqlx::query_as(PARTS_OF_VERSION)
            .bind(model.0)
            .bind(external_id)
            .fetch_all(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        let versions = of_parts(&mut tx, parts).await?.remove(&model);
        Ok(versions.unwrap_or_default().pop())
    }

    /// Some of a model's versions, with their files and previews, and the ids of all: `choose` gets these, in the order of
    /// [`ModelDetail::versions`](crate::ModelDetail::versions), and says which are read.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn some_versions(
        &self,
        model: ModelId,
        choose: impl FnOnce(&[String]) -> Range<usize>,
    ) -> Result<(Vec<String>, Vec<VersionRecord>), CatalogueError> {
        let attempt = "read versions";
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let ids: Vec<String> =
            sqlx::query_scalar(IDS_IN_ORDER).bind(model.0).fetch_all(&mut *tx).await.map_err(could_not(attempt))?;
        let chosen = ids.get(choose(&ids)).unwrap_or_default();
        let parts: Vec<Parts> = sqlx::query_as(PARTS_OF_VERSIONS)
            .bind(model.0)
            .bind(codec::json(&chosen))
            .fetch_all(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        let versions = of_parts(&mut tx, parts).await?.remove(&model);
        Ok((ids, versions.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{model, opened, version};

    #[tokio::test]
    async fn a_version_is_read_alone_as_it_is_among_the_others() {
        let (catalogue, _home) = opened().await;
        let mut given = model("1", "Ink");
        given.versions = vec![version("20"), version("10")];
        let id = catalogue.record_models(&[given], None).await.unwrap()[0];
        let all = catalogue.model(id).await.unwrap().versions;
        assert!(!all[1].files.is_empty() && !all[1].previews.is_empty());
        assert_eq!(catalogue.version(id, "10").await.unwrap().as_ref(), Some(&all[1]));
        assert_eq!(catalogue.version(id, "30").await.unwrap(), None);
    }

    #[tokio::test]
    async fn some_versions_are_read_in_the_order_of_all() {
        let (catalogue, _home) = opened().await;
        let mut given = model("1", "Ink");
        given.versions = ["20", "10", "40", "30"].map(version).to_vec();
        let id = catalogue.record_models(&[given.clone()], None).await.unwrap()[0];
        // One that is no longer listed comes last.
        given.versions.remove(0);
        catalogue.record_models(&[given], None).await.unwrap();
        let all = catalogue.model(id).await.unwrap().versions;
        let ids: Vec<String> = all.iter().map(|version| version.external_id.clone()).collect();
        assert_eq!(ids, ["10", "40", "30", "20"]);
        for range in [0..4, 0..1, 1..3, 3..4, 2..2, 3..9] {
            let some = catalogue.some_versions(id, |_| range.clone()).await.unwrap();
            assert_eq!(some, (ids.clone(), all.get(range.clone()).unwrap_or_default().to_vec()), "{range:?}");
        }
    }
}
