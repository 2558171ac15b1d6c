//! How fast the catalogue takes in a hub: a crawl of recorded shapes, page by page as a follow's list arrives, then the
//! same crawl again with nothing changed but its counters.
//!
//! `cargo bench -p paintbox-catalogue --bench ingest [-- --models N] [--page N]`. The crawl is made a few pages at a time on a
//! thread of its own while the catalogue rests and the clock stands, so that neither is measured nor kept in memory. Each
//! page is one transaction; the next page is handed over while one is written, so that its JSON is digested meanwhile.
//!
//! How long a page is decides how fast it goes. Half of the pages of the file that a hundred models change are leaves of
//! the indexes by digest, by name and by downloads, all over the file; the models of a longer page share more of them, and
//! one wait for the disk. `--page 100` is the rate of a list that is recorded as CivitAI answers it.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]

#[path = "ingest/crawl.rs"]
mod crawl;
#[path = "ingest/random.rs"]
mod random;
#[path = "ingest/reader.rs"]
mod reader;

use crawl::Crawl;
use paintbox_catalogue::{Catalogue, CatalogueError, FollowId};
use paintbox_domain::Timestamp;
use paintbox_domain::clock::ManualClock;
use paintbox_domain::hub::HubModel;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

type Failure = Box<dyn Error + Send + Sync>;

const MODELS: u64 = 100_000;
/// Models of one transaction: ten pages of CivitAI's list, or all that an author has on Hugging Face, which is recorded
/// as a whole.
const PAGE: u64 = 1_000;
/// How often the figures are printed, in models.
const STRETCH: u64 = 10_000;
/// Pages that are made at a time, between which the clock runs.
const BATCH: u64 = 4;
/// Later than everything in the crawl was published.
const START_MS: i64 = 1_795_000_000_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let size = size_wanted()?;
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/hubs/civitai");
    let home = tempfile::tempdir()?;
    let path = home.path().join("catalogue.db");
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(START_MS)));
    let catalogue = Catalogue::open(&path, clock.clone()).await?;
    let follow = catalogue.create_follow(&"civitai:tag:anime".parse()?, &Default::default()).await?.id;

    for (visit, title) in [(0, "a crawl of new models"), (1, "the same crawl again, counters changed")] {
        println!("{title}: {} models, {} a transaction", size.models, size.page);
        let ingest = Ingest { catalogue: &catalogue, follow, clock: &clock, path: &path };
        ingest.run(Crawl::recorded(&recorded)?, size, visit).await?;
        clock.advance(Duration::from_secs(3_600));
    }
    let started = Instant::now();
    let problems = catalogue.check_integrity().await?;
    println!("integrity: {} problems ({:.1} s)", problems.len(), started.elapsed().as_secs_f64());
    catalogue.close().await;
    println!("closed: {:.0} MB", megabytes(&path));
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) }
}

/// How much to record, and how much of it in one transaction.
#[derive(Clone, Copy)]
struct Size {
    models: u64,
    page: u64,
}

fn size_wanted() -> Result<Size, Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut size = Size { models: MODELS, page: PAGE };
    while let Some(argument) = arguments.next() {
        let wanted = match argument.as_str() {
            // What cargo itself says to a benchmark.
            "--bench" => continue,
            "--models" => &mut size.models,
            "--page" => &mut size.page,
            other => return Err(format!("{other}: only --models N and --page N are understood").into()),
        };
        *wanted = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?.parse()?;
    }
    if size.models == 0 || size.page == 0 { Err("nothing to record".into()) } else { Ok(size) }
}

/// What of a crawl has been recorded.
#[derive(Default)]
struct Recorded {
    models: u64,
    versions: u64,
    files: u64,
    images: u64,
    json_bytes: u64,
    /// Time that recording took.
    took: Duration,
    /// Time that making the crawl took, between.
    making: Duration,
}

