//! What the daemon costs while nothing is due: its processor time, wake-ups, memory, reads and writes between the checks
//! of many follows, with a library of many files that nobody touches.
//!
//! `cargo bench -p paintbox-app --bench idle [-- --follows N] [--models N] [--files N] [--seconds N]`, on Linux. The follows
//! are in the catalogue before the daemon starts, their next checks spread over the hour that begins when the measurement
//! has ended; no hub is asked anything. The library's files are small and read to their end before the measurement begins.
//! With models the catalogue is kept for the next time, since a million take minutes. What a start costs until the first
//! answer is told too, and a search is asked for before the daemon is left alone, so that it has something to forget.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]
#![expect(clippy::disallowed_methods, reason = "it measures a real process in real time")]

#[path = "shared/daemon.rs"]
mod daemon;
#[path = "shared/filled.rs"]
mod filled;
#[path = "search/world.rs"]
mod world;

use daemon::Daemon;
use paintbox_catalogue::Catalogue;
use paintbox_domain::Timestamp;
use paintbox_domain::clock::ManualClock;
use paintbox_domain::follow::FollowTarget;
use paintbox_proto::v1::catalogue_service_client::CatalogueServiceClient;
use paintbox_proto::v1::daemon_service_client::DaemonServiceClient;
use paintbox_proto::v1::library_service_client::LibraryServiceClient;
use paintbox_proto::v1::{CreateLibraryRequest, GetServerInfoRequest, ScanLibrariesRequest, SearchModelsRequest};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

type Failure = Box<dyn Error + Send + Sync>;

const SECONDS: u64 = 60;
const FOLDERS: u64 = 100;
const INTERVAL: Duration = Duration::from_secs(3_600);
/// Done with what it does once is a daemon that used less than a hundredth of it in as long.
const SETTLE: Duration = Duration::from_secs(10);
/// How long that may take.
const PREPARATION: Duration = Duration::from_secs(1_800);
/// Nobody is asked anything.
const CONFIGURATION: &str = "[catalogue]\nbackups = 0\n[libraries]\nidentify = false\n";

fn main() -> Result<(), Failure> {
    let wanted = Wanted::read()?;
    let root = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let home = match wanted.models {
        0 => root.path().join("home"),
        models => Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("idle-{models}")),
    };
    runtime.block_on(fill(&home, &wanted))?;
    let started = Instant::now();
    let daemon = Daemon::start(&home, CONFIGURATION, &[])?;
    let listened = started.elapsed();
    let version = runtime.block_on(answer(&daemon))?;
    println!(
        "paintboxd {version}: it listened after {:.0} ms, and had answered after {:.0} ms",
        listened.as_secs_f64() * 1e3,
        started.elapsed().as_secs_f64() * 1e3
    );
    if wanted.models > 0 {
        runtime.block_on(search(&daemon))?;
    }
    if wanted.files > 0 {
        let models = root.path().join("models");
        make(&models, wanted.files)?;
        runtime.block_on(add_library(&daemon, &models))?;
    }
    settle(&daemon)?;

    let (before, started) = (Usage::of(&daemon)?, Instant::now());
    sleep(Duration::from_secs(wanted.seconds));
    let (after, took) = (Usage::of(&daemon)?, started.elapsed().as_secs_f64());
    let processor = (after.processor - before.processor).as_secs_f64();
    println!(
        "{} models, {} follows, {} files in a library, nothing due for {took:.0} s, {} threads",
        wanted.models, wanted.follows, wanted.files, after.threads
    );
    println!("  processor  {:>8.1} ms, {:.4} % of one", processor * 1e3, 100.0 * processor / took);
    println!("  wake-ups   {:>8.2} a second", after.wake_ups.saturating_sub(before.wake_ups) as f64 / took);
    println!(
        "  read       {:>8} bytes, {} of them from a disk",
        after.read - before.read,
        after.read_from_disk - before.read_from_disk
    );
    println!("  written    {:>8} bytes", after.written - before.written);
    println!("  resident   {:>8.1} MB", after.resident as f64 / 1e6);
    Ok(())
}

struct Wanted {
    models: u64,
    follows: u64,
    files: u64,
    seconds: u64,
}

impl Wanted {
    fn read() -> Result<Self, Failure> {
        let mut wanted = Self { models: 0, follows: 500, files: 0, seconds: SECONDS };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let value = match argument.as_str() {
                // What cargo itself says to a benchmark.
                "--bench" => continue,
                "--models" => &mut wanted.models,
                "--follows" => &mut wanted.follows,
                "--files" => &mut wanted.files,
                "--seconds" => &mut wanted.seconds,
                other => {
                    return Err(
                        format!("{other}: only --models, --follows, --files and --seconds N are understood").into()
                    );
                }
            };
            *value = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?.parse()?;
        }
        wanted.seconds = wanted.seconds.max(1);
        Ok(wanted)
    }
}

