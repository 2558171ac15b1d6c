//! What is here, in numbers. Content is counted once, however many files have it; where files lie, each is counted.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::statements::statements;
use sqlx::{FromRow, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;

/// Creators that are told.
const MOST_CREATORS: u32 = 10;

/// Some of something: how many, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    pub files: u64,
    pub bytes: u64,
}

/// A share and what it is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedShare {
    pub name: String,
    pub share: Share,
}

/// A place that files lie in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceShare {
    /// `home`, `volume`, `library`, or `elsewhere` for what other tools keep and is read there.
    pub place: String,
    /// A volume's label or a library's path; empty otherwise.
    pub name: String,
    pub away: bool,
    pub share: Share,
}

/// What is known of one hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModels {
    /// `local` for files that no hub is known to list.
    pub hub: String,
    pub models: u64,
    /// Of those: the hub has them no more.
    pub gone: u64,
    /// Models with a file here, and those files.
    pub downloaded_models: u64,
    pub share: Share,
}

/// Everything that is here, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Different contents, each counted once.
    pub total: Share,
    /// Neither its kind nor its architecture is known.
    pub unknown: Share,
    /// Files of libraries that cannot be used, because they are broken or hold code.
    pub refused: Share,
    /// Files of libraries of which not all was read yet.
    pub unread: Share,
    /// The largest first, as are all that follow.
    pub kinds: Vec<NamedShare>,
    pub architectures: Vec<NamedShare>,
    /// As tensors are stored; empty where that is not known.
    pub precisions: Vec<NamedShare>,
    pub places: Vec<PlaceShare>,
    pub hubs: Vec<HubModels>,
    /// Those with the most files here, ten at most.
    pub creators: Vec<NamedShare>,
    /// Pictures by where they are from: `preview`, `thumbnail`, `output`, `upload`.
    pub pictures: Vec<NamedShare>,
    /// The catalogue itself.
    pub catalogue_bytes: u64,
}

/// Files here with a page: `m` is its model, and `content` tells contents apart; files that were not read stand for
/// themselves.
macro_rules! paged {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", a.artifact_id AS content, a.size_bytes FROM artifact a \
             CROSS JOIN file f ON f.artifact_id = a.artifact_id \
             CROSS JOIN version v ON v.version_id = f.version_id CROSS JOIN model m ON m.model_id = v.model_id \
             WHERE EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL) \
             UNION ALL SELECT ",
            $columns,
            ", -l.library_file_id, l.size_bytes FROM library_file l \
             CROSS JOIN file f ON f.library_file_id = l.library_file_id \
             CROSS JOIN version v ON v.version_id = f.version_id CROSS JOIN model m ON m.model_id = v.model_id \
             WHERE l.artifact_id IS NULL AND l.gone_ms IS NULL"
        )
    };
}

