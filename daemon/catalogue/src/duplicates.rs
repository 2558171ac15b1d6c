//! Content that lies at several places, and what one place alone would win. Nothing is decided here, and nothing deleted.
//!
//! Names of one file (hard links) share its bytes. Whether a file system shares the bytes of different files (clones) it
//! does not tell, so these count as if it did not.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::page;
use crate::statements::statements;
use paintbox_domain::{ModelKind, ModelRef, Sha256};
use sqlx::FromRow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

const QUERY: &str = "duplicates";

/// Content that lies at several places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    pub sha256: Sha256,
    /// Of one of its files.
    pub size_bytes: u64,
    /// What one file alone would win.
    pub spare_bytes: u64,
    pub kind: ModelKind,
    /// The model that it belongs to, if one is known.
    pub model: Option<ModelRef>,
    pub name: String,
    pub places: Vec<DuplicatePlace>,
}

/// A path at which content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicatePlace {
    pub path: PathBuf,
    /// Places with the same number are names of one file.
    pub file: u32,
    /// It lies in somebody's own folder and not in Paintbox's store.
    pub in_library: bool,
    /// Its volume or library is not there now.
    pub away: bool,
}

/// Some of what lies at several places, and sums over all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicatePage {
    /// Those with the most to win first.
    pub duplicates: Vec<Duplicate>,
    pub next_page_token: Option<String>,
    /// All that have something to win.
    pub contents: u64,
    pub spare_bytes: u64,
    /// Contents whose places are all names of one file.
    pub linked_contents: u64,
    /// Files of libraries that were not read yet, so that nobody knows what they are the same as.
    pub unread_files: u64,
}

statements! {
    /// Every content with several places: how many files these are.
    SEVERAL_PLACES = "
        WITH several AS MATERIALIZED (
            SELECT artifact_id FROM observation WHERE gone_ms IS NULL GROUP BY artifact_id HAVING count(*) > 1
        )
        SELECT a.artifact_id, a.size_bytes,
            count(DISTINCT iif(f.inode IS NULL, 'o' || o.observation_id, f.device || ':' || f.inode)) AS files
        FROM several CROSS JOIN artifact a USING (artifact_id)
            CROSS JOIN observation o ON o.artifact_id = a.artifact_id AND o.gone_ms IS NULL
            LEFT JOIN library l ON l.library_id = o.library_id
            LEFT JOIN library_path p
                ON p.library_id = l.library_id AND p.path = CAST(substr(o.path, length(l.path) + 2) AS BLOB)
            LEFT JOIN library_file f ON f.library_file_id = p.library_file_id
        GROUP BY a.artifact_id";
    /// ?1: a JSON array of artifacts.
    PLACES = "
        SELECT o.artifact_id, o.path, o.library_id IS NOT NULL AS in_library,
            coalesce(v.away_ms, l.away_ms) IS NOT NULL AS away,
            iif(f.inode IS NULL, 'o' || o.observation_id, f.device || ':' || f.inode) AS file
        FROM observation o LEFT JOIN volume v ON v.volume_id = o.volume_id
            LEFT JOIN library l ON l.library_id = o.library_id
            LEFT JOIN library_path p
                ON p.library_id = l.library_id AND p.path = CAST(substr(o.path, length(l.path) + 2) AS BLOB)
            LEFT JOIN library_file f ON f.library_file_id = p.library_file_id
        WHERE o.gone_ms IS NULL AND o.artifact_id IN (SELECT value FROM json_each(?1))
        ORDER BY o.artifact_id, o.first_seen_ms, o.observation_id";
    /// The first page that has it: a hub's that lists it, before all others.
    WHOSE = "
        SELECT a.artifact_id, a.sha256, a.kind, m.hub, m.external_id, m.name, f.name AS file_name
        FROM artifact a LEFT JOIN file f ON f.file_id = (
                SELECT f.file_id FROM file f CROSS JOIN version v ON v.version_id = f.version_id
                    CROSS JOIN model m ON m.model_id = v.model_id
                WHERE f.artifact_id = a.artifact_id
                ORDER BY f.library_file_id IS NOT NULL, m.gone_ms IS NOT NULL, f.file_id LIMIT 1)
            LEFT JOIN version v ON v.version_id = f.version_id LEFT JOIN model m ON m.model_id = v.model_id
        WHERE a.artifact_id IN (SELECT value FROM json_each(?1))";
    UNREAD_FILES = "SELECT count(*) FROM library_file WHERE artifact_id IS NULL AND gone_ms IS NULL";
}

#[derive(FromRow)]
struct SeveralRow {
    artifact_id: i64,
    size_bytes: i64,
    files: i64,
}

