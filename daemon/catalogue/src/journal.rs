//! What happens while this daemon lives, in order: the one log that every watch reads.
//!
//! A change of a job's row is noted when it is committed, by the method that commits it, so that no writer can forget.
//! Progress is noted beside it, the latest of each thing alone. Readers keep a position and nothing else: one that stands
//! still costs nobody anything, and when the log has gone on without it, it is told so and looks at the rows instead.
//! Nothing that must last depends on the journal; it begins anew with each start.

mod job;

pub use job::{JobKind, Watched};

use crate::downloads::DownloadRecord;
use crate::generations::GenerationRecord;
use crate::ids::{DownloadId, FollowId};
use crate::sync_runs::SyncRunRecord;
use paintbox_domain::generation::Progress;
use paintbox_domain::transfer::{FileFailed, FilePhase, FileProgress, TransferProgress};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Progress is told no more often, but before a change of state.
const BETWEEN_PROGRESS: Duration = Duration::from_millis(100);
/// What the log keeps for those who come back: some minutes of a busy daemon.
const MOST_ENTRIES: usize = 2_048;
/// Of texts in it, such as prompts, so that long ones do not fill the memory.
const MOST_BYTES: usize = 8 << 20;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// A generation as it became.
    Generation(Box<GenerationRecord>),
    /// The queue of generations was paused or resumed.
    GenerationQueue {
        paused: bool,
    },
    SyncRun(SyncRunRecord),
    /// A file of a sync run, or a follow's check in it, that failed.
    FileFailed {
        run: String,
        failed: FileFailed,
    },
    Download(Box<DownloadRecord>),
    Follow(FollowId),
    /// By name.
    FollowDeleted(String),
    /// What is known of models is different.
    Models,
    GenerationProgress {
        uid: String,
        progress: Progress,
    },
    FileProgress {
        run: String,
        progress: FileProgress,
    },
    DownloadProgress {
        id: DownloadId,
        progress: TransferProgress,
    },
}

/// What only the latest of counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Generation(String),
    /// Run, version, file.
    File(String, String, String),
    Download(DownloadId),
    Models,
}

impl Happening {
    fn subject(&self) -> Option<Subject> {
        match self {
            Self::GenerationProgress { uid, .. } => Some(Subject::Generation(uid.clone())),
            // The last word on a file is told to everybody.
            Self::FileProgress { progress, .. } if progress.phase == FilePhase::Done => None,
            Self::FileProgress { run, progress } => {
                Some(Subject::File(run.clone(), progress.version.clone(), progress.file.clone()))
            }
            Self::DownloadProgress { id, .. } => Some(Subject::Download(*id)),
            Self::Models => Some(Subject::Models),
            _ => None,
        }
    }

    /// Bytes of text in it, near enough.
    fn weight(&self) -> usize {
        match self {
            Self::Generation(record) => record.text_bytes(),
            Self::SyncRun(record) => record.scope_json.len(),
            _ => 0,
        }
    }
}

/// A happening and its number, which is larger than that of whatever happened before.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub sequence: u64,
    pub happening: Happening,
}

#[derive(Debug, Default)]
struct Kept {
    /// The number of the last happening.
    sequence: u64,
    log: VecDeque<Arc<Entry>>,
    /// Of what is in the log.
    bytes: usize,
    /// The number of the last entry that left the log.
    dropped: u64,
    latest: BTreeMap<Subject, Arc<Entry>>,
}

impl Kept {
    /// What is under way of something that has ended has nothing more to say.
    fn forget(&mut self, happening: &Happening) {
        match happening {
            Happening::Generation(record) if record.state.is_terminal() => {
                self.latest.remove(&Subject::Generation(record.uid.clone()));
            }
            Happening::Download(record) if !record.state.is_under_way() => {
                self.latest.remove(&Subject::Download(record.id));
            }
            Happening::FileProgress { run, progress } if progress.phase == FilePhase::Done => {
                let (version, file) = (progress.version.clone(), progress.file.clone());
                self.latest.remove(&Subject::File(run.clone(), version, file));
            }
            Happening::SyncRun(record) if record.state.is_terminal() => {
                self.latest.retain(|subject, _| !matches!(subject, Subject::File(run, ..) if *run == record.uid));
            }
            _ => {}
        }
    }
}

/// The log; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: Mutex<Kept>,
    logged: watch::Sender<()>,
    progressed: watch::Sender<()>,
    /// Held from before a commit until its happening is noted, so that numbers have the order of commits.
    order: tokio::sync::Mutex<()>,
}

