//! Recording what hubs say: upserts that only ever add, update or date a row.
//!
//! Two rules keep good metadata from being lost. A field that an answer leaves out keeps the value it had, because
//! hubs answer lists with fewer fields than pages and empty a page that they take down. And what an answer no longer
//! lists gets a date, never a deletion.

use crate::error::{CatalogueError, could_not};
use crate::ids::{FollowId, ModelId};
use crate::open::Catalogue;
use crate::statements::statements;
use crate::{codec, snapshot, words};
use paintbox_domain::hub::{FileSize, HubFile, HubModel, HubPreview, HubVersion, ModelState};
use paintbox_domain::{Hub, Timestamp};
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashSet;

const ATTEMPT: &str = "record what a hub says of a model";

statements! {
    UPSERT_MODEL = "
        INSERT INTO model (hub, external_id, name, name_key, kind, kind_label, creator, description, nsfw_level,
                           licence, downloads, likes, state, published_ms, updated_ms, first_seen_ms, last_seen_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?16)
        ON CONFLICT (hub, external_id) DO UPDATE SET
            name = iif(excluded.name = '', name, excluded.name),
            name_key = iif(excluded.name = '', name_key, excluded.name_key),
            kind = iif(excluded.kind = 'unknown', kind, excluded.kind),
            kind_label = coalesce(excluded.kind_label, kind_label),
            creator = coalesce(excluded.creator, creator),
            description = coalesce(excluded.description, description),
            nsfw_level = iif(excluded.nsfw_level = 0, nsfw_level, excluded.nsfw_level),
            licence = coalesce(excluded.licence, licence),
            downloads = coalesce(excluded.downloads, downloads),
            likes = coalesce(excluded.likes, likes),
            state = excluded.state,
            published_ms = coalesce(excluded.published_ms, published_ms),
            updated_ms = coalesce(excluded.updated_ms, updated_ms),
            last_seen_ms = excluded.last_seen_ms,
            gone_ms = NULL
        RETURNING model_id";
    UPSERT_SNAPSHOT = "
        INSERT INTO model_snapshot (model_id, digest, raw, first_seen_ms, last_seen_ms) VALUES (?1, ?2, ?3, ?4, ?4)
        ON CONFLICT (model_id, digest) DO UPDATE SET last_seen_ms = excluded.last_seen_ms";
    INSERT_TAGS = "INSERT INTO tag (name) SELECT value FROM json_each(?1) WHERE true ON CONFLICT (name) DO NOTHING";
    CLEAR_MODEL_TAGS = "DELETE FROM model_tag WHERE model_id = ?1";
    SET_MODEL_TAGS = "
        INSERT INTO model_tag (model_id, tag_id, position)
        SELECT ?1, tag.tag_id, given.key FROM json_each(?2) AS given JOIN tag ON tag.name = given.value
        WHERE true ON CONFLICT (model_id, tag_id) DO NOTHING";
    /// ?10 is null where the answer says nothing of the order: a new version then comes last, a known one stays.
    UPSERT_VERSION = "
        INSERT INTO version (model_id, external_id, name, base_model, trained_words, published_ms, early_access,
                             early_access_until_ms, download_allowed, position, first_seen_ms, last_seen_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
                coalesce(?10, (SELECT coalesce(max(position), -1) + 1 FROM version WHERE model_id = ?1)), ?11, ?11)
        ON CONFLICT (model_id, external_id) DO UPDATE SET
            name = iif(excluded.name = '', name, excluded.name),
            base_model = coalesce(excluded.base_model, base_model),
            trained_words = iif(?12 AND excluded.trained_words = '[]', trained_words, excluded.trained_words),
            published_ms = coalesce(excluded.published_ms, published_ms),
            early_access = excluded.early_access, early_access_until_ms = excluded.early_access_until_ms,
            download_allowed = excluded.download_allowed,
            position = coalesce(?10, position),
            last_seen_ms = excluded.last_seen_ms,
            gone_ms = iif(?13, NULL, gone_ms)
        RETURNING version_id";
    MARK_VERSIONS_GONE = "
        UPDATE version SET gone_ms = ?2
        WHERE model_id = ?1 AND gone_ms IS NULL AND version_id NOT IN (SELECT value FROM json_each(?3))";
    CURRENT_FILE = "
        SELECT file_id, sha256, git_sha1 FROM file
        WHERE version_id = ?1 AND external_id = ?2 AND replaced_ms IS NULL";
    /// Bytes that this id had before and has again.
    FORMER_FILE = "
        SELECT file_id FROM file
        WHERE version_id = ?1 AND external_id = ?2 AND replaced_ms IS NOT NULL
            AND sha256 IS ?3 AND git_sha1 IS ?4
        ORDER BY file_id DESC LIMIT 1";
    MARK_FILE_REPLACED = "UPDATE file SET replaced_ms = ?2 WHERE file_id = ?1";
    INSERT_FILE = "
        INSERT INTO file (version_id, external_id, name, size_bytes, size_exact, sha256, blake3, git_sha1, kind_label,
                          format, precision, is_primary, locator, position, first_seen_ms, last_seen_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15)
        RETURNING file_id";
    UPDATE_FILE = "
        UPDATE file SET
            name = ?3, size_bytes = coalesce(?4, size_bytes), size_exact = iif(?4 IS NULL, size_exact, ?5),
            sha256 = coalesce(?6, sha256), blake3 = coalesce(?7, blake3), git_sha1 = coalesce(?8, git_sha1),
            kind_label = coalesce(?9, kind_label), format = ?10, precision = coalesce(?11, precision),
            is_primary = ?12, locator = ?13, position = ?14, last_seen_ms = ?15, gone_ms = NULL, replaced_ms = NULL
        WHERE version_id = ?1 AND external_id = ?2 AND file_id = ?16
        RETURNING file_id";
    MARK_FILES_GONE = "
        UPDATE file SET gone_ms = ?2
        WHERE version_id = ?1 AND gone_ms IS NULL AND replaced_ms IS NULL
            AND file_id NOT IN (SELECT value FROM json_each(?3))";
    /// Content that is here already need not be fetched again under another name.
    LINK_KNOWN_CONTENT = "
        UPDATE file SET artifact_id = (SELECT artifact_id FROM artifact WHERE artifact.sha256 = file.sha256),
            verified = 1, fetched_ms = ?2, failure_json = NULL,
            fetched_licence = (SELECT licence FROM model WHERE model_id = ?1)
        WHERE artifact_id IS NULL AND version_id IN (SELECT version_id FROM version WHERE model_id = ?1)
            AND sha256 IN (SELECT sha256 FROM artifact)";
    /// The same for small files, whose git id is all that Hugging Face lists, among the versions of one repository.
    LINK_SAME_GIT_BLOB = "
        WITH here AS (
            SELECT f.git_sha1, f.artifact_id FROM file f JOIN version v USING (version_id)
            WHERE v.model_id = ?1 AND f.git_sha1 IS NOT NULL AND f.artifact_id IS NOT NULL AND f.verified = 1
        )
        UPDATE file SET artifact_id = (SELECT artifact_id FROM here WHERE here.git_sha1 = file.git_sha1),
            verified = 1, fetched_ms = ?2, failure_json = NULL,
            fetched_licence = (SELECT licence FROM model WHERE model_id = ?1)
        WHERE artifact_id IS NULL AND sha256 IS NULL AND git_sha1 IN (SELECT git_sha1 FROM here)
            AND version_id IN (SELECT version_id FROM version WHERE model_id = ?1)";
    /// ?2 is a JSON array of the previews in order: a version has dozens, and one statement for each would make up
    /// most of the time that recording takes.
    UPSERT_PREVIEWS = "
        INSERT INTO preview (version_id, identity, external_id, url, media, width, height, nsfw_level, blurhash,
                             generation, position, first_seen_ms, last_seen_ms)
        SELECT ?1, coalesce(value ->> 'external_id', value ->> 'url'), value ->> 'external_id', value ->> 'url',
               value ->> 'media', value ->> 'width', value ->> 'height', value ->> 'nsfw_level',
               value ->> 'blurhash', value ->> 'generation', key, ?3, ?3
        FROM json_each(?2) WHERE true
        ON CONFLICT (version_id, identity) DO UPDATE SET
            url = excluded.url, media = iif(excluded.media = 'unknown', media, excluded.media),
            width = coalesce(excluded.width, width), height = coalesce(excluded.height, height),
            nsfw_level = iif(excluded.nsfw_level = 0, nsfw_level, excluded.nsfw_level),
            blurhash = coalesce(excluded.blurhash, blurhash), generation = coalesce(excluded.generation, generation),
            position = excluded.position, last_seen_ms = excluded.last_seen_ms, gone_ms = NULL
        RETURNING preview_id";
    MARK_PREVIEWS_GONE = "
        UPDATE preview SET gone_ms = ?2
        WHERE version_id = ?1 AND gone_ms IS NULL AND preview_id NOT IN (SELECT value FROM json_each(?3))";
    /// A follow may be deleted while its models arrive; they are kept all the same.
    LINK_FOLLOW = "
        INSERT INTO follow_model (follow_id, model_id, first_seen_ms)
        SELECT follow_id, ?2, ?3 FROM follow WHERE follow_id = ?1
        ON CONFLICT (follow_id, model_id) DO NOTHING";
    MARK_MODEL_GONE = "
        UPDATE model SET gone_ms = ?3 WHERE hub = ?1 AND external_id = ?2 AND gone_ms IS NULL RETURNING model_id";
    SEARCH_SOURCE = "
        SELECT name, creator,
            (SELECT coalesce(group_concat(t.name, ' '), '') FROM model_tag mt JOIN tag t USING (tag_id)
             WHERE mt.model_id = m.model_id) AS tags,
            (SELECT coalesce(group_concat(words.value, ' '), '')
             FROM version v, json_each(v.trained_words) AS words WHERE v.model_id = m.model_id) AS trained_words
        FROM model m WHERE model_id = ?1";
    INDEX_MODEL = "
        INSERT OR REPLACE INTO model_search (rowid, name, creator, tags, trained_words) VALUES (?1, ?2, ?3, ?4, ?5)";
}

