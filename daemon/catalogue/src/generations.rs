//! Generations as rows: what was asked for, and what came of it. Their queue and their history are modules of their own.

pub(crate) mod history;
pub(crate) mod queue;

pub use history::{GenerationPage, GenerationQuery};
pub use queue::{Interruption, Recovered, Waiting, by_client};

use crate::assets::{self, Asset};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::ModelId;
use crate::journal::Happening;
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::generation::JobState;
use paintbox_domain::{Failure, Sha256, Timestamp};
use sqlx::{FromRow, Sqlite, SqliteConnection, Transaction};
use std::collections::HashMap;

const KIND: &str = "generation";

/// A generation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGeneration {
    /// Unique; made by the caller.
    pub uid: String,
    /// The client's own id for the request, by which a repetition is recognised.
    pub request_id: Option<String>,
    /// A digest of the request, to tell a repetition from another request with the same id.
    pub request_digest: Sha256,
    /// What to paint, in the caller's own JSON.
    pub spec_json: String,
    pub model: Option<ModelId>,
    pub prompt: String,
    /// Who asks.
    pub client: String,
    /// Higher first.
    pub priority: i32,
    /// It fails when it has not ended by then.
    pub expires_at: Option<Timestamp>,
    /// It is cancelled when its caller leaves, which the end of a daemon is too.
    pub is_tied: bool,
    /// Pictures that it starts from.
    pub inputs: Vec<Sha256>,
    /// The most that may wait, and of them for one client.
    pub limits: QueueLimits,
}

/// How many generations may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    pub all: u32,
    pub of_one_client: u32,
}

/// How a generation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum GenerationOutcome {
    Succeeded {
        /// The choices that were made, in the caller's own JSON.
        settings_json: String,
        /// In the order of their seeds; their bytes are in the store already.
        images: Vec<NewGenerationImage>,
    },
    Failed(Failure),
    Cancelled,
}

/// A picture that was painted and stored; its asset is recorded with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGenerationImage {
    pub asset: Asset,
    pub seed: u64,
    /// The recipe, as in the picture.
    pub parameters_text: String,
}

/// A picture of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationImage {
    pub asset: Sha256,
    pub media_type: String,
    pub size_bytes: u64,
    pub seed: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The recipe, as in the picture.
    pub parameters_text: String,
}

/// A generation.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationRecord {
    pub uid: String,
    pub request_id: Option<String>,
    pub spec_json: String,
    pub model: Option<ModelId>,
    pub prompt: String,
    pub state: JobState,
    /// Set once it has succeeded.
    pub settings_json: Option<String>,
    pub images: Vec<GenerationImage>,
    pub failure: Option<Failure>,
    pub client: String,
    pub priority: i32,
    /// Times that it was begun.
    pub attempts: u32,
    pub created_at: Timestamp,
    /// When it was last begun.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// It is cancelled when its caller leaves.
    pub is_tied: bool,
    pub deleted_at: Option<Timestamp>,
}

macro_rules! columns {
    () => {
        "generation_id, uid, request_id, request_digest, spec_json, model_id, prompt, state, settings_json, \
         failure_json, client, priority, attempts, created_ms, started_ms, ended_ms, expires_ms, is_tied, deleted_ms"
    };
}
pub(crate) use columns;

statements! {
    INSERT_GENERATION = concat!(
        "INSERT INTO generation (uid, request_id, request_digest, spec_json, model_id, prompt, state, created_ms, \
                                 client, priority, expires_ms, is_tied) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', ?7, ?8, ?9, ?10, ?11) RETURNING ", columns!()
    );
    GENERATION_BY_REQUEST = concat!("SELECT ", columns!(), " FROM generation WHERE request_id = ?1");
    GENERATION = concat!("SELECT ", columns!(), " FROM generation WHERE uid = ?1");
    COUNT_QUEUED = "
        SELECT count(*), coalesce(sum(client = ?1), 0) FROM generation WHERE state = 'queued'";
    START_GENERATION = concat!(
        "UPDATE generation SET state = 'running', started_ms = ?2, attempts = attempts + 1, \
         begun = (SELECT coalesce(max(begun), 0) + 1 FROM generation) \
         WHERE uid = ?1 AND state = 'queued' RETURNING ",
        columns!()
    );
    /// A generation that has ended never changes again.
    FINISH_GENERATION = "
        UPDATE generation SET state = ?2, settings_json = ?3, failure_json = ?4, ended_ms = ?5
        WHERE uid = ?1 AND state IN ('queued', 'running') RETURNING generation_id";
    INSERT_INPUT = "
        INSERT OR IGNORE INTO generation_input (generation_id, asset_id)
        SELECT ?1, asset_id FROM asset WHERE sha256 = ?2";
    INSERT_IMAGE = "
        INSERT INTO generation_image (generation_id, position, asset_id, seed, parameters_text)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    IMAGES_OF_GENERATIONS = "
        SELECT gi.generation_id, a.sha256, a.media_type, a.size_bytes, a.width, a.height, gi.seed, gi.parameters_text
        FROM generation_image gi JOIN asset a USING (asset_id)
        WHERE gi.generation_id IN (SELECT value FROM json_each(?1)) ORDER BY gi.generation_id, gi.position";
}

