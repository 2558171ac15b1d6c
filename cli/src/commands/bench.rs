//! `paintbox bench`.

use crate::client::{PAINTING_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::progress::spin;
use crate::render::table::facts;
use crate::render::{sanitize, units};
use crate::session::Session;
use clap::Args;
use paintbox_proto::v1;
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The model to paint with, as in `generate --model`
    model: String,
    /// Pixels; without, what suits the model
    #[arg(long, value_name = "N")]
    width: Option<u32>,
    /// Pixels; without, what suits the model
    #[arg(long, value_name = "N")]
    height: Option<u32>,
    /// Steps, of which the first is not counted
    #[arg(long, value_name = "N", default_value_t = 5)]
    steps: u32,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct BenchJson<'a> {
    device: &'a str,
    processor: &'a str,
    threads: u32,
    build: &'a str,
    model: &'a str,
    sha256: &'a str,
    architecture: &'a str,
    width: u32,
    height: u32,
    sampler: &'a str,
    guidance_scale: f64,
    load_seconds: f64,
    encode_seconds: f64,
    step_seconds: &'a [f64],
    decode_seconds: f64,
    peak_bytes: Option<u64>,
    planned_bytes: u64,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let Arguments { model, width, height, steps } = arguments;
    let request = v1::BenchModelRequest { model: model.clone(), width: *width, height: *height, steps: Some(*steps) };
    let mut engine = client.engine();
    let asked = call("measure the engine", PAINTING_DEADLINE, engine.bench_model(request));
    let bench = spin(session.watched(), "painting to measure", asked).await?;
    if session.json {
        session.out.json(&BenchJson {
            device: &bench.device,
            processor: &bench.processor,
            threads: bench.threads,
            build: &bench.build,
            model: &bench.model,
            sha256: &bench.sha256,
            architecture: &bench.architecture,
            width: bench.width,
            height: bench.height,
            sampler: &bench.sampler,
            guidance_scale: bench.guidance_scale,
            load_seconds: bench.load_seconds,
            encode_seconds: bench.encode_seconds,
            step_seconds: &bench.step_seconds,
            decode_seconds: bench.decode_seconds,
            peak_bytes: bench.peak_bytes,
            planned_bytes: bench.planned_bytes,
        })?;
        return Ok(Exit::Done);
    }
    for line in facts(&rows(&bench), session.terminal.columns) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

/// A table that can be posted as it is.
fn rows(bench: &v1::BenchModelResponse) -> Vec<(&'static str, String)> {
    let seconds = |seconds: f64| format!("{seconds:.2} s");
    let steps = &bench.step_seconds;
    let fastest = steps.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = steps.iter().sum::<f64>() / steps.len().max(1) as f64;
    let step = match steps.len() {
        0 => "not measured".to_owned(),
        1 => seconds(fastest),
        count => format!("{}, the fastest of {count}; {} on average", seconds(fastest), seconds(mean)),
    };
    let processor = if bench.processor.is_empty() { "unknown processor" } else { &bench.processor };
    let peak = bench.peak_bytes.map_or_else(|| "not known here".to_owned(), units::bytes);
    let digest: String = bench.sha256.chars().take(10).collect();
    let v1::BenchModelResponse { width, height, sampler, guidance_scale, .. } = bench;
    vec![
        ("device", format!("{}, {} threads, {}", bench.device, bench.threads, sanitize::line(processor))),
        ("build", format!("paintbox {}", sanitize::line(&bench.build))),
        ("model", sanitize::line(&format!("{} {digest} ({})", bench.model, bench.architecture))),
        ("picture", sanitize::line(&format!("{width}×{height}, {sampler}, guidance {guidance_scale}"))),
        ("load", seconds(bench.load_seconds)),
        ("encode", seconds(bench.encode_seconds)),
        ("step", step),
        ("decode", seconds(bench.decode_seconds)),
        ("memory", format!("{peak} at most; {} planned", units::bytes(bench.planned_bytes))),
    ]
}
