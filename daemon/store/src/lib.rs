//! Files on disk: blobs under their digest, downloads on their way there, and previews.
//!
//! Bytes reach a blob's name in one order only: into a partial (or, for small things, into `incoming/`), length and
//! digest checked, fsync, rename into `blobs/`, fsync of the folder. Whoever records the blob in a catalogue does so
//! after that, and forgets it before the blob is removed. A kill or a power cut between any two of these steps
//! leaves bytes that nobody names, never a name with wrong or half bytes.
//!
//! ```text
//! root/
//!   blobs/sha256/ab/abcdef…     whole files, read-only, named by the SHA-256 of what is in them
//!   partials/<key>.part         bytes of a download that is not finished
//!   partials/<key>.json         whose bytes those are: the key's text, the validator, the announced length
//!   partials.lock               held while a partial is opened or gets its name; empty
//!   incoming/<sha256>.<n>       small blobs before their rename; whatever a kill left here is of no use
//!   quarantine/<key>.<sha256>   bytes that were not what they were promised to be, with their .json beside them
//!   quarantine/<sha256>.damaged a blob whose bytes changed after it had got its name, likewise
//!   volume.json                 the identity of a store on a disk that may come and go
//! ```
//!
//! On a Mac the four folders are called `blobs.noindex/` and so on, which keeps Spotlight out of them (`folders`).
//!
//! Everything is one folder tree so that a rename never crosses a file system. What other tools keep elsewhere is only
//! read, by [`hf_cache`] and [`library`]. All calls block; none of them touches the network, the clock or the environment.

mod blobs;
mod cloned;
mod durable;
mod error;
mod folders;
mod hashing;
pub mod hf_cache;
mod inventory;
pub mod library;
mod partial;
pub mod preview;
mod quarantine;
mod rereading;
mod sidecar;
mod time_machine;
mod volume;

pub use blobs::{Blob, Store};
pub use cloned::Cloned;
pub use error::StoreError;
pub use hashing::{Digests, Expected};
pub use inventory::Stored;
pub use partial::{Partial, PartialInfo, PartialKey};
pub use rereading::{Rereading, device_of};
pub use volume::is_volume;
