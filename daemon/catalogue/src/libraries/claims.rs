//! What other tools say a library's file is on a hub: a hint where no digest is listed, and never more than that. What lies
//! in a cache of Hugging Face is what the hub lists, or it is not: the hub lists the digest of every file of weights.
//!
//! A version of CivitAI that is claimed has the file only if exactly one of its listed files agrees: by a digest, or, where the hub lists no
//! digest that could speak against it, by name and length. A note that is about other bytes says nothing of these.
//! Everything else stays a claim on the file's own page. A digest that the hub lists later overrules what was taken for
//! the same.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::LibraryFileId;
use crate::libraries::changes::settle;
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::{Hub, ModelRef, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, SqliteConnection};

/// CivitAI's numbers in what lies beside a file, or the repository that the folders around it are named after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claimed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Of the file that is meant, lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<ClaimedRepository>,
    /// The name of the file or folder that says so.
    pub said_by: String,
}

/// Of Hugging Face, at a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClaimedRepository {
    /// `org/name`, or a legacy `name`.
    pub name: String,
    /// 40 hexadecimal digits in lower case.
    pub commit: String,
}

impl ClaimedRepository {
    #[must_use]
    pub fn reference(&self) -> ModelRef {
        ModelRef::HuggingFace { repo: self.name.clone(), revision: Some(self.commit.clone()), path: None }
    }
}

impl Claimed {
    fn reference(&self) -> Option<ModelRef> {
        match (self.model, self.version) {
            (Some(model), version) => Some(ModelRef::Civitai { model, version }),
            (None, Some(version)) => Some(ModelRef::CivitaiVersion { version }),
            (None, None) => self.repository.as_ref().map(ClaimedRepository::reference),
        }
    }
}

/// How far it is known which hub's file a library's file is, while it has a page of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalIdentity {
    /// When the hubs were last asked; none while that is to come.
    pub asked_at: Option<Timestamp>,
    /// What a file beside it says that it is, which nothing confirms; and that file's name.
    pub claimed: Option<(ModelRef, String)>,
}

impl LocalIdentity {
    /// The stable name, as sent and printed: `pending`, `unknown` or `claimed`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match (self.asked_at, &self.claimed) {
            (_, Some(_)) => "claimed",
            (Some(_), None) => "unknown",
            (None, None) => "pending",
        }
    }
}

statements! {
    /// ?1: a JSON array of library files. CivitAI gives lengths in KiB.
    LINK_CLAIMED = "
        WITH agreeing AS MATERIALIZED (
            SELECT h.file_id, l.artifact_id, count(*) OVER (PARTITION BY l.library_file_id) AS files,
                row_number() OVER (PARTITION BY h.file_id ORDER BY l.library_file_id) AS turn
            FROM json_each(?1) CROSS JOIN library_file l ON l.library_file_id = value
                CROSS JOIN artifact a ON a.artifact_id = l.artifact_id
                CROSS JOIN version v ON v.external_id = l.page_json ->> '$.claimed.version'
                CROSS JOIN model m ON m.model_id = v.model_id AND m.hub = 'civitai'
                CROSS JOIN file h ON h.version_id = v.version_id
            WHERE l.gone_ms IS NULL AND coalesce(l.page_json ->> '$.claimed.sha256', lower(hex(a.sha256))) = lower(hex(a.sha256))
                AND h.sha256 IS NULL AND h.replaced_ms IS NULL AND h.removed_ms IS NULL
                AND NOT EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = h.artifact_id AND o.gone_ms IS NULL)
                AND iif(h.blake3 IS NOT NULL, h.blake3 = a.blake3,
                    (h.auto_v3 IS NULL OR h.auto_v3 = a.auto_v3) AND h.format = a.format
                    AND abs(h.size_bytes - a.size_bytes) <= iif(h.size_exact, 0, 1024)
                    AND EXISTS (
                        SELECT 1 FROM library_path p WHERE p.library_file_id = l.library_file_id
                            AND substr(CAST(CAST('/' AS BLOB) || p.path AS BLOB), -1 - length(CAST(h.name AS BLOB)))
                                = CAST('/' || h.name AS BLOB)))
        )
        UPDATE file SET artifact_id = agreeing.artifact_id, verified = 0, fetched_ms = ?2, failure_json = NULL,
            fetched_licence = (SELECT m.licence FROM version v JOIN model m USING (model_id)
                               WHERE v.version_id = file.version_id)
        FROM agreeing WHERE file.file_id = agreeing.file_id AND agreeing.files = 1 AND agreeing.turn = 1";
    /// Of the models in ?1: files taken for some content of a library of which the hub lists another digest by now.
    DROP_REFUTED = "
        UPDATE file SET artifact_id = NULL, verified = 0, fetched_ms = NULL, fetched_licence = NULL
        WHERE version_id IN (SELECT version_id FROM version WHERE model_id IN (SELECT value FROM json_each(?1)))
            AND sha256 IS NOT NULL AND verified = 0 AND EXISTS (
                SELECT 1 FROM artifact a JOIN library_file l ON l.artifact_id = a.artifact_id
                WHERE a.artifact_id = file.artifact_id AND a.sha256 <> file.sha256 AND a.auto_v3 IS NOT file.auto_v3)";
    IDENTITY = "
        SELECT asked_ms, page_json ->> '$.claimed' AS claimed FROM library_file
        WHERE library_file_id = CAST(?1 AS INTEGER)";
}

