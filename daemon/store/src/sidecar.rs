//! The note beside a partial that says whose bytes it holds.

use crate::{StoreError, durable};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A longer note was not written by us.
const LONGEST_NOTE_BYTES: u64 = 64 * 1024;

/// Whose bytes a partial holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    pub(crate) key: String,
    pub(crate) validator: Option<String>,
    pub(crate) total_bytes: Option<u64>,
}

impl Sidecar {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), validator: None, total_bytes: None }
    }

    /// The note at `path`. One that is missing or unreadable counts as no note: its bytes then belong to nobody.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let mut text = Vec::new();
        File::open(path).ok()?.take(LONGEST_NOTE_BYTES).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the note and waits until it would survive a power cut.
    pub(crate) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let text = serde_json::to_vec(self).expect("two texts and a number always serialise");
        durable::replace(path, &text)?;
        durable::sync_folder(path.parent().unwrap_or(path))
    }
}
