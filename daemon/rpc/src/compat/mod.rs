//! The HTTP interfaces of other programs, as thin translations onto the queue that everything here paints through: OpenAI's
//! Images API ([`openai`]) and what front ends use of AUTOMATIC1111's `/sdapi/v1` ([`a1111`]).
//!
//! Nothing in these routes reaches the catalogue's pages, follows, syncs or the daemon itself: they list what is here to
//! paint with, paint, and watch, interrupt or cancel what the same caller asked for. Who may call, from which host and
//! origin, and over what connection, is decided before a request comes here.
//!
//! **A caller that leaves** before its pictures are done takes its wish back: what it waited for is cancelled, because
//! nobody could fetch it. Unless it named the request by an `Idempotency-Key`: then the painting goes on, and the same
//! request with the same key waits for the same pictures, now or later.

mod a1111;
mod aside;
mod body;
mod caller;
mod fields;
#[cfg(test)]
mod heard;
mod job;
mod openai;
mod picture;
mod problem;
#[cfg(test)]
pub(crate) mod testing;

use crate::room::Room;
use crate::server::Api;
use axum::Router;
use paintbox_catalogue::Catalogue;
use paintbox_generation::Generations;
use paintbox_store::Store;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What these routes answer from.
#[derive(Debug, Clone)]
struct Compat {
    generations: Generations,
    catalogue: Catalogue,
    store: Store,
    /// Cancelled when calls must end.
    shutdown: CancellationToken,
    callers: Arc<caller::Callers>,
    /// For requests' bodies.
    room: Room,
}

/// `/v1/…` and `/sdapi/v1/…`, with an answer in each interface's own form for every path below them.
pub(crate) fn routes(api: Api) -> Router {
    let Api { catalogue, store, generations, shutdown, room, .. } = api;
    routes_of(Compat { generations, catalogue, store, shutdown, callers: Arc::default(), room })
}

fn routes_of(compat: Compat) -> Router {
    openai::routes().merge(a1111::routes()).with_state(compat)
}