statements! {
    CONTENT = "
        SELECT kind, architecture, coalesce(precision, '') AS precision, is_refused, is_unread, count(*) AS files,
            sum(size_bytes) AS bytes
        FROM (
            SELECT a.kind, a.architecture, a.precision,
                a.format = 'pickle' AND a.kind <> 'textual_inversion' AS is_refused, 0 AS is_unread, a.size_bytes
            FROM artifact a
            WHERE EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL)
            UNION ALL
            SELECT kind, architecture, precision,
                failure_json IS NOT NULL OR (format = 'pickle' AND kind <> 'textual_inversion'), 1, size_bytes
            FROM library_file WHERE artifact_id IS NULL AND gone_ms IS NULL
        ) GROUP BY 1, 2, 3, 4, 5";
    /// ?1: what paths in the home's own store begin with.
    STORED = "
        SELECT iif(o.volume_id IS NOT NULL, 'volume', iif(substr(o.path, 1, length(?1)) = ?1, 'home', 'elsewhere'))
                AS place,
            coalesce(v.label, '') AS name, v.away_ms IS NOT NULL AS away, count(*) AS files, sum(a.size_bytes) AS bytes
        FROM observation o CROSS JOIN artifact a USING (artifact_id) LEFT JOIN volume v USING (volume_id)
        WHERE o.gone_ms IS NULL AND o.library_id IS NULL GROUP BY 1, 2, 3";
    IN_LIBRARIES = "
        SELECT 'library' AS place, l.path AS name, l.away_ms IS NOT NULL AS away, count(f.library_file_id) AS files,
            coalesce(sum(f.size_bytes), 0) AS bytes
        FROM library l LEFT JOIN (SELECT DISTINCT library_id, library_file_id FROM library_path) p USING (library_id)
            LEFT JOIN library_file f USING (library_file_id)
        GROUP BY l.library_id";
    KNOWN_MODELS = "SELECT hub, count(*) FROM model GROUP BY hub";
    GONE_MODELS = "SELECT hub, count(*) FROM model WHERE gone_ms IS NOT NULL GROUP BY hub";
    /// Sums by hub, and by creator for the ?1 with the most files: pages are gone through once.
    BY_PAGE = concat!(
        "WITH paged AS MATERIALIZED (",
        paged!("m.hub, m.creator, m.model_id"),
        "), by_creator AS ( \
            SELECT 'creator' AS what, max(creator) AS name, 0 AS models, count(*) AS files, sum(size_bytes) AS bytes \
            FROM (SELECT DISTINCT creator, content, size_bytes FROM paged WHERE creator IS NOT NULL) \
            GROUP BY creator COLLATE NOCASE ORDER BY files DESC, bytes DESC, name LIMIT ?1) \
         SELECT 'hub' AS what, hub AS name, count(DISTINCT model_id) AS models, count(DISTINCT content) AS files, \
            (SELECT sum(size_bytes) FROM (SELECT DISTINCT content, size_bytes FROM paged p WHERE p.hub = paged.hub)) \
                AS bytes \
         FROM paged GROUP BY hub UNION ALL SELECT * FROM by_creator"
    );
    PICTURES = "
        SELECT origin AS name, count(*) AS files, sum(size_bytes) AS bytes FROM asset GROUP BY origin
        ORDER BY bytes DESC";
    CATALOGUE_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
}

#[derive(FromRow)]
struct ContentRow {
    kind: String,
    architecture: String,
    precision: String,
    is_refused: bool,
    is_unread: bool,
    files: i64,
    bytes: i64,
}

#[derive(FromRow)]
struct NamedRow {
    name: String,
    files: i64,
    bytes: i64,
}

impl NamedRow {
    fn share(self) -> NamedShare {
        NamedShare { name: self.name, share: Share::of(self.files, self.bytes) }
    }
}

#[derive(FromRow)]
struct PlaceRow {
    place: String,
    name: Vec<u8>,
    away: bool,
    files: i64,
    bytes: i64,
}

#[derive(FromRow)]
struct PageRow {
    what: String,
    name: String,
    models: i64,
    files: i64,
    bytes: i64,
}

impl Share {
    fn of(files: i64, bytes: i64) -> Self {
        Self { files: codec::counted(files), bytes: codec::counted(bytes) }
    }

    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

impl Catalogue {
    /// Everything that is here, in numbers. `store` is the folder of the home's own store.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn stats(&self, store: &Path) -> Result<Stats, CatalogueError> {
        let attempt = "count what is here";
        let failed = could_not(attempt);
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let content: Vec<ContentRow> = sqlx::query_as(CONTENT).fetch_all(&mut *tx).await.map_err(&failed)?;
        let mut stats = Stats::of_content(content);
        stats.places = places(&mut tx, store).await.map_err(&failed)?;
        let by_page: Vec<PageRow> =
            sqlx::query_as(BY_PAGE).bind(MOST_CREATORS).fetch_all(&mut *tx).await.map_err(&failed)?;
        let (by_hub, by_creator): (Vec<PageRow>, _) = by_page.into_iter().partition(|row| row.what == "hub");
        stats.hubs = hubs(&mut tx, by_hub).await.map_err(&failed)?;
        stats.creators = by_creator
            .into_iter()
            .map(|row| NamedShare { name: row.name, share: Share::of(row.files, row.bytes) })
            .collect();
        let pictures: Vec<NamedRow> = sqlx::query_as(PICTURES).fetch_all(&mut *tx).await.map_err(&failed)?;
        stats.pictures = pictures.into_iter().map(NamedRow::share).collect();
        let size: i64 = sqlx::query_scalar(CATALOGUE_SIZE).fetch_one(&mut *tx).await.map_err(&failed)?;
        stats.catalogue_bytes = codec::counted(size);
        Ok(stats)
    }
}

