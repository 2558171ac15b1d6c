//! Versions with their files and previews, loaded for many models at once in a fixed number of statements.

use crate::error::{CatalogueError, could_not};
use crate::ids::{ModelId, VersionId};
use crate::records::VersionRecord;
use crate::statements::statements;
use crate::{assets, codec, files};
use paintbox_domain::Timestamp;
use paintbox_domain::hub::EarlyAccess;
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;

statements! {
    /// Those that the hub lists in its order, then those it no longer lists, newest first.
    VERSIONS_OF_MODELS = "
        SELECT v.version_id, v.model_id, v.external_id, v.name, v.base_model, v.trained_words, v.published_ms,
               v.early_access, v.early_access_until_ms, v.was_early_access, v.nsfw_level, v.download_allowed,
               v.first_seen_ms, v.gone_ms,
               m.hub, m.external_id AS model_external_id
        FROM version v JOIN model m USING (model_id)
        WHERE v.model_id IN (SELECT value FROM json_each(?1))
        ORDER BY v.model_id, v.gone_ms IS NOT NULL,
                 iif(v.gone_ms IS NULL, v.position, -coalesce(v.published_ms, v.first_seen_ms)), v.version_id";
}

#[derive(FromRow)]
struct VersionRow {
    version_id: i64,
    model_id: i64,
    external_id: String,
    name: String,
    base_model: Option<String>,
    trained_words: String,
    published_ms: Option<i64>,
    early_access: bool,
    early_access_until_ms: Option<i64>,
    was_early_access: bool,
    nsfw_level: i64,
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
    let rows: Vec<VersionRow> = sqlx::query_as(VERSIONS_OF_MODELS)
        .bind(codec::id_list(model_ids))
        .fetch_all(&mut *connection)
        .await
        .map_err(could_not("read versions"))?;
    let version_ids = codec::id_list(rows.iter().map(|row| row.version_id));
    let mut files = files::of_versions(&mut *connection, &version_ids).await?;
    let mut previews = assets::previews_of_versions(connection, &version_ids).await?;
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