impl Recorded {
    fn add(&mut self, page: &[HubModel]) {
        self.models += page.len() as u64;
        for model in page {
            self.json_bytes += model.raw.len() as u64;
            self.versions += model.versions.len() as u64;
            for version in &model.versions {
                self.files += version.files.len() as u64;
                self.images += version.previews.len() as u64;
            }
        }
    }
}

struct Ingest<'a> {
    catalogue: &'a Catalogue,
    follow: FollowId,
    clock: &'a ManualClock,
    path: &'a Path,
}

/// A page that is being recorded; comes back when it is.
type Recording = JoinHandle<Result<Vec<HubModel>, CatalogueError>>;

impl Ingest<'_> {
    async fn run(&self, mut crawl: Crawl, size: Size, visit: u64) -> Result<(), Failure> {
        let Size { models, page } = size;
        let pages = models.div_ceil(page);
        let (ask, asked) = std::sync::mpsc::channel::<u64>();
        let (give, mut given) = tokio::sync::mpsc::channel(1);
        std::thread::spawn(move || {
            for first in asked {
                let wanted = first..pages.min(first + BATCH);
                let numbers = |at: u64| at * page..models.min((at + 1) * page);
                let batch: Vec<Vec<HubModel>> = wanted.map(|at| crawl.page(numbers(at), visit)).collect();
                if give.blocking_send(batch).is_err() {
                    break;
                }
            }
        });

        let mut recorded = Recorded::default();
        let (mut stretch, mut stretch_took) = (0, Duration::ZERO);
        for first in (0..pages).step_by(usize::try_from(BATCH)?) {
            let started = Instant::now();
            ask.send(first)?;
            let batch = given.recv().await.ok_or("the crawl broke off")?;
            recorded.making += started.elapsed();

            let started = Instant::now();
            let done = self.record(batch).await?;
            recorded.took += started.elapsed();
            done.iter().for_each(|page| recorded.add(page));
            if recorded.models - stretch >= STRETCH || recorded.models == models {
                println!(
                    "{:>8} models {:>6.0}/s  {:>5.0} MB in the file  {:>4.0} MB resident",
                    recorded.models,
                    rate(recorded.models - stretch, recorded.took - stretch_took),
                    megabytes(self.path),
                    resident_megabytes()?,
                );
                (stretch, stretch_took) = (recorded.models, recorded.took);
            }
        }
        println!(
            "   total {:>6.0} models/s in {:.1} s; making the crawl took another {:.1} s",
            rate(recorded.models, recorded.took),
            recorded.took.as_secs_f64(),
            recorded.making.as_secs_f64(),
        );
        println!(
            "         {} versions, {} files, {} images, {:.0} MB of JSON",
            recorded.versions,
            recorded.files,
            recorded.images,
            recorded.json_bytes as f64 / 1e6
        );
        Ok(())
    }

    /// Records pages in order, two of them at hand at a time; returns them when all are in the catalogue.
    async fn record(&self, batch: Vec<Vec<HubModel>>) -> Result<Vec<Vec<HubModel>>, Failure> {
        let mut done = Vec::with_capacity(batch.len());
        let mut before: Option<Recording> = None;
        for page in batch {
            let next = self.begin(page);
            if let Some(recording) = before.replace(next) {
                done.push(recording.await??);
                self.clock.advance(Duration::from_millis(50));
            }
        }
        if let Some(recording) = before {
            done.push(recording.await??);
        }
        Ok(done)
    }

    fn begin(&self, page: Vec<HubModel>) -> Recording {
        let (catalogue, follow) = (self.catalogue.clone(), self.follow);
        tokio::spawn(async move {
            catalogue.record_models(&page, Some(follow)).await?;
            Ok(page)
        })
    }
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// The database with its write-ahead log.
fn megabytes(path: &Path) -> f64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
    (length(path) + length(&path.with_extension("db-wal"))) as f64 / 1e6
}

/// `VmRSS` of proc(5); zero where there is no such file.
fn resident_megabytes() -> Result<f64, Failure> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(0.0) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}
