//! Files at rest: where content lies, when it was last read from there, and what it is called on the hubs.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{ArtifactId, FileId, ObservationId, VolumeId};
use crate::listed::is_listed;
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
    /// Its volume or library is away.
    pub away: bool,
    pub sha256: Sha256,
    pub size_bytes: u64,
    /// When it was last read from there and right, or else first seen there.
    pub sound_at: Timestamp,
}

/// Which content at rest is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtRestQuery<'a> {
    /// Only what was not read since.
    pub before: Timestamp,
    /// Only of these artifacts.
    pub only: Option<&'a [ArtifactId]>,
    /// On volumes that are away too.
    pub with_away: bool,
    /// Only what comes behind the place that was sound then.
    pub after: Option<(Timestamp, ObservationId)>,
    pub limit: u32,
}

impl AtRestQuery<'_> {
    /// Everything that is there.
    #[must_use]
    pub fn unread_since(before: Timestamp) -> Self {
        Self { before, only: None, with_away: false, after: None, limit: u32::MAX }
    }
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
    /// are away too; ?4: at most so many; ?5 and ?6: only those behind this one.
    AT_REST = "
        SELECT o.observation_id, o.artifact_id, o.path, o.volume_id, coalesce(v.away_ms, l.away_ms) IS NOT NULL AS away,
            a.sha256, a.size_bytes, coalesce(o.checked_ms, o.first_seen_ms) AS sound_ms
        FROM observation o JOIN artifact a USING (artifact_id) LEFT JOIN volume v USING (volume_id)
            LEFT JOIN library l USING (library_id)
        WHERE o.gone_ms IS NULL AND coalesce(o.checked_ms, o.first_seen_ms) <= ?1
            AND (?2 IS NULL OR o.artifact_id IN (SELECT value FROM json_each(?2)))
            AND (?3 OR coalesce(v.away_ms, l.away_ms) IS NULL)
            AND (coalesce(o.checked_ms, o.first_seen_ms), o.observation_id) > (?5, ?6)
        ORDER BY coalesce(o.checked_ms, o.first_seen_ms), o.observation_id LIMIT ?4";
    SET_CHECKED = "UPDATE observation SET checked_ms = ?2 WHERE observation_id = ?1 AND gone_ms IS NULL";
    FILES_OF_ARTIFACT = concat!("
        SELECT f.file_id, f.name, m.hub, m.external_id AS model_external_id, v.external_id AS version_external_id,
            ", is_listed!(), " AS listed
        FROM file f JOIN version v USING (version_id) JOIN model m USING (model_id)
        WHERE f.artifact_id = ?1 AND f.library_file_id IS NULL ORDER BY listed DESC, f.file_id");
    /// Content that some file which was not removed is known by.
    WANTED_ARTIFACT = "
        SELECT a.artifact_id FROM artifact a WHERE a.sha256 = ?1 AND EXISTS (
            SELECT 1 FROM file f WHERE f.removed_ms IS NULL AND (f.artifact_id = a.artifact_id OR f.sha256 = a.sha256))";
    END_PLACE = "UPDATE observation SET gone_ms = ?2 WHERE observation_id = ?1 AND gone_ms IS NULL";
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
    /// Content that was not read for a while, what was not read for the longest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn at_rest(&self, query: &AtRestQuery<'_>) -> Result<Vec<AtRest>, CatalogueError> {
        let (after_ms, after_id) = query.after.map_or((i64::MIN, 0), |(time, id)| (time.unix_ms(), id.0));
        let rows: Vec<AtRestRow> = sqlx::query_as(AT_REST)
            .bind(query.before.unix_ms())
            .bind(query.only.map(|only| codec::id_list(only.iter().map(|artifact| artifact.0))))
            .bind(query.with_away)
            .bind(query.limit)
            .bind(after_ms)
            .bind(after_id)
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

    /// Records that content does not lie there any more. False when that is known, such as by somebody who looked at the
    /// same time.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn end_place(&self, place: ObservationId) -> Result<bool, CatalogueError> {
        let end = sqlx::query(END_PLACE).bind(place.0).bind(self.now().unix_ms());
        Ok(self.write_one("record that a file is gone", end).await? > 0)
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
                    version: codec::version_reference(Some(hub), &row.model_external_id, &row.version_external_id),
                    name: row.name,
                    listed: row.listed,
                })
            })
            .collect()
    }

    /// Records that content which is known already lies at paths again, such as on a disk that was a volume before.
    /// What was removed is left out. Returns how many were recorded.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn observe_known(&self, places: &[(Sha256, PathBuf)]) -> Result<u64, CatalogueError> {
        let attempt = "record where known content lies";
        let mut known = 0;
        let mut tx = self.write(attempt).await?;
        for (sha256, path) in places {
            let artifact: Option<i64> = sqlx::query_scalar(WANTED_ARTIFACT)
                .bind(&sha256.as_bytes()[..])
                .fetch_optional(&mut *tx)
                .await
                .map_err(could_not(attempt))?;
            let Some(artifact) = artifact.map(ArtifactId) else { continue };
            artifacts::observe(&mut tx, artifact, path, self.now()).await?;
            files::link_same_content(&mut tx, sha256, artifact, self.now()).await?;
            known += 1;
        }
        self.commit(tx, attempt).await?;
        Ok(known)
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
            let query = AtRestQuery { only, ..AtRestQuery::unread_since(Timestamp::from_unix_ms(before)) };
            let found = catalogue.at_rest(&query).await.unwrap();
            found.iter().map(|place| place.path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(listed(9_000, None).await, ["/store/1", "/store/2"]);
        assert_eq!(listed(1_500, None).await, ["/store/1"]);
        assert_eq!(listed(9_000, Some(&[places[1].0])).await, ["/store/2"]);
        let everything = AtRestQuery::unread_since(Timestamp::from_unix_ms(9_000));
        let first = catalogue.at_rest(&AtRestQuery { limit: 1, ..everything }).await.unwrap().remove(0);
        let rest = AtRestQuery { after: Some((first.sound_at, first.id)), ..everything };
        assert_eq!(catalogue.at_rest(&rest).await.unwrap().len(), 1);
        assert_eq!((first.size_bytes, first.volume, first.away), (1_234, None, false));
        catalogue.record_sound(first.id).await.unwrap();
        assert_eq!(listed(9_000, None).await, ["/store/2", "/store/1"]);

        let names = catalogue.files_of_artifact(places[0].0).await.unwrap();
        assert_eq!((names[0].version.to_string().as_str(), names[0].listed), ("civitai:1@10", true));

        // Gone, and found again elsewhere.
        assert!(catalogue.record_path_gone(Path::new("/store/1")).await.unwrap());
        let state = async || catalogue.model(places[0].2).await.unwrap().versions[0].files[0].state;
        assert_eq!(state().await, FileState::Absent);
        let found = [(first.sha256, "/other/1".into()), (Sha256::from_bytes([9; 32]), "/other/9".into())];
        assert_eq!(catalogue.observe_known(&found).await.unwrap(), 1);
        assert_eq!(state().await, FileState::Verified);
    }
}
