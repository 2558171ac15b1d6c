//! What the hubs still list, and what can therefore be fetched again.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{FileId, ObservationId};
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::Sha256;
use sqlx::FromRow;
use std::path::PathBuf;

/// Content at a place that is not a library's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPlace {
    pub id: ObservationId,
    pub path: PathBuf,
    pub sha256: Sha256,
    /// A hub still lists it.
    pub listed: bool,
}

/// Whether its hub still lists the file `f` of the version `v` of the model `m`.
macro_rules! is_listed {
    () => {
        "(f.gone_ms IS NULL AND f.replaced_ms IS NULL AND v.gone_ms IS NULL AND m.gone_ms IS NULL)"
    };
}
pub(crate) use is_listed;

statements! {
    FILE_IS_LISTED = concat!("
        SELECT EXISTS (
            SELECT 1 FROM file f JOIN version v USING (version_id) JOIN model m USING (model_id)
            WHERE f.file_id = ?1 AND f.library_file_id IS NULL AND ", is_listed!(), ")");
    /// ?1: only those behind this one; ?2: at most so many. A file that has its content by its tensors alone is listed
    /// with other bytes.
    KEPT_PLACES = concat!("
        SELECT o.observation_id, o.path, a.sha256, EXISTS (
                SELECT 1 FROM file f JOIN version v USING (version_id) JOIN model m USING (model_id)
                WHERE f.artifact_id = o.artifact_id AND f.library_file_id IS NULL
                    AND coalesce(f.sha256, a.sha256) = a.sha256 AND ", is_listed!(), ") AS listed
        FROM observation o JOIN artifact a USING (artifact_id) LEFT JOIN volume w ON w.volume_id = o.volume_id
        WHERE o.observation_id > ?1 AND o.gone_ms IS NULL AND o.library_id IS NULL AND w.away_ms IS NULL
        ORDER BY o.observation_id LIMIT ?2");
}

#[derive(FromRow)]
struct KeptPlaceRow {
    observation_id: i64,
    path: Vec<u8>,
    sha256: Vec<u8>,
    listed: bool,
}

impl Catalogue {
    /// Whether its hub still lists a file.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn still_lists(&self, file: FileId) -> Result<bool, CatalogueError> {
        let asked = sqlx::query_scalar(FILE_IS_LISTED).bind(file.0).fetch_one(&self.readers).await;
        asked.map_err(could_not("read whether a file is listed"))
    }

    /// What lies outside of libraries and is there, in the order in which it came, behind one that was given before.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn kept_places(
        &self,
        after: Option<ObservationId>,
        limit: u32,
    ) -> Result<Vec<KeptPlace>, CatalogueError> {
        let rows: Vec<KeptPlaceRow> = sqlx::query_as(KEPT_PLACES)
            .bind(after.map_or(0, |after| after.0))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read which files are listed"))?;
        let record = |row: KeptPlaceRow| {
            Ok(KeptPlace {
                id: ObservationId(row.observation_id),
                path: codec::path(&row.path),
                sha256: codec::digest("an artifact's SHA-256", &row.sha256)?,
                listed: row.listed,
            })
        };
        rows.into_iter().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{model, new_artifact, opened};

    #[tokio::test]
    async fn content_is_listed_while_some_hub_lists_exactly_it() {
        let (catalogue, _home) = opened().await;
        let mut files = Vec::new();
        for number in ["1", "2"] {
            let id = catalogue.record_models(&[model(number, number)], None).await.unwrap()[0];
            let file = catalogue.model(id).await.unwrap().versions[0].files[0].clone();
            let content = new_artifact(file.sha256.unwrap(), format!("/store/{number}").into());
            catalogue.record_file(file.id, &content, true).await.unwrap();
            files.push(file.id);
        }
        let listed = async || {
            let places = catalogue.kept_places(None, 10).await.unwrap();
            places.into_iter().map(|place| (place.path.display().to_string(), place.listed)).collect::<Vec<_>>()
        };
        let named = |path: &str, listed| (path.to_owned(), listed);
        assert_eq!(listed().await, [named("/store/1", true), named("/store/2", true)]);
        assert!(catalogue.still_lists(files[0]).await.unwrap());

        let mut replaced = model("1", "1");
        replaced.versions[0].files[0].sha256 = Some(crate::snapshot::sha256(b"other"));
        catalogue.record_models(&[replaced], None).await.unwrap();
        assert_eq!(listed().await, [named("/store/1", false), named("/store/2", true)]);
        assert!(!catalogue.still_lists(files[0]).await.unwrap() && catalogue.still_lists(files[1]).await.unwrap());

        let first = catalogue.kept_places(None, 1).await.unwrap();
        let rest = catalogue.kept_places(Some(first[0].id), 10).await.unwrap();
        assert_eq!((first.len(), rest.len()), (1, 1));
        assert!(catalogue.record_path_gone(std::path::Path::new("/store/2")).await.unwrap());
        assert_eq!(listed().await, [named("/store/1", false)]);
    }
}
