//! Versions of what one has that are newer than what one has, as far as the hubs' pages were looked at.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::page;
use crate::statements::statements;
use paintbox_domain::hub::EarlyAccess;
use paintbox_domain::{ModelKind, ModelRef, Timestamp};
use sqlx::FromRow;
use std::cmp::Reverse;

const QUERY: &str = "updates";
/// Versions of one model that are told: some repositories have thousands of commits.
const MOST_NEWER: usize = 50;

/// A model of which there is something newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelUpdate {
    pub model: ModelRef,
    pub name: String,
    pub kind: ModelKind,
    pub creator: Option<String>,
    /// The newest version that is here.
    pub have: ModelRef,
    pub have_name: String,
    pub have_base_model: Option<String>,
    pub have_published_at: Option<Timestamp>,
    /// When its page was last looked at: nobody knows what came since.
    pub last_seen_at: Timestamp,
    /// Those for a base model that one has it for come first, then the newest; fifty at most.
    pub newer: Vec<NewerVersion>,
}

/// A version that is newer than everything one has of its model, and not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerVersion {
    pub version: ModelRef,
    pub name: String,
    pub base_model: Option<String>,
    /// Some version that is here has the same label.
    pub same_base_model: bool,
    pub published_at: Option<Timestamp>,
    /// Of its main file, as the hub says.
    pub size_bytes: Option<u64>,
    pub early_access: Option<EarlyAccess>,
    /// The creator lets it be downloaded.
    pub download_allowed: bool,
}

/// Some of what there is something newer of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdatePage {
    /// Those whose newest version is the newest first.
    pub models: Vec<ModelUpdate>,
    pub next_page_token: Option<String>,
    /// On all pages.
    pub total_models: u64,
}

statements! {
    /// Newer is what the hub lists before the newest version that is here; where it lists none of those any more, what
    /// was published later. Versions of which somebody removed a file are not wanted.
    NEWER_VERSIONS = "
        WITH owned AS MATERIALIZED (
            SELECT DISTINCT v.model_id, v.version_id
            FROM artifact a CROSS JOIN file f ON f.artifact_id = a.artifact_id
                CROSS JOIN version v ON v.version_id = f.version_id
            WHERE a.format IN ('safetensors', 'gguf') AND (f.sha256 IS NULL OR f.sha256 = a.sha256 OR f.auto_v3 = a.auto_v3)
                AND f.library_file_id IS NULL
                AND EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL)
        ), newest AS MATERIALIZED (
            SELECT * FROM (
                SELECT v.*, row_number() OVER (PARTITION BY v.model_id ORDER BY v.gone_ms IS NOT NULL,
                    iif(v.gone_ms IS NULL, v.position, -coalesce(v.published_ms, v.first_seen_ms))) AS place
                FROM owned CROSS JOIN version v USING (version_id)
            ) WHERE place = 1
        )
        SELECT m.model_id, m.hub, m.external_id, m.name, m.kind, m.creator, m.last_seen_ms,
            h.external_id AS have_external_id, h.name AS have_name, h.base_model AS have_base_model,
            h.published_ms AS have_published_ms, v.external_id AS version_external_id, v.name AS version_name,
            v.base_model, v.published_ms, v.early_access, v.early_access_until_ms, v.download_allowed,
            coalesce(v.published_ms, v.first_seen_ms) AS since_ms,
            EXISTS (SELECT 1 FROM owned o JOIN version ov USING (version_id)
                    WHERE o.model_id = m.model_id AND ov.base_model = v.base_model COLLATE NOCASE) AS same_base_model,
            (SELECT f.size_bytes FROM file f
             WHERE f.version_id = v.version_id AND f.gone_ms IS NULL AND f.replaced_ms IS NULL
                AND f.format IN ('safetensors', 'gguf')
             ORDER BY f.is_primary DESC, f.position LIMIT 1) AS size_bytes
        FROM newest h CROSS JOIN model m ON m.model_id = h.model_id CROSS JOIN version v ON v.model_id = m.model_id
        WHERE m.gone_ms IS NULL AND v.gone_ms IS NULL
            AND iif(h.gone_ms IS NULL, v.position < h.position,
                coalesce(v.published_ms, v.first_seen_ms) > coalesce(h.published_ms, h.first_seen_ms))
            AND v.version_id NOT IN (SELECT version_id FROM owned)
            AND EXISTS (SELECT 1 FROM file f WHERE f.version_id = v.version_id AND f.gone_ms IS NULL
                        AND f.replaced_ms IS NULL AND f.format IN ('safetensors', 'gguf'))
            AND NOT EXISTS (SELECT 1 FROM file f WHERE f.version_id = v.version_id AND f.removed_ms IS NOT NULL)
        ORDER BY m.model_id, same_base_model DESC, v.position, v.version_id";
}

