//! Who may call: tokens of clients, sessions of browsers, and what each method needs.
//!
//! Tokens are a matter of this machine and no evidence of a hub, so they lie in a file of their own beside the
//! catalogue and go into no backup or export. Of a token, only the SHA-256 is kept: 256 random bits need no slow hash.
//! Sessions are memory alone and end with the daemon.
//!
//! A browser keeps cookies by host and not by port, so that a session's cookie also reaches other servers on
//! `127.0.0.1`. What such a server can do with it is bounded: a session lasts for twelve hours, may by default only
//! generate, and its cookie is believed of no page but our own (`listen/web/origin.rs`). Other machines' users are
//! better served with TLS, under which the cookie is `Secure`.

mod scopes;
mod secrets;
mod service;
mod sessions;
mod tokens;

pub(crate) use scopes::needed_scope;
pub(crate) use secrets::looks_like_a_token;
pub(crate) use sessions::{SESSION_LIFE, Sessions};
pub use tokens::TokenFile;
pub(crate) use tokens::Tokens;

use crate::caller::Caller;
use paintbox_domain::{Clock, ErrorClass, Failure, reason};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Everything that says who may call.
#[derive(Debug, Clone)]
pub struct Access {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) sessions: Arc<Sessions>,
}

/// A caller who may come in.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    /// When what they showed is taken away. None for what cannot be.
    pub(crate) until: Option<Lease>,
}

/// For how long a caller may be answered.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// Cancelled when it is over: streams end.
    pub(crate) over: CancellationToken,
    why: fn() -> Failure,
}

impl Lease {
    fn of_token(over: CancellationToken) -> Self {
        let why = || {
            Failure::new(ErrorClass::Unauthenticated, reason::TOKEN_INVALID, "the client's token was deleted")
                .with_hint("`paintbox token create LABEL` makes another")
        };
        Self { over, why }
    }

    fn of_session(over: CancellationToken) -> Self {
        Self { over, why: session_is_over }
    }

    /// What to tell whoever it ends for.
    pub(crate) fn why(&self) -> Failure {
        (self.why)()
    }
}

fn session_is_over() -> Failure {
    Failure::new(ErrorClass::Unauthenticated, reason::SESSION_EXPIRED, "this browser's session is over")
        .with_hint("`paintbox web` opens the page anew")
}

impl Access {
    /// Reads the tokens that were made before. A file that cannot be read as one is set aside, and nobody has a token.
    ///
    /// # Errors
    /// When the file cannot be opened or set aside.
    pub fn open(file: Arc<dyn TokenFile>, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Ok(Self { tokens: Arc::new(Tokens::open(file, clock.clone())?), sessions: Arc::new(Sessions::new(clock)) })
    }

    /// Who shows this token.
    pub(crate) fn by_token(&self, text: &str) -> Result<Admitted, Failure> {
        Arc::clone(&self.tokens).check(text).ok_or_else(|| {
            let message = "no client has this token; it is mistyped, or was deleted";
            Failure::new(ErrorClass::Unauthenticated, reason::TOKEN_INVALID, message)
                .with_hint("`paintbox token list` shows the clients, `paintbox token create LABEL` makes a token")
        })
    }

    /// Who shows this cookie.
    pub(crate) fn by_session(&self, cookie: &str) -> Result<Admitted, Failure> {
        self.sessions.check(cookie).ok_or_else(session_is_over)
    }
}
