//! What content that is here is called: the names of its files at hubs, and those that people gave it in their folders.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::{ModelKind, Sha256};
use std::collections::BTreeSet;

statements! {
    NAMES_OF_KIND = "
        SELECT a.sha256, CAST(f.name AS BLOB) AS name FROM artifact a JOIN file f USING (artifact_id)
        WHERE a.kind = ?1
            AND EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL)
        UNION
        SELECT a.sha256, o.path FROM artifact a JOIN observation o USING (artifact_id)
        WHERE a.kind = ?1 AND o.gone_ms IS NULL";
}

impl Catalogue {
    /// All names of the content of one kind that is here, without folders and ending; names that are no text are left
    /// out. In order, by name and digest.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn local_names(&self, kind: ModelKind) -> Result<BTreeSet<(String, Sha256)>, CatalogueError> {
        let attempt = "read the names of files";
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as(NAMES_OF_KIND).bind(kind.as_str()).fetch_all(&mut *tx).await.map_err(could_not(attempt))?;
        let mut names = BTreeSet::new();
        for (sha256, name) in rows {
            let path = codec::path(&name);
            if let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) {
                names.insert((stem.to_owned(), codec::digest("a digest", &sha256)?));
            }
        }
        Ok(names)
    }
}