#[derive(FromRow)]
struct IdentityRow {
    asked_ms: Option<i64>,
    claimed: Option<String>,
}

/// Claims as they are stored.
pub(super) fn from_json(json: &str) -> Result<Claimed, CatalogueError> {
    serde_json::from_str(json).map_err(|_| CatalogueError::Corrupt {
        what: "what is claimed of a library's file",
        value: json.chars().take(200).collect(),
    })
}

/// What is known of the identity of the file behind a page of its own.
pub(crate) async fn of_page(
    connection: &mut SqliteConnection,
    hub: Option<Hub>,
    external_id: &str,
) -> Result<Option<LocalIdentity>, CatalogueError> {
    if hub.is_some() {
        return Ok(None);
    }
    let row: Option<IdentityRow> = sqlx::query_as(IDENTITY)
        .bind(external_id)
        .fetch_optional(connection)
        .await
        .map_err(could_not("read what a library's file is said to be"))?;
    let Some(row) = row else { return Ok(None) };
    let claimed = row.claimed.as_deref().map(from_json).transpose()?;
    let claimed = claimed.and_then(|claimed| Some((claimed.reference()?, claimed.said_by)));
    Ok(Some(LocalIdentity { asked_at: codec::time(row.asked_ms), claimed }))
}

/// Takes back what a digest speaks against, after the pages of `models` were written.
pub(super) async fn drop_refuted(connection: &mut SqliteConnection, models: &str) -> Result<(), CatalogueError> {
    let drop_them = sqlx::query(DROP_REFUTED).bind(models);
    drop_them.execute(connection).await.map_err(could_not("take back what a digest speaks against")).map(drop)
}

impl Catalogue {
    /// Links files of libraries to the CivitAI files that they are said to be, where what the hub lists agrees.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn link_claimed_files(&self, files: &[LibraryFileId]) -> Result<(), CatalogueError> {
        let attempt = "link files to what they are said to be";
        let now = self.now();
        let ids: Vec<i64> = files.iter().map(|file| file.0).collect();
        let mut tx = self.write(attempt).await?;
        let link = sqlx::query(LINK_CLAIMED).bind(codec::id_list(ids.iter().copied())).bind(now.unix_ms());
        link.execute(&mut *tx).await.map_err(could_not(attempt))?;
        settle(&mut tx, &self.tags, &ids, now).await?;
        self.commit(tx, attempt).await
    }
}
