//! Repository rules as tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the repository has failed")]

mod contract;
mod dependencies;
mod errors;
mod sources;

use std::path::{Path, PathBuf};

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
