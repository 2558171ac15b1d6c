//! What Paintbox's tests stand on: hubs on this machine that speak the real wire formats, a real model small enough
//! to keep in the repository, and a private home. Nothing here is a mock: clients open sockets and read bytes.

mod fake_hub;
pub mod libraries;
mod test_home;
mod tiny_model;
mod wait;

pub use fake_hub::{
    CIVITAI_TOKEN, CollectionFilter, FakeCivitaiModel, FakeFile, FakeHub, FakeImage, FakeRepository, FakeVersion,
    Fault, FaultHandle, FaultRule, Faults, HF_TOKEN, PaidAccess, PublishedModel, PublishedVersion, RecordedRequest,
    SAMPLE_CREATOR, SAMPLE_ORGANISATION, SAMPLE_RECORDED_CREATOR, Server, XET_TOKEN,
};
pub use test_home::TestHome;
pub use tiny_model::TinyModel;
pub use wait::{assert_close, wait_for};

use std::path::{Path, PathBuf};

/// The repository's `tests/fixtures` folder.
#[must_use]
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|tests| tests.join("fixtures")).unwrap_or_default()
}