/// How much of a model's versions an answer lists.
#[derive(Clone, Copy, PartialEq)]
enum Coverage {
    /// All of them, in the hub's order: what is missing is gone.
    All,
    /// Some of them: nothing is said of the others, nor of the order.
    Some,
}

#[derive(FromRow)]
struct CurrentFile {
    file_id: i64,
    sha256: Option<Vec<u8>>,
    git_sha1: Option<Vec<u8>>,
}

#[derive(FromRow)]
struct SearchSource {
    name: String,
    creator: Option<String>,
    tags: String,
    trained_words: String,
}

impl Catalogue {
    /// Records model pages with all their versions, in one transaction: all are recorded or none. Versions, files and
    /// previews that are no longer listed are marked gone; a file whose digest changed keeps its old row, marked
    /// replaced, beside a new one. `follow` says whose work the models are (one that was deleted
    /// meanwhile is passed over). Content that is already on this machine
    /// is linked to new file rows at once. Returns the ids in the order given.
    ///
    /// A Hugging Face commit never changes, so its files are never marked gone, and a repository without a listed
    /// commit says nothing about those that are known.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_models(
        &self,
        models: &[HubModel],
        follow: Option<FollowId>,
    ) -> Result<Vec<ModelId>, CatalogueError> {
        self.record_answers(models, follow, Coverage::All).await
    }

    /// Records a model of which only some versions were asked for, such as one pinned commit: other versions are
    /// neither marked gone nor moved.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_model_in_part(&self, model: &HubModel) -> Result<ModelId, CatalogueError> {
        let ids = self.record_answers(std::slice::from_ref(model), None, Coverage::Some).await?;
        Ok(ids[0])
    }

    /// Records that the hub no longer has this model. What was known of it stays. True if it was known and not yet
    /// marked.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_model_gone(&self, hub: Hub, external_id: &str) -> Result<bool, CatalogueError> {
        let attempt = "record that a model is gone";
        let mut tx = self.write(attempt).await?;
        let marked: Option<i64> = sqlx::query_scalar(MARK_MODEL_GONE)
            .bind(hub.as_str())
            .bind(external_id)
            .bind(self.now().unix_ms())
            .fetch_optional(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        tx.commit().await.map_err(could_not(attempt))?;
        Ok(marked.is_some())
    }

    async fn record_answers(
        &self,
        models: &[HubModel],
        follow: Option<FollowId>,
        coverage: Coverage,
    ) -> Result<Vec<ModelId>, CatalogueError> {
        let now = self.now();
        let mut tx = self.write(ATTEMPT).await?;
        let mut ids = Vec::with_capacity(models.len());
        for model in models {
            let id = record_model(&mut tx, model, coverage, now).await.map_err(could_not(ATTEMPT))?;
            if let Some(follow) = follow {
                sqlx::query(LINK_FOLLOW)
                    .bind(follow.0)
                    .bind(id)
                    .bind(now.unix_ms())
                    .execute(&mut *tx)
                    .await
                    .map_err(could_not(ATTEMPT))?;
            }
            ids.push(ModelId(id));
        }
        tx.commit().await.map_err(could_not(ATTEMPT))?;
        Ok(ids)
    }
}

