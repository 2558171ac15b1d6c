//! Pulls: models, versions or files that somebody asked for by name, and that stay wanted.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{FileId, ModelId, PullId, VersionId};
use crate::open::Catalogue;
use crate::removals;
use crate::statements::statements;
use paintbox_domain::Timestamp;
use sqlx::{FromRow, SqliteConnection};

/// An explicit wish. Without a version, the model's newest is meant, whichever that is at the time of a sync;
/// without a file, what belongs to the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pull {
    pub id: PullId,
    pub model: ModelId,
    pub version: Option<VersionId>,
    pub file: Option<FileId>,
    pub created_at: Timestamp,
}

statements! {
    INSERT_PULL = "
        INSERT INTO pull (model_id, version_id, file_id, created_ms)
        SELECT m.model_id, v.version_id, f.file_id, ?4
        FROM model m
        LEFT JOIN version v ON v.model_id = m.model_id
            AND v.version_id = coalesce(?2, (SELECT version_id FROM file WHERE file_id = ?3))
        LEFT JOIN file f ON f.version_id = v.version_id AND f.file_id = ?3
        WHERE m.model_id = ?1 AND (?2 IS NULL OR v.version_id = ?2) AND (?3 IS NULL OR f.file_id = ?3)
        ON CONFLICT (model_id, coalesce(version_id, 0), coalesce(file_id, 0)) DO UPDATE SET model_id = model_id
        RETURNING pull_id, model_id, version_id, file_id, created_ms";
    PULLS = "SELECT pull_id, model_id, version_id, file_id, created_ms FROM pull ORDER BY pull_id";
    PULLS_BY_ID = "
        SELECT pull_id, model_id, version_id, file_id, created_ms FROM pull
        WHERE pull_id IN (SELECT value FROM json_each(?1)) ORDER BY pull_id";
}

#[derive(FromRow)]
struct PullRow {
    pull_id: i64,
    model_id: i64,
    version_id: Option<i64>,
    file_id: Option<i64>,
    created_ms: i64,
}

impl PullRow {
    fn pull(self) -> Pull {
        Pull {
            id: PullId(self.pull_id),
            model: ModelId(self.model_id),
            version: self.version_id.map(VersionId),
            file: self.file_id.map(FileId),
            created_at: Timestamp::from_unix_ms(self.created_ms),
        }
    }
}

/// Every pull, or those with the given ids, oldest first.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    only: Option<&[PullId]>,
) -> Result<Vec<Pull>, CatalogueError> {
    let query = match only {
        None => sqlx::query_as(PULLS),
        Some(ids) => sqlx::query_as(PULLS_BY_ID).bind(codec::id_list(ids.iter().map(|id| id.0))),
    };
    let rows: Vec<PullRow> = query.fetch_all(connection).await.map_err(could_not("read pulls"))?;
    Ok(rows.into_iter().map(PullRow::pull).collect())
}

impl Catalogue {
    /// Wants a model, a version of it, or a file of that, whatever was removed of it before. Wanting it again returns the
    /// same pull.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the three do not belong together; when the catalogue cannot be written.
    pub async fn add_pull(
        &self,
        model: ModelId,
        version: Option<VersionId>,
        file: Option<FileId>,
    ) -> Result<Pull, CatalogueError> {
        let attempt = "record a pull";
        let mut tx = self.write(attempt).await?;
        let row: Option<PullRow> = sqlx::query_as(INSERT_PULL)
            .bind(model.0)
            .bind(version.map(VersionId::get))
            .bind(file.map(FileId::get))
            .bind(self.now().unix_ms())
            .fetch_optional(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        let Some(row) = row else {
            return Err(CatalogueError::ModelNotFound { reference: format!("row {model}") });
        };
        removals::want_again(&mut tx, row.model_id, row.version_id, row.file_id).await?;
        tx.commit().await.map_err(could_not(attempt))?;
        Ok(row.pull())
    }

    /// Every pull, oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn pulls(&self) -> Result<Vec<Pull>, CatalogueError> {
        let mut reader = self.reader("read pulls").await?;
        let mut tx = reader.snapshot("read pulls").await?;
        load(&mut tx, None).await
    }
}
