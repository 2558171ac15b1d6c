//! The public API: one module per service, domain ⇄ proto by hand, errors → Status in one place.
//!
//! Handlers may be dropped at any moment, because a caller may leave: whatever changes state first commits a job or
//! a row and answers afterwards.

mod access;
mod asset;
mod authority;
mod caller;
mod capabilities;
mod catalogue;
mod catalogue_care;
mod compat;
mod convert;
mod daemon;
mod download;
mod engine;
mod event;
mod fit;
mod follow;
mod generation;
mod health;
mod leaving;
mod library;
mod listen;
mod names;
mod once;
mod paging;
mod policy;
mod recipe;
mod room;
mod server;
mod shelf;
mod spec;
mod states;
mod status;
mod store;
mod sync;
mod watching;

pub use access::{Access, TokenFile};
pub use daemon::{Configuration, CredentialStore, DaemonFacts, Reloaded};
pub use listen::{ListenError, ListenOptions, ListenerFacts, Listeners, SocketFile, TlsPem};
pub use once::Answering;
pub use policy::read as read_policy;
pub use room::Room;
pub use server::{Api, serve};
