//! How fast a search is over a catalogue as large as the hubs are, asked of the real daemon over its socket.
//!
//! `cargo bench -p paintbox-app --bench search [-- --models N] [--rounds N] [--seconds N]`, on Linux. The catalogue is
//! made once, of every size, by what records a hub's answers, and kept in the folder for a benchmark's files of the
//! target folder; every run works on a copy of it. Every class of question is asked with other words each time:
//! `--rounds` times after the start, when the words are mostly new ones, as often again, when most beginnings of words
//! have been asked for, and then while models are written to the same catalogue, at 5,000 a second if that can be, for
//! `--seconds`: known ones with other counters, and new ones.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]
#![expect(clippy::disallowed_methods, reason = "it measures a real process in real time")]

#[path = "shared/daemon.rs"]
mod daemon;
#[path = "search/questions.rs"]
mod questions;
#[path = "search/world.rs"]
mod world;

use daemon::Daemon;
use paintbox_catalogue::{Catalogue, SearchQuery};
use paintbox_domain::Timestamp;
use paintbox_domain::clock::ManualClock;
use paintbox_domain::hub::HubModel;
use questions::{Measured, Questions};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use world::World;

type Failure = Box<dyn Error + Send + Sync>;

const MODELS: u64 = 1_000_000;
const ROUNDS: u64 = 300;
const SECONDS: u64 = 20;
/// Models of one transaction.
const PAGE: u64 = 1_000;
/// Known models that are seen again and again.
const SEEN_AGAIN: u64 = 50_000;
const WRITTEN_EVERY: Duration = Duration::from_millis(200);
/// Later than everything in the world was published.
const NOW_MS: i64 = 1_795_000_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let wanted = Wanted::read()?;
    let made = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("search-{}", wanted.models));
    fill(&made, wanted.models).await?;
    let home = copied(&made)?;
    let size = std::fs::metadata(home.join("state/catalogue.db"))?.len();
    println!("{} models, {:.1} GB; load {}", wanted.models, size as f64 / 1e9, load()?.trim());

    let started = Instant::now();
    let daemon = Daemon::start(&home, "[catalogue]\nbackups = 0\n", &[])?;
    let mut questions = Questions::new(daemon.client().await?, wanted.models);
    questions.answered().await?;
    println!("start to the first answer {:>28.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    questions.first().await?;
    println!("the first search of all   {:>28.0} ms", started.elapsed().as_secs_f64() * 1e3);
    println!("resident then             {:>28.0} MB", megabytes(&daemon, "VmRSS:")?);

    let new = questions.ask_until(wanted.rounds, 1, || false).await?;
    report("every question is a new one", &new, None);
    resident(&daemon)?;
    let quiet = questions.ask(wanted.rounds, 3).await?;
    report("warm, and nothing else goes on", &quiet, None);
    resident(&daemon)?;
    for (what, seed) in [(Wrote::Counters, 2), (Wrote::New, 4)] {
        let writing = Writing::start(&home, wanted.models, what, Duration::from_secs(wanted.seconds))?;
        let busy = questions.ask_until(wanted.rounds, seed, || writing.0.is_finished()).await?;
        let written = writing.0.join().map_err(|_| "the writer panicked")??;
        report(&format!("while {:.0} {} are written", written.rate, what.named()), &busy, Some(&quiet));
        resident(&daemon)?;
    }
    println!("load {}", load()?.trim());
    drop(daemon);
    std::fs::remove_dir_all(&home)?;
    Ok(())
}

fn resident(daemon: &Daemon) -> Result<(), Failure> {
    let (now, most) = (megabytes(daemon, "VmRSS:")?, megabytes(daemon, "VmHWM:")?);
    println!("resident                  {now:>28.0} MB, at most {most:.0} MB");
    Ok(())
}

struct Wanted {
    models: u64,
    rounds: u64,
    seconds: u64,
}

impl Wanted {
    fn read() -> Result<Self, Failure> {
        let mut wanted = Self { models: MODELS, rounds: ROUNDS, seconds: SECONDS };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let value = match argument.as_str() {
                // What cargo itself says to a benchmark.
                "--bench" => continue,
                "--models" => &mut wanted.models,
                "--rounds" => &mut wanted.rounds,
                "--seconds" => &mut wanted.seconds,
                other => return Err(format!("{other}: only --models, --rounds and --seconds N are understood").into()),
            };
            *value = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?.parse()?;
        }
        if wanted.models == 0 || wanted.rounds == 0 { Err("nothing to ask".into()) } else { Ok(wanted) }
    }
}

/// A home with a catalogue of its own, because this benchmark writes to it.
fn copied(made: &Path) -> Result<PathBuf, Failure> {
    let home = made.join("run");
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    std::fs::create_dir_all(home.join("state"))?;
    for entry in std::fs::read_dir(made.join("state"))? {
        let file = entry?;
        if file.file_type()?.is_file() {
            std::fs::copy(file.path(), home.join("state").join(file.file_name()))?;
        }
    }
    // What is still on its way to the disk would slow down the start.
    if Command::new("sync").status()?.success() { Ok(home) } else { Err("sync(1) failed".into()) }
}

