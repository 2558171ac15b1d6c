//! Who no longer wants a picture is heard within a step, whichever step that is, and the next picture begins.

use super::*;

const STEPS: u32 = 6;

impl Bench {
    /// A generation of which `steps` steps were taken, and which waits within the next one.
    async fn painting(&self, prompt: &str, steps: u32) -> GenerationRecord {
        let record = self.create(GenerationSpec { prompt: prompt.into(), steps: Some(STEPS), ..spec() }).await.unwrap();
        for _ in 0..steps {
            self.permits.as_ref().unwrap().send(()).unwrap();
        }
        self.steps.subscribe().wait_for(|seen| seen.begun == steps + 1).await.unwrap();
        record
    }

    fn steps_taken(&self) -> u32 {
        self.steps.borrow().taken
    }

    /// The device is free: the next generation is painted, whole.
    async fn paints_the_next(mut self) {
        self.permits = None;
        let next = self.create(GenerationSpec { steps: Some(STEPS), ..spec() }).await.unwrap();
        assert_eq!(ended(&self.generations, &next.uid).await.state, JobState::Succeeded);
        assert_eq!(self.steps_taken(), STEPS);
        self.generations.shut_down().await;
    }
}

#[tokio::test]
async fn a_cancelled_generation_takes_no_further_step() {
    for step in 0..STEPS {
        let bench = bench(10).await;
        let record = bench.painting("heart", step).await;
        let cancelled = bench.generations.cancel(&record.uid).await.unwrap();
        assert_eq!((cancelled.state, cancelled.failure), (JobState::Cancelled, None), "in step {step}");
        assert!(cancelled.images.is_empty() && cancelled.ended_at.is_some());
        assert_eq!(bench.steps_taken(), step, "the answer comes when the device is free");
        bench.paints_the_next().await;
    }
}

#[tokio::test]
async fn an_engine_that_only_looks_between_steps_ends_with_the_step_under_way() {
    for step in 0..STEPS {
        let mut bench = bench(10).await;
        let record = bench.painting(LOOKS_BETWEEN_STEPS, step).await;
        let generations = bench.generations.clone();
        let mut cancelling = std::pin::pin!(generations.cancel(&record.uid));
        assert!(futures::poll!(cancelling.as_mut()).is_pending(), "the step under way takes its time");
        // From here on nothing holds it but the wish.
        bench.permits = None;
        let after = cancelling.await.unwrap();
        let is_last = step + 1 == STEPS;
        let wanted = if is_last { JobState::Succeeded } else { JobState::Cancelled };
        assert_eq!(after.state, wanted, "in step {step}: a picture that is done is kept");
        assert_eq!((bench.steps_taken(), after.images.len()), (step + 1, usize::from(is_last)));
        bench.paints_the_next().await;
    }
}

#[tokio::test]
async fn one_that_has_ended_stays_as_it_is() {
    let mut bench = bench(10).await;
    bench.permits = None;
    let record = bench.create(spec()).await.unwrap();
    let done = ended(&bench.generations, &record.uid).await;
    assert_eq!(bench.generations.cancel(&record.uid).await.unwrap(), done);
}
