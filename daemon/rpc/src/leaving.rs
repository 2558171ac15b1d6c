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