#[derive(FromRow)]
pub(crate) struct GenerationRow {
    pub(crate) generation_id: i64,
    uid: String,
    request_id: Option<String>,
    request_digest: Vec<u8>,
    spec_json: String,
    model_id: Option<i64>,
    prompt: String,
    state: String,
    settings_json: Option<String>,
    failure_json: Option<String>,
    client: String,
    priority: i32,
    attempts: i64,
    created_ms: i64,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    expires_ms: Option<i64>,
    is_tied: bool,
    deleted_ms: Option<i64>,
}

#[derive(FromRow)]
struct ImageRow {
    generation_id: i64,
    sha256: Vec<u8>,
    media_type: String,
    size_bytes: i64,
    width: i64,
    height: i64,
    seed: i64,
    parameters_text: String,
}

impl GenerationRow {
    pub(crate) fn record(self, images: Vec<GenerationImage>) -> Result<GenerationRecord, CatalogueError> {
        Ok(GenerationRecord {
            uid: self.uid,
            request_id: self.request_id,
            spec_json: self.spec_json,
            model: self.model_id.map(ModelId),
            prompt: self.prompt,
            state: codec::named("a generation's state", &self.state, JobState::from_name)?,
            settings_json: self.settings_json,
            images,
            failure: codec::failure(self.failure_json.as_deref())?,
            client: self.client,
            priority: self.priority,
            attempts: codec::small(self.attempts),
            created_at: Timestamp::from_unix_ms(self.created_ms),
            started_at: codec::time(self.started_ms),
            ended_at: codec::time(self.ended_ms),
            expires_at: codec::time(self.expires_ms),
            is_tied: self.is_tied,
            deleted_at: codec::time(self.deleted_ms),
        })
    }
}

impl GenerationRecord {
    /// Bytes of text in it, near enough.
    pub(crate) fn text_bytes(&self) -> usize {
        let recipes = self.images.iter().map(|image| image.parameters_text.len()).sum::<usize>();
        self.spec_json.len() + self.prompt.len() + recipes
    }
}

pub(crate) fn not_found(uid: &str) -> CatalogueError {
    CatalogueError::JobNotFound { kind: KIND, uid: uid.to_owned() }
}

/// The rows as records, with their images.
pub(crate) async fn records(
    connection: &mut SqliteConnection,
    rows: Vec<GenerationRow>,
) -> Result<Vec<GenerationRecord>, CatalogueError> {
    let found: Vec<ImageRow> = sqlx::query_as(IMAGES_OF_GENERATIONS)
        .bind(codec::id_list(rows.iter().map(|row| row.generation_id)))
        .fetch_all(connection)
        .await
        .map_err(could_not("read a generation's images"))?;
    let mut images: HashMap<i64, Vec<GenerationImage>> = HashMap::new();
    for row in found {
        images.entry(row.generation_id).or_default().push(GenerationImage {
            asset: codec::digest("an asset's SHA-256", &row.sha256)?,
            media_type: row.media_type,
            size_bytes: codec::counted(row.size_bytes),
            seed: row.seed.cast_unsigned(),
            width: codec::small(row.width),
            height: codec::small(row.height),
            parameters_text: row.parameters_text,
        });
    }
    rows.into_iter()
        .map(|row| {
            let images = images.remove(&row.generation_id).unwrap_or_default();
            row.record(images)
        })
        .collect()
}

pub(crate) async fn by_uid(connection: &mut SqliteConnection, uid: &str) -> Result<GenerationRecord, CatalogueError> {
    let row: Option<GenerationRow> = sqlx::query_as(GENERATION)
        .bind(uid)
        .fetch_optional(&mut *connection)
        .await
        .map_err(could_not("read a generation"))?;
    let row = row.ok_or_else(|| not_found(uid))?;
    records(connection, vec![row]).await?.pop().ok_or_else(|| not_found(uid))
}

