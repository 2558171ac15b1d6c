//! Sync is a reconciler: follows and pulls are intent, hubs and disk are facts, a plan is what lies between.
//!
//! ```text
//! check (hub → catalogue) ─► plan (pure) ─► execute (hub → store → catalogue)
//! ```
//!
//! - `check` looks at what one follow lists, at the cost of one conditional request when nothing changed, and records
//!   it; `schedule` says when the next look is due; `reconcile` is the loop that does both.
//! - `plan` decides, by `verdict` (which versions) and `choose` (which files); every refusal has its reason.
//! - `run` carries a plan out: it puts files into the queue of `downloads`, where a worker of `fetch` brings each one
//!   here by `transfer` and `settle`; `throttle` paces the bytes; `cached` uses what other tools have here; `previews`
//!   fetches example images.
//! - `places` says where files lie and where they go, `volumes` how people change that; `verify` reads files again, and
//!   `care` does so by itself; `removals` is the trash, and `garbage` explains what nobody needs.
//! - `time_machine` says which files the system's backups leave out.
//! - `manners` says what waits for a better moment, such as for power; `settings` is what people may decide otherwise at any
//!   time.
//! - `library` adopts folders of models that people keep themselves.
//! - `follow` starts and changes follows; `history` reads a model as it was; `notify` tells of new versions; `pictures` asks
//!   how a hub's picture was made.
//!
//! Runs and downloads are rows: they outlive whoever asked for them. One run at a time looks and plans; the downloads
//! of all of them share one queue, which a daemon that starts again goes on with.

mod cached;
mod care;
mod catalogue_care;
mod check;
mod choose;
mod detected_json;
mod downloads;
mod error;
mod feed;
mod fetch;
mod follow;
mod garbage;
mod history;
mod library;
mod manners;
mod notify;
mod pictures;
mod places;
pub mod plan;
mod previews;
mod reconcile;
mod removals;
mod run;
mod schedule;
mod second_look;
mod service;
mod settings;
mod settle;
mod throttle;
mod time_machine;
mod transfer;
mod verdict;
mod verify;
mod volumes;
mod watch;

#[cfg(test)]
mod tests;

pub use care::Care;
pub use downloads::{DownloadEvent, DownloadLimits};
pub use error::SyncError;
pub use feed::SyncEvent;
pub use follow::BackfillPreview;
pub use garbage::{Garbage, GarbageClass};
pub use history::{HistoryEntry, HistoryEvent};
pub use library::{Library, ScanEvent, Scanned};
pub use manners::Wait;
pub use notify::Announcer;
pub use paintbox_hub::HubState;
pub use places::Places;
pub use plan::{Operation, OperationKind, Plan};
pub use service::{Sync, SyncRequest};
pub use settings::Settings;
pub use verify::{Finding, Problem, Remedy, VerifyEvent, VerifyProgress, VerifyRequest};
pub use volumes::Volume;

use paintbox_catalogue::{Catalogue, CatalogueError, ModelId};
use paintbox_domain::hub::HubModel;
use paintbox_domain::{Clock, ModelRef, Surroundings};
use paintbox_hub::Hubs;
use paintbox_store::hf_cache::HfCache;
use std::sync::Arc;

/// What a sync is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    pub catalogue: Catalogue,
    pub hubs: Hubs,
    pub places: Places,
    /// Where Hugging Face's own tools keep what they downloaded.
    pub hf_cache: HfCache,
    pub clock: Arc<dyn Clock>,
    /// What the machine is short of, for what can wait.
    pub surroundings: Arc<dyn Surroundings>,
}

impl Parts {
    /// Records the model that a reference led to. A commit that was asked for says nothing about the others.
    async fn record_resolved(&self, reference: &ModelRef, model: &HubModel) -> Result<ModelId, CatalogueError> {
        match reference {
            ModelRef::HuggingFace { revision: Some(_), .. } => self.catalogue.record_model_in_part(model).await,
            _ => Ok(self.catalogue.record_models(std::slice::from_ref(model), None).await?[0]),
        }
    }
}