async fn record_model(
    connection: &mut SqliteConnection,
    model: &HubModel,
    coverage: Coverage,
    now: Timestamp,
) -> Result<i64, sqlx::Error> {
    let coverage = match model.hub {
        Hub::HuggingFace if model.versions.is_empty() => Coverage::Some,
        Hub::HuggingFace | Hub::Civitai => coverage,
    };
    // A page that the hub emptied is not an edit by its owner.
    let emptied = matches!(model.state, ModelState::Archived | ModelState::TakenDown | ModelState::Disabled);
    let id: i64 = sqlx::query_scalar(UPSERT_MODEL)
        .bind(model.hub.as_str())
        .bind(&model.external_id)
        .bind(&model.name)
        .bind(words::name_key(&model.name))
        .bind(model.kind.as_str())
        .bind(&model.kind_label)
        .bind(&model.creator)
        .bind(&model.description)
        .bind(model.nsfw_level)
        .bind(&model.licence)
        .bind(model.downloads.map(codec::count))
        .bind(model.likes.map(codec::count))
        .bind(model.state.as_str())
        .bind(codec::time_ms(model.published_at))
        .bind(codec::time_ms(model.updated_at))
        .bind(now.unix_ms())
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(UPSERT_SNAPSHOT)
        .bind(id)
        .bind(&snapshot::state_digest(&model.raw).as_bytes()[..])
        .bind(&model.raw)
        .bind(now.unix_ms())
        .execute(&mut *connection)
        .await?;
    if !(emptied && model.tags.is_empty()) {
        record_tags(connection, id, &model.tags).await?;
    }
    let mut listed = Vec::with_capacity(model.versions.len());
    let mut seen = HashSet::new();
    // Ids that a hub lists twice are taken once, or the two would replace each other for ever.
    for version in model.versions.iter().filter(|version| seen.insert(&version.external_id)) {
        let position = (coverage == Coverage::All).then(|| codec::position(listed.len()));
        let clears_gone = coverage == Coverage::All || model.hub == Hub::Civitai;
        listed.push(record_version(connection, id, version, position, emptied, clears_gone, model.hub, now).await?);
    }
    if coverage == Coverage::All {
        mark_gone(connection, MARK_VERSIONS_GONE, id, listed, now).await?;
    }
    for link in [LINK_KNOWN_CONTENT, LINK_SAME_GIT_BLOB] {
        sqlx::query(link).bind(id).bind(now.unix_ms()).execute(&mut *connection).await?;
    }
    index_model(connection, id).await?;
    Ok(id)
}

