//! One request's way through the queue: asked for, watched to its end, cancelled when its caller leaves.

use super::Compat;
use super::caller::CallerId;
use super::problem::Problem;
use crate::leaving::Leaving;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use paintbox_catalogue::GenerationRecord;
use paintbox_domain::generation::{GenerationSpec, JobState};
use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_generation::{Ask, GenerationError, GenerationEvent};
use tokio_util::sync::CancellationToken;

/// A longer key is no key.
const LONGEST_KEY_BYTES: usize = 255;

/// A generation that somebody waits for.
pub(super) struct Job {
    pub(super) uid: String,
    events: BoxStream<'static, Result<GenerationEvent, GenerationError>>,
    leaving: Leaving,
    shutdown: CancellationToken,
}

impl Compat {
    /// Queues what is asked for. With a key, the same request of the same caller leads to the same generation, which goes
    /// on when its caller leaves.
    pub(super) async fn ask(
        &self,
        caller: &CallerId,
        spec: &GenerationSpec,
        key: Option<&str>,
        with_previews: bool,
    ) -> Result<Job, Problem> {
        if key.is_some_and(|key| key.len() > LONGEST_KEY_BYTES) {
            return Err(Problem::invalid("Idempotency-Key", format!("it has more than {LONGEST_KEY_BYTES} bytes")));
        }
        let is_tied = key.is_none();
        let ask = Ask {
            spec: spec.clone(),
            // One caller's keys mean nothing to another.
            request_id: key.map(|key| format!("{}/{key}", caller.0)),
            caller: caller.0.clone(),
            is_tied,
            ..Ask::default()
        };
        let record = self.generations.create(&ask).await?;
        let leaving = Leaving::of(&self.generations, is_tied.then(|| record.uid.clone()));
        let events = self.generations.watch(&record.uid, with_previews, None).await?;
        let events = events.map(|event| event.map(|(_, event)| event)).boxed();
        Ok(Job { uid: record.uid, events, leaving, shutdown: self.shutdown.clone() })
    }
}

impl Job {
    /// Events on the way, and at the end how it ended; then nothing more.
    pub(super) fn events(self) -> impl Stream<Item = Result<GenerationEvent, Problem>> + Send + 'static {
        let Self { mut events, mut leaving, shutdown, .. } = self;
        async_stream::stream! {
            loop {
                let event = tokio::select! {
                    biased;
                    event = events.next() => event,
                    () = shutdown.cancelled() => {
                        // The daemon leaves, not the caller.
                        leaving.is_excused();
                        yield Err(Problem::shutting_down());
                        return;
                    }
                };
                match event {
                    Some(Ok(event)) => {
                        let is_end = matches!(&event, GenerationEvent::State(record) if record.state.is_terminal());
                        if is_end {
                            leaving.is_excused();
                        }
                        yield Ok(event);
                        if is_end {
                            return;
                        }
                    }
                    Some(Err(error)) => {
                        yield Err(error.into());
                        return;
                    }
                    None => {
                        let failure = Failure::new(ErrorClass::Internal, reason::INTERNAL, "the events ended early");
                        yield Err(failure.into());
                        return;
                    }
                }
            }
        }
    }

    /// Waits for its end, and for it to be a good one.
    pub(super) async fn finished(self) -> Result<GenerationRecord, Problem> {
        succeeded(self.ended(|_| {}).await?)
    }

    /// Waits for its end, whichever it is.
    pub(super) async fn ended(self, mut on_event: impl FnMut(&GenerationEvent)) -> Result<GenerationRecord, Problem> {
        let mut events = std::pin::pin!(self.events());
        while let Some(event) = events.next().await {
            let event = event?;
            on_event(&event);
            if let GenerationEvent::State(record) = event
                && record.state.is_terminal()
            {
                return Ok(*record);
            }
        }
        Err(Failure::new(ErrorClass::Internal, reason::INTERNAL, "the events ended early").into())
    }
}

/// A generation that has ended, if it ended well.
pub(super) fn succeeded(record: GenerationRecord) -> Result<GenerationRecord, Problem> {
    match (record.state, &record.failure) {
        (JobState::Succeeded, _) => Ok(record),
        (JobState::Cancelled, _) => {
            let message = "the generation was cancelled before it was done";
            Err(Failure::new(ErrorClass::Cancelled, reason::CANCELLED, message).into())
        }
        (_, Some(failure)) => Err(failure.clone().into()),
        (_, None) => Err(Failure::new(ErrorClass::Internal, reason::INTERNAL, "it failed without a reason").into()),
    }
}
