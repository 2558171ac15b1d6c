//! Files at rest, read again and compared with their digests: by hand as fast as the disks give them, by itself slowly,
//! over weeks. One file of a device at a time, since a disk that spins is slowest at several.

use crate::error::SyncError;
use crate::service::Sync;
use crate::settle::blocking;
use crate::throttle::Throttle;
use futures::Stream;
use paintbox_catalogue::{ArtifactId, AtRest, AtRestQuery, NamedFile, NewDownload};
use paintbox_domain::{Failure, ModelRef};
use paintbox_store::library::look;
use paintbox_store::{Rereading, StoreError, device_of};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Events that wait for a slow listener before reading waits too.
const EVENTS: usize = 16;
/// Progress is told at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What is to be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyRequest {
    /// Models, versions or files; empty for everything.
    pub references: Vec<String>,
    /// Wrong and missing files are fetched again.
    pub repair: bool,
    /// Those that were read and right within this time are left out.
    pub unread_for: Option<Duration>,
}

/// How far a check at rest is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    pub files_done: u64,
    pub files_total: u64,
    pub bytes_done: u64,
    pub bytes_total: u64,
}

/// Something that a check at rest tells.
#[derive(Debug, Clone, PartialEq)]
pub enum VerifyEvent {
    Progress(VerifyProgress),
    Found(Box<Finding>),
}

/// Who has files read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Hand { repair: bool },
    Itself,
}

/// What is wrong with a file at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Problem {
    /// Other bytes than its digest says.
    Damaged,
    /// Nothing is there.
    Missing,
    /// Its device does not give it.
    Unreadable,
    /// On a volume that is away, so not looked at.
    Away,
}

impl Problem {
    /// The stable name, as sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Away => "away",
        }
    }
}

/// What was done about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// Its bytes were set aside.
    Quarantined,
    /// It is on record there no more; the file itself, if there is one, is somebody else's.
    Forgotten,
    Nothing,
}

impl Remedy {
    /// The stable name, as sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Forgotten => "forgotten",
            Self::Nothing => "nothing",
        }
    }
}

/// A file that is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// A version that has it; none when no hub's file is known for it.
    pub version: Option<ModelRef>,
    pub file: String,
    pub path: PathBuf,
    pub problem: Problem,
    pub failure: Option<Failure>,
    pub remedy: Remedy,
    pub repair_queued: bool,
}

impl Sync {
    /// Reads files again, and tells how far it is and what it finds. What was read is on record at once; dropping the
    /// stream ends the reading.
    ///
    /// # Errors
    /// When a reference leads nowhere or the catalogue cannot be read.
    pub async fn verify(
        &self,
        request: &VerifyRequest,
    ) -> Result<impl Stream<Item = Result<VerifyEvent, SyncError>> + Send + use<>, SyncError> {
        let parts = &self.inner.parts;
        self.look_at_volumes().await?;
        let only = match request.references.as_slice() {
            [] => None,
            references => Some(self.artifacts_of(references).await?),
        };
        let now = parts.clock.now();
        let before = request.unread_for.map_or(now, |time| now.minus(time));
        let everything = AtRestQuery::unread_since(before);
        let query = AtRestQuery { only: only.as_deref(), with_away: true, ..everything };
        let places = parts.catalogue.at_rest(&query).await?;
        let (sender, mut events) = mpsc::channel(EVENTS);
        let work = self.clone().read_all(places, request.repair, sender);
        self.inner.tasks.spawn(work);
        Ok(async_stream::stream! {
            while let Some(event) = events.recv().await {
                yield event;
            }
        })
    }

