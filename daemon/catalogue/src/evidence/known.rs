//! What the catalogue knows of the models of a page before the page is recorded, read in a few statements.

use super::answer::Answer;
use crate::codec;
use crate::statements::statements;
use paintbox_domain::Hub;
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;

statements! {
    KNOWN_MODELS = "
        SELECT model_id, external_id, answer, gone_ms IS NOT NULL AS gone FROM model
        WHERE hub = ?1 AND external_id IN (SELECT value FROM json_each(?2))";
    KNOWN_VERSIONS = "
        SELECT version_id, model_id, external_id, position, gone_ms IS NOT NULL AS gone FROM version
        WHERE model_id IN (SELECT value FROM json_each(?1))";
    KNOWN_FILES = "
        SELECT file_id, version_id, external_id, sha256, git_sha1, replaced_ms IS NOT NULL AS replaced,
               gone_ms IS NOT NULL AS gone
        FROM file
        WHERE version_id IN
            (SELECT version_id FROM version WHERE model_id IN (SELECT value FROM json_each(?1)))
        ORDER BY file_id";
    KNOWN_PREVIEWS = "
        SELECT preview_id, version_id, identity, gone_ms IS NOT NULL AS gone FROM preview
        WHERE version_id IN
            (SELECT version_id FROM version WHERE model_id IN (SELECT value FROM json_each(?1)))";
    /// There is one writer, so the ids after the last ones stay free until the transaction ends.
    NEXT_IDS = "
        SELECT (SELECT coalesce(max(model_id), 0) + 1 FROM model) AS model,
               (SELECT coalesce(max(version_id), 0) + 1 FROM version) AS version,
               (SELECT coalesce(max(model_state_id), 0) + 1 FROM model_state) AS state";
}

#[derive(Debug, FromRow)]
pub(super) struct KnownModel {
    pub(super) model_id: i64,
    external_id: String,
    answer: Option<Vec<u8>>,
    gone: bool,
}

impl KnownModel {
    /// Whether this answer is the one that was recorded last.
    pub(super) fn said(&self, answer: &Answer<'_>) -> bool {
        !self.gone && self.answer.as_deref() == Some(&answer.digest.as_bytes()[..])
    }
}

#[derive(Debug, FromRow)]
pub(super) struct KnownVersion {
    pub(super) version_id: i64,
    model_id: i64,
    pub(super) external_id: String,
    pub(super) position: i64,
    pub(super) gone: bool,
}

#[derive(Debug, FromRow)]
pub(super) struct KnownFile {
    pub(super) file_id: i64,
    version_id: i64,
    pub(super) external_id: String,
    pub(super) sha256: Option<Vec<u8>>,
    pub(super) git_sha1: Option<Vec<u8>>,
    pub(super) replaced: bool,
    pub(super) gone: bool,
}

#[derive(Debug, FromRow)]
pub(super) struct KnownPreview {
    pub(super) preview_id: i64,
    version_id: i64,
    pub(super) identity: String,
    pub(super) gone: bool,
}

/// Ids that new rows may take.
#[derive(Debug, Clone, Default, FromRow)]
pub(super) struct NextIds {
    pub(super) model: i64,
    pub(super) version: i64,
    pub(super) state: i64,
}

impl NextIds {
    pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_as(NEXT_IDS).fetch_one(connection).await
    }
}

pub(super) fn take(next: &mut i64) -> i64 {
    let id = *next;
    *next += 1;
    id
}

/// The models of some answers that are known.
#[derive(Debug, Default)]
pub(super) struct KnownModels(HashMap<(Hub, String), KnownModel>);

impl KnownModels {
    pub(super) async fn read(connection: &mut SqliteConnection, answers: &[Answer<'_>]) -> Result<Self, sqlx::Error> {
        let mut known = Self::default();
        for hub in [Hub::Civitai, Hub::HuggingFace] {
            let asked: Vec<&str> = answers
                .iter()
                .filter(|answer| answer.model.hub == hub)
                .map(|answer| answer.model.external_id.as_str())
                .collect();
            if asked.is_empty() {
                continue;
            }
            let rows: Vec<KnownModel> = sqlx::query_as(KNOWN_MODELS)
                .bind(hub.as_str())
                .bind(serde_json::Value::from(asked).to_string())
                .fetch_all(&mut *connection)
                .await?;
            known.0.extend(rows.into_iter().map(|row| ((hub, row.external_id.clone()), row)));
        }
        Ok(known)
    }

    pub(super) fn of(&self, answer: &Answer<'_>) -> Option<&KnownModel> {
        self.0.get(&(answer.model.hub, answer.model.external_id.clone()))
    }
}

/// Everything that is known below some models.
#[derive(Debug, Default)]
pub(super) struct KnownParts {
    /// By model.
    versions: HashMap<i64, Vec<KnownVersion>>,
    /// By version, oldest first.
    files: HashMap<i64, Vec<KnownFile>>,
    /// By version.
    previews: HashMap<i64, Vec<KnownPreview>>,
}

impl KnownParts {
    pub(super) async fn read(connection: &mut SqliteConnection, models: &[i64]) -> Result<Self, sqlx::Error> {
        let mut parts = Self::default();
        if models.is_empty() {
            return Ok(parts);
        }
        let models = codec::id_list(models.iter().copied());
        let versions: Vec<KnownVersion> =
            sqlx::query_as(KNOWN_VERSIONS).bind(&models).fetch_all(&mut *connection).await?;
        for version in versions {
            parts.versions.entry(version.model_id).or_default().push(version);
        }
        let files: Vec<KnownFile> = sqlx::query_as(KNOWN_FILES).bind(&models).fetch_all(&mut *connection).await?;
        for file in files {
            parts.files.entry(file.version_id).or_default().push(file);
        }
        let previews: Vec<KnownPreview> =
            sqlx::query_as(KNOWN_PREVIEWS).bind(&models).fetch_all(&mut *connection).await?;
        for preview in previews {
            parts.previews.entry(preview.version_id).or_default().push(preview);
        }
        Ok(parts)
    }

    pub(super) fn versions(&self, model: i64) -> &[KnownVersion] {
        self.versions.get(&model).map_or(&[], Vec::as_slice)
    }

    pub(super) fn files(&self, version: i64) -> &[KnownFile] {
        self.files.get(&version).map_or(&[], Vec::as_slice)
    }

    pub(super) fn previews(&self, version: i64) -> &[KnownPreview] {
        self.previews.get(&version).map_or(&[], Vec::as_slice)
    }
}
