//! The words every other part speaks: ids, digests, kinds, states, error classes and ports.
//!
//! Nothing here does IO, knows tokio, or serialises itself: a crate that stores or sends one of these types
//! converts it by hand at its own edge, so that neither the database nor the wire can reshape the domain.

pub mod air;
pub mod classify;
pub mod clock;
pub mod crash;
pub mod digest;
pub mod download;
pub mod follow;
pub mod generation;
pub mod hub;
pub mod kind;
mod look;
pub mod reason;
pub mod reference;
pub mod secret;
pub mod surroundings;
pub mod transfer;

pub use classify::{Classify, ErrorClass, Failure};
pub use clock::{Clock, Timestamp};
pub use digest::{Blake3, GitSha1, Sha256};
pub use download::{DownloadState, DownloadStep};
pub use hub::Hub;
pub use kind::{Architecture, FileFormat, ModelKind};
pub use look::FileLook;
pub use reference::ModelRef;
pub use secret::Secret;
pub use surroundings::{Chore, Shortage, Surroundings};