async fn record_tags(connection: &mut SqliteConnection, model: i64, tags: &[String]) -> Result<(), sqlx::Error> {
    let tags = codec::text_list(tags);
    sqlx::query(INSERT_TAGS).bind(&tags).execute(&mut *connection).await?;
    sqlx::query(CLEAR_MODEL_TAGS).bind(model).execute(&mut *connection).await?;
    sqlx::query(SET_MODEL_TAGS).bind(model).bind(&tags).execute(connection).await?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one call, and a struct for it would only repeat the names")]
async fn record_version(
    connection: &mut SqliteConnection,
    model: i64,
    version: &HubVersion,
    position: Option<i64>,
    emptied: bool,
    clears_gone: bool,
    hub: Hub,
    now: Timestamp,
) -> Result<i64, sqlx::Error> {
    let id: i64 = sqlx::query_scalar(UPSERT_VERSION)
        .bind(model)
        .bind(&version.external_id)
        .bind(&version.name)
        .bind(&version.base_model)
        .bind(codec::text_list(&version.trained_words))
        .bind(codec::time_ms(version.published_at))
        .bind(version.early_access.is_some())
        .bind(version.early_access.and_then(|early| codec::time_ms(early.until)))
        .bind(version.download_allowed)
        .bind(position)
        .bind(now.unix_ms())
        .bind(emptied)
        .bind(clears_gone)
        .fetch_one(&mut *connection)
        .await?;
    let mut listed = Vec::with_capacity(version.files.len());
    let mut seen = HashSet::new();
    for file in version.files.iter().filter(|file| seen.insert(&file.external_id)) {
        listed.push(record_file(connection, id, file, codec::position(listed.len()), now).await?);
    }
    if hub == Hub::Civitai {
        mark_gone(connection, MARK_FILES_GONE, id, listed, now).await?;
    }
    let listed = record_previews(connection, id, &version.previews, now).await?;
    mark_gone(connection, MARK_PREVIEWS_GONE, id, listed, now).await?;
    Ok(id)
}

async fn record_file(
    connection: &mut SqliteConnection,
    version: i64,
    file: &HubFile,
    position: i64,
    now: Timestamp,
) -> Result<i64, sqlx::Error> {
    let sha256 = file.sha256.as_ref().map(|digest| &digest.as_bytes()[..]);
    let git_sha1 = file.git_sha1.as_ref().map(|digest| &digest.as_bytes()[..]);
    let current: Option<CurrentFile> =
        sqlx::query_as(CURRENT_FILE).bind(version).bind(&file.external_id).fetch_optional(&mut *connection).await?;
    let row = match current {
        Some(current) if differ(current.sha256.as_deref(), sha256) || differ(current.git_sha1.as_deref(), git_sha1) => {
            sqlx::query(MARK_FILE_REPLACED).bind(current.file_id).bind(now.unix_ms()).execute(&mut *connection).await?;
            sqlx::query_scalar(FORMER_FILE)
                .bind(version)
                .bind(&file.external_id)
                .bind(sha256)
                .bind(git_sha1)
                .fetch_optional(&mut *connection)
                .await?
        }
        Some(current) => Some(current.file_id),
        None => None,
    };
    let statement = if row.is_some() { UPDATE_FILE } else { INSERT_FILE };
    let mut query = sqlx::query_scalar(statement)
        .bind(version)
        .bind(&file.external_id)
        .bind(&file.name)
        .bind(file.size.map(|size| codec::count(size.bytes())))
        .bind(matches!(file.size, Some(FileSize::Exact(_))))
        .bind(sha256)
        .bind(file.blake3.as_ref().map(|digest| &digest.as_bytes()[..]))
        .bind(git_sha1)
        .bind(&file.kind_label)
        .bind(file.format.as_str())
        .bind(&file.precision)
        .bind(file.primary)
        .bind(&file.locator)
        .bind(position)
        .bind(now.unix_ms());
    if let Some(row) = row {
        query = query.bind(row);
    }
    query.fetch_one(connection).await
}

/// Whether both are known and are not the same.
fn differ(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}

async fn record_previews(
    connection: &mut SqliteConnection,
    version: i64,
    previews: &[HubPreview],
    now: Timestamp,
) -> Result<Vec<i64>, sqlx::Error> {
    let previews: Vec<serde_json::Value> = previews
        .iter()
        .map(|preview| {
            serde_json::json!({
                "external_id": preview.external_id,
                "url": preview.url,
                "media": preview.media.as_str(),
                "width": preview.width,
                "height": preview.height,
                "nsfw_level": preview.nsfw_level,
                "blurhash": preview.blurhash,
                "generation": preview.generation,
            })
        })
        .collect();
    sqlx::query_scalar(UPSERT_PREVIEWS)
        .bind(version)
        .bind(serde_json::Value::from(previews).to_string())
        .bind(now.unix_ms())
        .fetch_all(connection)
        .await
}

async fn mark_gone(
    connection: &mut SqliteConnection,
    statement: &'static str,
    parent: i64,
    listed: Vec<i64>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement)
        .bind(parent)
        .bind(now.unix_ms())
        .bind(codec::id_list(listed))
        .execute(connection)
        .await
        .map(drop)
}

/// The index is written from what the tables hold now, not from the answer, which may have left things out.
async fn index_model(connection: &mut SqliteConnection, model: i64) -> Result<(), sqlx::Error> {
    let source: SearchSource = sqlx::query_as(SEARCH_SOURCE).bind(model).fetch_one(&mut *connection).await?;
    sqlx::query(INDEX_MODEL)
        .bind(model)
        .bind(words::index_text([source.name.as_str()]))
        .bind(words::index_text(source.creator.as_deref()))
        .bind(words::index_text([source.tags.as_str()]))
        .bind(words::index_text([source.trained_words.as_str()]))
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests;
