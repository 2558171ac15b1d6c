//! Who calls, and what is remembered of each: A1111's interface has options and a progress of its own for all of a server,
//! which here belong to one caller and never reach another.

use crate::caller::Caller;
use axum::extract::FromRequestParts;
use http::request::Parts;
use paintbox_domain::generation::PaintPreview;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Callers that are remembered; who was idle for longest is forgotten for another.
const MOST_CALLERS: usize = 256;

/// Which caller a request is of: the token that it came with, or the session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallerId(pub(super) String);

impl<S: Sync> FromRequestParts<S> for CallerId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Caller>().map_or_else(Caller::socket, Caller::clone);
        Ok(Self(caller.id().to_owned()))
    }
}

/// What is remembered of every caller, until the daemon ends.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<HashMap<CallerId, Remembered>>);

#[derive(Debug)]
struct Remembered {
    /// A1111's options that were set.
    options: Map<String, Value>,
    active: Vec<Active>,
    used: Instant,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { options: Map::new(), active: Vec::new(), used: Instant::now() }
    }
}

/// A generation that a caller waits for.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) uid: String,
    /// Such as `txt2img`.
    pub(super) job: &'static str,
    pub(super) since: Instant,
    /// Its caller does not want the rest of it.
    pub(super) is_interrupted: bool,
    /// The latest look at the picture.
    pub(super) preview: Option<Arc<PaintPreview>>,
}

impl Callers {
    fn all(&self) -> MutexGuard<'_, HashMap<CallerId, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, caller: &CallerId, work: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut all = self.all();
        if all.len() >= MOST_CALLERS && !all.contains_key(caller) {
            let idle = all.iter().filter(|(_, remembered)| remembered.active.is_empty());
            if let Some(longest) = idle.min_by_key(|(_, remembered)| remembered.used).map(|(id, _)| id.clone()) {
                all.remove(&longest);
            }
        }
        let remembered = all.entry(caller.clone()).or_default();
        remembered.used = Instant::now();
        work(remembered)
    }

    pub(super) fn options(&self, caller: &CallerId) -> Map<String, Value> {
        self.all().get(caller).map(|remembered| remembered.options.clone()).unwrap_or_default()
    }

    pub(super) fn set_options(&self, caller: &CallerId, options: Map<String, Value>) {
        self.with(caller, |remembered| remembered.options.extend(options));
    }

    /// What the caller waits for, the oldest first.
    pub(super) fn active(&self, caller: &CallerId) -> Vec<Active> {
        self.all().get(caller).map(|remembered| remembered.active.clone()).unwrap_or_default()
    }

    /// Notes that the caller does not want the rest of what it waits for, of at most so many; which those are.
    pub(super) fn interrupt(&self, caller: &CallerId, most: usize) -> Vec<String> {
        let mut all = self.all();
        let active = all.get_mut(caller).map(|remembered| &mut remembered.active).into_iter().flatten().take(most);
        active
            .map(|active| {
                active.is_interrupted = true;
                active.uid.clone()
            })
            .collect()
    }

    /// Remembers that the caller waits for a generation, as long as what is returned lives.
    pub(super) fn waits(self: &Arc<Self>, caller: &CallerId, uid: &str, job: &'static str) -> Waiting {
        let active = Active { uid: uid.to_owned(), job, since: Instant::now(), is_interrupted: false, preview: None };
        self.with(caller, |remembered| remembered.active.push(active));
        Waiting { callers: Arc::clone(self), caller: caller.clone(), uid: uid.to_owned() }
    }
}

/// A caller's waiting for a generation.
#[derive(Debug)]
pub(super) struct Waiting {
    callers: Arc<Callers>,
    caller: CallerId,
    uid: String,
}

impl Waiting {
    /// Whether its caller said so.
    pub(super) fn is_interrupted(&self) -> bool {
        let active = self.callers.active(&self.caller);
        active.iter().any(|active| active.uid == self.uid && active.is_interrupted)
    }

    pub(super) fn sees(&self, preview: Arc<PaintPreview>) {
        self.callers.with(&self.caller, |remembered| {
            if let Some(active) = remembered.active.iter_mut().find(|active| active.uid == self.uid) {
                active.preview = Some(preview);
            }
        });
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.callers.with(&self.caller, |remembered| {
            // Twice the same is waited for where a request was repeated.
            if let Some(at) = remembered.active.iter().position(|active| active.uid == self.uid) {
                remembered.active.remove(at);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_its_own_and_only_idle_ones_are_forgotten() {
        let callers = Arc::new(Callers::default());
        let id = |number: usize| CallerId(format!("token-{number}"));
        let option = |value: usize| Map::from_iter([("sd_model_checkpoint".to_owned(), Value::from(value))]);
        callers.set_options(&id(0), option(0));
        let waiting = callers.waits(&id(0), "one", "txt2img");
        for number in 1..=MOST_CALLERS {
            callers.set_options(&id(number), option(number));
        }
        assert_eq!(callers.options(&id(0)), option(0), "somebody waits for it");
        assert_eq!(callers.options(&id(1)), Map::new());
        assert_eq!(callers.options(&id(MOST_CALLERS)), option(MOST_CALLERS));
        assert_eq!(callers.active(&id(0)).len(), 1);
        assert!(callers.active(&id(2)).is_empty());
        drop(waiting);
        assert!(callers.active(&id(0)).is_empty());
    }
}