impl Catalogue {
    /// Queues a generation. The same request id with the same digest returns the generation that it made before.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` when the request id came with another digest; `QUEUE_FULL` when as many wait as may; when the
    /// catalogue cannot be written.
    pub async fn create_generation(&self, new: &NewGeneration) -> Result<GenerationRecord, CatalogueError> {
        let attempt = "queue a generation";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        if let Some(request_id) = &new.request_id {
            let known: Option<GenerationRow> = sqlx::query_as(GENERATION_BY_REQUEST)
                .bind(request_id)
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            match known {
                Some(known) if known.request_digest == new.request_digest.as_bytes() => {
                    return by_uid(&mut tx, &known.uid).await;
                }
                Some(_) => {
                    return Err(CatalogueError::RequestIdReused { kind: KIND, request_id: request_id.clone() });
                }
                None => {}
            }
        }
        let (all, of_one_client): (u32, u32) =
            sqlx::query_as(COUNT_QUEUED).bind(&new.client).fetch_one(&mut *tx).await.map_err(&failed)?;
        let QueueLimits { all: most, of_one_client: most_of_one } = new.limits;
        if all >= most {
            return Err(CatalogueError::QueueFull { queued: all, limit: most, client: None });
        }
        if of_one_client >= most_of_one {
            let client = Some(new.client.clone());
            return Err(CatalogueError::QueueFull { queued: of_one_client, limit: most_of_one, client });
        }
        let row: GenerationRow = sqlx::query_as(INSERT_GENERATION)
            .bind(&new.uid)
            .bind(&new.request_id)
            .bind(&new.request_digest.as_bytes()[..])
            .bind(&new.spec_json)
            .bind(new.model.map(ModelId::get))
            .bind(&new.prompt)
            .bind(self.now().unix_ms())
            .bind(&new.client)
            .bind(new.priority)
            .bind(codec::time_ms(new.expires_at))
            .bind(new.is_tied)
            .fetch_one(&mut *tx)
            .await
            .map_err(&failed)?;
        for input in &new.inputs {
            let named = sqlx::query(INSERT_INPUT).bind(row.generation_id).bind(&input.as_bytes()[..]);
            named.execute(&mut *tx).await.map_err(&failed)?;
        }
        let record = row.record(Vec::new())?;
        self.commit_generation(tx, attempt, &record).await?;
        Ok(record)
    }

    /// Commits a change of a generation and notes it.
    pub(crate) async fn commit_generation(
        &self,
        tx: Transaction<'static, Sqlite>,
        attempt: &'static str,
        record: &GenerationRecord,
    ) -> Result<(), CatalogueError> {
        let _order = self.journal.in_order().await;
        tx.commit().await.map_err(could_not(attempt))?;
        self.journal.note(Happening::Generation(Box::new(record.clone())));
        Ok(())
    }

    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn generation(&self, uid: &str) -> Result<GenerationRecord, CatalogueError> {
        by_uid(&mut *self.reader("read a generation").await?, uid).await
    }

    /// Takes a generation out of the queue. None when it is no longer queued: somebody took or cancelled it first.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn start_generation(&self, uid: &str) -> Result<Option<GenerationRecord>, CatalogueError> {
        let attempt = "start a generation";
        let mut tx = self.write(attempt).await?;
        let row: Option<GenerationRow> = sqlx::query_as(START_GENERATION)
            .bind(uid)
            .bind(self.now().unix_ms())
            .fetch_optional(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        let record = row.map(|row| row.record(Vec::new())).transpose()?;
        if let Some(record) = &record {
            self.commit_generation(tx, attempt, record).await?;
        }
        Ok(record)
    }

