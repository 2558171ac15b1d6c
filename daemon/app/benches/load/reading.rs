//! Reads of the catalogue over several connections, counted and timed.

use crate::Failure;
use crate::daemon::Daemon;
use crate::world::{Random, kind};
use paintbox_proto::v1;
use paintbox_proto::v1::catalogue_service_client::CatalogueServiceClient;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// The number of the first model in the world.
const FIRST_ID: u64 = 1_000;
/// Where proc(5) tells of this process.
const OWN: &str = "/proc/self";

/// How is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reads {
    /// Reads under way at once on each connection.
    pub(crate) in_flight: u64,
    /// Of all connections, a second; 0 for no limit.
    pub(crate) rate: u64,
    pub(crate) length: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    times: Vec<Duration>,
    length: Duration,
    /// Processor seconds of this process.
    own_seconds: f64,
    /// Processor seconds of the daemon, with what it painted.
    daemon_seconds: f64,
}

impl Told {
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.length.as_secs_f64()
    }

    pub(crate) fn told(&self) -> String {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at =
            |part: f64| times.get((times.len() as f64 * part) as usize).map_or(f64::NAN, Duration::as_secs_f64) * 1e3;
        format!(
            "{:.0} reads/s, p50 {:.2} ms, p99 {:.2} ms; of a processor, the reader took {:.0} µs for each, the daemon {:.0} µs",
            self.rate(),
            at(0.5),
            at(0.99),
            self.own_seconds * 1e6 / self.times.len().max(1) as f64,
            self.daemon_seconds * 1e6 / self.times.len().max(1) as f64
        )
    }
}

/// Connections that are read over.
pub(crate) struct Reading {
    channels: Vec<Channel>,
    models: u64,
    /// Where proc(5) tells of the daemon.
    daemon: PathBuf,
}

impl Reading {
    pub(crate) async fn prepare(daemon: &Daemon, connections: u64, models: u64) -> Result<Self, Failure> {
        let mut channels = Vec::new();
        for _ in 0..connections {
            channels.push(daemon.client().await?);
        }
        Ok(Self { channels, models, daemon: daemon.told() })
    }

    /// Reads for as long as is wanted, or until `is_over`.
    pub(crate) async fn run(&mut self, reads: &Reads, is_over: impl Fn() -> bool) -> Result<Told, Failure> {
        let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (own, of_daemon) = (seconds_of(Path::new(OWN))?, seconds_of(&self.daemon)?);
        let started = Instant::now();
        let mut readers = tokio::task::JoinSet::new();
        for (number, channel) in (0..).zip(&self.channels) {
            for flight in 0..reads.in_flight {
                let client = CatalogueServiceClient::new(channel.clone());
                let random = Random::new(number * 1_000 + flight);
                let pace = Pace { rate: reads.rate, started, taken: Arc::clone(&taken) };
                readers.spawn(read(client, self.models, random, pace, Arc::clone(&stop)));
            }
        }
        while started.elapsed() < reads.length && !is_over() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.store(true, Ordering::Relaxed);
        let mut told = Told { length: started.elapsed(), ..Told::default() };
        while let Some(times) = readers.join_next().await {
            told.times.extend(times??);
        }
        told.own_seconds = seconds_of(Path::new(OWN))? - own;
        told.daemon_seconds = seconds_of(&self.daemon)? - of_daemon;
        Ok(told)
    }
}

/// Turns that come at an even pace, whoever takes them.
struct Pace {
    rate: u64,
    started: Instant,
    taken: Arc<AtomicU64>,
}

impl Pace {
    async fn turn(&self) {
        if self.rate == 0 {
            return;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let due = self.started + Duration::from_secs_f64(number as f64 / self.rate as f64);
        let now = Instant::now();
        // The clock of sleeps has a grain of a millisecond.
        if due > now + Duration::from_millis(1) {
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

async fn read(
    mut client: CatalogueServiceClient<Channel>,
    models: u64,
    mut random: Random,
    pace: Pace,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::with_capacity(1 << 14);
    let basic = i32::from(v1::ModelView::Basic);
    while !stop.load(Ordering::Relaxed) {
        pace.turn().await;
        let number = FIRST_ID + random.below(models);
        let started = Instant::now();
        match random.below(10) {
            share @ 0..6 => {
                let view = if share < 4 { 0 } else { basic };
                let name = format!("models/civitai-{number}");
                let model =
                    client.get_model(v1::GetModelRequest { name, view, ..Default::default() }).await?.into_inner();
                if model.versions.is_empty() != (view == basic) {
                    return Err("a model came in another view than was asked for".into());
                }
            }
            6 | 7 => {
                let reference = format!("civitai:{number}@{}", number * 10);
                let request = v1::ResolveModelRequest { reference, view: basic, ..Default::default() };
                if client.resolve_model(request).await?.into_inner().version.is_empty() {
                    return Err("a version was not found".into());
                }
            }
            _ => {
                let kind = kind(&mut random).as_str().to_owned();
                let request = v1::SearchModelsRequest { kind, page_size: 10, ..Default::default() };
                if client.search_models(request).await?.into_inner().models.is_empty() {
                    return Err("nothing of a kind was found".into());
                }
            }
        }
        times.push(started.elapsed());
    }
    Ok(times)
}

/// Processor seconds that a process has used, by proc_pid_stat(5): fields 14 and 15, in hundredths (sysconf(3)).
fn seconds_of(process: &Path) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(process.join("stat"))?;
    let behind_name = stat.rsplit_once(')').ok_or("no name in stat")?.1;
    let ticks: Vec<f64> =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
