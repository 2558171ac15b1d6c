//! The durable queue: accept, watch, cancel. The rows are the queue; memory holds only what is going on right now.

use crate::check::check;
use crate::error::GenerationError;
use crate::given;
use crate::live::{GenerationEvent, Live};
use crate::resolve::{self, Resolver};
use crate::spec_json::spec_to_json;
use crate::worker::{Worker, WorkerHandle};
use futures::Stream;
use paintbox_catalogue::{
    Catalogue, GenerationOutcome, GenerationPage, GenerationQuery, GenerationRecord, NewGeneration,
};
use paintbox_domain::Sha256;
use paintbox_domain::generation::{GenerationSpec, Generator, JobState, Progress};
use paintbox_store::Store;
use sha2::Digest as _;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the queue is made of.
pub struct GenerationParts {
    pub catalogue: Catalogue,
    pub store: Store,
    pub generator: Box<dyn Generator>,
    pub max_queued: u32,
    /// How long a model stays in memory when nothing is queued; `None` for ever.
    pub keep_warm: Option<Duration>,
}

impl std::fmt::Debug for GenerationParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenerationParts").field("max_queued", &self.max_queued).finish_non_exhaustive()
    }
}

/// A cheap handle to this daemon's generations.
#[derive(Debug, Clone)]
pub struct Generations {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) catalogue: Catalogue,
    pub(crate) resolver: Resolver,
    pub(crate) store: Store,
    live: Mutex<HashMap<String, Arc<Live>>>,
    max_queued: u32,
    worker: WorkerHandle,
}

impl Generations {
    /// Starts the worker thread, which goes on with what is queued. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(parts: GenerationParts) -> Self {
        let (worker, handle) = Worker::new(parts.generator, parts.keep_warm);
        let inner = Arc::new(Inner {
            resolver: Resolver { catalogue: parts.catalogue.clone(), digests: Arc::default() },
            catalogue: parts.catalogue,
            store: parts.store,
            live: Mutex::default(),
            max_queued: parts.max_queued,
            worker: handle,
        });
        worker.spawn(&inner);
        Self { inner }
    }

    /// Checks a request and queues it. `request_id` makes a repeated call return the same generation.
    ///
    /// # Errors
    /// When the request is wrong, the model is not here, or the queue is full.
    pub async fn create(
        &self,
        spec: &GenerationSpec,
        request_id: Option<&str>,
    ) -> Result<GenerationRecord, GenerationError> {
        check(spec)?;
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
            request_id: request_id.map(str::to_owned),
            request_digest: Sha256::from_bytes(sha2::Sha256::digest(spec_json.as_bytes()).into()),
            spec_json: spec_to_json(&chosen),
            model,
            prompt: spec.prompt.clone(),
        };
        let queued = catalogue.queued_generations().await?;
        if queued >= self.inner.max_queued {
            return Err(GenerationError::QueueFull { queued, limit: self.inner.max_queued });
        }
        // Watchable before the worker can see the row.
        self.inner.live().insert(new.uid.clone(), Live::new());
        let created = catalogue.create_generation(&new).await;
        if !matches!(&created, Ok(record) if record.uid == new.uid) {
            self.inner.live().remove(&new.uid);
        }
        let record = created?;
        self.inner.worker.nudge();
        Ok(record)
    }

    pub(crate) fn worker(&self) -> &WorkerHandle {
        &self.inner.worker
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
        self.inner.live().get(uid).and_then(|live| live.latest_progress())
    }

    /// Newest first.
    ///
    /// # Errors
    /// When the page token is not of this listing.
    pub async fn list(&self, query: &GenerationQuery) -> Result<GenerationPage, GenerationError> {
        Ok(self.inner.catalogue.generations(query).await?)
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
            (JobState::Running, Some(live)) => {
                // An error would mean that the sender is gone, and with it the wish to wait.
                drop(live.subscribe().wait_for(|now| now.ended).await);
            }
            _ => {}
        }
        self.get(uid).await
    }

    /// The current state at once, then progress and changes, each with its sequence number; ends with the generation.
    /// Leaving the stream does not cancel. `with_previews` shows the picture while it is painted, at most twice a second.
    ///
    /// # Errors
    /// When there is no such generation.
    pub async fn watch(
        &self,
        uid: &str,
        with_previews: bool,
    ) -> Result<impl Stream<Item = Result<(u64, GenerationEvent), GenerationError>> + Send + use<>, GenerationError>
    {
        // Taken before the row is read, so that no change between the two is missed.
        let live = self.inner.live().get(uid).cloned();
        let first = self.get(uid).await?;
        let catalogue = self.inner.catalogue.clone();
        let uid = uid.to_owned();
        Ok(async_stream::stream! {
            let ended = first.state.is_terminal();
            // Sequence numbers start at 1; each event of this stream has a larger one than the event before.
            let mut sequence = 1;
            yield Ok((sequence, GenerationEvent::State(Box::new(first))));
            let Some(live) = live.filter(|_| !ended) else { return };
            let mut changes = live.subscribe();
            let mut looks = with_previews.then(|| live.looks());
            let mut seen = crate::live::Now::default();
            loop {
                let now = *changes.borrow_and_update();
                if now.progress != seen.progress && !now.ended && let Some(progress) = now.progress {
                    sequence = (sequence + 1).max(2 * now.sequence);
                    yield Ok((sequence, GenerationEvent::Progress(progress)));
                }
                if now.state_changes != seen.state_changes {
                    sequence = (sequence + 1).max(2 * now.sequence + 1);
                    yield match catalogue.generation(&uid).await {
                        Ok(record) => Ok((sequence, GenerationEvent::State(Box::new(record)))),
                        Err(error) => Err(error.into()),
                    };
                }
                seen = now;
                if now.ended {
                    return;
                }
                let look = async {
                    match &mut looks {
                        Some(looks) => looks.next().await,
                        None => std::future::pending().await,
                    }
                };
                let preview = tokio::select! {
                    changed = changes.changed() => match changed {
                        Ok(()) => None,
                        Err(_) => return,
                    },
                    preview = look => Some(preview),
                };
                if let Some(preview) = preview {
                    sequence += 1;
                    yield Ok((sequence, GenerationEvent::Preview(preview)));
                }
            }
        })
    }

    /// Stops the running generation, which its row calls interrupted, and waits for the worker to end. What is queued
    /// stays queued for the next daemon.
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
    pub(crate) fn live(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The live part of a row; one that an earlier daemon queued gets its own now.
    pub(crate) fn live_of(&self, uid: &str) -> Arc<Live> {
        self.live().entry(uid.to_owned()).or_insert_with(Live::new).clone()
    }

    /// Tells watchers that the row has its last state.
    pub(crate) fn ended(&self, uid: &str) {
        if let Some(live) = self.live().remove(uid) {
            live.end();
        }
    }

    pub(crate) async fn finish(&self, uid: &str, outcome: &GenerationOutcome) {
        if let Err(error) = self.catalogue.finish_generation(uid, outcome).await {
            tracing::error!(%error, uid, "cannot record the end of a generation");
        }
        self.ended(uid);
    }
}

/// A seed that A1111 and ComfyUI can also hold: 32 bits, from the random part of a UUID.
fn random_seed() -> u64 {
    let [.., a, b, c, d] = uuid::Uuid::new_v4().into_bytes();
    u64::from(u32::from_le_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests;
