//! Work with the engine that is no generation: it takes its turn on the same thread, and is gone with whoever asked for it.

use crate::error::GenerationError;
use crate::queue::Generations;
use crate::resolve;
use paintbox_domain::generation::{
    Cancellation, Control, EngineBench, EngineCheck, Generator, PaintRequest, Progress, Sampler,
};
use paintbox_domain::{Failure, Sha256};
use std::panic::AssertUnwindSafe;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// What the worker's thread is asked to do.
pub(crate) type Errand = Box<dyn FnOnce(&mut dyn Generator) + Send>;

/// What a model is measured with when nobody says: enough steps for the first not to matter.
const BENCH_STEPS: u32 = 5;

/// How fast a model paints.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelBench {
    pub model: String,
    /// Of its main file.
    pub sha256: Option<Sha256>,
    pub bench: EngineBench,
}

/// Nobody watches an errand; it ends when its caller has gone or the daemon ends.
struct ErrandControl {
    gone: CancellationToken,
}

impl Control for ErrandControl {
    fn cancellation(&self) -> Cancellation {
        let gone = self.gone.clone();
        Cancellation::when(move || gone.is_cancelled())
    }

    fn progress(&self, _progress: Progress) {}
}

impl Generations {
    /// Holds the engine's networks against the reference, on its own device.
    ///
    /// # Errors
    /// When the daemon is ending.
    pub async fn check_engine(&self) -> Result<Vec<EngineCheck>, GenerationError> {
        self.errand(|generator, control| generator.check(control)).await
    }

    /// Paints one picture from a cold start and tells how long its parts took. Sizes are pixels.
    ///
    /// # Errors
    /// When the model is not here, cannot be painted at that size, or the daemon is ending.
    pub async fn bench_model(
        &self,
        reference: &str,
        width: Option<u32>,
        height: Option<u32>,
        steps: Option<u32>,
    ) -> Result<ModelBench, GenerationError> {
        let model = resolve::model(self.resolver(), reference).await?;
        let request = PaintRequest {
            model: model.files,
            prompt: "a lighthouse at dusk".to_owned(),
            seed: 1,
            steps: Some(steps.unwrap_or(BENCH_STEPS)),
            // One evaluation a step, whatever the model's own.
            sampler: Some(Sampler::Euler),
            width,
            height,
            count: 1,
            ..PaintRequest::default()
        };
        let bench = self.errand(move |generator, control| generator.bench(&request, control)).await?;
        Ok(ModelBench { model: model.name, sha256: model.main, bench })
    }

    async fn errand<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Generator, &dyn Control) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, GenerationError> {
        let worker = self.worker();
        if worker.is_stopping() {
            return Err(GenerationError::ShuttingDown);
        }
        let (answer, answered) = oneshot::channel();
        let gone = worker.stopping().child_token();
        let control = ErrandControl { gone: gone.clone() };
        let _here = gone.drop_guard();
        worker.send(Box::new(move |generator| {
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| work(generator, &control)));
            // Who has left hears nothing.
            drop(answer.send(done));
        }));
        match answered.await {
            Ok(Ok(done)) => done.map_err(GenerationError::Engine),
            Ok(Err(panic)) => Err(GenerationError::Panicked { what: crate::making::panic_text(panic.as_ref()) }),
            // The worker has ended with the errand still to do.
            Err(_) => Err(GenerationError::ShuttingDown),
        }
    }
}