    async fn artifacts_of(&self, references: &[String]) -> Result<Vec<ArtifactId>, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let mut found = BTreeSet::new();
        for reference in references {
            let resolved = catalogue.resolve(&reference.parse::<ModelRef>()?).await?;
            let detail = catalogue.model(resolved.model).await?;
            for version in &detail.versions {
                let files = version.files.iter().filter(|file| {
                    resolved.file.map_or_else(|| resolved.version.is_none_or(|id| id == version.id), |id| id == file.id)
                });
                found.extend(files.filter_map(|file| Some(file.artifact.as_ref()?.id.get())));
            }
        }
        Ok(found.into_iter().map(ArtifactId::new).collect())
    }

    async fn read_all(self, places: Vec<AtRest>, repair: bool, events: mpsc::Sender<Result<VerifyEvent, SyncError>>) {
        let total = VerifyProgress {
            files_total: places.len() as u64,
            bytes_total: places.iter().map(|place| place.size_bytes).sum(),
            ..VerifyProgress::default()
        };
        let by_device = blocking(move || {
            let mut by_device: BTreeMap<Option<u64>, Vec<AtRest>> = BTreeMap::new();
            for place in places {
                let device = if place.away { None } else { device_of(&place.path) };
                by_device.entry(device).or_default().push(place);
            }
            by_device
        });
        let Ok(by_device) = by_device.await else { return };
        let done = tokio::sync::Mutex::new((total, None));
        let reader = Reader { sync: self, repair, events, done };
        if reader.tell(|_| {}).await.is_err() {
            return;
        }
        let devices = by_device.into_values().map(|places| reader.read_in_turn(places));
        futures::future::join_all(devices).await;
        let (done, _) = *reader.done.lock().await;
        // Whoever does not listen any more need not know.
        let _unheard = reader.send(Ok(VerifyEvent::Progress(done))).await;
    }

    /// Reads one file again; `tell` hears how many bytes were read, and says whether to read on. None when it is sound, or
    /// was not read to its end.
    pub(crate) async fn reread<F: Future<Output = bool> + Send>(
        &self,
        place: &AtRest,
        pace: Option<&Throttle>,
        tell: impl Fn(u64) -> F + Send + std::marker::Sync,
    ) -> Result<Option<(Problem, Option<StoreError>)>, SyncError> {
        let parts = &self.inner.parts;
        if place.away {
            return Ok(Some((Problem::Away, None)));
        }
        // Memory and cables err too: what is found wrong is read a second time before it is believed.
        for is_last in [false, true] {
            let error = match self.read_through(place, pace, &tell).await? {
                None => return Ok(None),
                Some(Ok(())) => {
                    parts.catalogue.record_sound(place.id).await?;
                    return Ok(None);
                }
                Some(Err(error)) => error,
            };
            let problem = self.problem_of(place, &error).await?;
            if is_last || matches!(problem, Problem::Missing | Problem::Away) {
                return Ok(Some((problem, Some(error))));
            }
            tracing::warn!(path = %place.path.display(), %error, "reading it once more");
        }
        Ok(None)
    }

    /// Reads a file to its end and compares it; none if it was not read to its end.
    async fn read_through<F: Future<Output = bool> + Send>(
        &self,
        place: &AtRest,
        pace: Option<&Throttle>,
        tell: &(impl Fn(u64) -> F + Send + std::marker::Sync),
    ) -> Result<Option<Result<(), StoreError>>, SyncError> {
        let path = place.path.clone();
        let mut rereading = match blocking(move || Rereading::begin(&path)).await? {
            Ok(rereading) => rereading,
            Err(error) => return Ok(Some(Err(error))),
        };
        loop {
            let (back, read) = blocking(move || {
                let read = rereading.read();
                (rereading, read)
            })
            .await?;
            rereading = back;
            match read {
                Ok(0) => return Ok(Some(rereading.compare(&place.sha256, place.size_bytes))),
                Ok(count) => {
                    if !tell(count).await || self.inner.shutdown.is_cancelled() {
                        return Ok(None);
                    }
                    if let Some(pace) = pace {
                        pace.paid(&pace.take(count)).await;
                    }
                }
                Err(error) => return Ok(Some(Err(error))),
            }
        }
    }

    async fn problem_of(&self, place: &AtRest, error: &StoreError) -> Result<Problem, SyncError> {
        if !matches!(error, StoreError::Io { .. }) {
            return Ok(Problem::Damaged);
        }
        let (places, path) = (self.inner.parts.places.clone(), place.path.clone());
        // A disk that fails says neither that a file is there nor that it is not. Whether the volume is there is asked
        // afterwards, since it may be going just now.
        let (is_missing, is_away) =
            blocking(move || (path.try_exists().is_ok_and(|there| !there), places.is_away(&path))).await?;
        Ok(match (is_away, is_missing) {
            (true, _) => Problem::Away,
            (false, true) => Problem::Missing,
            (false, false) => Problem::Unreadable,
        })
    }

    /// Does what is to be done about a problem: wrong bytes of ours are set aside, and what is not there, or is somebody
    /// else's, is no longer on record as being there. What cannot be read may be sound, and is left alone.
    pub(crate) async fn attend_to_problem(
        &self,
        place: &AtRest,
        problem: Problem,
        error: Option<StoreError>,
        by: By,
    ) -> Result<Finding, SyncError> {
        let parts = &self.inner.parts;
        let names = parts.catalogue.files_of_artifact(place.artifact).await?;
        let mut failure = error.filter(|_| problem != Problem::Missing).map(|error| Failure::of(&error));
        let remedy = match problem {
            Problem::Away | Problem::Unreadable => Remedy::Nothing,
            Problem::Damaged | Problem::Missing => {
                let _naming = parts.places.naming.write().await;
                // Somebody else may have read it at the same time, and it may have been fetched again since.
                match parts.catalogue.end_place(place.id).await? {
                    false => Remedy::Nothing,
                    true if problem == Problem::Missing => Remedy::Forgotten,
                    true if self.is_a_damaged_library_file(place, failure.as_ref()).await? => Remedy::Forgotten,
                    true => match self.set_aside(place).await? {
                        Ok(remedy) => remedy,
                        Err(error) => {
                            failure = Some(Failure::of(&error));
                            Remedy::Forgotten
                        }
                    },
                }
            }
        };
        let path = place.path.display();
        tracing::warn!(%path, problem = problem.as_str(), done = remedy.as_str(), "a file at rest is not as it should be");
        let is_ours = parts.places.label_of(&place.path).is_some();
        let repairs = match by {
            By::Hand { repair } => repair && remedy != Remedy::Nothing,
            // What another tool removed of its own is not fetched unless somebody wants it.
            By::Itself => remedy != Remedy::Nothing && is_ours,
        };
        let repair_queued = repairs && !self.is_elsewhere(place).await? && self.repair(&names).await?;
        Ok(Finding {
            version: names.first().map(|named| named.version.clone()),
            file: names.first().map(|named| named.name.clone()).unwrap_or_default(),
            path: place.path.clone(),
            problem,
            failure,
            remedy,
            repair_queued,
        })
    }

    /// Records of a library's file that it is damaged, if it is one that nobody changed. What somebody changed is another
    /// file by now, and a look at the library finds out which.
    async fn is_a_damaged_library_file(&self, place: &AtRest, failure: Option<&Failure>) -> Result<bool, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let Some((file, before)) = catalogue.library_file_at(place.id).await? else { return Ok(false) };
        let path = place.path.clone();
        let now = blocking(move || look(&path)).await?;
        match (now, failure) {
            (Ok(now), Some(failure)) if before.is_same_file(&now) => {
                catalogue.record_damaged_library_file(file, failure).await?;
            }
            _ => self.inner.libraries.stale.notify_one(),
        }
        Ok(true)
    }

    /// Moves wrong bytes to quarantine, if they lie in a store of ours.
    async fn set_aside(&self, place: &AtRest) -> Result<Result<Remedy, StoreError>, SyncError> {
        let (places, path, sha256) = (self.inner.parts.places.clone(), place.path.clone(), place.sha256);
        blocking(move || match places.holder_at(&path, &sha256) {
            Some(store) => store.quarantine_blob(&sha256).map(|_| Remedy::Quarantined),
            None => Ok(Remedy::Forgotten),
        })
        .await
    }

    /// Whether the same content lies at another place.
    async fn is_elsewhere(&self, place: &AtRest) -> Result<bool, SyncError> {
        let artifact = self.inner.parts.catalogue.artifact(&place.sha256).await?;
        Ok(artifact.is_some_and(|artifact| !artifact.paths.is_empty() || !artifact.away_on.is_empty()))
    }

    /// Puts the first of `names` that its hub still lists into the queue of downloads.
    async fn repair(&self, names: &[NamedFile]) -> Result<bool, SyncError> {
        let Some(listed) = names.iter().find(|named| named.listed) else { return Ok(false) };
        let download = NewDownload { file: listed.id, hub: listed.hub, follow: None, priority: i32::MAX };
        self.enqueue(&[download], true).await?;
        Ok(true)
    }
}

