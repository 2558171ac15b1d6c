//! The catalogue: everything Paintbox knows, in one SQLite file, and the only crate that names sqlx.
//!
//! Three kinds of fact are kept apart. *Evidence* is what hubs say: models, versions, files and previews, upserted
//! by [`Catalogue::record_models`], never deleted, with every state of a page kept word for word. *Content* is what
//! is on this machine: artifacts by digest and the paths they were seen at. *Intent and work* is what people asked
//! for: follows, pulls, sync runs, generations.
//!
//! There is one writer, whose transactions all begin IMMEDIATE, and a few readers that cannot write; readers see
//! the last committed state and never wait for the writer. A [`Catalogue`] is a cheap handle; methods are
//! cancel-safe, because a dropped transaction is rolled back.

mod artifacts;
mod aside;
mod assets;
mod at_rest;
mod backups;
mod beside;
mod care;
mod check;
mod checkpoint;
mod checks;
mod codec;
mod companions;
#[cfg(test)]
mod damage;
mod detail;
mod downloads;
mod duplicates;
mod error;
mod evidence;
mod export;
mod files;
pub mod filter;
mod follows;
mod garbage;
mod gathered;
mod generations;
mod health;
mod history;
mod ids;
mod import;
mod install;
mod journal;
mod libraries;
mod listed;
mod local_names;
mod migrate;
mod notices;
mod open;
mod page;
mod policy_json;
mod portable;
mod pulls;
mod readers;
mod records;
mod removals;
mod requests;
mod resolve;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod schema;
mod search;
#[cfg(test)]
mod shelf_tests;
mod snapshot;
mod statements;
mod stats;
mod still;
mod sync_runs;
#[cfg(test)]
mod testing;
mod updates;
#[cfg(test)]
mod upgrade;
mod versions;
mod volumes;
mod wanted;
mod words;

pub use artifacts::{ArtifactRecord, NewArtifact};
pub use assets::{Asset, AssetOrigin, StoredPreview};
pub use at_rest::{AtRest, AtRestQuery, NamedFile};
pub use backups::{Backup, BackupKind};
pub use care::{BackupDone, CatalogueCare, CatalogueHealth};
pub use check::{CatalogueCheck, CheckDepth};
pub use checks::{FollowCheck, ListRead};
pub use companions::{Companion, CompanionPage, CompanionQuery, Companions};
pub use downloads::{DownloadEnd, DownloadFilter, DownloadPage, DownloadQuery, DownloadRecord, NewDownload};
pub use duplicates::{Duplicate, DuplicatePage, DuplicatePlace};
pub use error::CatalogueError;
pub use export::ExportPieces;
pub use filter::{FilterProblem, RowFilter};
pub use follows::{Follow, FollowState};
pub use garbage::{OpenDownloadFile, UnusedPicture};
pub use generations::{
    GenerationImage, GenerationOutcome, GenerationPage, GenerationQuery, GenerationRecord, Interruption, NewGeneration,
    NewGenerationImage, QueueLimits, Recovered, Waiting, by_client,
};
pub use health::CatalogueCounts;
pub use history::ModelChange;
pub use ids::{
    ArtifactId, AssetId, DownloadId, FileId, FollowId, LibraryFileId, LibraryId, ModelId, ObservationId, PreviewId,
    PullId, RemovalId, VersionId, VolumeId,
};
pub use import::{Import, Imported};
pub use journal::{Entry, Happening, JobKind, Journal, Read, Reader, Watched};
pub use libraries::changes::{InspectedFile, LibraryChanges, LibraryPath, Placed, PlacedPath};
pub use libraries::claims::{Claimed, ClaimedRepository, LocalIdentity};
pub use libraries::content::{LibraryFileRecord, ReadFile, UnlistedFile, UnreadFile};
pub use libraries::page::LocalPage;
pub use libraries::pictures::{LocalPicture, StoredThumbnails, UnreadPicture};
pub use libraries::{LibraryCounts, LibraryRecord};
pub use listed::KeptPlace;
pub use notices::Notice;
pub use open::Catalogue;
pub use pulls::Pull;
pub use records::{FileRecord, FileState, ModelDetail, ModelRecord, ModelSummary, PreviewRecord, VersionRecord};
pub use removals::{RemovalPage, RemovalRecord, RemovalState, RemovedBytes, RemovedFile, RemovedPlace};
pub use requests::{Asked, IdentifiedRequest};
pub use resolve::{Resolved, ResolvedLine};
pub use search::{
    Condition, Facet, FacetCounts, Fact, Filter, Label, Number, Place, SearchOrder, SearchPage, SearchQuery, SortKey,
};
pub use stats::{HubModels, NamedShare, PlaceShare, Share, Stats};
pub use still::memory_was_given_back;
pub use sync_runs::{NewSyncRun, SyncCounts, SyncRunPage, SyncRunQuery, SyncRunRecord, SyncRunUpdate};
pub use updates::{ModelUpdate, NewerVersion, UpdatePage};
pub use volumes::{Held, NewVolume, VolumeRecord, VolumeRules};
pub use wanted::{Extent, FollowInterest, Scope, WantedModel, WantedVersion};
