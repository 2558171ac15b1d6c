//! The gate of one site: who may ask, how many at once, and what is remembered of what came back.

use super::allowance::Allowance;
use super::circuit::{Circuit, Entry};
use super::health::{HubHealth, HubState};
use super::rate_limit::{Window, pause_asked_for};
use super::{Kind, Limits};
use crate::error::{HubError, ServerWords};
use crate::retry::{LONGEST_OBEYED_WAIT, up_to};
use http::{HeaderMap, StatusCode};
use paintbox_domain::{Clock, Hub, Timestamp};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Gate {
    hub: Hub,
    clock: Arc<dyn Clock>,
    questions: Lane,
    downloads: Lane,
    previews: Lane,
    state: Mutex<State>,
}

/// What is kept apart for each [`Kind`].
#[derive(Debug)]
struct Lane {
    slots: Arc<Semaphore>,
    allowance: Mutex<Allowance>,
    /// The last pause that the site asked for and that is too long to wait for inside a call.
    pause: Mutex<Option<Pause>>,
}

#[derive(Debug, Clone)]
struct Pause {
    since: Timestamp,
    until: Timestamp,
    length: Duration,
    /// Address for errors.
    url: String,
}

impl Pause {
    /// An end that is further away than the pause is long means that the clock was set back.
    fn holds(&self, now: Timestamp) -> bool {
        self.until > now && self.until.since(now) <= self.length
    }
}

#[derive(Debug, Default)]
struct State {
    circuit: Circuit,
    /// What went wrong last.
    problem: Option<String>,
    requests: u64,
}

/// What a request or a call came to, as far as the site itself is concerned.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It answered, be it with a refusal.
    Answered,
    /// It could not be reached, kept silent or failed; the text must hold no secret.
    Failed(String),
}

impl Outcome {
    /// What a call of somebody else's client came to, as far as its result tells.
    pub(crate) fn of<T>(answer: &Result<T, HubError>) -> Self {
        match answer {
            Err(
                error @ (HubError::ServerFailed { .. }
                | HubError::Unreachable { .. }
                | HubError::TimedOut { .. }
                | HubError::Truncated { .. }),
            ) => Self::Failed(error.to_string()),
            _ => Self::Answered,
        }
    }
}

impl Gate {
    pub(crate) fn new(hub: Hub, clock: Arc<dyn Clock>, limits: &Limits) -> Arc<Self> {
        let now = Instant::now();
        let lane = |kind| Lane {
            slots: Arc::new(Semaphore::new(limits.at_once(kind))),
            allowance: Mutex::new(Allowance::new(limits.pace.filter(|_| kind == Kind::Question), now)),
            pause: Mutex::new(None),
        };
        Arc::new(Self {
            hub,
            clock,
            questions: lane(Kind::Question),
            downloads: lane(Kind::Download),
            previews: lane(Kind::Preview),
            state: Mutex::default(),
        })
    }

    /// Begins a call, which may make several requests.
    ///
    /// # Errors
    /// [`HubError::HubDown`] and [`HubError::RateLimited`], without a request.
    pub(crate) fn enter(self: &Arc<Self>, kind: Kind) -> Result<Pass, HubError> {
        self.check_pause(kind)?;
        // A picture comes from another host, so it would not tell whether the hub is back.
        let probe = self.check_circuit(kind != Kind::Preview)?;
        Ok(Pass { gate: Arc::clone(self), kind, probe, outcome: Mutex::new(None) })
    }

