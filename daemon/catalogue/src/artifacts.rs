//! Content on this machine: artifacts by digest, and the paths they were seen at.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::ArtifactId;
use crate::open::Catalogue;
use crate::statements::statements;
use crate::volumes;
use paintbox_domain::{Architecture, Blake3, FileFormat, ModelKind, Sha256, Timestamp};
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A file's content as it was just verified and named, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct NewArtifact {
    pub sha256: Sha256,
    pub blake3: Blake3,
    /// The SHA-256 of a safetensors file's tensors alone: the whole of it, or its first twelve hexadecimal digits.
    pub auto_v3: Option<String>,
    pub size_bytes: u64,
    pub format: FileFormat,
    /// Detected, as are the four that follow.
    pub kind: ModelKind,
    pub architecture: Architecture,
    pub precision: Option<String>,
    /// How many numbers the tensors hold.
    pub parameters: Option<u64>,
    /// Whatever else the header told, as JSON.
    pub detail_json: Option<String>,
    pub path: PathBuf,
}

/// A file's content, and the paths where it lies now.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactRecord {
    pub id: ArtifactId,
    pub sha256: Sha256,
    pub blake3: Blake3,
    /// Lower case.
    pub auto_v3: Option<String>,
    pub size_bytes: u64,
    pub format: FileFormat,
    pub kind: ModelKind,
    pub architecture: Architecture,
    pub precision: Option<String>,
    pub parameters: Option<u64>,
    pub detail_json: Option<String>,
    pub created_at: Timestamp,
    /// Oldest sighting first; empty when the content has left this machine, and while it is away.
    pub paths: Vec<PathBuf>,
    /// Labels of the volumes, and folders of the libraries, that have it and are away.
    pub away_on: Vec<String>,
}

macro_rules! artifact_columns {
    () => {
        "artifact_id, sha256, blake3, auto_v3, size_bytes, format, kind, architecture, precision, parameters, \
         detail_json, created_ms"
    };
}

