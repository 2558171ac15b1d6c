//! Browsers: a one-time code becomes a cookie, and the cookie becomes a caller. Memory alone; nothing outlives the daemon.

use super::secrets::{digest, fresh, same};
use super::{Admitted, Lease};
use crate::caller::{Caller, Scope};
use paintbox_domain::{Clock, ErrorClass, Failure, Sha256, Timestamp, reason};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Long enough for a browser that has to start first.
const CODE_LIFE: Duration = Duration::from_secs(120);
/// A working day.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Whoever asks for more codes at once loses the oldest.
const MOST_CODES: usize = 16;
/// Whoever signs in more browsers signs out the one that signed in first.
const MOST_SESSIONS: usize = 32;

#[derive(Debug)]
pub(crate) struct Sessions {
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    /// Told of every new session, which may be the next to end.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Held {
    codes: Vec<Code>,
    sessions: Vec<Session>,
}

#[derive(Debug)]
struct Code {
    sha256: Sha256,
    scope: Scope,
    expires_at: Timestamp,
}

#[derive(Debug)]
struct Session {
    sha256: Sha256,
    scope: Scope,
    expires_at: Timestamp,
    ended: CancellationToken,
}

impl Sessions {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, held: Mutex::default(), begun: Notify::new() }
    }

    /// A code for one browser, and until when it is good.
    pub(crate) fn issue_code(&self, scope: Scope) -> Result<(String, Timestamp), Failure> {
        let text = fresh("")?;
        let mut held = self.held();
        if held.codes.len() >= MOST_CODES {
            held.codes.remove(0);
        }
        let expires_at = self.clock.now().plus(CODE_LIFE);
        held.codes.push(Code { sha256: digest(&text), scope, expires_at });
        Ok((text, expires_at))
    }

    /// The cookie of a new session, and who it stands for. The code is good for nothing afterwards.
    pub(crate) fn exchange(&self, code: &str) -> Result<(String, Caller), Failure> {
        let sha256 = digest(code);
        let cookie = fresh("")?;
        let mut held = self.held();
        let at = held.codes.iter().enumerate().fold(None, |found, (at, code)| match same(&code.sha256, &sha256) {
            true => Some(at),
            false => found,
        });
        let code = at.map(|at| held.codes.remove(at)).ok_or_else(|| {
            let message =
                "no browser can sign in with this code: it was used, or its time is over, or it never was one";
            Failure::new(ErrorClass::Unauthenticated, reason::CODE_INVALID, message)
                .with_hint("`paintbox web` makes a new one")
        })?;
        if held.sessions.len() >= MOST_SESSIONS {
            held.sessions.remove(0).ended.cancel();
        }
        let (scope, expires_at) = (code.scope, self.clock.now().plus(SESSION_LIFE));
        held.sessions.push(Session { sha256: digest(&cookie), scope, expires_at, ended: CancellationToken::new() });
        self.begun.notify_one();
        Ok((cookie, Caller::web_session(scope)))
    }

    pub(super) fn check(&self, cookie: &str) -> Option<Admitted> {
        let sha256 = digest(cookie);
        let held = self.held();
        let found = held.sessions.iter().fold(None, |found, session| match same(&session.sha256, &sha256) {
            true => Some(session),
            false => found,
        })?;
        Some(Admitted { caller: Caller::web_session(found.scope), until: Some(Lease::of_session(found.ended.clone())) })
    }

    /// Signs one browser out.
    pub(crate) fn end(&self, cookie: &str) {
        let sha256 = digest(cookie);
        self.held().end_where(|session| same(&session.sha256, &sha256));
    }

    /// Signs all browsers out and forgets all codes; how many were signed in.
    pub(crate) fn end_all(&self) -> u32 {
        let mut held = self.held();
        held.codes.clear();
        held.end_where(|_| true)
    }

    /// Ends every session at its time, and its streams with it, for as long as this runs. At the latest after `look`, since
    /// a clock may be set, and a machine that slept does not count the hours.
    pub(crate) async fn keep_time(&self, look: Duration) {
        loop {
            let begun = self.begun.notified();
            let next = self.held().sessions.iter().map(|session| session.expires_at).min();
            match next {
                None => begun.await,
                Some(next) => {
                    let left = next.since(self.clock.now());
                    // Whatever comes first, what is over ends when it is looked at.
                    drop(tokio::time::timeout(left.min(look), begun).await);
                }
            }
        }
    }

    /// What is left after everything whose time is over.
    fn held(&self) -> MutexGuard<'_, Held> {
        let now = self.clock.now();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.codes.retain(|code| code.expires_at > now);
        held.end_where(|session| session.expires_at <= now);
        held
    }
}

impl Held {
    fn end_where(&mut self, is_over: impl Fn(&Session) -> bool) -> u32 {
        let before = self.sessions.len();
        self.sessions.retain(|session| {
            let over = is_over(session);
            if over {
                session.ended.cancel();
            }
            !over
        });
        u32::try_from(before - self.sessions.len()).unwrap_or(u32::MAX)
    }
}
