//! A million requests, mostly wrong, of every method: `cargo bench -p paintbox-tests --bench requests [-- --requests N]
//! [--seed N] [--connections N] [--in-flight N]`. Ends with an error when the daemon panicked, called bad input its own
//! fault, or refused for a reason that its contract does not list.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]

use paintbox_testkit::FakeHub;
use paintbox_tests::Installation;
use paintbox_tests::requests::{Plan, run};
use std::path::Path;
use std::time::Instant;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut plan = Plan { requests: 1_000_000, seed: 1, connections: 8, in_flight: 8 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--bench" {
            // What cargo itself says to a benchmark.
            continue;
        }
        let value: u64 = arguments.next().ok_or_else(|| anyhow::anyhow!("{argument} wants a number"))?.parse()?;
        match argument.as_str() {
            "--requests" => plan.requests = value,
            "--seed" => plan.seed = value,
            "--connections" => plan.connections = usize::try_from(value)?,
            "--in-flight" => plan.in_flight = usize::try_from(value)?,
            other => anyhow::bail!("{other}: only --requests, --seed, --connections and --in-flight N are understood"),
        }
    }
    println!("{} requests of seed {}", plan.requests, plan.seed);
    let hub = FakeHub::with_sample_library().await;
    let installed = Installation::new(Path::new(env!("CARGO_BIN_EXE_demo")), &hub)?;
    installed.configure("[sync]\nautomatic = false\n[catalogue]\nbackups = 0\n")?;
    let started = Instant::now();
    let report = run(&installed, plan).await?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds:.0} s, {:.0} requests/s", plan.requests as f64 / seconds);
    println!("{} answered, {} refused, {} left after ten seconds", report.answered, report.refused, report.left);
    for (method, asked) in &report.methods {
        println!("  {method:26} {:>7} answered {:>7} refused {:>4} left", asked.answered, asked.refused, asked.left);
    }
    println!("codes:");
    for (code, times) in &report.codes {
        println!("  {times:>8} {code}");
    }
    println!("how it went:");
    for moment in &report.moments {
        let memory = moment.resident_bytes.map_or_else(|| "?".to_owned(), |bytes| format!("{}", bytes >> 20));
        println!("  {:>8} requests after {:>6.0} s, {memory:>5} MiB", moment.requests, moment.elapsed.as_secs_f64());
    }
    println!("reasons:");
    for (reason, times) in &report.reasons {
        println!("  {times:>8} {reason}");
    }
    for (what, example) in &report.findings {
        println!("FOUND {what}\n      {example}");
    }
    anyhow::ensure!(report.findings.is_empty(), "{} findings", report.findings.len());
    println!("the daemon is well and did nothing that its contract does not say");
    Ok(())
}
