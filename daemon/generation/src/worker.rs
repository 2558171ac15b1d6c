//! The one thread that paints. It sleeps until there is a queued row, takes it, and ends it.

use crate::errands::Errand;
use crate::error::GenerationError;
use crate::making::{Made, make};
use crate::queue::Inner;
use crate::recipe::encode;
use crate::spec_json::spec_from_json;
use crate::turns::Turns;
use paintbox_catalogue::{
    Asset, AssetOrigin, CatalogueError, GenerationOutcome, GenerationRecord, Interruption, NewGenerationImage,
};
use paintbox_domain::generation::{Control, Generator, Phase, PictureFormat, Progress};
use paintbox_domain::surroundings::Wakefulness;
use paintbox_domain::{ErrorClass, Failure, reason};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The queue's side of the thread.
#[derive(Debug, Clone)]
pub(crate) struct WorkerHandle {
    nudge: Arc<Notify>,
    stop: CancellationToken,
    ended: CancellationToken,
    errands: Arc<Errands>,
    /// What is being painted.
    running: Arc<Mutex<Option<String>>>,
    /// Wakes who watches the clock.
    clock: Arc<Notify>,
}

/// What waits for its turn beside the rows; nothing any more once the worker has ended.
struct Errands(Mutex<Option<VecDeque<Errand>>>);

impl std::fmt::Debug for Errands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Errands").finish_non_exhaustive()
    }
}

impl Errands {
    fn queue(&self) -> MutexGuard<'_, Option<VecDeque<Errand>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WorkerHandle {
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Cancelled when the daemon ends.
    pub(crate) const fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Has an errand done in its turn. It is dropped undone when the worker ends before.
    pub(crate) fn send(&self, errand: Errand) {
        if let Some(queue) = self.errands.queue().as_mut() {
            queue.push_back(errand);
        }
        self.nudge();
    }

    pub(crate) fn running(&self) -> Option<String> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_running(&self, uid: Option<&str>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = uid.map(str::to_owned);
    }

    /// Something is to happen at a time.
    pub(crate) fn watch_the_clock(&self) {
        self.clock.notify_one();
    }

