//! Files of libraries whose header another tool rewrote, as editors of a LoRA's metadata do: their bytes are not those
//! that a hub lists, but what follows the header is. AutoV3 tells.
//!
//! The hub's file points at such content where it would otherwise point at nothing that is here. That is no verification,
//! and content that some hub lists for itself stands for no other file. Which content a file points at is chosen anew
//! whenever names of libraries come or go: what the hub lists comes before what was edited, and what is pointed at
//! before what is not.

use crate::error::{CatalogueError, could_not};
use crate::statements::statements;
use paintbox_domain::Timestamp;
use sqlx::SqliteConnection;

/// That a hub's file row `h` and content `a` have the same tensors. A header has 16 MiB at most, so files whose lengths
/// differ by more only happen to share the twelve digits.
macro_rules! same_tensors {
    () => {
        "h.auto_v3 = a.auto_v3 AND h.format = 'safetensors' AND a.format = 'safetensors' \
         AND (h.size_bytes IS NULL OR abs(h.size_bytes - a.size_bytes) <= 16777216) AND h.removed_ms IS NULL"
    };
}
pub(crate) use same_tensors;

statements! {
    /// ?1: a JSON array of library files whose names came or went.
    CHOOSE_CONTENT = concat!(
        "WITH touched AS MATERIALIZED ( \
            SELECT DISTINCT a.auto_v3 FROM json_each(?1) JOIN library_file l ON l.library_file_id = value \
                JOIN artifact a ON a.artifact_id = l.artifact_id \
            WHERE a.auto_v3 IS NOT NULL AND a.format = 'safetensors' \
         ), best AS MATERIALIZED ( \
            SELECT file_id, artifact_id FROM ( \
                SELECT h.file_id, a.artifact_id, row_number() OVER (PARTITION BY h.file_id \
                    ORDER BY a.sha256 IS h.sha256 DESC, a.artifact_id IS h.artifact_id DESC, a.artifact_id) AS place \
                FROM touched CROSS JOIN file h ON h.auto_v3 = touched.auto_v3 \
                    CROSS JOIN artifact a ON a.auto_v3 = touched.auto_v3 \
                WHERE ",
        same_tensors!(),
        " AND EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL) \
                    AND (a.sha256 IS h.sha256 OR a.artifact_id IS h.artifact_id \
                        OR (EXISTS (SELECT 1 FROM library_file l WHERE l.artifact_id = a.artifact_id) \
                            AND NOT EXISTS (SELECT 1 FROM file e WHERE e.sha256 = a.sha256))) \
            ) WHERE place = 1 \
         ) \
         UPDATE file SET artifact_id = best.artifact_id, verified = file.sha256 IS a.sha256, fetched_ms = ?2, \
            failure_json = NULL, \
            fetched_licence = (SELECT m.licence FROM version v JOIN model m USING (model_id) \
                               WHERE v.version_id = file.version_id) \
         FROM best JOIN artifact a ON a.artifact_id = best.artifact_id \
         WHERE file.file_id = best.file_id AND file.artifact_id IS NOT best.artifact_id"
    );
}

