//! Callers whose generation goes with them.

use paintbox_generation::Generations;

/// Cancels what was asked for when nobody waits for it any more.
pub(crate) struct Leaving {
    generations: Generations,
    uid: Option<String>,
}

impl Leaving {
    /// Of a generation that is cancelled when this is dropped; of none, nothing is.
    pub(crate) fn of(generations: &Generations, uid: Option<String>) -> Self {
        Self { generations: generations.clone(), uid }
    }

    /// From now on whoever leaves may.
    pub(crate) fn is_excused(&mut self) {
        self.uid = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let Some(uid) = self.uid.take() else { return };
        let generations = self.generations.clone();
        tokio::spawn(async move {
            if let Err(error) = generations.cancel(&uid).await {
                tracing::warn!(%error, uid, "cannot cancel a generation whose caller left");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::testing::World;
    use futures::StreamExt as _;
    use paintbox_domain::generation::{GenerationSpec, JobState};
    use paintbox_generation::{Ask, GenerationEvent};

    const STEPS: u32 = 5;

    /// Follows a generation until `stop`, or its end; its last state.
    async fn follow(world: &World, uid: &str, stop: impl Fn(&GenerationEvent) -> bool) -> Option<JobState> {
        let mut events = std::pin::pin!(world.generations().watch(uid, false, None).await.unwrap());
        let mut state = None;
        while let Some(event) = events.next().await {
            let (_, event) = event.unwrap();
            if stop(&event) {
                break;
            }
            if let GenerationEvent::State(record) = event {
                state = Some(record.state);
            }
        }
        state
    }

    async fn asked(world: &World) -> String {
        let spec = GenerationSpec {
            model: "civitai:1".into(),
            prompt: "heart".into(),
            steps: Some(STEPS),
            count: 1,
            ..GenerationSpec::default()
        };
        world.generations().create(&Ask { spec, ..Ask::default() }).await.unwrap().uid
    }

    #[tokio::test]
    async fn whoever_leaves_at_any_step_leaves_the_device_free() {
        let world = World::held().await;
        for step in 0..STEPS {
            let uid = asked(&world).await;
            let waiting = Leaving::of(world.generations(), Some(uid.clone()));
            world.permit(step as usize);
            follow(&world, &uid, |event| match event {
                GenerationEvent::Progress(progress) => progress.step >= step,
                GenerationEvent::State(record) => step == 0 && record.state == JobState::Running,
                GenerationEvent::Preview(_) => false,
            })
            .await;
            drop(waiting);
            // Without a further permit nothing but the wish ends it.
            assert_eq!(follow(&world, &uid, |_| false).await, Some(JobState::Cancelled), "in step {step}");
        }
        let uid = asked(&world).await;
        let mut waiting = Leaving::of(world.generations(), Some(uid.clone()));
        waiting.is_excused();
        drop(waiting);
        world.permit(STEPS as usize);
        assert_eq!(follow(&world, &uid, |_| false).await, Some(JobState::Succeeded), "the next one is painted");
    }
}
