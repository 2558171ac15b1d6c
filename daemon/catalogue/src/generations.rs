//! Generations as rows: a queue that outlives the daemon, and what came of each request.

use crate::assets::{self, Asset};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::ModelId;
use crate::open::Catalogue;
use crate::page;
use crate::statements::statements;
use paintbox_domain::generation::JobState;
use paintbox_domain::{Failure, Sha256, Timestamp};
use sqlx::{FromRow, SqliteConnection};
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
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// Which generations to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenerationQuery {
    pub state: Option<JobState>,
    /// 0 means 50; more than 500 means 500.
    pub page_size: u32,
    pub page_token: Option<String>,
}

/// One page of generations.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationPage {
    pub generations: Vec<GenerationRecord>,
    /// None on the last page.
    pub next_page_token: Option<String>,
}

macro_rules! columns {
    () => {
        "generation_id, uid, request_id, request_digest, spec_json, model_id, prompt, state, settings_json, \
         failure_json, created_ms, started_ms, ended_ms"
    };
}

statements! {
    INSERT_GENERATION = concat!(
        "INSERT INTO generation (uid, request_id, request_digest, spec_json, model_id, prompt, state, created_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', ?7) RETURNING ", columns!()
    );
    GENERATION_BY_REQUEST = concat!("SELECT ", columns!(), " FROM generation WHERE request_id = ?1");
    GENERATION = concat!("SELECT ", columns!(), " FROM generation WHERE uid = ?1");
    GENERATIONS = concat!(
        "SELECT ", columns!(), " FROM generation WHERE generation_id < ?1 AND (?2 IS NULL OR state = ?2) \
         ORDER BY generation_id DESC LIMIT ?3"
    );
    NEXT_QUEUED = concat!(
        "SELECT ", columns!(), " FROM generation WHERE state = 'queued' ORDER BY generation_id LIMIT 1"
    );
    COUNT_QUEUED = "SELECT count(*) FROM generation WHERE state = 'queued'";
    START_GENERATION = concat!(
        "UPDATE generation SET state = 'running', started_ms = ?2 WHERE uid = ?1 AND state = 'queued' RETURNING ",
        columns!()
    );
    /// A generation that has ended never changes again.
    FINISH_GENERATION = "
        UPDATE generation SET state = ?2, settings_json = ?3, failure_json = ?4, ended_ms = ?5
        WHERE uid = ?1 AND state IN ('queued', 'running') RETURNING generation_id";
    INSERT_IMAGE = "
        INSERT INTO generation_image (generation_id, position, asset_id, seed, parameters_text)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    IMAGES_OF_GENERATIONS = "
        SELECT gi.generation_id, a.sha256, a.media_type, a.size_bytes, a.width, a.height, gi.seed, gi.parameters_text
        FROM generation_image gi JOIN asset a USING (asset_id)
        WHERE gi.generation_id IN (SELECT value FROM json_each(?1)) ORDER BY gi.generation_id, gi.position";
}

#[derive(FromRow)]
struct GenerationRow {
    generation_id: i64,
    uid: String,
    request_id: Option<String>,
    request_digest: Vec<u8>,
    spec_json: String,
    model_id: Option<i64>,
    prompt: String,
    state: String,
    settings_json: Option<String>,
    failure_json: Option<String>,
    created_ms: i64,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
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
    fn record(self, images: Vec<GenerationImage>) -> Result<GenerationRecord, CatalogueError> {
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
            created_at: Timestamp::from_unix_ms(self.created_ms),
            started_at: codec::time(self.started_ms),
            ended_at: codec::time(self.ended_ms),
        })
    }
}

fn not_found(uid: &str) -> CatalogueError {
    CatalogueError::JobNotFound { kind: KIND, uid: uid.to_owned() }
}

