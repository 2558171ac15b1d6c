//! The durable queue: accept, watch, cancel. The rows are the queue; memory holds only what is going on right now.

use crate::check::check;
use crate::error::GenerationError;
use crate::given;
use crate::history::{self, HistoryFilter};
use crate::live::{GenerationEvent, Live, Looks};
use crate::resolve::{self, Resolver};
use crate::spec_json::spec_to_json;
use crate::turns::Turns;
use crate::worker::{Worker, WorkerHandle};
use arc_swap::ArcSwap;
use futures::{Stream, StreamExt as _};
use paintbox_catalogue::{
    Catalogue, GenerationOutcome, GenerationPage, GenerationQuery, GenerationRecord, Happening, Interruption, JobKind,
    NewGeneration, QueueLimits, Waiting, Watched,
};
use paintbox_domain::generation::{GenerationSpec, Generator, Inspector, JobState, Progress};
use paintbox_domain::surroundings::Wakefulness;
use paintbox_domain::{Sha256, Timestamp};
use paintbox_store::Store;
use sha2::Digest as _;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The least and the most urgent.
const PRIORITIES: std::ops::RangeInclusive<i32> = -100..=100;
const LONGEST_CLIENT_CHARS: usize = 64;
/// How often what is old is looked for.
const BETWEEN_TIDYING: Duration = Duration::from_secs(24 * 3600);
/// While something is to happen at a time, the clock is looked at as often, since it may be set and machines sleep.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the queue is made of.
pub struct GenerationParts {
    pub catalogue: Catalogue,
    pub store: Store,
    pub generator: Box<dyn Generator>,
    pub settings: Settings,
    /// Kept while there is something to paint; `None`: the machine may fall asleep meanwhile.
    pub wakefulness: Option<Arc<dyn Wakefulness>>,
}

/// What people decide about painting, and may decide otherwise while the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub limits: QueueLimits,
    /// What becomes of what is being painted when the daemon ends in order.
    pub interruption: Interruption,
    pub retention: Retention,
    /// How long a model stays in memory when nothing is queued; `None` for ever.
    pub keep_warm: Option<Duration>,
}

/// How long the history lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// What ended longer ago is deleted by itself; `None`: nothing is.
    pub keep: Option<Duration>,
    /// What was deleted can be had back for so long.
    pub trash: Duration,
}

impl std::fmt::Debug for GenerationParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenerationParts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A generation that somebody asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ask {
    pub spec: GenerationSpec,
    /// Makes a repeated call return the same generation.
    pub request_id: Option<String>,
    /// How the caller came.
    pub caller: String,
    /// The name that it gave; may be empty.
    pub client: String,
    pub priority: i32,
    /// It fails when it has not ended by then.
    pub expires_at: Option<Timestamp>,
    /// Its caller cancels it when it leaves, so that nobody wants it once the daemon has ended.
    pub is_tied: bool,
}

impl Ask {
    /// Who takes turns with others.
    fn client(&self) -> Result<String, GenerationError> {
        let invalid = |field, problem: String| Err(GenerationError::Invalid { field, problem });
        if !PRIORITIES.contains(&self.priority) {
            let problem = format!("{} is not between {} and {}", self.priority, PRIORITIES.start(), PRIORITIES.end());
            return invalid("priority", problem);
        }
        if self.client.chars().count() > LONGEST_CLIENT_CHARS || self.client.chars().any(char::is_control) {
            let problem =
                format!("a name has at most {LONGEST_CLIENT_CHARS} characters, none of which controls anything");
            return invalid("client", problem);
        }
        let caller = if self.caller.is_empty() { "socket" } else { &self.caller };
        Ok(match self.client.trim() {
            "" => caller.to_owned(),
            name => format!("{caller}/{name}"),
        })
    }
}

/// How the queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    pub is_paused: bool,
    /// What waits, in the order of turns.
    pub order: Vec<Waiting>,
    /// What is being painted.
    pub running: Option<String>,
    pub limits: QueueLimits,
}