/// Safetensors files of one tensor each, all different.
fn make(models: &Path, files: u64) -> Result<(), Failure> {
    for number in 0..files {
        let folder = models.join(format!("{:02}", number % FOLDERS));
        std::fs::create_dir_all(&folder)?;
        let header = format!(
            r#"{{"__metadata__":{{"ss_output_name":"{number}"}},"x":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 4]);
        std::fs::write(folder.join(format!("{number}.safetensors")), bytes)?;
    }
    Ok(())
}

/// Until all its files are on record.
async fn add_library(daemon: &Daemon, models: &Path) -> Result<(), Failure> {
    let mut libraries = LibraryServiceClient::new(daemon.client().await?);
    let path = models.canonicalize()?.to_string_lossy().into_owned();
    libraries.create_library(CreateLibraryRequest { path, ..Default::default() }).await?;
    let mut scan = libraries.scan_libraries(ScanLibrariesRequest::default()).await?.into_inner();
    while scan.message().await?.is_some() {}
    Ok(())
}

/// Waits until the daemon has done what it does once.
fn settle(daemon: &Daemon) -> Result<(), Failure> {
    let started = Instant::now();
    while started.elapsed() < PREPARATION {
        let before = Usage::of(daemon)?;
        sleep(SETTLE);
        if Usage::of(daemon)?.processor - before.processor < SETTLE / 100 {
            return Ok(());
        }
    }
    Err("the daemon does not come to rest".into())
}

/// The version that it says it is.
async fn answer(daemon: &Daemon) -> Result<String, Failure> {
    let mut client = DaemonServiceClient::new(daemon.client().await?);
    Ok(client.get_server_info(GetServerInfoRequest {}).await?.into_inner().version)
}

async fn search(daemon: &Daemon) -> Result<(), Failure> {
    let mut client = CatalogueServiceClient::new(daemon.client().await?);
    let request = SearchModelsRequest { kind: "lora".to_owned(), page_size: 10, ..Default::default() };
    let started = Instant::now();
    let found = client.search_models(request).await?.into_inner().models.len();
    println!("the first search found {found} after {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// A catalogue with models, and with follows that are due one after the other once the measurement is over.
async fn fill(root: &Path, wanted: &Wanted) -> Result<(), Failure> {
    let rest = PREPARATION + Duration::from_secs(wanted.seconds);
    std::fs::create_dir_all(root.join("state"))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let now = Timestamp::from_unix_ms(i64::try_from(now.as_millis())?);
    let catalogue = Catalogue::open(&root.join("state/catalogue.db"), Arc::new(ManualClock::at(now))).await?;
    let mut due = Vec::new();
    filled::fill(&catalogue, wanted.models).await?;
    for number in catalogue.follows().await?.len() as u64..wanted.follows {
        let target: FollowTarget = format!("civitai:creator{number}").parse()?;
        catalogue.create_follow(&target, &Default::default()).await?;
    }
    for (number, follow) in catalogue.follows().await?.iter().enumerate() {
        let spread = INTERVAL.mul_f64(number as f64 / wanted.follows.max(1) as f64);
        due.push((follow.id, now.plus(rest + spread)));
    }
    catalogue.schedule_checks(&due).await?;
    catalogue.close().await;
    Ok(())
}

/// What a process has used since it began.
struct Usage {
    threads: usize,
    processor: Duration,
    /// How often one of its threads went to sleep, to be woken again.
    wake_ups: u64,
    /// Asked of the system, whether a disk had to be read for it or not.
    read: u64,
    read_from_disk: u64,
    written: u64,
    /// Bytes of memory now.
    resident: u64,
}

impl Usage {
    /// From proc(5).
    fn of(daemon: &Daemon) -> Result<Self, Failure> {
        let process = daemon.told();
        let status = std::fs::read_to_string(process.join("status"))?;
        let io = std::fs::read_to_string(process.join("io"))?;
        let mut usage = Self {
            threads: 0,
            processor: processor_of(&std::fs::read_to_string(process.join("stat"))?)?,
            wake_ups: 0,
            read: field(&io, "rchar")?,
            read_from_disk: field(&io, "read_bytes")?,
            written: field(&io, "write_bytes")?,
            resident: field(&status, "VmRSS")? * 1_024,
        };
        for thread in std::fs::read_dir(process.join("task"))? {
            let thread = thread?.path();
            usage.threads += 1;
            usage.wake_ups += field(&std::fs::read_to_string(thread.join("status"))?, "voluntary_ctxt_switches")?;
        }
        Ok(usage)
    }
}

/// User and system time, of threads that have ended too: the fourteenth and fifteenth field, in hundredths of a second. The
/// name before them may hold anything, and ends with the last bracket.
fn processor_of(stat: &str) -> Result<Duration, Failure> {
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// The number in a line such as `VmRSS:   1234 kB`.
fn field(text: &str, name: &str) -> Result<u64, Failure> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("no {name} in proc(5)"))?.parse()?)
}