/// The rows as records, with their images.
async fn records(
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

async fn by_uid(connection: &mut SqliteConnection, uid: &str) -> Result<GenerationRecord, CatalogueError> {
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
    /// `REQUEST_ID_REUSED` when the request id came with another digest; when the catalogue cannot be written.
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
        let row: GenerationRow = sqlx::query_as(INSERT_GENERATION)
            .bind(&new.uid)
            .bind(&new.request_id)
            .bind(&new.request_digest.as_bytes()[..])
            .bind(&new.spec_json)
            .bind(new.model.map(ModelId::get))
            .bind(&new.prompt)
            .bind(self.now().unix_ms())
            .fetch_one(&mut *tx)
            .await
            .map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        row.record(Vec::new())
    }

    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn generation(&self, uid: &str) -> Result<GenerationRecord, CatalogueError> {
        by_uid(&mut *self.read("read a generation").await?, uid).await
    }

    /// Generations, newest first.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID` when the token is from a listing with another filter; when the catalogue cannot be read.
    pub async fn generations(&self, query: &GenerationQuery) -> Result<GenerationPage, CatalogueError> {
        let attempt = "read generations";
        let listing = format!("generations {:?}", query.state);
        let [before] = page::keys(&listing, query.page_token.as_deref())?.unwrap_or([i64::MAX]);
        let size = page::size(query.page_size);
        let mut tx = self.read(attempt).await?;
        let mut rows: Vec<GenerationRow> = sqlx::query_as(GENERATIONS)
            .bind(before)
            .bind(query.state.map(JobState::as_str))
            .bind(codec::position(size + 1))
            .fetch_all(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        let more = rows.len() > size;
        rows.truncate(size);
        let next_page_token = rows.last().filter(|_| more).map(|last| page::token(&listing, [last.generation_id]));
        Ok(GenerationPage { generations: records(&mut tx, rows).await?, next_page_token })
    }

    /// The generation that has waited longest, left in the queue; [`Self::start_generation`] takes it.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn next_queued(&self) -> Result<Option<GenerationRecord>, CatalogueError> {
        let row: Option<GenerationRow> =
            sqlx::query_as(NEXT_QUEUED).fetch_optional(&self.readers).await.map_err(could_not("read the queue"))?;
        row.map(|row| row.record(Vec::new())).transpose()
    }

    /// How many generations wait.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn queued_generations(&self) -> Result<u32, CatalogueError> {
        let count: i64 =
            sqlx::query_scalar(COUNT_QUEUED).fetch_one(&self.readers).await.map_err(could_not("read the queue"))?;
        Ok(codec::small(count))
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
        tx.commit().await.map_err(could_not(attempt))?;
        row.map(|row| row.record(Vec::new())).transpose()
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
        tx.commit().await.map_err(could_not(attempt))?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{asset, opened, sha};
    use paintbox_domain::{Classify, ErrorClass, reason};

    fn new(uid: &str, request_id: Option<&str>, digest: u8) -> NewGeneration {
        NewGeneration {
            uid: uid.into(),
            request_id: request_id.map(Into::into),
            request_digest: sha(digest),
            spec_json: "{\"prompt\":\"red heart\"}".into(),
            model: None,
            prompt: "red heart".into(),
        }
    }

    #[tokio::test]
    async fn a_generation_runs_once_and_ends_with_its_pictures() {
        let (catalogue, _home) = opened().await;
        let queued = catalogue.create_generation(&new("a", None, 1)).await.unwrap();
        assert_eq!((queued.state, queued.images.len()), (JobState::Queued, 0));
        catalogue.create_generation(&new("b", None, 1)).await.unwrap();
        assert_eq!(catalogue.next_queued().await.unwrap(), Some(queued));
        let running = catalogue.start_generation("a").await.unwrap().unwrap();
        assert_eq!(running.state, JobState::Running);
        assert_eq!(catalogue.start_generation("a").await.unwrap(), None, "the race is lost");
        assert_eq!(catalogue.next_queued().await.unwrap().unwrap().uid, "b");

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
        assert_eq!(catalogue.next_queued().await.unwrap(), None);
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

    #[tokio::test]
    async fn generations_are_listed_newest_first_by_state() {
        let (catalogue, _home) = opened().await;
        for uid in ["a", "b", "c", "d"] {
            catalogue.create_generation(&new(uid, None, 1)).await.unwrap();
        }
        let failure = Failure::new(ErrorClass::Internal, reason::ENGINE_FAILED, "no");
        let failed = catalogue.finish_generation("b", &GenerationOutcome::Failed(failure.clone())).await.unwrap();
        assert_eq!(failed.failure, Some(failure));
        let mut query = GenerationQuery { state: Some(JobState::Queued), page_size: 2, page_token: None };
        let first = catalogue.generations(&query).await.unwrap();
        assert_eq!(first.generations.iter().map(|one| one.uid.as_str()).collect::<Vec<_>>(), ["d", "c"]);
        query.page_token = first.next_page_token;
        let second = catalogue.generations(&query).await.unwrap();
        assert_eq!((second.generations.len(), second.generations[0].uid.as_str()), (1, "a"));
        query.state = None;
        assert_eq!(catalogue.generations(&query).await.unwrap_err().reason(), reason::PAGE_TOKEN_INVALID);
    }
}