statements! {
    UPSERT_ARTIFACT = "
        INSERT INTO artifact (sha256, blake3, auto_v3, size_bytes, format, kind, architecture, precision, parameters,
                              detail_json, created_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        ON CONFLICT (sha256) DO UPDATE SET
            auto_v3 = coalesce(excluded.auto_v3, auto_v3), format = excluded.format, kind = excluded.kind,
            architecture = excluded.architecture, precision = coalesce(excluded.precision, precision),
            parameters = coalesce(excluded.parameters, parameters),
            detail_json = coalesce(excluded.detail_json, detail_json)
        RETURNING artifact_id";
    /// A path that held another content until now.
    END_OTHER_OBSERVATION = "
        UPDATE observation SET gone_ms = ?3 WHERE path = ?1 AND artifact_id <> ?2 AND gone_ms IS NULL";
    OBSERVE = "
        INSERT INTO observation (artifact_id, path, first_seen_ms, last_seen_ms, volume_id)
        VALUES (?2, ?1, ?3, ?3, ?4)
        ON CONFLICT (path) WHERE gone_ms IS NULL DO UPDATE SET last_seen_ms = excluded.last_seen_ms";
    END_OBSERVATION = "UPDATE observation SET gone_ms = ?2 WHERE path = ?1 AND gone_ms IS NULL";
    ARTIFACT_BY_SHA256 = concat!("SELECT ", artifact_columns!(), " FROM artifact WHERE sha256 = ?1");
    ARTIFACTS_BY_ID = concat!(
        "SELECT ", artifact_columns!(), " FROM artifact WHERE artifact_id IN (SELECT value FROM json_each(?1))"
    );
    PATHS_OF_ARTIFACTS = "
        SELECT o.artifact_id, o.path, coalesce(v.label, CAST(l.path AS TEXT)) AS away_on FROM observation o
        LEFT JOIN volume v ON v.volume_id = o.volume_id AND v.away_ms IS NOT NULL
        LEFT JOIN library l ON l.library_id = o.library_id AND l.away_ms IS NOT NULL
        WHERE o.gone_ms IS NULL AND o.artifact_id IN (SELECT value FROM json_each(?1))
        ORDER BY o.first_seen_ms, o.observation_id";
}

#[derive(FromRow)]
struct ArtifactRow {
    artifact_id: i64,
    sha256: Vec<u8>,
    blake3: Vec<u8>,
    auto_v3: Option<String>,
    size_bytes: i64,
    format: String,
    kind: String,
    architecture: String,
    precision: Option<String>,
    parameters: Option<i64>,
    detail_json: Option<String>,
    created_ms: i64,
}

impl ArtifactRow {
    fn record(self) -> Result<ArtifactRecord, CatalogueError> {
        Ok(ArtifactRecord {
            id: ArtifactId(self.artifact_id),
            sha256: codec::digest("an artifact's SHA-256", &self.sha256)?,
            blake3: codec::digest("an artifact's BLAKE3", &self.blake3)?,
            auto_v3: self.auto_v3,
            size_bytes: codec::counted(self.size_bytes),
            format: FileFormat::from_name(&self.format).unwrap_or(FileFormat::Other),
            kind: ModelKind::from_name(&self.kind).unwrap_or(ModelKind::Unknown),
            architecture: Architecture::from_name(&self.architecture).unwrap_or(Architecture::Unknown),
            precision: self.precision,
            parameters: self.parameters.map(codec::counted),
            detail_json: self.detail_json,
            created_at: Timestamp::from_unix_ms(self.created_ms),
            paths: Vec::new(),
            away_on: Vec::new(),
        })
    }
}

/// Upserts the content and the sighting of it at `new.path`.
pub(crate) async fn record(
    connection: &mut SqliteConnection,
    new: &NewArtifact,
    now: Timestamp,
) -> Result<ArtifactId, CatalogueError> {
    let artifact = upsert(connection, new, now).await?;
    observe(connection, artifact, &new.path, now).await?;
    Ok(artifact)
}

/// Upserts the content alone.
pub(crate) async fn upsert(
    connection: &mut SqliteConnection,
    new: &NewArtifact,
    now: Timestamp,
) -> Result<ArtifactId, CatalogueError> {
    let failed = could_not("record a file's content");
    let id: i64 = sqlx::query_scalar(UPSERT_ARTIFACT)
        .bind(&new.sha256.as_bytes()[..])
        .bind(&new.blake3.as_bytes()[..])
        .bind(new.auto_v3.as_deref().map(str::to_ascii_lowercase))
        .bind(codec::count(new.size_bytes))
        .bind(new.format.as_str())
        .bind(new.kind.as_str())
        .bind(new.architecture.as_str())
        .bind(&new.precision)
        .bind(new.parameters.map(codec::count))
        .bind(&new.detail_json)
        .bind(now.unix_ms())
        .fetch_one(&mut *connection)
        .await
        .map_err(&failed)?;
    Ok(ArtifactId(id))
}

/// Records that content lies at `path`, and nothing else there.
pub(crate) async fn observe(
    connection: &mut SqliteConnection,
    artifact: ArtifactId,
    path: &Path,
    now: Timestamp,
) -> Result<(), CatalogueError> {
    let failed = could_not("record where content lies");
    let volume = volumes::of_path(connection, path).await?;
    let (path, now) = (codec::path_bytes(path), now.unix_ms());
    let end_other = sqlx::query(END_OTHER_OBSERVATION).bind(path).bind(artifact.0).bind(now);
    end_other.execute(&mut *connection).await.map_err(&failed)?;
    let observe = sqlx::query(OBSERVE).bind(path).bind(artifact.0).bind(now).bind(volume);
    observe.execute(&mut *connection).await.map_err(&failed)?;
    Ok(())
}

/// Artifacts by row id, with their paths.
pub(crate) async fn by_id(
    connection: &mut SqliteConnection,
    ids: impl IntoIterator<Item = i64>,
) -> Result<HashMap<i64, ArtifactRecord>, CatalogueError> {
    let failed = could_not("read artifacts");
    let Some(ids) = codec::some_ids(ids) else { return Ok(HashMap::new()) };
    let rows: Vec<ArtifactRow> =
        sqlx::query_as(ARTIFACTS_BY_ID).bind(&ids).fetch_all(&mut *connection).await.map_err(&failed)?;
    let mut records = HashMap::with_capacity(rows.len());
    for row in rows {
        records.insert(row.artifact_id, row.record()?);
    }
    let paths: Vec<(i64, Vec<u8>, Option<String>)> =
        sqlx::query_as(PATHS_OF_ARTIFACTS).bind(&ids).fetch_all(connection).await.map_err(&failed)?;
    for (artifact_id, path, away_on) in paths {
        if let Some(record) = records.get_mut(&artifact_id) {
            match away_on {
                None => record.paths.push(codec::path(&path)),
                Some(label) => record.away_on.push(label),
            }
        }
    }
    Ok(records)
}

impl Catalogue {
    /// The content with this digest, if it was ever recorded; look at `paths` for whether it is here now.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn artifact(&self, sha256: &Sha256) -> Result<Option<ArtifactRecord>, CatalogueError> {
        let attempt = "read an artifact";
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let row: Option<ArtifactRow> = sqlx::query_as(ARTIFACT_BY_SHA256)
            .bind(&sha256.as_bytes()[..])
            .fetch_optional(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        let Some(row) = row else { return Ok(None) };
        Ok(by_id(&mut tx, [row.artifact_id]).await?.remove(&row.artifact_id))
    }

    /// Records that nothing lies at `path` any more; its files become absent unless the same content lies elsewhere.
    /// True if something was known to lie there.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_path_gone(&self, path: &Path) -> Result<bool, CatalogueError> {
        let end = sqlx::query(END_OBSERVATION).bind(codec::path_bytes(path)).bind(self.now().unix_ms());
        Ok(self.write_one("record that a file is gone", end).await? > 0)
    }
}
