//! Writing the catalogue as text, in the form that [`crate::portable`] describes.

use crate::error::{CatalogueError, could_not};
use crate::migrate::Layout;
use crate::open::Catalogue;
use crate::portable::{self, End, FORMAT, FORMAT_VERSION, Header, quoted};
use futures::TryStreamExt as _;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection as _};
use std::collections::BTreeMap;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// A piece is handed on when it is at least this long; a long row makes it longer.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait for the reader.
const WAITING_PIECES: usize = 4;
const ATTEMPT: &str = "be exported";

/// The pieces of an export, in order. When the reader lets go of them, the export ends.
pub type ExportPieces = Receiver<Result<Vec<u8>, CatalogueError>>;

impl Catalogue {
    /// The whole catalogue as text, of one moment, in pieces of about 256 KiB. Readers and the writer go on meanwhile; the
    /// log keeps what is written until the export ends. Memory does not depend on how much there is.
    ///
    /// `paintbox` is the release that writes it. An error is the last piece.
    #[must_use]
    pub fn export(&self, paintbox: &str) -> ExportPieces {
        let (pieces, receiver) = channel(WAITING_PIECES);
        let (catalogue, paintbox) = (self.clone(), paintbox.to_owned());
        drop(tokio::spawn(async move {
            let mut writing = Writing { pieces, piece: Vec::new(), digest: Sha256::new() };
            if let Err(Stopped::Failed(error)) = catalogue.write_export(&paintbox, &mut writing).await {
                // Whoever is gone needs no error.
                drop(writing.pieces.send(Err(error)).await);
            }
        }));
        receiver
    }

    async fn write_export(&self, paintbox: &str, writing: &mut Writing) -> Result<(), Stopped> {
        let failed = could_not(ATTEMPT);
        let mut connection = self.aside.connect(ATTEMPT).await?;
        let mut tx = connection.begin().await.map_err(&failed)?;
        let layout = Layout::of(&mut tx).await.map_err(&failed)?.newest();
        let tables = portable::tables(&mut tx).await.map_err(&failed)?;
        let mut rows = BTreeMap::new();
        for table in &tables {
            let count = format!("SELECT count(*) FROM {}", quoted(&table.name));
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *tx).await.map_err(&failed)?;
            rows.insert(table.name.clone(), count.unsigned_abs());
        }
        let total = rows.values().sum();
        let (format, paintbox) = (FORMAT.to_owned(), paintbox.to_owned());
        writing.line(&Header { format, format_version: FORMAT_VERSION, paintbox, layout, rows });
        for table in &tables {
            let mut found = sqlx::query(AssertSqlSafe(table.select.clone())).fetch(&mut *tx);
            while let Some(row) = found.try_next().await.map_err(&failed)? {
                portable::push_row(&mut writing.piece, table, &row)?;
                if writing.piece.len() >= PIECE_BYTES {
                    writing.hand_on().await?;
                }
            }
        }
        writing.digest.update(&writing.piece);
        let sha256 = format!("{:x}", writing.digest.clone().finalize());
        writing.line(&End { end: true, rows: total, sha256 });
        writing.hand_on().await
    }
}

enum Stopped {
    Failed(CatalogueError),
    /// Nobody reads any more.
    Alone,
}

impl From<CatalogueError> for Stopped {
    fn from(error: CatalogueError) -> Self {
        Self::Failed(error)
    }
}

struct Writing {
    pieces: Sender<Result<Vec<u8>, CatalogueError>>,
    piece: Vec<u8>,
    digest: Sha256,
}

impl Writing {
    fn line(&mut self, line: &impl serde::Serialize) {
        // Texts and numbers can always be written to memory.
        drop(serde_json::to_writer(&mut self.piece, line));
        self.piece.push(b'\n');
    }

    async fn hand_on(&mut self) -> Result<(), Stopped> {
        self.digest.update(&self.piece);
        let piece = std::mem::take(&mut self.piece);
        self.pieces.send(Ok(piece)).await.map_err(|_| Stopped::Alone)
    }
}
