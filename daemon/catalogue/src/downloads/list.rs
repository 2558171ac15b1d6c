//! Lists of downloads: what is still to come, in the order in which it will, and what was.

use super::{DownloadRecord, DownloadRow, columns};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::page;
use crate::statements::statements;

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

/// A page of which list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DownloadQuery {
    pub filter: DownloadFilter,
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
        let failed = could_not("list downloads");
        let size = page::size(query.page_size);
        let token = query.page_token.as_deref();
        let most = codec::position(size + 1);
        let listing = match query.filter {
            DownloadFilter::Open => "open downloads",
            DownloadFilter::Ended => "ended downloads",
        };
        let mut rows: Vec<DownloadRow> = match query.filter {
            DownloadFilter::Open => {
                let after = page::keys(listing, token)?.unwrap_or([-1, i64::MIN, i64::MIN, 0]);
                let rows = after.iter().fold(sqlx::query_as(OPEN_DOWNLOADS), |rows, key| rows.bind(*key));
                rows.bind(most).fetch_all(&self.readers).await.map_err(failed)?
            }
            DownloadFilter::Ended => {
                let before = page::keys(listing, token)?.unwrap_or([i64::MAX, i64::MAX]);
                let rows = before.iter().fold(sqlx::query_as(ENDED_DOWNLOADS), |rows, key| rows.bind(*key));
                rows.bind(most).fetch_all(&self.readers).await.map_err(failed)?
            }
        };
        let more = rows.len() > size;
        rows.truncate(size);
        let next_page_token = rows.last().filter(|_| more).map(|last| match query.filter {
            DownloadFilter::Open => {
                page::token(listing, [rank(last), -i64::from(last.priority), last.turn, last.download_id])
            }
            DownloadFilter::Ended => page::token(listing, [last.ended_ms.unwrap_or_default(), last.download_id]),
        });
        let downloads = rows.into_iter().map(DownloadRow::record).collect::<Result<_, _>>()?;
        Ok(DownloadPage { downloads, next_page_token })
    }
}
