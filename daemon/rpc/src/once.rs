//! Creating something once, however often it is asked for: requests with an id of the caller's (AIP-155).
//!
//! The answer to a request is kept by its id, and a repetition gets it again. Generations and sync runs keep the id in
//! their own rows, and answer with the job as it is by then.

use crate::server::{Api, lost};
use crate::status::status;
use crate::watching;
use paintbox_catalogue::{Asked, CatalogueError, IdentifiedRequest};
use paintbox_domain::Sha256;
use prost::Message;
use sha2::Digest as _;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tonic::{Code, Status};

/// The ids of requests that are worked on, so that a repetition which comes meanwhile waits for the answer.
#[derive(Debug, Clone, Default)]
pub struct Answering(Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>>);

impl Answering {
    async fn turn(&self, id: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(id).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(id.to_owned(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

/// A request without its id, and the id.
pub(crate) struct Identified<R> {
    /// What it creates, in words.
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) request: R,
}

impl<R: Message> Identified<R> {
    fn known_by(&self) -> Result<Option<IdentifiedRequest>, Status> {
        let Some(id) = watching::request_id(self.id.clone())? else { return Ok(None) };
        let mut digest = sha2::Sha256::new_with_prefix(self.kind);
        digest.update(self.request.encode_to_vec());
        Ok(Some(IdentifiedRequest { kind: self.kind, id, digest: Sha256::from_bytes(digest.finalize().into()) }))
    }
}

impl Api {
    /// What `make` answers, or what it answered when the same was asked before. It goes on when the caller leaves, so that
    /// nothing is half made. `made` finds what is there already, for a request that the daemon's end broke off.
    pub(crate) async fn once<A: Message + Default + 'static>(
        &self,
        request: Identified<impl Message>,
        make: impl Future<Output = Result<A, Status>> + Send + 'static,
        made: impl Future<Output = Option<A>> + Send + 'static,
    ) -> Result<A, Status> {
        let known_by = request.known_by()?;
        let api = self.clone();
        let work = tokio::spawn(async move {
            match known_by {
                None => make.await,
                Some(request) => api.once_by_id(&request, make, made).await,
            }
        });
        work.await.map_err(|_| lost())?
    }

    async fn once_by_id<A: Message + Default>(
        &self,
        request: &IdentifiedRequest,
        make: impl Future<Output = Result<A, Status>>,
        made: impl Future<Output = Option<A>>,
    ) -> Result<A, Status> {
        let _turn = self.answering.turn(&request.id).await;
        let asked = self.catalogue.begin_request(request).await.map_err(|error| status(&error))?;
        let outcome = match &asked {
            Asked::Answered(answer) => return A::decode(&answer[..]).map_err(|_| unreadable(request)),
            Asked::New => make.await,
            Asked::BrokenOff => match make.await {
                Err(refusal) if refusal.code() == Code::AlreadyExists => made.await.ok_or(refusal),
                outcome => outcome,
            },
        };
        let kept = match &outcome {
            Ok(answer) => self.catalogue.answer_request(&request.id, &answer.encode_to_vec()).await,
            Err(_) => self.catalogue.refuse_request(&request.id).await,
        };
        if let Err(error) = kept {
            // What was made is there, and whoever asked shall know; a repetition finds it as one that was broken off.
            tracing::warn!(%error, request = request.id, "cannot keep what a request was answered");
        }
        outcome
    }
}

/// The row is not what this version of the daemon writes.
fn unreadable(request: &IdentifiedRequest) -> Status {
    status(&CatalogueError::Corrupt { what: "a request's answer", value: request.id.clone() })
}
