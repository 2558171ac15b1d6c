//! Sync is a reconciler: follows and pulls are intent, hubs and disk are facts, a plan is what lies between.
//!
//! ```text
//! check (hub → catalogue) ─► plan (pure) ─► execute (hub → store → catalogue)
//! ```
//!
//! Runs are rows: they outlive whoever asked for them, and a daemon that starts again finds what is still to be
//! done by planning again. One run works at a time; the others wait their turn.

mod choose;
mod error;
mod feed;
mod fetch;
pub mod plan;
mod reconcile;
mod run;
mod service;
mod watch;

pub use error::SyncError;
pub use feed::{FileFailed, FilePhase, FileProgress, SyncEvent};
pub use plan::{Operation, OperationKind, Plan};
pub use service::{Sync, SyncRequest};

use paintbox_catalogue::Catalogue;
use paintbox_domain::Clock;
use paintbox_hub::Hubs;
use paintbox_store::Store;
use std::sync::Arc;
use std::time::Duration;

/// What a sync is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    pub catalogue: Catalogue,
    pub hubs: Hubs,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    /// How often a followed creator is looked at by itself; none means only when asked.
    pub sync_interval: Option<Duration>,
}