    /// Begins a call of one request and waits for its slot.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub(crate) async fn admit(self: &Arc<Self>, kind: Kind) -> Result<Permit, HubError> {
        let pass = self.enter(kind)?;
        let slot = pass.slot().await?;
        Ok(Permit { pass, slot })
    }

    pub(crate) fn health(&self) -> HubHealth {
        let now = self.clock.now();
        let state = lock(&self.state);
        let ok =
            HubHealth { state: HubState::Ok, since: None, retry_at: None, problem: None, requests: state.requests };
        if let Some(opening) = state.circuit.opening() {
            return HubHealth {
                state: HubState::Down,
                since: Some(opening.since),
                retry_at: Some(opening.retry_at),
                problem: state.problem.clone(),
                ..ok
            };
        }
        let lanes = [(&self.questions, "questions"), (&self.downloads, "downloads"), (&self.previews, "previews")];
        let pauses = lanes.into_iter().filter_map(|(lane, of)| Some((lane.pause_at(now)?, of)));
        match pauses.max_by_key(|(pause, _)| pause.until) {
            Some((pause, of)) => HubHealth {
                state: HubState::Limited,
                since: Some(pause.since),
                retry_at: Some(pause.until),
                problem: Some(format!("{} asks for fewer {of}, at {}", self.hub, pause.url)),
                ..ok
            },
            None => ok,
        }
    }

    fn lane(&self, kind: Kind) -> &Lane {
        match kind {
            Kind::Question => &self.questions,
            Kind::Download => &self.downloads,
            Kind::Preview => &self.previews,
        }
    }

    fn check_pause(&self, kind: Kind) -> Result<(), HubError> {
        let now = self.clock.now();
        match self.lane(kind).pause_at(now) {
            None => Ok(()),
            Some(pause) => Err(HubError::RateLimited {
                hub: self.hub,
                url: pause.url,
                retry_after: Some(pause.until.since(now)),
                said: ServerWords::default(),
            }),
        }
    }

    /// Whether the call is the one that tries for all.
    fn check_circuit(&self, may_probe: bool) -> Result<bool, HubError> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        match state.circuit.enter(now, may_probe) {
            Entry::Free => Ok(false),
            Entry::Probe => Ok(true),
            Entry::Shut { since, retry_at } => Err(HubError::HubDown {
                hub: self.hub,
                since,
                retry_at,
                left: retry_at.since(now),
                problem: state.problem.clone().unwrap_or_default(),
            }),
        }
    }

    /// Remembers what the headers of an answer ask for. Short pauses are waited for inside a call; long ones are not.
    fn learn(&self, kind: Kind, url: &str, status: StatusCode, headers: &HeaderMap) {
        let now = Instant::now();
        let window = Window::read(headers);
        // A small file that is asked for as part of a question is counted where files are.
        let lane = self.lane(window.and_then(|window| window.of).unwrap_or(kind));
        if let Some(window) = window {
            lock(&lane.allowance).learn(window, now);
        }
        let Some(pause) = pause_asked_for(self.hub, kind, status.as_u16(), headers) else {
            return;
        };
        if pause <= LONGEST_OBEYED_WAIT {
            lock(&lane.allowance).pause(pause, now);
            return;
        }
        let since = self.clock.now();
        let until = since.plus(pause);
        tracing::warn!(hub = %self.hub, url, seconds = pause.as_secs(), "the hub asks to be left alone");
        let mut kept = lock(&lane.pause);
        let since = kept.as_ref().filter(|kept| kept.holds(since)).map_or(since, |kept| kept.since);
        *kept = Some(Pause { since, until, length: pause, url: url.to_owned() });
    }

    fn conclude(&self, outcome: Option<Outcome>, was_probe: bool) {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        match outcome {
            Some(Outcome::Answered) => {
                if state.circuit.opening().is_some() {
                    tracing::info!(hub = %self.hub, "the hub is back");
                }
                state.circuit.answered();
                state.problem = None;
            }
            Some(Outcome::Failed(problem)) => {
                let was_up = state.circuit.opening().is_none();
                state.circuit.failed(now, was_probe, shortened);
                if was_up && state.circuit.opening().is_some() {
                    tracing::warn!(hub = %self.hub, problem, "the hub is down and is left alone for a while");
                }
                state.problem = Some(problem);
            }
            None if was_probe => state.circuit.abandoned(),
            None => {}
        }
    }
}

impl Lane {
    fn pause_at(&self, now: Timestamp) -> Option<Pause> {
        lock(&self.pause).as_ref().filter(|pause| pause.holds(now)).cloned()
    }
}

/// A call that may go on. When it is dropped, the site's circuit learns what the last of its requests came to.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    kind: Kind,
    probe: bool,
    outcome: Mutex<Option<Outcome>>,
}

impl Pass {
    /// Whether this call tries for all others, who are kept waiting meanwhile: it should not try twice.
    pub(crate) fn is_probe(&self) -> bool {
        self.probe
    }

    /// What the call is for.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Waits for the turn of one request. The slot is kept until its answer was read.
    ///
    /// # Errors
    /// As [`Gate::enter`], for what was learnt while this call waited.
    pub(crate) async fn slot(&self) -> Result<Slot, HubError> {
        // The semaphore is never closed, so this cannot fail; a slot that is missing would only mean one request more.
        let slot = Arc::clone(&self.gate.lane(self.kind).slots).acquire_owned().await.ok();
        self.turn().await?;
        Ok(Slot { _slot: slot })
    }

    /// Waits for the turn of one request of a call that has a slot already.
    ///
    /// # Errors
    /// As [`Self::slot`].
    pub(crate) async fn turn(&self) -> Result<(), HubError> {
        let wait = lock(&self.gate.lane(self.kind).allowance).take(Instant::now(), LONGEST_OBEYED_WAIT);
        match wait {
            Ok(wait) if wait.is_zero() => {}
            Ok(wait) => tokio::time::sleep(wait).await,
            Err(too_long) => {
                return Err(HubError::RateLimited {
                    hub: self.gate.hub,
                    url: self.gate.hub.to_string(),
                    retry_after: Some(too_long),
                    said: ServerWords::default(),
                });
            }
        }
        self.gate.check_pause(self.kind)?;
        if !self.probe {
            self.gate.check_circuit(false)?;
        }
        lock(&self.gate.state).requests += 1;
        Ok(())
    }

    /// The head of an answer has come. `from_site` is false for the hub's storage, whose troubles are its own.
    pub(crate) fn heard(&self, from_site: bool, url: &str, status: StatusCode, headers: &HeaderMap) {
        if from_site || self.kind == Kind::Preview {
            self.gate.learn(self.kind, url, status, headers);
        }
        if !from_site {
            return;
        }
        self.came_to(if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            Outcome::Failed(format!("status {} at {url}", status.as_u16()))
        } else {
            Outcome::Answered
        });
    }

    /// What the last request came to, for the site's circuit.
    pub(crate) fn came_to(&self, outcome: Outcome) {
        *lock(&self.outcome) = Some(outcome);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let outcome = self.outcome.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.gate.conclude(outcome, self.probe);
    }
}

/// One request's place among those that are under way.
#[derive(Debug)]
pub(crate) struct Slot {
    _slot: Option<OwnedSemaphorePermit>,
}

/// Leave for one request.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) pass: Pass,
    pub(crate) slot: Slot,
}

#[cfg(test)]
impl Permit {
    /// What came of the request.
    fn report(self, outcome: Outcome) {
        self.pass.came_to(outcome);
    }
}

/// Between four fifths of a pause and the whole of it.
fn shortened(pause: Duration) -> Duration {
    pause - up_to(pause / 5)
}

/// A poisoned lock still holds whole values: nothing here is ever half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
