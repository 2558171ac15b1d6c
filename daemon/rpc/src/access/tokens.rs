//! Client tokens: made, shown once, checked, taken away.

use super::secrets::{TOKEN_PREFIX, digest, fresh, same};
use super::{Admitted, Lease};
use crate::caller::{Caller, Scope};
use paintbox_domain::{Clock, ErrorClass, Failure, Sha256, Timestamp, reason};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// More clients than one person has, few enough to compare each.
const MOST_TOKENS: usize = 256;
/// How stale the time of last use may be after a crash.
const USES_ARE_KEPT_EVERY: Duration = Duration::from_secs(60);

/// Where the digests of tokens are kept; the daemon's, because only it may touch its home.
pub trait TokenFile: Send + Sync + std::fmt::Debug {
    /// What was saved last; none if nothing was.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn load(&self) -> Result<Option<String>, Failure>;

    /// Takes the place of what was saved before, whole or not at all, readable by its owner alone.
    ///
    /// # Errors
    /// When it cannot be written.
    fn save(&self, text: &str) -> Result<(), Failure>;

    /// Moves what makes no sense out of the way without destroying it.
    ///
    /// # Errors
    /// When it cannot be moved.
    fn set_aside(&self) -> Result<(), Failure>;
}

/// A client's token without the token.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) scope: Scope,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
    sha256: Sha256,
    caller: Caller,
    /// Cancelled when the token is deleted.
    ended: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct Tokens {
    file: Arc<dyn TokenFile>,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    /// One writer at a time, so that the file never goes back.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Held {
    tokens: Vec<Token>,
    uses_kept_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileJson {
    tokens: Vec<TokenJson>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TokenJson {
    id: String,
    label: String,
    scope: String,
    sha256: String,
    created_ms: i64,
    last_used_ms: Option<i64>,
}

impl Tokens {
    pub(super) fn open(file: Arc<dyn TokenFile>, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let tokens = match file.load()?.map(|text| read(&text)) {
            None => Vec::new(),
            Some(Some(tokens)) => tokens,
            Some(None) => {
                tracing::error!("the file of client tokens makes no sense and is set aside; no client has a token now");
                file.set_aside()?;
                Vec::new()
            }
        };
        let uses_kept_at = clock.now();
        let held = Mutex::new(Held { tokens, uses_kept_at });
        Ok(Self { file, clock, held, writing: tokio::sync::Mutex::default() })
    }

    /// The token, which is not kept, and what is known of it.
    pub(crate) async fn create(self: Arc<Self>, label: String, scope: Scope) -> Result<(Token, String), Failure> {
        let writing = self.writing.lock().await;
        let text = fresh(TOKEN_PREFIX)?;
        let sha256 = digest(&text);
        let mut tokens = self.list();
        if tokens.len() >= MOST_TOKENS {
            let message = format!("there are {MOST_TOKENS} client tokens already");
            return Err(Failure::new(ErrorClass::Exhausted, reason::TOKENS_FULL, message)
                .with_hint("`paintbox token rm` takes one away"));
        }
        let id = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
        let token = Token::new(id, label, scope, sha256, self.clock.now(), None);
        tokens.push(token.clone());
        self.save(&tokens).await?;
        self.held().tokens.push(token.clone());
        drop(writing);
        Ok((token, text))
    }

    /// Oldest first.
    pub(crate) fn list(&self) -> Vec<Token> {
        self.held().tokens.clone()
    }

    /// Whether there was such a token.
    pub(crate) async fn delete(&self, id: &str) -> Result<bool, Failure> {
        let _writing = self.writing.lock().await;
        let mut tokens = self.list();
        let Some(at) = tokens.iter().position(|token| token.id == id) else { return Ok(false) };
        let token = tokens.remove(at);
        self.save(&tokens).await?;
        self.held().tokens.retain(|held| held.id != token.id);
        token.ended.cancel();
        Ok(true)
    }

    pub(super) fn check(self: Arc<Self>, text: &str) -> Option<Admitted> {
        let sha256 = digest(text);
        let now = self.clock.now();
        let mut held = self.held();
        // All are compared, whichever it is.
        let found = held.tokens.iter_mut().fold(None, |found, token| match same(&token.sha256, &sha256) {
            true => Some(token),
            false => found,
        })?;
        found.last_used_at = Some(now);
        let admitted = Admitted { caller: found.caller.clone(), until: Some(Lease::of_token(found.ended.clone())) };
        let is_due = now.since(held.uses_kept_at) >= USES_ARE_KEPT_EVERY;
        if is_due {
            held.uses_kept_at = now;
        }
        drop(held);
        if is_due {
            tokio::spawn(async move {
                let _writing = self.writing.lock().await;
                if let Err(failure) = self.save(&self.list()).await {
                    tracing::warn!("when tokens were last used is not kept: {failure}");
                }
            });
        }
        Some(admitted)
    }

    /// Keeps when tokens were last used, at the daemon's end.
    pub(crate) async fn keep_uses(&self) {
        let _writing = self.writing.lock().await;
        let tokens = self.list();
        if tokens.iter().any(|token| token.last_used_at.is_some())
            && let Err(failure) = self.save(&tokens).await
        {
            tracing::warn!("when tokens were last used is not kept: {failure}");
        }
    }

    async fn save(&self, tokens: &[Token]) -> Result<(), Failure> {
        let file = Arc::clone(&self.file);
        let text = write(tokens);
        let lost = |_| Failure::new(ErrorClass::Internal, reason::INTERNAL, "the work ended without an answer");
        tokio::task::spawn_blocking(move || file.save(&text)).await.map_err(lost)?
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    fn new(
        id: String,
        label: String,
        scope: Scope,
        sha256: Sha256,
        created_at: Timestamp,
        last_used_at: Option<Timestamp>,
    ) -> Self {
        let caller = Caller::token(&id, &label, scope);
        Self { id, label, scope, created_at, last_used_at, sha256, caller, ended: CancellationToken::new() }
    }
}

fn write(tokens: &[Token]) -> String {
    let tokens = tokens.iter().map(|token| TokenJson {
        id: token.id.clone(),
        label: token.label.clone(),
        scope: token.scope.as_str().to_owned(),
        sha256: token.sha256.to_hex(),
        created_ms: token.created_at.unix_ms(),
        last_used_ms: token.last_used_at.map(Timestamp::unix_ms),
    });
    // Strings and numbers are all that is written, which cannot fail.
    serde_json::to_string_pretty(&FileJson { tokens: tokens.collect() }).unwrap_or_default()
}

/// None for a text that [`write`] never wrote.
fn read(text: &str) -> Option<Vec<Token>> {
    let file: FileJson = serde_json::from_str(text).ok()?;
    let tokens = file.tokens.into_iter().map(|token| {
        let (scope, sha256) = (Scope::from_name(&token.scope)?, token.sha256.parse().ok()?);
        let created_at = Timestamp::from_unix_ms(token.created_ms);
        let last_used_at = token.last_used_ms.map(Timestamp::from_unix_ms);
        Some(Token::new(token.id, token.label, scope, sha256, created_at, last_used_at))
    });
    tokens.collect()
}
