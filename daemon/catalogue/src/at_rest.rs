//! Files at rest: where content lies, when it was last read from there, and what it is called on the hubs.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{ArtifactId, FileId, ObservationId, VolumeId};
use crate::open::Catalogue;
use crate::statements::statements;
use crate::{artifacts, files};
use paintbox_domain::{Hub, ModelRef, Sha256, Timestamp};
use sqlx::FromRow;
use std::path::PathBuf;

/// Content at one of its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtRest {
    pub id: ObservationId,
    pub artifact: ArtifactId,
    pub path: PathBuf,
    /// None in the home's own store, and outside of all.
    pub volume: Option<VolumeId>,
    /// Its volume is away.
    pub away: bool,
    pub sha256: Sha256,
    pub size_bytes: u64,
    /// When it was last read from there and right, or else first seen there.
    pub sound_at: Timestamp,
}

/// A hub's file that has some content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    pub id: FileId,
    pub hub: Hub,
    pub version: ModelRef,
    pub name: String,
    /// The hub still lists it.
    pub listed: bool,
}

statements! {
    /// ?1: only those that were not read since; ?2: a JSON array of artifacts, or null for all; ?3: those on volumes that
    /// are away too; ?4: at most so many.
    AT_REST = "
        SELECT o.observation_id, o.artifact_id, o.path, o.volume_id, v.away_ms IS NOT NULL AS away, a.sha256,
            a.size_bytes, coalesce(o.checked_ms, o.first_seen_ms) AS sound_ms
        FROM observation o JOIN artifact a USING (artifact_id) LEFT JOIN volume v USING (volume_id)
        WHERE o.gone_ms IS NULL AND coalesce(o.checked_ms, o.first_seen_ms) <= ?1
            AND (?2 IS NULL OR o.artifact_id IN (SELECT value FROM json_each(?2)))
            AND (?3 OR v.away_ms IS NULL)
        ORDER BY coalesce(o.checked_ms, o.first_seen_ms) LIMIT ?4";
    SET_CHECKED = "UPDATE observation SET checked_ms = ?2 WHERE observation_id = ?1 AND gone_ms IS NULL";
    FILES_OF_ARTIFACT = "
        SELECT f.file_id, f.name, m.hub, m.external_id AS model_external_id, v.external_id AS version_external_id,
            f.gone_ms IS NULL AND f.replaced_ms IS NULL AND v.gone_ms IS NULL AND m.gone_ms IS NULL AS listed
        FROM file f JOIN version v USING (version_id) JOIN model m USING (model_id)
        WHERE f.artifact_id = ?1 ORDER BY listed DESC, f.file_id";
    ARTIFACT_OF = "SELECT artifact_id FROM artifact WHERE sha256 = ?1";
}

#[derive(FromRow)]
struct AtRestRow {
    observation_id: i64,
    artifact_id: i64,
    path: Vec<u8>,
    volume_id: Option<i64>,
    away: bool,
    sha256: Vec<u8>,
    size_bytes: i64,
    sound_ms: i64,
}

impl AtRestRow {
    fn record(self) -> Result<AtRest, CatalogueError> {
        Ok(AtRest {
            id: ObservationId(self.observation_id),
            artifact: ArtifactId(self.artifact_id),
            path: codec::path(&self.path),
            volume: self.volume_id.map(VolumeId),
            away: self.away,
            sha256: codec::digest("an artifact's SHA-256", &self.sha256)?,
            size_bytes: codec::counted(self.size_bytes),
            sound_at: Timestamp::from_unix_ms(self.sound_ms),
        })
    }
}

#[derive(FromRow)]
struct NamedFileRow {
    file_id: i64,
    name: String,
    hub: String,
    model_external_id: String,
    version_external_id: String,
    listed: bool,
}