/// Who reads, and whom to tell.
struct Reader {
    sync: Sync,
    repair: bool,
    events: mpsc::Sender<Result<VerifyEvent, SyncError>>,
    /// And when it was last told.
    done: tokio::sync::Mutex<(VerifyProgress, Option<Instant>)>,
}

/// Nobody listens any more.
struct Unheard;

impl Reader {
    /// Files of one device, one after another.
    async fn read_in_turn(&self, places: Vec<AtRest>) {
        for place in places {
            if self.events.is_closed() || self.sync.inner.shutdown.is_cancelled() {
                return;
            }
            let told = match self.read(&place).await {
                Ok(None) => Ok(()),
                Ok(Some(finding)) => self.send(Ok(VerifyEvent::Found(Box::new(finding)))).await,
                Err(error) => self.send(Err(error)).await.and(Err(Unheard)),
            };
            if told.is_err() {
                return;
            }
        }
    }

    async fn read(&self, place: &AtRest) -> Result<Option<Finding>, SyncError> {
        let counted = AtomicU64::new(0);
        let heard = |bytes: u64| {
            // A second reading is not counted.
            let bytes = bytes.min(place.size_bytes.saturating_sub(counted.load(Ordering::Relaxed)));
            counted.fetch_add(bytes, Ordering::Relaxed);
            async move { self.tell(|done| done.bytes_done += bytes).await.is_ok() }
        };
        let found = self.sync.reread(place, None, heard).await?;
        let finding = match found {
            None => None,
            Some((problem, error)) => {
                Some(self.sync.attend_to_problem(place, problem, error, By::Hand { repair: self.repair }).await?)
            }
        };
        let rest = place.size_bytes.saturating_sub(counted.load(Ordering::Relaxed));
        let told = self.tell(|done| {
            done.files_done += 1;
            done.bytes_done += rest;
        });
        // Whoever does not listen is noticed before the next file.
        let _unheard = told.await;
        Ok(finding)
    }

    async fn tell(&self, change: impl FnOnce(&mut VerifyProgress)) -> Result<(), Unheard> {
        let mut done = self.done.lock().await;
        change(&mut done.0);
        if done.1.is_some_and(|told| told.elapsed() < PROGRESS_INTERVAL) {
            return if self.events.is_closed() { Err(Unheard) } else { Ok(()) };
        }
        done.1 = Some(Instant::now());
        self.send(Ok(VerifyEvent::Progress(done.0))).await
    }

    async fn send(&self, event: Result<VerifyEvent, SyncError>) -> Result<(), Unheard> {
        self.events.send(event).await.map_err(|_| Unheard)
    }
}
