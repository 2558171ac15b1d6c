//! Memory while many generations wait, many streams watch them, and one reader has stopped reading.

use crate::Failure;
use crate::daemon::Daemon;
use crate::painting::Painting;
use paintbox_proto::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A server lets a connection have so many streams at once at least (RFC 9113, section 6.5.2).
const STREAMS_PER_CONNECTION: usize = 100;
const STEPS: u32 = 200;
/// Streams of the reader that never reads.
const STUCK_STREAMS: usize = 10;

pub(crate) async fn measure(
    daemon: &Daemon,
    painting: &Painting,
    watchers: u64,
    queued: u64,
    seconds: u64,
) -> Result<(), Failure> {
    println!("before {:>60.1} MB", resident(daemon)?);
    let mut names = Vec::new();
    let mut client = painting.client();
    for _ in 0..queued.max(1) {
        let request = v1::CreateGenerationRequest { spec: Some(painting.spec(STEPS)), ..Default::default() };
        names.push(client.create_generation(request).await?.into_inner().name);
    }
    println!("{queued} queued {:>55.1} MB", resident(daemon)?);

    let (events, open) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    let mut channel = daemon.client().await?;
    for number in 0..usize::try_from(watchers)? {
        if number % STREAMS_PER_CONNECTION == 0 {
            channel = daemon.client().await?;
        }
        let mut client = v1::generation_service_client::GenerationServiceClient::new(channel.clone());
        let name = names[number % names.len()].clone();
        let (events, open) = (Arc::clone(&events), Arc::clone(&open));
        tasks.spawn(async move {
            let request = v1::WatchGenerationRequest { name, ..Default::default() };
            let mut stream = client.watch_generation(request).await?.into_inner();
            open.fetch_add(1, Ordering::Relaxed);
            while stream.message().await?.is_some() {
                events.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, tonic::Status>(())
        });
    }
    // It asks, and takes nothing of what comes.
    let mut stuck_client = v1::generation_service_client::GenerationServiceClient::new(daemon.client().await?);
    let mut stuck = Vec::new();
    for name in names.iter().cycle().take(STUCK_STREAMS) {
        let request = v1::WatchGenerationRequest { name: name.clone(), ..Default::default() };
        stuck.push(stuck_client.watch_generation(request).await?);
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(Duration::from_secs(seconds.div_ceil(5))).await;
        println!(
            "{:>4.0} s: {} of {watchers} watch, {} events, {:>24.1} MB",
            begun.elapsed().as_secs_f64(),
            open.load(Ordering::Relaxed),
            events.load(Ordering::Relaxed),
            resident(daemon)?
        );
    }
    for name in names {
        client.cancel_generation(v1::CancelGenerationRequest { name }).await?;
    }
    let mut failed = 0;
    while let Some(ended) = tasks.join_next().await {
        failed += usize::from(ended?.is_err());
    }
    drop(stuck);
    println!("after, {failed} streams ended with an error {:>22.1} MB", resident(daemon)?);
    if failed > 0 { Err("some watchers did not see the end".into()) } else { Ok(()) }
}

/// Megabytes of proc_pid_status(5)'s VmRSS.
fn resident(daemon: &Daemon) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(daemon.told().join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no such line in status")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}