impl Stats {
    fn of_content(rows: Vec<ContentRow>) -> Self {
        let mut stats = Self::default();
        let (mut kinds, mut architectures, mut precisions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for row in rows {
            let share = Share::of(row.files, row.bytes);
            stats.total.add(share);
            if row.is_unread {
                stats.unread.add(share);
            }
            if row.is_refused {
                stats.refused.add(share);
            } else if row.kind == "unknown" && row.architecture == "unknown" {
                stats.unknown.add(share);
            }
            for (by, name) in [
                (&mut kinds, row.kind),
                (&mut architectures, row.architecture),
                (&mut precisions, row.precision.to_ascii_lowercase()),
            ] {
                by.entry(name).or_insert_with(Share::default).add(share);
            }
        }
        stats.kinds = largest_first(kinds);
        stats.architectures = largest_first(architectures);
        stats.precisions = largest_first(precisions);
        stats
    }
}

fn largest_first(by: BTreeMap<String, Share>) -> Vec<NamedShare> {
    let mut shares: Vec<NamedShare> = by.into_iter().map(|(name, share)| NamedShare { name, share }).collect();
    shares.sort_by_key(|named| std::cmp::Reverse(named.share.bytes));
    shares
}

async fn places(connection: &mut SqliteConnection, store: &Path) -> Result<Vec<PlaceShare>, sqlx::Error> {
    let mut rows: Vec<PlaceRow> =
        sqlx::query_as(STORED).bind(codec::path_prefix(store)).fetch_all(&mut *connection).await?;
    rows.extend(sqlx::query_as::<_, PlaceRow>(IN_LIBRARIES).fetch_all(connection).await?);
    let mut places: Vec<PlaceShare> = rows
        .into_iter()
        .map(|row| PlaceShare {
            place: row.place,
            name: String::from_utf8_lossy(&row.name).into_owned(),
            away: row.away,
            share: Share::of(row.files, row.bytes),
        })
        .collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.share.bytes));
    Ok(places)
}

async fn hubs(connection: &mut SqliteConnection, here: Vec<PageRow>) -> Result<Vec<HubModels>, sqlx::Error> {
    let known: Vec<(String, i64)> = sqlx::query_as(KNOWN_MODELS).fetch_all(&mut *connection).await?;
    let gone: Vec<(String, i64)> = sqlx::query_as(GONE_MODELS).fetch_all(connection).await?;
    let gone: BTreeMap<String, i64> = gone.into_iter().collect();
    let mut here: BTreeMap<String, PageRow> = here.into_iter().map(|row| (row.name.clone(), row)).collect();
    let mut hubs: Vec<HubModels> = known
        .into_iter()
        .map(|(hub, models)| {
            let here = here.remove(&hub);
            HubModels {
                models: codec::counted(models),
                gone: gone.get(&hub).copied().map_or(0, codec::counted),
                downloaded_models: here.as_ref().map_or(0, |here| codec::counted(here.models)),
                share: here.map_or_else(Share::default, |here| Share::of(here.files, here.bytes)),
                hub,
            }
        })
        .collect();
    hubs.sort_by_key(|hub| std::cmp::Reverse(hub.share.bytes));
    Ok(hubs)
}