#[derive(FromRow)]
struct NewerRow {
    model_id: i64,
    hub: String,
    external_id: String,
    name: String,
    kind: String,
    creator: Option<String>,
    last_seen_ms: i64,
    have_external_id: String,
    have_name: String,
    have_base_model: Option<String>,
    have_published_ms: Option<i64>,
    version_external_id: String,
    version_name: String,
    base_model: Option<String>,
    published_ms: Option<i64>,
    early_access: bool,
    early_access_until_ms: Option<i64>,
    download_allowed: bool,
    since_ms: i64,
    same_base_model: bool,
    size_bytes: Option<i64>,
}

/// The rows of one model.
struct Group<'a> {
    rows: &'a [NewerRow],
    newest_ms: i64,
}

impl Group<'_> {
    fn order(&self) -> Reverse<[i64; 2]> {
        Reverse([self.newest_ms, self.rows[0].model_id])
    }

    fn update(&self) -> Result<ModelUpdate, CatalogueError> {
        let first = &self.rows[0];
        let hub = codec::origin(&first.hub)?;
        let version = |external_id: &str| codec::version_reference(hub, &first.external_id, external_id);
        let newer = |row: &NewerRow| NewerVersion {
            version: version(&row.version_external_id),
            name: row.version_name.clone(),
            base_model: row.base_model.clone(),
            same_base_model: row.same_base_model,
            published_at: codec::time(row.published_ms),
            size_bytes: row.size_bytes.map(codec::counted),
            early_access: row.early_access.then(|| EarlyAccess { until: codec::time(row.early_access_until_ms) }),
            download_allowed: row.download_allowed,
        };
        Ok(ModelUpdate {
            model: codec::model_reference(hub, &first.external_id),
            name: first.name.clone(),
            kind: ModelKind::from_name(&first.kind).unwrap_or(ModelKind::Unknown),
            creator: first.creator.clone(),
            have: version(&first.have_external_id),
            have_name: first.have_name.clone(),
            have_base_model: first.have_base_model.clone(),
            have_published_at: codec::time(first.have_published_ms),
            last_seen_at: Timestamp::from_unix_ms(first.last_seen_ms),
            newer: self.rows.iter().take(MOST_NEWER).map(newer).collect(),
        })
    }
}

impl Catalogue {
    /// Models with versions that are newer than what is here of them.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID`; when the catalogue cannot be read.
    pub async fn updates(&self, page_size: u32, page_token: Option<&str>) -> Result<UpdatePage, CatalogueError> {
        let after = page::keys::<2>(QUERY, page_token)?;
        let rows: Vec<NewerRow> = sqlx::query_as(NEWER_VERSIONS)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("look for newer versions"))?;
        let mut groups: Vec<Group<'_>> = rows
            .chunk_by(|left, right| left.model_id == right.model_id)
            .map(|rows| Group { rows, newest_ms: rows.iter().map(|row| row.since_ms).max().unwrap_or_default() })
            .collect();
        groups.sort_by_key(Group::order);
        let total_models = groups.len() as u64;
        if let Some(after) = after {
            groups.retain(|group| group.order() > Reverse(after));
        }
        let size = page::size(page_size);
        let more = groups.len() > size;
        groups.truncate(size);
        let next_page_token = match groups.last().map(Group::order) {
            Some(Reverse(last)) if more => Some(page::token(QUERY, last)),
            _ => None,
        };
        let models = groups.iter().map(Group::update).collect::<Result<_, _>>()?;
        Ok(UpdatePage { models, next_page_token, total_models })
    }
}