    /// Until the time is over, something is to happen sooner, or the daemon ends.
    pub(crate) async fn rest_for(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.clock.notified() => {}
            () = self.stop.cancelled() => {}
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

/// Whose turn it is, and what turns depend on then.
async fn next(inner: &Inner) -> Result<Option<(String, Turns)>, CatalogueError> {
    if inner.catalogue.generation_queue_is_paused().await? {
        return Ok(None);
    }
    let waiting = inner.catalogue.waiting_generations().await?;
    Ok(inner.turns().next(&waiting).map(|(index, then)| (waiting[index].uid.clone(), then)))
}

pub(crate) struct Worker {
    generator: Box<dyn Generator>,
    wakefulness: Option<Arc<dyn Wakefulness>>,
    /// Held while there is something to do.
    awake: Option<Box<dyn Any + Send>>,
    handle: WorkerHandle,
}

impl Worker {
    pub(crate) fn new(
        generator: Box<dyn Generator>,
        wakefulness: Option<Arc<dyn Wakefulness>>,
    ) -> (Self, WorkerHandle) {
        let handle = WorkerHandle {
            nudge: Arc::new(Notify::new()),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            errands: Arc::new(Errands(Mutex::new(Some(VecDeque::new())))),
            running: Arc::default(),
            clock: Arc::default(),
        };
        (Self { generator, wakefulness, awake: None, handle: handle.clone() }, handle)
    }

    pub(crate) fn spawn(mut self, inner: &Arc<Inner>) {
        let inner = inner.clone();
        let runtime = tokio::runtime::Handle::current();
        let ended = self.handle.ended.clone().drop_guard();
        let thread = std::thread::Builder::new().name("painter".to_owned()).spawn(move || {
            let _ended = ended;
            runtime.block_on(self.work(&inner));
            *self.handle.errands.queue() = None;
        });
        if let Err(error) = thread {
            tracing::error!(%error, "cannot start the painting thread; nothing will be painted");
        }
    }

    async fn work(&mut self, inner: &Inner) {
        while !self.handle.is_stopping() {
            let errand = self.handle.errands.queue().as_mut().and_then(VecDeque::pop_front);
            if let Some(errand) = errand {
                self.stay_awake();
                errand(self.generator.as_mut());
                continue;
            }
            match next(inner).await {
                Ok(Some((uid, then))) => {
                    self.stay_awake();
                    self.take(inner, &uid, then).await;
                }
                Ok(None) => self.idle(inner).await,
                Err(error) => {
                    tracing::error!(%error, "cannot read the queue");
                    self.rest().await;
                }
            }
        }
    }

    /// A machine that falls asleep in the middle of a picture finishes it when somebody comes to see where it is.
    fn stay_awake(&mut self) {
        if self.awake.is_none() {
            self.awake = self.wakefulness.as_ref().map(|wakefulness| wakefulness.hold());
        }
    }

    /// Waits for something to do, and gives the model's memory back when that takes long.
    async fn idle(&mut self, inner: &Inner) {
        self.awake = None;
        if let Some(keep_warm) = inner.settings().keep_warm {
            if tokio::time::timeout(keep_warm, self.rest()).await.is_ok() {
                return;
            }
            self.generator.evict();
            inner.set_turns(Turns::default());
        }
        self.rest().await;
    }

    async fn rest(&self) {
        tokio::select! {
            () = self.handle.nudge.notified() => {}
            () = self.handle.stop.cancelled() => {}
        }
    }

    async fn take(&mut self, inner: &Inner, uid: &str, then: Turns) {
        let record = match inner.catalogue.start_generation(uid).await {
            Ok(Some(record)) => record,
            // Cancelled in between.
            Ok(None) => return inner.forget(uid),
            Err(error) => {
                tracing::error!(%error, uid, "cannot start a generation");
                return self.rest().await;
            }
        };
        inner.set_turns(then);
        let live = inner.live_of(uid, record.expires_at);
        self.handle.set_running(Some(uid));
        let result = self.paint(inner, &record, live.as_ref()).await;
        self.handle.set_running(None);
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(GenerationError::Engine(failure)) if failure.reason == reason::CANCELLED => {
                let is_over = record.expires_at.is_some_and(|at| inner.catalogue.now() >= at);
                if self.handle.is_stopping() {
                    // The daemon ends, and nobody took the wish back.
                    if inner.settings().interruption != Interruption::Fail && !record.is_tied {
                        if let Err(error) = inner.catalogue.requeue_generation(uid).await {
                            tracing::error!(%error, uid, "cannot queue a generation again");
                        }
                        return inner.forget(uid);
                    }
                    let failure = Failure::new(
                        ErrorClass::Unavailable,
                        reason::INTERRUPTED,
                        "the daemon ended while this was running",
                    );
                    GenerationOutcome::Failed(failure.with_hint("ask for it again"))
                } else if is_over && !live.is_cancelled() {
                    GenerationOutcome::Failed(Failure::new(
                        ErrorClass::DeadlineExceeded,
                        reason::DEADLINE_EXCEEDED,
                        "its time was over before its pictures were painted",
                    ))
                } else {
                    GenerationOutcome::Cancelled
                }
            }
            Err(error) => {
                let failure = error.failure();
                tracing::warn!(uid, reason = %failure.reason, "a generation failed: {failure}");
                GenerationOutcome::Failed(failure)
            }
        };
        inner.finish(uid, &outcome).await;
    }

    async fn paint(
        &mut self,
        inner: &Inner,
        record: &GenerationRecord,
        control: &(dyn Control + Sync),
    ) -> Result<GenerationOutcome, GenerationError> {
        let spec = spec_from_json(&record.spec_json).map_err(GenerationError::BadRecord)?;
        let Made { settings_json, pictures } = make(inner, self.generator.as_mut(), &spec, control).await?;
        let image_count = u32::try_from(pictures.len()).unwrap_or(u32::MAX);
        let image_index = image_count.saturating_sub(1);
        control.progress(Progress { phase: Phase::Saving, step: 0, total_steps: 0, image_index, image_count });
        let format = spec.format.unwrap_or(PictureFormat::Png);
        let mut images = Vec::new();
        for (image, parameters_text) in pictures {
            let blob = inner.store.put_bytes(&encode(&image, format, spec.quality, &parameters_text)?)?;
            let asset = Asset {
                sha256: blob.sha256,
                media_type: format.media_type().to_owned(),
                size_bytes: blob.size_bytes,
                width: image.width,
                height: image.height,
                origin: AssetOrigin::Output,
            };
            images.push(NewGenerationImage { asset, seed: image.seed, parameters_text });
        }
        Ok(GenerationOutcome::Succeeded { settings_json, images })
    }
}
