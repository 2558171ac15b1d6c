//! What a life left, looked at from outside.

use super::plan::{Cost, Truth};
use crate::tests::{START, digest};
use paintbox_catalogue::{Catalogue, DownloadFilter, DownloadQuery, FileState};
use paintbox_domain::Sha256;
use paintbox_domain::clock::ManualClock;
use paintbox_testkit::FakeHub;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Above this a file comes by several connections.
const WINDOWED_FROM: u64 = 16 << 20;
/// What several connections may have in flight: four pieces of 4 MiB, and two batches on their way to the disk.
const IN_FLIGHT_WINDOWED: u64 = (16 << 20) + (2 << 20) + SLACK;
/// What one connection may: two batches.
const IN_FLIGHT: u64 = (2 << 20) + SLACK;
/// One piece as it comes from the socket, and the first bytes that are looked at before anything is kept.
const SLACK: u64 = 256 << 10;

pub(super) struct Left<'a> {
    truth: &'a Truth,
    /// Names of files that a former life verified.
    verified: BTreeSet<String>,
    received: u64,
    kills: u64,
    is_complete: bool,
    /// What the last life said, and what it left.
    last_words: String,
}

impl<'a> Left<'a> {
    pub(super) fn new(truth: &'a Truth) -> Self {
        Self { truth, verified: BTreeSet::new(), received: 0, kills: 0, is_complete: false, last_words: String::new() }
    }

    /// Looks at a home after a life.
    pub(super) fn look(&mut self, home: &Path, hub: &FakeHub, was_killed: bool) {
        let log = || std::fs::read_to_string(home.join("log")).unwrap_or_default();
        self.kills += u64::from(was_killed);
        let received = std::fs::read(home.join("../received")).unwrap_or_default();
        self.received += received.try_into().map_or(0, u64::from_le_bytes);
        std::fs::remove_file(home.join("../received")).ok();

        let mut named = BTreeSet::new();
        let folders = ["blobs", "blobs.noindex"].map(|name| home.join("store").join(name));
        for path in folders.iter().flat_map(|folder| blobs(folder)) {
            let name: Sha256 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            assert_eq!(digest(&std::fs::read(&path).unwrap()), name, "wrong bytes under a name: {path:?}\n{}", log());
            named.insert(name);
        }
        let asked: Vec<String> = hub.requests().into_iter().map(|request| request.path_and_query).collect();
        for (name, _) in self.truth.files.iter().filter(|(name, _)| self.verified.contains(*name)) {
            let again = asked.iter().find(|path| is_of_file(path, name));
            assert!(again.is_none(), "{name} was verified and is asked for again: {again:?}\n{}", log());
        }

        // Where the hub lists no digest, nobody can know that a name in the store is that file's.
        let listed = self.truth.files.iter().filter(|(name, _)| self.truth.unlisted.as_ref() != Some(*name));
        self.verified.extend(listed.filter(|(_, (digest, _))| named.contains(digest)).map(|(name, _)| name.clone()));

        let states = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(states(home));
        let Some(states) = states else {
            // Killed, or out of room, before there was a catalogue.
            return;
        };
        for (name, state) in &states.files {
            match state {
                Some((FileState::Verified | FileState::Unverified, found)) => {
                    let (wanted, _) = self.truth.files[name];
                    assert_eq!(*found, wanted, "{name} is not what the hub has\n{}", log());
                    self.verified.insert(name.clone());
                }
                Some((state, _)) => panic!("{name} is {state:?}\n{}", log()),
                None => {}
            }
        }
        self.last_words = format!("{}{:?}, {} downloads open", log(), states.files, states.open_downloads);
        self.is_complete = states.open_downloads == 0
            && states.files.values().filter(|state| state.is_some()).count() == self.truth.files.len();
    }

    /// After the last life.
    pub(super) fn finish(&self, strikes: &[Cost]) {
        assert!(self.is_complete, "not everything is here: {}", self.last_words);
        let largest = self.truth.files.values().map(|(_, bytes)| *bytes).max().unwrap_or_default();
        let in_flight = if largest >= WINDOWED_FROM { IN_FLIGHT_WINDOWED } else { IN_FLIGHT };
        // Files of one ordeal come side by side, and a kill takes what is in flight of all of them.
        let of_kills = self.kills * in_flight * self.truth.files.len() as u64;
        let of_faults: u64 = strikes
            .iter()
            .map(|cost| match cost {
                Cost::InFlight if largest < WINDOWED_FROM => SLACK,
                Cost::InFlight => in_flight,
                Cost::Whole => largest + in_flight,
            })
            .sum();
        let most = self.truth.bytes() + of_kills + of_faults;
        assert!(
            self.received <= most,
            "{} bytes came for {} ({strikes:?}, {} kills)",
            self.received,
            self.truth.bytes(),
            self.kills
        );
    }
}

/// Whether a request is for the bytes of a file. CivitAI's storage and Hugging Face's name it; the rest is told by the
/// names of repositories, which are made from those of their files.
fn is_of_file(path: &str, name: &str) -> bool {
    path.contains("/resolve/") && path.ends_with(name)
        || path.contains("response-content-disposition") && path.contains(name)
}

fn blobs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(blobs(&path)) } else { found.push(path) }
    }
    found
}

struct States {
    /// By name: the state and content of what is here of it.
    files: BTreeMap<String, Option<(FileState, Sha256)>>,
    open_downloads: usize,
}

/// What the catalogue says; none where none could be opened yet.
async fn states(home: &Path) -> Option<States> {
    let path = home.join("catalogue.db");
    if !path.exists() {
        return None;
    }
    let opened = Catalogue::open(&path, Arc::new(ManualClock::at(START))).await;
    let catalogue = match opened {
        Ok(catalogue) => catalogue,
        // A disk that is full stays so until the last life.
        Err(error) => {
            let words = paintbox_domain::classify::message_with_causes(&error);
            assert!(words.contains("full") || words.contains("disk I/O"), "{words}");
            return None;
        }
    };
    assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
    let mut files = BTreeMap::new();
    let query = paintbox_catalogue::SearchQuery::default();
    for summary in catalogue.search(&query).await.unwrap().models {
        let model = catalogue.find_model(summary.hub, &summary.external_id).await.unwrap().unwrap();
        for file in catalogue.model(model).await.unwrap().versions.iter().flat_map(|version| &version.files) {
            if file.format == paintbox_domain::FileFormat::Safetensors {
                let artifact = file.artifact.as_ref().filter(|artifact| !artifact.paths.is_empty());
                if let Some(artifact) = artifact {
                    let bytes = std::fs::read(&artifact.paths[0]).expect("what is on record is here");
                    assert_eq!(digest(&bytes), artifact.sha256);
                }
                let state = artifact.map(|artifact| (file.state, artifact.sha256));
                files.insert(file.name.rsplit('/').next().unwrap().to_owned(), state);
            }
        }
    }
    let open = DownloadQuery { filter: DownloadFilter::Open, ..DownloadQuery::default() };
    let open_downloads = catalogue.downloads(&open).await.unwrap().downloads.len();
    catalogue.close().await;
    Some(States { files, open_downloads })
}