impl SeveralRow {
    fn spare_bytes(&self) -> i64 {
        self.size_bytes.saturating_mul(self.files - 1)
    }

    /// The one with the most to win comes first.
    fn order(&self) -> Reverse<[i64; 2]> {
        Reverse([self.spare_bytes(), self.artifact_id])
    }
}

#[derive(FromRow)]
struct PlaceRow {
    artifact_id: i64,
    path: Vec<u8>,
    in_library: bool,
    away: bool,
    file: String,
}

#[derive(FromRow)]
struct WhoseRow {
    artifact_id: i64,
    sha256: Vec<u8>,
    kind: String,
    hub: Option<String>,
    external_id: Option<String>,
    name: Option<String>,
    file_name: Option<String>,
}

impl Catalogue {
    /// Content that lies at several places, those with the most to win first.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID`; when the catalogue cannot be read.
    pub async fn duplicates(&self, page_size: u32, page_token: Option<&str>) -> Result<DuplicatePage, CatalogueError> {
        let attempt = "look for content that lies at several places";
        let failed = could_not(attempt);
        let after = page::keys::<2>(QUERY, page_token)?;
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let mut several: Vec<SeveralRow> = sqlx::query_as(SEVERAL_PLACES).fetch_all(&mut *tx).await.map_err(&failed)?;
        let unread: i64 = sqlx::query_scalar(UNREAD_FILES).fetch_one(&mut *tx).await.map_err(&failed)?;
        let all = several.len();
        several.retain(|row| row.files > 1);
        several.sort_by_key(SeveralRow::order);
        let (contents, linked) = (several.len(), all - several.len());
        let spare_bytes = several.iter().map(|row| codec::counted(row.spare_bytes())).sum();
        if let Some(after) = after {
            several.retain(|row| row.order() > Reverse(after));
        }
        let size = page::size(page_size);
        let more = several.len() > size;
        several.truncate(size);
        let ids = codec::id_list(several.iter().map(|row| row.artifact_id));
        let places: Vec<PlaceRow> = sqlx::query_as(PLACES).bind(&ids).fetch_all(&mut *tx).await.map_err(&failed)?;
        let whose: Vec<WhoseRow> = sqlx::query_as(WHOSE).bind(&ids).fetch_all(&mut *tx).await.map_err(&failed)?;
        let next_page_token = match several.last() {
            Some(last) if more => Some(page::token(QUERY, [last.spare_bytes(), last.artifact_id])),
            _ => None,
        };
        Ok(DuplicatePage {
            duplicates: put_together(&several, places, whose)?,
            next_page_token,
            contents: contents as u64,
            spare_bytes,
            linked_contents: linked as u64,
            unread_files: codec::counted(unread),
        })
    }
}

fn put_together(
    several: &[SeveralRow],
    places: Vec<PlaceRow>,
    whose: Vec<WhoseRow>,
) -> Result<Vec<Duplicate>, CatalogueError> {
    let mut by_content: BTreeMap<i64, Vec<PlaceRow>> = BTreeMap::new();
    for place in places {
        by_content.entry(place.artifact_id).or_default().push(place);
    }
    let mut whose: BTreeMap<i64, WhoseRow> = whose.into_iter().map(|row| (row.artifact_id, row)).collect();
    let mut duplicates = Vec::new();
    for row in several {
        let Some(whose) = whose.remove(&row.artifact_id) else { continue };
        let model = match (&whose.hub, &whose.external_id) {
            (Some(hub), Some(id)) => Some(codec::model_reference(codec::origin(hub)?, id)),
            _ => None,
        };
        duplicates.push(Duplicate {
            sha256: codec::digest("an artifact's SHA-256", &whose.sha256)?,
            size_bytes: codec::counted(row.size_bytes),
            spare_bytes: codec::counted(row.spare_bytes()),
            kind: ModelKind::from_name(&whose.kind).unwrap_or(ModelKind::Unknown),
            model,
            name: whose.name.or(whose.file_name).unwrap_or_default(),
            places: numbered(by_content.remove(&row.artifact_id).unwrap_or_default()),
        });
    }
    Ok(duplicates)
}

fn numbered(rows: Vec<PlaceRow>) -> Vec<DuplicatePlace> {
    let mut files: BTreeMap<String, u32> = BTreeMap::new();
    rows.into_iter()
        .map(|row| {
            let next = codec::small(codec::position(files.len() + 1));
            let file = *files.entry(row.file).or_insert(next);
            DuplicatePlace { path: codec::path(&row.path), file, in_library: row.in_library, away: row.away }
        })
        .collect()
}