    /// Records how a generation ended, queued or running, with its pictures and their assets in one transaction.
    /// One that has ended already stays as it is. Returns the generation as it is now.
    ///
    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be written.
    pub async fn finish_generation(
        &self,
        uid: &str,
        outcome: &GenerationOutcome,
    ) -> Result<GenerationRecord, CatalogueError> {
        let attempt = "record how a generation ended";
        let now = self.now();
        let (state, settings, failure, images): (_, _, _, &[NewGenerationImage]) = match outcome {
            GenerationOutcome::Succeeded { settings_json, images } => {
                (JobState::Succeeded, Some(settings_json), None, images)
            }
            GenerationOutcome::Failed(failure) => (JobState::Failed, None, Some(codec::failure_json(failure)), &[]),
            GenerationOutcome::Cancelled => (JobState::Cancelled, None, None, &[]),
        };
        let mut tx = self.write(attempt).await?;
        let ended: Option<i64> = sqlx::query_scalar(FINISH_GENERATION)
            .bind(uid)
            .bind(state.as_str())
            .bind(settings)
            .bind(failure)
            .bind(now.unix_ms())
            .fetch_optional(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        if let Some(generation) = ended {
            for (index, image) in images.iter().enumerate() {
                let asset = assets::record(&mut tx, &image.asset, now).await?;
                sqlx::query(INSERT_IMAGE)
                    .bind(generation)
                    .bind(codec::position(index))
                    .bind(asset)
                    .bind(image.seed.cast_signed())
                    .bind(&image.parameters_text)
                    .execute(&mut *tx)
                    .await
                    .map_err(could_not(attempt))?;
            }
        }
        let record = by_uid(&mut tx, uid).await?;
        if ended.is_some() {
            self.commit_generation(tx, attempt, &record).await?;
        }
        Ok(record)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::{asset, opened, sha};
    use paintbox_domain::{Classify, reason};

    pub(crate) fn new(uid: &str, request_id: Option<&str>, digest: u8) -> NewGeneration {
        NewGeneration {
            uid: uid.into(),
            request_id: request_id.map(Into::into),
            request_digest: sha(digest),
            spec_json: "{\"prompt\":\"red heart\"}".into(),
            model: None,
            prompt: "red heart".into(),
            client: "socket".into(),
            priority: 0,
            expires_at: None,
            is_tied: false,
            inputs: Vec::new(),
            limits: QueueLimits { all: u32::MAX, of_one_client: u32::MAX },
        }
    }

    #[tokio::test]
    async fn a_generation_runs_once_and_ends_with_its_pictures() {
        let (catalogue, _home) = opened().await;
        let queued = catalogue.create_generation(&new("a", None, 1)).await.unwrap();
        assert_eq!((queued.state, queued.images.len()), (JobState::Queued, 0));
        catalogue.create_generation(&new("b", None, 1)).await.unwrap();
        let next = || async { catalogue.waiting_generations().await.unwrap()[0].uid.clone() };
        assert_eq!(next().await, "a");
        let running = catalogue.start_generation("a").await.unwrap().unwrap();
        assert_eq!(running.state, JobState::Running);
        assert_eq!(catalogue.start_generation("a").await.unwrap(), None, "the race is lost");
        assert_eq!(next().await, "b");

        let images = [(7, u64::MAX), (8, 0)].map(|(byte, seed)| NewGenerationImage {
            asset: asset(byte),
            seed,
            parameters_text: format!("red heart\nSeed: {seed}"),
        });
        let outcome = GenerationOutcome::Succeeded { settings_json: "{}".into(), images: images.to_vec() };
        let done = catalogue.finish_generation("a", &outcome).await.unwrap();
        assert_eq!((done.state, done.settings_json.as_deref()), (JobState::Succeeded, Some("{}")));
        assert_eq!(done.images.iter().map(|image| image.seed).collect::<Vec<_>>(), [u64::MAX, 0]);
        assert_eq!((done.images[0].asset, done.images[0].width, done.images[0].size_bytes), (sha(7), 64, 1_000));
        assert_eq!(catalogue.asset(&sha(7)).await.unwrap(), Some(asset(7)));
        assert_eq!(catalogue.finish_generation("a", &GenerationOutcome::Cancelled).await.unwrap(), done);
        assert_eq!(catalogue.generation("a").await.unwrap(), done);
    }

    #[tokio::test]
    async fn one_that_waits_can_be_cancelled_and_is_not_started_then() {
        let (catalogue, _home) = opened().await;
        catalogue.create_generation(&new("a", None, 1)).await.unwrap();
        let cancelled = catalogue.finish_generation("a", &GenerationOutcome::Cancelled).await.unwrap();
        assert_eq!((cancelled.state, cancelled.started_at), (JobState::Cancelled, None));
        assert_eq!(catalogue.start_generation("a").await.unwrap(), None);
        assert_eq!(catalogue.waiting_generations().await.unwrap(), []);
        let missing = catalogue.finish_generation("x", &GenerationOutcome::Cancelled).await.unwrap_err();
        assert_eq!(missing.reason(), reason::JOB_NOT_FOUND);
    }

    #[tokio::test]
    async fn a_repeated_request_returns_the_same_generation() {
        let (catalogue, _home) = opened().await;
        let first = catalogue.create_generation(&new("a", Some("r"), 1)).await.unwrap();
        assert_eq!(catalogue.create_generation(&new("b", Some("r"), 1)).await.unwrap(), first);
        let other = catalogue.create_generation(&new("c", Some("r"), 2)).await.unwrap_err();
        assert_eq!(other.reason(), reason::REQUEST_ID_REUSED);
    }
}
