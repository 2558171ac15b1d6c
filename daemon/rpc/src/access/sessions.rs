//! Browsers: a one-time code becomes a cookie, and the cookie becomes a caller. Memory alone; nothing outlives the daemon.

use super::Admitted;
use super::secrets::{digest, fresh, same};
use crate::caller::{Caller, Scope};
use paintbox_domain::{Clock, ErrorClass, Failure, Sha256, Timestamp, reason};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
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
        Self { clock, held: Mutex::default() }
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
        Ok((cookie, Caller::web_session(scope)))
    }

    pub(super) fn check(&self, cookie: &str) -> Option<Admitted> {
        let sha256 = digest(cookie);
        let held = self.held();
        let found = held.sessions.iter().fold(None, |found, session| match same(&session.sha256, &sha256) {
            true => Some(session),
            false => found,
        })?;
        Some(Admitted { caller: Caller::web_session(found.scope), ended: Some(found.ended.clone()) })
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