/// A line of proc(5)'s status.
fn megabytes(daemon: &Daemon, title: &str) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(daemon.told().join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(title)).ok_or("no such line in status")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// The averages of one, five and fifteen minutes, of proc_loadavg(5).
fn load() -> Result<String, Failure> {
    Ok(std::fs::read_to_string("/proc/loadavg")?)
}

async fn opened(home: &Path) -> Result<Catalogue, Failure> {
    opened_at(home, Timestamp::from_unix_ms(NOW_MS)).await
}

async fn opened_at(home: &Path, now: Timestamp) -> Result<Catalogue, Failure> {
    let clock = Arc::new(ManualClock::at(now));
    Ok(Catalogue::open(&home.join("state/catalogue.db"), clock).await?)
}

/// Makes the catalogue, or goes on with one that was not finished.
async fn fill(home: &Path, models: u64) -> Result<(), Failure> {
    std::fs::create_dir_all(home.join("state"))?;
    let catalogue = opened(home).await?;
    let there = catalogue.counts().await?.models;
    let mut world = World::new();
    let started = Instant::now();
    for first in (there..models).step_by(usize::try_from(PAGE)?) {
        let page: Vec<_> = (first..models.min(first + PAGE)).map(|number| world.model(number)).collect();
        catalogue.record_models(&page, None).await?;
        if (first / PAGE).is_multiple_of(100) {
            println!("{first} models after {:.0} s", started.elapsed().as_secs_f64());
        }
    }
    catalogue.close().await;
    // Or the daemon would do it while it is measured.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let catalogue = opened_at(home, Timestamp::from_unix_ms(i64::try_from(now.as_millis())?)).await?;
    catalogue.check_if_due().await?;
    // What a build before this one made may have to be made ready anew.
    while catalogue.search(&SearchQuery::default()).await?.partial {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    catalogue.close().await;
    Ok(())
}

struct Written {
    /// Models a second.
    rate: f64,
}

/// What a sync has to write.
#[derive(Clone, Copy)]
enum Wrote {
    /// Models that are known, with more downloads than last time: most of what any look brings.
    Counters,
    /// Models that nobody saw before.
    New,
}

impl Wrote {
    fn named(self) -> &'static str {
        match self {
            Self::Counters => "models/s with other counters",
            Self::New => "new models/s",
        }
    }
}

/// Models being written, by another process than the daemon: this one, on threads of their own.
struct Writing(std::thread::JoinHandle<Result<Written, Failure>>);

impl Writing {
    /// Begins when everything that is to be written has been made, which is no part of a sync's work.
    fn start(home: &Path, models: u64, what: Wrote, long: Duration) -> Result<Self, Failure> {
        let (home, (ready, begin)) = (home.to_owned(), std::sync::mpsc::channel());
        let write = async move {
            let catalogue = opened(&home).await?;
            let turns = u64::try_from(long.as_millis() / WRITTEN_EVERY.as_millis())? + 1;
            let (first, count) = match what {
                Wrote::New => (models, turns * PAGE),
                Wrote::Counters => (0, models.min(SEEN_AGAIN)),
            };
            let mut world = World::new();
            let numbers: Vec<u64> = (first..first + count).collect();
            let page = |numbers: &[u64]| numbers.iter().map(|number| world.model(*number)).collect();
            let mut pages: Vec<Vec<HubModel>> = numbers.chunks(usize::try_from(PAGE)?).map(page).collect();
            if matches!(what, Wrote::Counters) {
                // What a build before this one wrote may be read otherwise by now, and is written anew once.
                for page in &pages {
                    catalogue.record_models(page, None).await?;
                }
            }
            ready.send(())?;
            let (started, mut written) = (Instant::now(), 0);
            let (mut turns, mut next) = (tokio::time::interval(WRITTEN_EVERY), 0);
            while started.elapsed() < long {
                let Some(page) = pages.get_mut(next) else { break };
                turns.tick().await;
                page.iter_mut().filter_map(|model| model.downloads.as_mut()).for_each(|downloads| *downloads += 1);
                catalogue.record_models(page, None).await?;
                written += page.len();
                next = if matches!(what, Wrote::Counters) { (next + 1) % pages.len() } else { next + 1 };
            }
            let rate = written as f64 / started.elapsed().as_secs_f64();
            catalogue.close().await;
            Ok(Written { rate })
        };
        let writing = std::thread::spawn(|| tokio::runtime::Runtime::new()?.block_on(write));
        // Where it failed before it was ready, its end tells why.
        _ = begin.recv();
        Ok(Self(writing))
    }
}

/// A line for each class, and where there is something to compare with, how much longer it took.
fn report(title: &str, measured: &[Measured], compared: Option<&[Measured]>) {
    println!("{title}:");
    for (index, class) in measured.iter().enumerate() {
        let (half, most) = (class.percentile(0.5), class.percentile(0.95));
        let before = compared.and_then(|before| before.get(index)).map(|before| before.percentile(0.95));
        let times = before.map_or_else(String::new, |before| format!("   {:>5.1} x", most / before));
        println!(
            "  {:<44} p50 {half:>7.2} ms   p95 {most:>7.2} ms   of {:>4}, found {:>7}{times}",
            class.name,
            class.times_ms.len(),
            class.found()
        );
    }
}