impl Catalogue {
    /// Content that was not read since `before`, what was not read for the longest first, at most `limit` of it.
    /// `only`: of these artifacts; `with_away`: on volumes that are away too.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn at_rest(
        &self,
        before: Timestamp,
        only: Option<&[ArtifactId]>,
        with_away: bool,
        limit: u32,
    ) -> Result<Vec<AtRest>, CatalogueError> {
        let rows: Vec<AtRestRow> = sqlx::query_as(AT_REST)
            .bind(before.unix_ms())
            .bind(only.map(|only| codec::id_list(only.iter().map(|artifact| artifact.0))))
            .bind(with_away)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read what lies where"))?;
        rows.into_iter().map(AtRestRow::record).collect()
    }

    /// Records that content was read again and right.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_sound(&self, place: ObservationId) -> Result<(), CatalogueError> {
        let set = sqlx::query(SET_CHECKED).bind(place.0).bind(self.now().unix_ms());
        self.write_one("record that a file is sound", set).await.map(drop)
    }

    /// What the hubs call some content: what they still list first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn files_of_artifact(&self, artifact: ArtifactId) -> Result<Vec<NamedFile>, CatalogueError> {
        let rows: Vec<NamedFileRow> = sqlx::query_as(FILES_OF_ARTIFACT)
            .bind(artifact.0)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read what some content is called"))?;
        rows.into_iter()
            .map(|row| {
                let hub = codec::named("a model's hub", &row.hub, Hub::from_name)?;
                Ok(NamedFile {
                    id: FileId(row.file_id),
                    hub,
                    version: codec::version_reference(hub, &row.model_external_id, &row.version_external_id),
                    name: row.name,
                    listed: row.listed,
                })
            })
            .collect()
    }

    /// Records that content which is known already lies at `path` again, such as on a disk that was a volume before.
    /// False when no such content was ever recorded.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn observe_known(&self, sha256: &Sha256, path: &std::path::Path) -> Result<bool, CatalogueError> {
        let attempt = "record where known content lies";
        let mut tx = self.write(attempt).await?;
        let artifact: Option<i64> = sqlx::query_scalar(ARTIFACT_OF)
            .bind(&sha256.as_bytes()[..])
            .fetch_optional(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        let Some(artifact) = artifact else { return Ok(false) };
        artifacts::observe(&mut tx, ArtifactId(artifact), path, self.now()).await?;
        files::link_same_content(&mut tx, sha256, ArtifactId(artifact), self.now()).await?;
        tx.commit().await.map_err(could_not(attempt))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileState;
    use crate::testing::{clock_at, model, new_artifact, opened_with};
    use paintbox_domain::Clock as _;
    use std::path::Path;

    #[tokio::test]
    async fn what_was_not_read_for_the_longest_comes_first_and_goes_last_once_it_was() {
        let clock = clock_at(1_000);
        let (catalogue, _home) = opened_with(clock.clone()).await;
        let mut places = Vec::new();
        for number in ["1", "2"] {
            let id = catalogue.record_models(&[model(number, number)], None).await.unwrap()[0];
            let file = catalogue.model(id).await.unwrap().versions[0].files[0].clone();
            let path = format!("/store/{number}");
            let content = new_artifact(file.sha256.unwrap(), path.clone().into());
            places.push((catalogue.record_file(file.id, &content, true).await.unwrap(), path, id));
            clock.set(clock.now().plus(std::time::Duration::from_secs(1)));
        }
        let listed = async |before: i64, only: Option<&[ArtifactId]>| {
            let found = catalogue.at_rest(Timestamp::from_unix_ms(before), only, false, 10).await.unwrap();
            found.iter().map(|place| place.path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(listed(9_000, None).await, ["/store/1", "/store/2"]);
        assert_eq!(listed(1_500, None).await, ["/store/1"]);
        assert_eq!(listed(9_000, Some(&[places[1].0])).await, ["/store/2"]);
        let first = catalogue.at_rest(Timestamp::from_unix_ms(9_000), None, true, 1).await.unwrap().remove(0);
        assert_eq!((first.size_bytes, first.volume, first.away), (1_234, None, false));
        catalogue.record_sound(first.id).await.unwrap();
        assert_eq!(listed(9_000, None).await, ["/store/2", "/store/1"]);

        let names = catalogue.files_of_artifact(places[0].0).await.unwrap();
        assert_eq!((names[0].version.to_string().as_str(), names[0].listed), ("civitai:1@10", true));

        // Gone, and found again elsewhere.
        assert!(catalogue.record_path_gone(Path::new("/store/1")).await.unwrap());
        let state = async || catalogue.model(places[0].2).await.unwrap().versions[0].files[0].state;
        assert_eq!(state().await, FileState::Absent);
        assert!(catalogue.observe_known(&first.sha256, Path::new("/other/1")).await.unwrap());
        assert_eq!(state().await, FileState::Verified);
        assert!(!catalogue.observe_known(&Sha256::from_bytes([9; 32]), Path::new("/other/9")).await.unwrap());
    }
}
