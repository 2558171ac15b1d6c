//! Lists of downloads: what is still to come, in the order in which it will, and what was.

use super::{DownloadRecord, DownloadRow, columns};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::filter::{Field, Filtered, Holds, RowFilter};
use crate::open::Catalogue;
use crate::page;
use crate::statements::statements;
use paintbox_domain::DownloadState;
use paintbox_domain::hub::FileSize;

/// Which downloads a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DownloadFilter {
    /// Those that have not ended: first what is under way, then what waits for its turn, then what failed and what is
    /// paused.
    #[default]
    Open,
    /// Those that have, the latest first.
    Ended,
}

impl Filtered for DownloadRecord {
    const EXAMPLE: &'static str = "state:failed size>2GB created>2026-01";
    const FIELDS: &'static [Field<Self>] = &[
        Field {
            names: &["state"],
            holds: Holds::Name {
                all: || DownloadState::ALL.iter().map(|state| state.as_str()).collect(),
                of: |download| download.state.as_str(),
            },
        },
        Field {
            names: &["reason"],
            holds: Holds::Text(|download| download.failure.as_ref().map(|failure| failure.reason.clone())),
        },
        Field { names: &["hub"], holds: Holds::Text(|download| Some(download.hub.to_string())) },
        Field { names: &["kind"], holds: Holds::Text(|download| Some(download.kind.to_string())) },
        Field { names: &["version"], holds: Holds::Text(|download| Some(download.version.to_string())) },
        Field { names: &["file"], holds: Holds::Text(|download| Some(download.file_name.clone())) },
        Field { names: &["size"], holds: Holds::Bytes(|download| download.size.map(FileSize::bytes)) },
        Field { names: &["failures"], holds: Holds::Count(|download| download.failures.into()) },
        Field { names: &["created", "create_time"], holds: Holds::Time(|download| Some(download.created_at)) },
        Field { names: &["ended", "end_time"], holds: Holds::Time(|download| download.ended_at) },
    ];

    fn texts(&self) -> String {
        format!("{} {}", self.model_name, self.file_name)
    }
}

/// Rows that are looked at together when most of them may not be wanted.
const BATCH: usize = 200;

/// A page of which list.
#[derive(Debug, Default)]
pub struct DownloadQuery {
    pub filter: DownloadFilter,
    /// What of that list passes.
    pub passing: RowFilter<DownloadRecord>,
    /// 0 means 50, more than 500 means 500.
    pub page_size: u32,
    pub page_token: Option<String>,
}

/// One page of downloads.
#[derive(Debug, Clone, PartialEq)]
pub struct DownloadPage {
    pub downloads: Vec<DownloadRecord>,
    /// None on the last page.
    pub next_page_token: Option<String>,
}

macro_rules! rank {
    () => {
        "CASE d.state WHEN 'queued' THEN 1 WHEN 'failed' THEN 2 WHEN 'paused' THEN 3 ELSE 0 END"
    };
}

statements! {
    OPEN_DOWNLOADS = concat!(
        columns!(),
        "WHERE d.ended_ms IS NULL AND (", rank!(), ", -d.priority, coalesce(d.turn, d.download_id), d.download_id) \
         > (?1, ?2, ?3, ?4) \
         ORDER BY ", rank!(), ", -d.priority, coalesce(d.turn, d.download_id), d.download_id LIMIT ?5"
    );
    ENDED_DOWNLOADS = concat!(
        columns!(),
        "WHERE d.ended_ms IS NOT NULL AND (d.ended_ms, d.download_id) < (?1, ?2) \
         ORDER BY d.ended_ms DESC, d.download_id DESC LIMIT ?3"
    );
}

fn rank(row: &DownloadRow) -> i64 {
    match row.state.as_str() {
        "queued" => 1,
        "failed" => 2,
        "paused" => 3,
        _ => 0,
    }
}

impl Catalogue {
    /// # Errors
    /// `PAGE_TOKEN_INVALID`; when the catalogue cannot be read.
    pub async fn downloads(&self, query: &DownloadQuery) -> Result<DownloadPage, CatalogueError> {
        match query.filter {
            DownloadFilter::Open => {
                let place = |row: &DownloadRow| [rank(row), -i64::from(row.priority), row.turn, row.download_id];
                self.page_of_downloads(query, OPEN_DOWNLOADS, [-1, i64::MIN, i64::MIN, 0], place).await
            }
            DownloadFilter::Ended => {
                let place = |row: &DownloadRow| [row.ended_ms.unwrap_or_default(), row.download_id];
                self.page_of_downloads(query, ENDED_DOWNLOADS, [i64::MAX, i64::MAX], place).await
            }
        }
    }

    /// A page of the list that `statement` reads from behind a place on; the first is behind `start`.
    async fn page_of_downloads<const KEYS: usize>(
        &self,
        query: &DownloadQuery,
        statement: &'static str,
        start: [i64; KEYS],
        place: impl Fn(&DownloadRow) -> [i64; KEYS],
    ) -> Result<DownloadPage, CatalogueError> {
        let attempt = "list downloads";
        let listing = format!("{:?} downloads {}", query.filter, query.passing.text());
        let mut behind = page::keys(&listing, query.page_token.as_deref())?.unwrap_or(start);
        let size = page::size(query.page_size);
        let batch = BATCH.max(size + 1);
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let mut downloads = Vec::new();
        loop {
            let rows = behind.iter().fold(sqlx::query_as(statement), |rows, key| rows.bind(*key));
            let rows: Vec<DownloadRow> =
                rows.bind(codec::position(batch)).fetch_all(&mut *tx).await.map_err(could_not(attempt))?;
            let is_last = rows.len() < batch;
            for row in rows {
                let here = place(&row);
                let record = row.record()?;
                if query.passing.passes(&record) {
                    if downloads.len() == size {
                        return Ok(DownloadPage { downloads, next_page_token: Some(page::token(&listing, behind)) });
                    }
                    downloads.push(record);
                }
                behind = here;
            }
            if is_last {
                return Ok(DownloadPage { downloads, next_page_token: None });
            }
        }
    }
}