/// A cheap handle to this daemon's generations.
#[derive(Debug, Clone)]
pub struct Generations {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) catalogue: Catalogue,
    pub(crate) resolver: Resolver,
    pub(crate) store: Store,
    live: Mutex<HashMap<String, Arc<Live>>>,
    settings: ArcSwap<Settings>,
    pub(crate) turns: Mutex<Turns>,
    worker: WorkerHandle,
    headers: Arc<dyn Inspector>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Generations {
    /// Starts the worker thread, which goes on with what is queued. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(parts: GenerationParts) -> Self {
        let headers = parts.generator.inspector();
        let (worker, handle) = Worker::new(parts.generator, parts.wakefulness);
        let inner = Arc::new(Inner {
            resolver: Resolver { catalogue: parts.catalogue.clone(), digests: Arc::default() },
            catalogue: parts.catalogue,
            store: parts.store,
            live: Mutex::default(),
            settings: ArcSwap::from_pointee(parts.settings),
            turns: Mutex::default(),
            worker: handle,
            headers,
        });
        worker.spawn(&inner);
        let this = Self { inner };
        tokio::spawn(this.clone().keep_time());
        this
    }

    /// Goes on with other settings. What is queued stays so, whatever the limits are by now.
    pub fn adopt(&self, settings: Settings) {
        self.inner.settings.store(Arc::new(settings));
        // Both rest until something is due, which may be sooner by now.
        self.inner.worker.nudge();
        self.inner.worker.watch_the_clock();
    }

    /// Checks a request and queues it.
    ///
    /// # Errors
    /// When the request is wrong, the model is not here, or the queue is full.
    pub async fn create(&self, ask: &Ask) -> Result<GenerationRecord, GenerationError> {
        let spec = &ask.spec;
        check(spec)?;
        let client = ask.client()?;
        if self.inner.worker.is_stopping() {
            return Err(GenerationError::ShuttingDown);
        }
        let catalogue = &self.inner.catalogue;
        // Resolved now, so that the mistake is told to whoever made it; resolved again when it is painted.
        let resolver = &self.inner.resolver;
        let model = if spec.paints() { resolve::named(resolver, spec).await?.model.id } else { None };
        if let Some(upscale) = &spec.upscale {
            resolve::upscale(resolver, upscale).await?;
        }
        for sha256 in given::assets(spec) {
            catalogue.asset(&sha256).await?.ok_or(GenerationError::NoSuchAsset { sha256 })?;
        }
        let spec_json = spec_to_json(spec);
        let mut chosen = spec.clone();
        if chosen.seed.is_none() {
            chosen.seed = Some(random_seed());
        }
        if chosen.noise.subseed.is_none() && chosen.noise.variation().is_some() {
            chosen.noise.subseed = Some(random_seed());
        }
        let new = NewGeneration {
            uid: uuid::Uuid::new_v4().to_string(),
            request_id: ask.request_id.clone(),
            request_digest: Sha256::from_bytes(sha2::Sha256::digest(spec_json.as_bytes()).into()),
            spec_json: spec_to_json(&chosen),
            model,
            prompt: spec.prompt.clone(),
            client,
            priority: ask.priority,
            expires_at: ask.expires_at,
            is_tied: ask.is_tied,
            inputs: given::assets(spec).collect(),
            limits: self.inner.settings().limits,
        };
        // There before the worker can see the row.
        self.inner.live().insert(new.uid.clone(), Live::new(catalogue, &new.uid, new.expires_at));
        let created = catalogue.create_generation(&new).await;
        if !matches!(&created, Ok(record) if record.uid == new.uid) {
            self.inner.live().remove(&new.uid);
        }
        let record = created?;
        self.inner.worker.nudge();
        if record.expires_at.is_some() {
            self.inner.worker.watch_the_clock();
        }
        Ok(record)
    }

    pub(crate) fn worker(&self) -> &WorkerHandle {
        &self.inner.worker
    }

    pub(crate) fn headers(&self) -> &Arc<dyn Inspector> {
        &self.inner.headers
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.inner.catalogue
    }

    pub(crate) fn resolver(&self) -> &Resolver {
        &self.inner.resolver
    }

    /// # Errors
    /// When there is no such generation.
    pub async fn get(&self, uid: &str) -> Result<GenerationRecord, GenerationError> {
        Ok(self.inner.catalogue.generation(uid).await?)
    }

    /// The latest progress of a generation that is running.
    #[must_use]
    pub fn progress(&self, uid: &str) -> Option<Progress> {
        self.inner.catalogue.journal().generation_progress(uid)
    }

    /// The history as far as it passes, newest first.
    ///
    /// # Errors
    /// When the page token is not of this listing.
    pub async fn list(
        &self,
        query: &GenerationQuery,
        filter: &HistoryFilter,
    ) -> Result<GenerationPage, GenerationError> {
        Ok(self.inner.catalogue.generations(query, &|record| history::passes(filter, record)).await?)
    }

    /// For how long what was deleted can be had back.
    #[must_use]
    pub fn trash_time(&self) -> Duration {
        self.inner.settings().retention.trash
    }

    /// Whether a picture is being painted now.
    #[must_use]
    pub fn is_painting(&self) -> bool {
        self.inner.worker.running().is_some()
    }

    /// How the queue is.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn queue(&self) -> Result<QueueState, GenerationError> {
        let waiting = self.inner.catalogue.waiting_generations().await?;
        Ok(QueueState {
            is_paused: self.inner.catalogue.generation_queue_is_paused().await?,
            order: self.inner.turns().order(waiting),
            running: self.inner.worker.running(),
            limits: self.inner.settings().limits,
        })
    }

    /// Begins no further generation until it is resumed. What is being painted goes on.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn pause(&self, paused: bool) -> Result<(), GenerationError> {
        self.inner.catalogue.pause_generation_queue(paused).await?;
        self.inner.worker.nudge();
        Ok(())
    }

    /// Changes the priority of one that waits.
    ///
    /// # Errors
    /// When there is no such generation, or it does not wait.
    pub async fn set_priority(&self, uid: &str, priority: i32) -> Result<GenerationRecord, GenerationError> {
        Ask { priority, ..Ask::default() }.client()?;
        Ok(self.inner.catalogue.set_generation_priority(uid, priority).await?)
    }

    /// Puts one that waits right before another of the same client and priority, or before all of them.
    ///
    /// # Errors
    /// When there is no such generation, or one of the two does not wait there.
    pub async fn reorder(&self, uid: &str, before: Option<&str>) -> Result<GenerationRecord, GenerationError> {
        Ok(self.inner.catalogue.reorder_generation(uid, before).await?)
    }

    /// Takes one that has ended out of the history, or back into it.
    ///
    /// # Errors
    /// When there is no such generation, or it has not ended.
    pub async fn delete(&self, uid: &str, deleted: bool) -> Result<GenerationRecord, GenerationError> {
        Ok(self.inner.catalogue.delete_generation(uid, deleted).await?)
    }

    /// Stops a generation within a layer of whichever network is at work and returns it as it ended. One that has ended stays as it is.
    ///
    /// # Errors
    /// When there is no such generation.
    pub async fn cancel(&self, uid: &str) -> Result<GenerationRecord, GenerationError> {
        let live = self.inner.live().get(uid).cloned();
        if let Some(live) = &live {
            live.cancel();
        }
        match (self.get(uid).await?.state, live) {
            // No worker would see the wish. One that takes the row in this moment sees it before its first step, and
            // the row, which has ended, stays as it is.
            (JobState::Queued, _) => self.inner.finish(uid, &GenerationOutcome::Cancelled).await,
            (JobState::Running, Some(live)) => live.ended().await,
            _ => {}
        }
        self.get(uid).await
    }

    /// The current state at once, then every change of state and the latest progress, each with its sequence number, which
    /// never gets smaller; ends with the generation. With `after`, what happened behind that number in its place, as far as
    /// it is known. Leaving the stream does not cancel. `with_previews` shows the picture while it is painted, at most twice
    /// a second.
    ///
    /// # Errors
    /// When there is no such generation.
    pub async fn watch(
        &self,
        uid: &str,
        with_previews: bool,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = Result<(u64, GenerationEvent), GenerationError>> + Send + use<>, GenerationError>
    {
        let (of_it, catalogue, looked_up) = (uid.to_owned(), self.inner.catalogue.clone(), uid.to_owned());
        let kind = JobKind {
            look_up: Box::new(move || {
                let (catalogue, uid) = (catalogue.clone(), looked_up.clone());
                Box::pin(async move { Ok(Box::new(catalogue.generation(&uid).await?)) })
            }),
            concerns: Box::new(move |happening| match happening {
                Happening::Generation(record) => record.uid == of_it,
                Happening::GenerationProgress { uid, .. } => *uid == of_it,
                _ => false,
            }),
            state: |happening| match happening {
                Happening::Generation(record) => Some(record.clone()),
                _ => None,
            },
            has_ended: |record| record.state.is_terminal(),
        };
        let journal = self.inner.catalogue.journal();
        let watched = journal.watch_job::<_, GenerationError>(after, kind).await?;
        let mut looks = match with_previews {
            true => self.looks(uid).await?,
            false => None,
        };
        // Of one that is being painted by now, how far it is; it may take long until it is further.
        let mut progress = after.is_none().then(|| journal.generation_progress(uid)).flatten();
        Ok(async_stream::stream! {
            let mut watched = std::pin::pin!(watched);
            let mut position = 0;
            loop {
                let look = async {
                    match &mut looks {
                        Some(looks) => looks.next().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    item = watched.next() => match item {
                        None => return,
                        Some(Err(error)) => yield Err(error),
                        Some(Ok((sequence, Watched::State(record)))) => {
                            position = sequence;
                            let is_running = record.state == JobState::Running;
                            yield Ok((sequence, GenerationEvent::State(record)));
                            if let Some(progress) = progress.take().filter(|_| is_running) {
                                yield Ok((sequence, GenerationEvent::Progress(progress)));
                            }
                        }
                        Some(Ok((sequence, Watched::Other(entry)))) => {
                            position = sequence;
                            if let Happening::GenerationProgress { progress, .. } = &entry.happening {
                                yield Ok((sequence, GenerationEvent::Progress(*progress)));
                            }
                        }
                    },
                    preview = look => yield Ok((position, GenerationEvent::Preview(preview))),
                }
            }
        })
    }

    /// Looks at the picture of one that has not ended.
    async fn looks(&self, uid: &str) -> Result<Option<Looks>, GenerationError> {
        let record = self.get(uid).await?;
        Ok((!record.state.is_terminal()).then(|| self.inner.live_of(uid, record.expires_at).looks()))
    }

    /// Ends what waits too long when its time is over, and deletes and purges what is old.
    async fn keep_time(self) {
        let worker = self.inner.worker.clone();
        let mut tidied: Option<(Timestamp, Retention)> = None;
        while !worker.is_stopping() {
            let catalogue = &self.inner.catalogue;
            let (now, retention) = (catalogue.now(), self.inner.settings().retention);
            let kept = async {
                for expired in catalogue.expire_generations().await? {
                    self.inner.forget(&expired.uid);
                }
                if tidied.is_none_or(|(at, by)| now.since(at) >= BETWEEN_TIDYING || by != retention) {
                    if let Some(keep) = retention.keep {
                        catalogue.delete_old_generations(now.minus(keep)).await?;
                    }
                    catalogue.purge_generations(now.minus(retention.trash)).await?;
                    tidied = Some((now, retention));
                }
                catalogue.next_generation_expiry().await
            };
            let next = match kept.await {
                Ok(Some(next)) => next.since(now).min(LONGEST_WAIT),
                Ok(None) => BETWEEN_TIDYING,
                Err(error) => {
                    tracing::error!(%error, "cannot look after the queue");
                    LONGEST_WAIT
                }
            };
            worker.rest_for(next).await;
        }
    }

    /// Stops the running generation, which waits again for the next daemon or is called interrupted, and waits for the worker
    /// to end. What is queued stays queued.
    pub async fn shut_down(&self) {
        self.inner.worker.stop();
        let running: Vec<_> = self.inner.live().values().cloned().collect();
        for live in running {
            live.cancel();
        }
        self.inner.worker.ended().await;
    }
}

impl Inner {
    pub(crate) fn settings(&self) -> Settings {
        **self.settings.load()
    }

    pub(crate) fn live(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The live part of a row; one that an earlier daemon queued gets its own now.
    pub(crate) fn live_of(&self, uid: &str, expires_at: Option<Timestamp>) -> Arc<Live> {
        let new = || Live::new(&self.catalogue, uid, expires_at);
        self.live().entry(uid.to_owned()).or_insert_with(new).clone()
    }

    /// The row has its last state.
    pub(crate) fn forget(&self, uid: &str) {
        if let Some(live) = self.live().remove(uid) {
            live.end();
        }
    }

    pub(crate) fn turns(&self) -> Turns {
        *self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_turns(&self, turns: Turns) {
        *self.turns.lock().unwrap_or_else(PoisonError::into_inner) = turns;
    }

    pub(crate) async fn finish(&self, uid: &str, outcome: &GenerationOutcome) {
        if let Err(error) = self.catalogue.finish_generation(uid, outcome).await {
            tracing::error!(%error, uid, "cannot record the end of a generation");
        }
        self.forget(uid);
    }
}

/// A seed that A1111 and ComfyUI can also hold: 32 bits, from the random part of a UUID.
fn random_seed() -> u64 {
    let [.., a, b, c, d] = uuid::Uuid::new_v4().into_bytes();
    u64::from(u32::from_le_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests;