impl Journal {
    /// Held from before a commit until what it does is noted.
    pub(crate) async fn in_order(&self) -> impl Drop + '_ {
        self.inner.order.lock().await
    }

    /// Notes what happened, and wakes those whom it may concern.
    pub fn note(&self, happening: Happening) {
        let mut kept = self.kept();
        kept.sequence += 1;
        kept.forget(&happening);
        let entry = Arc::new(Entry { sequence: kept.sequence, happening });
        if let Some(subject) = entry.happening.subject() {
            kept.latest.insert(subject, entry);
            drop(kept);
            self.inner.progressed.send_replace(());
            return;
        }
        kept.bytes += entry.happening.weight();
        kept.log.push_back(entry);
        while kept.log.len() > MOST_ENTRIES || (kept.bytes > MOST_BYTES && kept.log.len() > 1) {
            if let Some(oldest) = kept.log.pop_front() {
                kept.bytes -= oldest.happening.weight();
                kept.dropped = oldest.sequence;
            }
        }
        drop(kept);
        self.inner.logged.send_replace(());
    }

    /// The number of the last happening.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.kept().sequence
    }

    /// The latest progress of a generation that is being painted.
    #[must_use]
    pub fn generation_progress(&self, uid: &str) -> Option<Progress> {
        let kept = self.kept();
        match &kept.latest.get(&Subject::Generation(uid.to_owned()))?.happening {
            Happening::GenerationProgress { progress, .. } => Some(*progress),
            _ => None,
        }
    }

    /// A reader of what happens behind `position` and `concerns` it.
    pub fn read_from(&self, position: u64, concerns: impl Fn(&Happening) -> bool + Send + Sync + 'static) -> Reader {
        Reader {
            logged: self.inner.logged.subscribe(),
            progressed: self.inner.progressed.subscribe(),
            journal: self.clone(),
            position,
            concerns: Box::new(concerns),
            allowed: 0,
            due: Instant::now(),
            is_waiting: false,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reader finds.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    Happened(Arc<Entry>),
    /// The log has gone on without it: how things are now is to be looked up, and its position is where the log ends.
    Lost,
}

/// One who reads the journal.
pub struct Reader {
    journal: Journal,
    logged: watch::Receiver<()>,
    progressed: watch::Receiver<()>,
    position: u64,
    concerns: Box<dyn Fn(&Happening) -> bool + Send + Sync>,
    /// Progress up to this number may be read.
    allowed: u64,
    /// When more may be.
    due: Instant,
    /// There is progress that is not due.
    is_waiting: bool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Reader {
    /// The number of the last happening that was read or passed over.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What is next, if it has happened.
    pub fn try_next(&mut self) -> Option<Read> {
        self.logged.mark_unchanged();
        self.progressed.mark_unchanged();
        let kept = self.journal.kept();
        if self.position < kept.dropped || self.position > kept.sequence {
            self.position = kept.sequence;
            return Some(Read::Lost);
        }
        let begin = kept.log.partition_point(|entry| entry.sequence <= self.position);
        let logged = kept.log.range(begin..).find(|entry| (self.concerns)(&entry.happening));
        let is_new = |entry: &&Arc<Entry>| entry.sequence > self.position && (self.concerns)(&entry.happening);
        let progress = kept.latest.values().filter(is_new).min_by_key(|entry| entry.sequence);
        let now = Instant::now();
        if progress.is_some() && now >= self.due {
            // All that has come until now may be read at once, and then nothing for a while.
            self.allowed = kept.sequence;
            self.due = now + BETWEEN_PROGRESS;
        }
        self.is_waiting = false;
        let next = match (logged, progress) {
            // What came before a change of state is told before it.
            (Some(logged), Some(progress)) if progress.sequence < logged.sequence => progress,
            (Some(logged), _) => logged,
            (None, Some(progress)) if progress.sequence <= self.allowed => progress,
            (None, waiting) => {
                self.is_waiting = waiting.is_some();
                return None;
            }
        };
        let next = next.clone();
        drop(kept);
        self.position = next.sequence;
        Some(Read::Happened(next))
    }

    /// What is next, once it has happened. May be dropped and asked again.
    pub async fn next(&mut self) -> Read {
        loop {
            if let Some(read) = self.try_next() {
                return read;
            }
            let Self { logged, progressed, due, is_waiting, .. } = self;
            let progress = async {
                if !*is_waiting && progressed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep_until(*due).await;
            };
            tokio::select! {
                changed = logged.changed() => drop(changed),
                () = progress => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use paintbox_domain::Timestamp;
    use paintbox_domain::generation::{JobState, Phase};

    fn run(uid: &str, state: JobState) -> Happening {
        Happening::SyncRun(SyncRunRecord {
            uid: uid.to_owned(),
            request_id: None,
            scope_json: "{}".to_owned(),
            state,
            counts: crate::SyncCounts::default(),
            failure: None,
            created_at: Timestamp::from_unix_ms(1),
            started_at: None,
            ended_at: None,
        })
    }

    fn step(uid: &str, step: u32) -> Happening {
        let progress = Progress { phase: Phase::Sampling, step, total_steps: 9, image_index: 0, image_count: 1 };
        Happening::GenerationProgress { uid: uid.to_owned(), progress }
    }

    fn everything(journal: &Journal, position: u64) -> Reader {
        journal.read_from(position, |_| true)
    }

    fn read(reader: &mut Reader) -> Vec<Happening> {
        let mut found = Vec::new();
        while let Some(Read::Happened(entry)) = reader.try_next() {
            assert_eq!(reader.position(), entry.sequence);
            found.push(entry.happening.clone());
        }
        found
    }

    #[tokio::test(start_paused = true)]
    async fn no_change_of_state_is_left_out_and_of_progress_the_latest_is_told_ten_times_a_second() {
        let journal = Journal::default();
        let mut reader = everything(&journal, 0);
        journal.note(run("a", JobState::Queued));
        for done in 1..=5 {
            journal.note(step("g", done));
        }
        journal.note(run("a", JobState::Running));
        assert_eq!(read(&mut reader), [run("a", JobState::Queued), step("g", 5), run("a", JobState::Running)]);
        let mut told = 0;
        let begin = Instant::now();
        for done in 6..=1_000 {
            journal.note(step("g", done));
            tokio::time::advance(Duration::from_millis(3)).await;
            if let Some(Read::Happened(entry)) = reader.next().now_or_never() {
                assert_eq!(entry.happening, step("g", done));
                told += 1;
            }
        }
        assert!(told as u128 * 100 <= begin.elapsed().as_millis() && told > 25, "{told}");
        journal.note(run("a", JobState::Succeeded));
        assert_eq!(read(&mut reader).last(), Some(&run("a", JobState::Succeeded)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_sleeps_until_something_concerns_it() {
        let journal = Journal::default();
        let mut reader =
            journal.read_from(0, |happening| matches!(happening, Happening::SyncRun(run) if run.uid == "b"));
        journal.note(run("a", JobState::Queued));
        journal.note(step("g", 1));
        assert_eq!(reader.next().now_or_never(), None);
        journal.note(run("b", JobState::Queued));
        let Read::Happened(entry) = reader.next().await else { panic!("nothing was lost") };
        assert_eq!((entry.sequence, &entry.happening), (3, &run("b", JobState::Queued)));
        // Progress that is not due yet is told when it is, without anything else happening.
        let mut reader = journal.read_from(3, |_| true);
        journal.note(step("g", 2));
        assert!(matches!(reader.next().await, Read::Happened(_)));
        journal.note(step("g", 3));
        let Read::Happened(entry) = reader.next().await else { panic!("nothing was lost") };
        assert_eq!(entry.happening, step("g", 3));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_of_several_things_is_told_together() {
        let journal = Journal::default();
        let mut reader = everything(&journal, 0);
        for round in 1..=3 {
            for uid in ["x", "y", "z"] {
                journal.note(step(uid, round));
            }
        }
        assert_eq!(read(&mut reader), [step("x", 3), step("y", 3), step("z", 3)]);
    }

    #[tokio::test]
    async fn who_comes_back_goes_on_where_it_was_and_who_comes_too_late_is_told() {
        let journal = Journal::default();
        for number in 0..MOST_ENTRIES + 10 {
            journal.note(run(&number.to_string(), JobState::Queued));
        }
        let end = journal.sequence();
        assert_eq!(read(&mut everything(&journal, end - 2)).len(), 2);
        assert_eq!(read(&mut everything(&journal, 10)).len(), MOST_ENTRIES);
        for lost in [9, end + 1] {
            let mut reader = everything(&journal, lost);
            assert_eq!((reader.try_next(), reader.position()), (Some(Read::Lost), end));
            assert_eq!(reader.try_next(), None);
        }
    }

    #[tokio::test]
    async fn long_texts_leave_sooner_and_what_has_ended_has_no_progress() {
        let journal = Journal::default();
        for number in 0..20 {
            let Happening::SyncRun(mut record) = run(&number.to_string(), JobState::Queued) else { unreachable!() };
            record.scope_json = "x".repeat(1 << 20);
            journal.note(Happening::SyncRun(record));
        }
        assert_eq!(read(&mut everything(&journal, 12)).len(), 8);
        let progress = FileProgress {
            version: "civitai:1@2".to_owned(),
            file: "a".to_owned(),
            bytes_done: 1,
            bytes_total: None,
            phase: FilePhase::Transferring,
        };
        journal.note(Happening::FileProgress { run: "r".to_owned(), progress });
        journal.note(run("r", JobState::Succeeded));
        let found = read(&mut everything(&journal, 20));
        assert_eq!(found, [run("r", JobState::Succeeded)]);
    }
}