/// Has the hubs' files that share their tensors with some files of libraries point at the best content that is here.
pub(super) async fn choose_content(
    connection: &mut SqliteConnection,
    files: &str,
    now: Timestamp,
) -> Result<(), CatalogueError> {
    let choose = sqlx::query(CHOOSE_CONTENT).bind(files).bind(now.unix_ms());
    choose.execute(connection).await.map_err(could_not("link files whose header was edited")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{arrived, found, inspected, library, look, placed_at};
    use crate::libraries::changes::{LibraryChanges, Placed};
    use crate::libraries::content::ReadFile;
    use crate::search::{Filter, SearchQuery};
    use crate::testing::{file, model, new_artifact, opened, sha, version};
    use crate::{Catalogue, FileRecord, FileState, LibraryFileId, LibraryRecord, ModelId};
    use paintbox_domain::{Blake3, ModelKind, ModelRef, Timestamp};
    use std::path::Path;

    const TENSORS: &str = "ABCDEF123456";

    /// A library with these names, every one another file.
    async fn shelf(names: &[&str]) -> (Catalogue, tempfile::TempDir, LibraryRecord) {
        let (catalogue, home) = opened().await;
        let library = library(&catalogue, "/models").await;
        let paths: Vec<&Path> = names.iter().map(Path::new).collect();
        let files = (1..).zip(names).map(|(at, _)| inspected(at, ModelKind::Lora)).collect();
        catalogue.record_library_changes(&library, &arrived(&paths, files)).await.unwrap();
        (catalogue, home, library)
    }

    async fn read(catalogue: &Catalogue, number: i64, digest: u8, auto_v3: &str) {
        let read = ReadFile {
            file: LibraryFileId(number),
            look: look(number.unsigned_abs()),
            sha256: sha(digest),
            blake3: Blake3::from_bytes([digest; 32]),
            auto_v3: Some(auto_v3.into()),
        };
        assert!(catalogue.record_read_files(&[read]).await.unwrap().is_empty());
    }

    /// A page whose file has these bytes and the tensors of [`TENSORS`].
    async fn publish(catalogue: &Catalogue, number: &str, digest: u8, bytes: u64) -> ModelId {
        let mut listed = model(number, &format!("Model {number}"));
        listed.versions = vec![version(&format!("{number}0"))];
        let mut file = file(number, digest);
        file.auto_v3 = Some(TENSORS.to_lowercase());
        file.size = Some(paintbox_domain::hub::FileSize::About(bytes));
        listed.versions[0].files = vec![file];
        catalogue.record_models(&[listed], None).await.unwrap()[0]
    }

    async fn file_of(catalogue: &Catalogue, model: ModelId) -> FileRecord {
        catalogue.model(model).await.unwrap().versions[0].files[0].clone()
    }

    #[tokio::test]
    async fn a_file_with_an_edited_header_is_the_hubs_and_is_not_taken_for_its_bytes() {
        for page_first in [false, true] {
            let (catalogue, _home, library) = shelf(&["edited.safetensors", "other.safetensors"]).await;
            if page_first {
                publish(&catalogue, "1", 0xaa, 1_000).await;
            }
            read(&catalogue, 1, 0xe1, TENSORS).await;
            read(&catalogue, 2, 0x22, "222222222222").await;
            let id = publish(&catalogue, "1", 0xaa, 1_000).await;
            assert_eq!(found(&catalogue, "").await, ["civitai:1 Model 1", "local:2 other"], "{page_first}");
            let file = file_of(&catalogue, id).await;
            assert_eq!((file.state, file.edited_header), (FileState::Unverified, true));
            assert_eq!((file.sha256, file.artifact.as_ref().unwrap().sha256), (Some(sha(0xaa)), sha(0xe1)));
            assert!(catalogue.model(id).await.unwrap().summary.downloaded);
            let downloaded = Filter::parse("hub:civitai downloaded:true architecture:sdxl").unwrap();
            let query = SearchQuery { filter: downloaded, ..SearchQuery::default() };
            assert_eq!(catalogue.search(&query).await.unwrap().models.len(), 1);
            for reference in ["local:1", "path:/models/edited.safetensors", "abcdef123456"] {
                let resolved = catalogue.resolve(&reference.parse().unwrap()).await.unwrap();
                assert_eq!(resolved.file, Some(file.id), "{reference}");
            }
            assert_eq!(catalogue.library_counts(library.id).await.unwrap().listed, 1);
            let unlisted = catalogue.unlisted_library_files(Timestamp::from_unix_ms(9_000), None, 10).await.unwrap();
            assert_eq!(unlisted.iter().map(|file| file.file).collect::<Vec<_>>(), [LibraryFileId(2)]);

            let gone = LibraryChanges { gone: vec!["edited.safetensors".into()], ..LibraryChanges::default() };
            catalogue.record_library_changes(&library, &gone).await.unwrap();
            let file = file_of(&catalogue, id).await;
            assert_eq!((file.state, file.edited_header), (FileState::Absent, false));
        }
    }

    #[tokio::test]
    async fn the_hubs_own_bytes_come_first_and_edited_ones_take_their_place_when_they_go() {
        let (catalogue, _home, library) = shelf(&["b.safetensors", "own.safetensors", "a.safetensors"]).await;
        let id = publish(&catalogue, "1", 0xaa, 1_000).await;
        let now = async || {
            let file = file_of(&catalogue, id).await;
            (file.state, file.artifact.map(|artifact| artifact.sha256))
        };
        read(&catalogue, 1, 0xe1, TENSORS).await;
        read(&catalogue, 3, 0xe3, TENSORS).await;
        assert_eq!(now().await, (FileState::Unverified, Some(sha(0xe1))));
        read(&catalogue, 2, 0xaa, TENSORS).await;
        assert_eq!(now().await, (FileState::Verified, Some(sha(0xaa))));
        assert_eq!(found(&catalogue, "").await, ["civitai:1 Model 1"], "edited copies have no page of their own");
        for reference in
            ["local:1".parse().unwrap(), ModelRef::Digest(sha(0xe3)), ModelRef::Path("/models/a.safetensors".into())]
        {
            assert_eq!(catalogue.resolve(&reference).await.unwrap().model, id, "{reference}");
        }
        let own = "own.safetensors";
        let gone = LibraryChanges { gone: vec![own.into(), "b.safetensors".into()], ..LibraryChanges::default() };
        catalogue.record_library_changes(&library, &gone).await.unwrap();
        assert_eq!(now().await, (FileState::Unverified, Some(sha(0xe3))));
        let placed = vec![placed_at(own, Placed::Known(LibraryFileId(2)))];
        let back = LibraryChanges { placed, ..LibraryChanges::default() };
        catalogue.record_library_changes(&library, &back).await.unwrap();
        assert_eq!(now().await, (FileState::Verified, Some(sha(0xaa))));
        assert_eq!(
            catalogue.duplicates(10, None).await.unwrap().contents,
            0,
            "the same tensors are not the same bytes"
        );
    }

    #[tokio::test]
    async fn what_a_hub_lists_for_itself_or_is_of_another_length_stands_for_nothing_else() {
        let (catalogue, _home, _library) = shelf(&["first.safetensors"]).await;
        let first = publish(&catalogue, "1", 0xaa, 1_000).await;
        read(&catalogue, 1, 0xaa, TENSORS).await;
        // A second release that differs in its header alone is wanted in its own bytes.
        let second = publish(&catalogue, "2", 0xbb, 1_000).await;
        assert_eq!(file_of(&catalogue, first).await.state, FileState::Verified);
        assert_eq!(file_of(&catalogue, second).await.state, FileState::Absent);

        let (catalogue, _home, _library) = shelf(&["small.safetensors"]).await;
        let large = publish(&catalogue, "1", 0xaa, 6 << 30).await;
        read(&catalogue, 1, 0xe1, TENSORS).await;
        assert_eq!(file_of(&catalogue, large).await.state, FileState::Absent);
        assert_eq!(found(&catalogue, "small").await, ["local:1 small"]);
        // Content of the store that lost its place on the hub is judged as it always was.
        let content = new_artifact(sha(0xdd), "/store/dd".into());
        catalogue.record_file(file_of(&catalogue, large).await.id, &content, false).await.unwrap();
        assert_eq!(file_of(&catalogue, large).await.state, FileState::Mismatched);
    }
}
