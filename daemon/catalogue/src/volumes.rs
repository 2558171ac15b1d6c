//! Volumes: folders that hold blobs beside the home's own, on disks that may come and go. What lies on one stays known
//! while it is away.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::VolumeId;
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::{ModelKind, Timestamp};
use sqlx::{FromRow, SqliteConnection};
use std::path::{Path, PathBuf};

/// A volume, with the rules that say what goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRecord {
    pub id: VolumeId,
    /// What stands in the folder itself.
    pub uid: String,
    /// The name for people.
    pub label: String,
    pub path: PathBuf,
    pub rules: VolumeRules,
    pub created_at: Timestamp,
    /// Since when it is not there.
    pub away_since: Option<Timestamp>,
}

/// A volume to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolume {
    pub uid: String,
    pub label: String,
    pub path: PathBuf,
    pub rules: VolumeRules,
}

/// What of a volume can be changed at any time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeRules {
    /// Models of these kinds go there.
    pub kinds: Vec<ModelKind>,
    /// What no other volume is named for goes there.
    pub everything_else: bool,
    /// What downloads leave free; none: as the configuration says.
    pub keep_free_bytes: Option<u64>,
}

/// What is said to lie on a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    pub files: u64,
    pub bytes: u64,
}

statements! {
    VOLUMES = "
        SELECT volume_id, uid, label, path, kinds, everything_else, keep_free_bytes, created_ms, away_ms
        FROM volume ORDER BY volume_id";
    VOLUME_LIKE = "SELECT label FROM volume WHERE uid = ?1 OR label = ?2 OR path = ?3 LIMIT 1";
    INSERT_VOLUME = "
        INSERT INTO volume (uid, label, path, kinds, everything_else, keep_free_bytes, created_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    SET_RULES = "UPDATE volume SET kinds = ?2, everything_else = ?3, keep_free_bytes = ?4 WHERE volume_id = ?1";
    SET_VOLUME_PATH = "UPDATE volume SET path = ?2, away_ms = NULL WHERE volume_id = ?1";
    /// ?2 and ?3 are the former path and the new one.
    MOVE_OBSERVATIONS = "
        UPDATE observation SET path = CAST(?3 || substr(path, length(?2) + 1) AS BLOB) WHERE volume_id = ?1";
    MOVE_REMOVED = "
        UPDATE removed_place SET path = CAST(?3 || substr(path, length(?2) + 1) AS BLOB) WHERE volume_id = ?1";
    SET_AWAY = "UPDATE volume SET away_ms = ?2 WHERE volume_id = ?1 AND (away_ms IS NULL) <> (?2 IS NULL)";
    FORGET_OBSERVATIONS = "
        UPDATE observation SET volume_id = NULL, gone_ms = coalesce(gone_ms, ?2) WHERE volume_id = ?1";
    FORGET_REMOVED = "DELETE FROM removed_place WHERE volume_id = ?1";
    DELETE_VOLUME = "DELETE FROM volume WHERE volume_id = ?1";
    HELD_ON_VOLUME = "
        SELECT count(*), coalesce(sum(a.size_bytes), 0) FROM observation o JOIN artifact a USING (artifact_id)
        WHERE o.volume_id = ?1 AND o.gone_ms IS NULL";
    HELD_BELOW = "
        SELECT count(*), coalesce(sum(a.size_bytes), 0) FROM observation o JOIN artifact a USING (artifact_id)
        WHERE o.volume_id IS NULL AND o.gone_ms IS NULL AND substr(o.path, 1, length(?1)) = ?1";
    VOLUME_PATHS = "SELECT volume_id, path FROM volume";
}

#[derive(FromRow)]
struct VolumeRow {
    volume_id: i64,
    uid: String,
    label: String,
    path: Vec<u8>,
    kinds: String,
    everything_else: bool,
    keep_free_bytes: Option<i64>,
    created_ms: i64,
    away_ms: Option<i64>,
}

impl VolumeRow {
    fn record(self) -> Result<VolumeRecord, CatalogueError> {
        let kinds = codec::texts("a volume's kinds", &self.kinds)?;
        Ok(VolumeRecord {
            id: VolumeId(self.volume_id),
            uid: self.uid,
            label: self.label,
            path: codec::path(&self.path),
            rules: VolumeRules {
                kinds: kinds.iter().filter_map(|kind| ModelKind::from_name(kind)).collect(),
                everything_else: self.everything_else,
                keep_free_bytes: self.keep_free_bytes.map(codec::counted),
            },
            created_at: Timestamp::from_unix_ms(self.created_ms),
            away_since: codec::time(self.away_ms),
        })
    }
}

pub(crate) fn kinds_json(kinds: &[ModelKind]) -> String {
    let names: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
    codec::text_list(&names)
}

/// The volume that `path` is on, if it is on any of them.
pub(crate) async fn of_path(connection: &mut SqliteConnection, path: &Path) -> Result<Option<i64>, CatalogueError> {
    let volumes: Vec<(i64, Vec<u8>)> =
        sqlx::query_as(VOLUME_PATHS).fetch_all(connection).await.map_err(could_not("read the volumes"))?;
    let on_it = |(_, root): &&(i64, Vec<u8>)| path.starts_with(codec::path(root));
    Ok(volumes.iter().filter(on_it).max_by_key(|(_, root)| root.len()).map(|(id, _)| *id))
}

impl Catalogue {
    /// Every volume but the home's own, the oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn volumes(&self) -> Result<Vec<VolumeRecord>, CatalogueError> {
        let rows: Vec<VolumeRow> =
            sqlx::query_as(VOLUMES).fetch_all(&self.readers).await.map_err(could_not("read the volumes"))?;
        rows.into_iter().map(VolumeRow::record).collect()
    }

    /// # Errors
    /// `VOLUME_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn volume(&self, label: &str) -> Result<VolumeRecord, CatalogueError> {
        let found = self.volumes().await?.into_iter().find(|volume| volume.label == label);
        found.ok_or_else(|| CatalogueError::VolumeNotFound { label: label.to_owned() })
    }

    /// # Errors
    /// `VOLUME_EXISTS` when there is one of that name, folder or identity; when the catalogue cannot be written.
    pub async fn add_volume(&self, new: &NewVolume) -> Result<VolumeRecord, CatalogueError> {
        let attempt = "record a volume";
        let mut tx = self.write(attempt).await?;
        let like: Option<String> = sqlx::query_scalar(VOLUME_LIKE)
            .bind(&new.uid)
            .bind(&new.label)
            .bind(codec::path_bytes(&new.path))
            .fetch_optional(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        if let Some(label) = like {
            return Err(CatalogueError::VolumeExists { label });
        }
        sqlx::query(INSERT_VOLUME)
            .bind(&new.uid)
            .bind(&new.label)
            .bind(codec::path_bytes(&new.path))
            .bind(kinds_json(&new.rules.kinds))
            .bind(new.rules.everything_else)
            .bind(new.rules.keep_free_bytes.map(codec::count))
            .bind(self.now().unix_ms())
            .execute(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        tx.commit().await.map_err(could_not(attempt))?;
        self.volume(&new.label).await
    }

    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn set_volume_rules(&self, volume: VolumeId, rules: &VolumeRules) -> Result<(), CatalogueError> {
        let set = sqlx::query(SET_RULES)
            .bind(volume.0)
            .bind(kinds_json(&rules.kinds))
            .bind(rules.everything_else)
            .bind(rules.keep_free_bytes.map(codec::count));
        self.write_one("change what goes to a volume", set).await.map(drop)
    }

    /// Records that a volume is mounted elsewhere by now, and everything on it with it.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn move_volume(&self, volume: &VolumeRecord, path: &Path) -> Result<(), CatalogueError> {
        let attempt = "record where a volume is";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let set = sqlx::query(SET_VOLUME_PATH).bind(volume.id.0).bind(codec::path_bytes(path));
        set.execute(&mut *tx).await.map_err(&failed)?;
        for statement in [MOVE_OBSERVATIONS, MOVE_REMOVED] {
            sqlx::query(statement)
                .bind(volume.id.0)
                .bind(codec::path_bytes(&volume.path))
                .bind(codec::path_bytes(path))
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
        }
        self.commit(tx, attempt).await
    }

    /// Records that a volume went away, or that it is back. False when that is known.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn set_volume_away(&self, volume: VolumeId, away: bool) -> Result<bool, CatalogueError> {
        let since = away.then(|| self.now().unix_ms());
        let set = sqlx::query(SET_AWAY).bind(volume.0).bind(since);
        Ok(self.write_one("record whether a volume is there", set).await? > 0)
    }

    /// Forgets a volume; what lay on it is known to lie there no more.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn delete_volume(&self, volume: VolumeId) -> Result<(), CatalogueError> {
        let attempt = "forget a volume";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let forget = sqlx::query(FORGET_OBSERVATIONS).bind(volume.0).bind(self.now().unix_ms());
        forget.execute(&mut *tx).await.map_err(&failed)?;
        sqlx::query(FORGET_REMOVED).bind(volume.0).execute(&mut *tx).await.map_err(&failed)?;
        sqlx::query(DELETE_VOLUME).bind(volume.0).execute(&mut *tx).await.map_err(&failed)?;
        self.commit(tx, attempt).await
    }

    /// What lies on a volume, as far as is known.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn held_on_volume(&self, volume: VolumeId) -> Result<Held, CatalogueError> {
        self.held(sqlx::query_as(HELD_ON_VOLUME).bind(volume.0)).await
    }

    /// What lies below a folder that is on no volume, such as the home's own store.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn held_below(&self, folder: &Path) -> Result<Held, CatalogueError> {
        self.held(sqlx::query_as(HELD_BELOW).bind(codec::path_prefix(folder))).await
    }

    async fn held(
        &self,
        query: sqlx::query::QueryAs<'_, sqlx::Sqlite, (i64, i64), sqlx::sqlite::SqliteArguments>,
    ) -> Result<Held, CatalogueError> {
        let (files, bytes) = query.fetch_one(&self.readers).await.map_err(could_not("count what lies on a volume"))?;
        Ok(Held { files: codec::counted(files), bytes: codec::counted(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileState;
    use crate::testing::{model, new_artifact, opened};
    use paintbox_domain::{Classify as _, reason};

    fn new(label: &str, path: &str, kinds: &[ModelKind]) -> NewVolume {
        NewVolume {
            uid: format!("uid of {label}"),
            label: label.to_owned(),
            path: path.into(),
            rules: VolumeRules { kinds: kinds.to_vec(), ..VolumeRules::default() },
        }
    }

    #[tokio::test]
    async fn what_lies_on_a_volume_is_away_with_it_and_back_with_it() {
        let (catalogue, _home) = opened().await;
        let big = catalogue.add_volume(&new("big", "/mnt/big", &[ModelKind::Checkpoint])).await.unwrap();
        assert_eq!((big.label.as_str(), big.away_since), ("big", None));
        let id = catalogue.record_models(&[model("1", "One")], None).await.unwrap()[0];
        let file = async || catalogue.model(id).await.unwrap().versions[0].files[0].clone();
        let there = PathBuf::from("/mnt/big/blobs/sha256/aa/aa");
        let content = new_artifact(file().await.sha256.unwrap(), there);
        catalogue.record_file(file().await.id, &content, true).await.unwrap();
        assert_eq!(file().await.state, FileState::Verified);
        let held = Held { files: 1, bytes: content.size_bytes };
        assert_eq!(catalogue.held_on_volume(big.id).await.unwrap(), held);
        assert_eq!(catalogue.held_below(Path::new("/mnt")).await.unwrap(), Held::default());

        assert!(catalogue.set_volume_away(big.id, true).await.unwrap());
        assert!(!catalogue.set_volume_away(big.id, true).await.unwrap(), "it is told once");
        let away = file().await;
        let artifact = away.artifact.as_ref().unwrap();
        assert_eq!(
            (away.state, &artifact.paths, &artifact.away_on),
            (FileState::Away, &vec![], &vec!["big".to_owned()])
        );
        assert_eq!(catalogue.held_on_volume(big.id).await.unwrap(), held, "it is still known");

        // Its disk is mounted elsewhere.
        catalogue.move_volume(&big, Path::new("/mnt/big 1")).await.unwrap();
        let back = file().await;
        assert_eq!(back.state, FileState::Verified);
        assert_eq!(back.artifact.unwrap().paths, [PathBuf::from("/mnt/big 1/blobs/sha256/aa/aa")]);

        catalogue.delete_volume(big.id).await.unwrap();
        assert_eq!(file().await.state, FileState::Absent);
        assert_eq!(catalogue.volumes().await.unwrap(), []);
        assert_eq!(catalogue.volume("big").await.unwrap_err().reason(), reason::VOLUME_NOT_FOUND);
    }

    #[tokio::test]
    async fn names_folders_and_identities_are_had_once_and_rules_can_change() {
        let (catalogue, _home) = opened().await;
        let big = catalogue.add_volume(&new("big", "/mnt/big", &[])).await.unwrap();
        for (label, path) in [("big", "/other"), ("other", "/mnt/big")] {
            let error = catalogue.add_volume(&new(label, path, &[])).await.unwrap_err();
            assert_eq!(error.reason(), reason::VOLUME_EXISTS, "{label} {path}");
        }
        let twin = NewVolume { uid: big.uid.clone(), ..new("twin", "/twin", &[]) };
        assert_eq!(catalogue.add_volume(&twin).await.unwrap_err().reason(), reason::VOLUME_EXISTS);

        let rules = VolumeRules {
            kinds: vec![ModelKind::Lora, ModelKind::Vae],
            everything_else: true,
            keep_free_bytes: Some(5),
        };
        catalogue.set_volume_rules(big.id, &rules).await.unwrap();
        let changed = catalogue.volume("big").await.unwrap();
        assert_eq!(changed.rules, rules);
    }
}
