//! What a painting costs at real sizes: loading, encoding, a step of the UNet, decoding, and memory.
//!
//! `cargo bench -p paintbox-engine --bench painting [-- --family sd1|xl] [--side PIXELS] [--steps N] [--keep FOLDER]`, on
//! Linux. The model is a folder in diffusers' layout of random weights in half precision, with the sizes of Stable
//! Diffusion 1.5 or XL in `tests/fixtures/headers`, written before anything is measured, and left in FOLDER.
//! `tests/bench/painting.py` runs it beside torch and stable-diffusion.cpp, and prints ratios.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]

use paintbox_domain::generation::{
    Cancellation, Control, Generator, ModelFile, PaintRequest, Phase, Progress, Sampler,
};
use paintbox_domain::{Failure, Sha256};
use paintbox_engine::{DeviceChoice, Engine, EngineOptions};
use std::cell::RefCell;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Files of a family, and the listings of their names and shapes.
fn networks(family: &str) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let listings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/headers");
    let read = |name: &str| std::fs::read_to_string(listings.join(format!("{name}.txt")));
    let (unet, text, vae) = match family {
        "sd1" => ("sd1-unet", "sd1-text-encoder", "sd1-vae"),
        "xl" => ("sdxl-unet", "sdxl-text-encoder-juggernaut", "sdxl-vae-juggernaut"),
        other => return Err(format!("{other} is neither sd1 nor xl").into()),
    };
    let mut files = vec![
        ("unet/diffusion_pytorch_model.safetensors", read(unet)?),
        ("text_encoder/model.safetensors", read(text)?),
        ("vae/diffusion_pytorch_model.safetensors", read(vae)?),
    ];
    if family == "xl" {
        files.push(("text_encoder_2/model.safetensors", open_clip(&read(text)?)));
    }
    Ok(files)
}

/// The listing of OpenCLIP's bigG, which is CLIP's with other sizes and a projection.
fn open_clip(clip: &str) -> String {
    const LAYERS: usize = 32;
    let wider = |line: &str| {
        let numbers = line.split(' ').map(|word| match word {
            "768" => "1280",
            "3072" => "5120",
            other => other,
        });
        numbers.collect::<Vec<_>>().join(" ")
    };
    let mut lines = vec!["text_projection.weight 1280 1280".to_owned()];
    for line in clip.lines().map(wider) {
        if let Some(rest) = line.strip_prefix("text_model.encoder.layers.0.") {
            lines.extend((0..LAYERS).map(|layer| format!("text_model.encoder.layers.{layer}.{rest}")));
        } else if !line.starts_with("text_model.encoder.layers.") {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn main() -> Result<(), Box<dyn Error>> {
    let number = |name| argument(name).map(|text| text.parse::<u32>()).transpose();
    let (side, steps) = (number("--side")?.unwrap_or(512), number("--steps")?.unwrap_or(3));
    let family = argument("--family").unwrap_or_else(|| "sd1".to_owned());
    let temporary = tempfile::tempdir()?;
    let folder = argument("--keep").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let mut bytes = 0;
    let model = networks(&family)?
        .iter()
        .zip(1..)
        .map(|((name, listing), number)| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            bytes += write(&path, listing)?;
            Ok(ModelFile { name: (*name).to_owned(), path, sha256: Sha256::from_bytes([number; 32]) })
        })
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let mut engine = Engine::new(EngineOptions { device: DeviceChoice::Cpu, ..EngineOptions::default() })?;
    let request = PaintRequest {
        model,
        prompt: "a lighthouse at dusk".to_owned(),
        seed: 1,
        steps: Some(steps),
        guidance_scale: Some(7.0),
        sampler: Some(Sampler::Euler),
        width: Some(side),
        height: Some(side),
        count: 1,
        ..PaintRequest::default()
    };
    // From the disk, with a picture as small as can be behind it, and then from the system's cache.
    let small = PaintRequest { steps: Some(1), width: Some(64), height: Some(64), ..request.clone() };
    forget(&small.model)?;
    let reading_disk = reading(&small.model)?;
    forget(&small.model)?;
    let loading_disk = loading(&painted(&mut engine, &small).0)?;
    engine.evict();
    let reading_cache = reading(&small.model)?;
    let planned = engine.memory_plan(&request).map_err(|failure| failure.to_string())?.peak_bytes();
    let (seen, ended, outcome) = painted(&mut engine, &request);
    let at = |phase: Phase| seen.iter().find(|(seen, _)| *seen == phase).map(|(_, at)| *at);
    let began = |phase: Phase| at(phase).ok_or_else(|| format!("no {phase:?}: {:?}", outcome.as_ref().err()));
    let sampled: Vec<f64> = seen.iter().filter(|(phase, _)| *phase == Phase::Sampling).map(|(_, at)| *at).collect();
    let step = sampled.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    println!("{side}×{side} pixels, {steps} steps with guidance, {} MB of weights", bytes / 1_000_000);
    let load = loading(&seen)?;
    println!("  load      {load:>8.2} s from the cache, {:.2} × reading that", load / reading_cache);
    println!("            {loading_disk:>8.2} s from the disk, {:.2} × reading that", loading_disk / reading_disk);
    println!("  encode    {:>8.2} s", began(Phase::Sampling)? - began(Phase::EncodingPrompt)?);
    println!("  step      {step:>8.2} s, the fastest");
    println!("  decode    {:>8.2} s", ended - began(Phase::Decoding)?);
    println!("  peak      {:>8.0} MB", peak_megabytes()?);
    println!("  planned   {:>8.0} MB", planned as f64 / 1e6);
    Ok(())
}

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.by_ref().find(|argument| argument == name)?;
    arguments.next()
}

/// What was seen of a painting and when, when it ended, and how.
fn painted(engine: &mut Engine, request: &PaintRequest) -> (Vec<(Phase, f64)>, f64, Result<(), Failure>) {
    let watch = Watch { started: Instant::now(), seen: RefCell::default() };
    // Pictures of random weights may be anything, even no numbers.
    let outcome = engine.paint(request, &watch).map(drop);
    let ended = watch.started.elapsed().as_secs_f64();
    (watch.seen.into_inner(), ended, outcome)
}

fn loading(seen: &[(Phase, f64)]) -> Result<f64, Box<dyn Error>> {
    let at = |phase: Phase| seen.iter().find(|(seen, _)| *seen == phase).map(|(_, at)| *at);
    let loaded = at(Phase::EncodingPrompt).zip(at(Phase::Loading));
    Ok(loaded.map(|(end, start)| end - start).ok_or("the model was not loaded")?)
}

/// Seconds that it takes to read all files once.
fn reading(model: &[ModelFile]) -> Result<f64, Box<dyn Error>> {
    let mut buffer = vec![0; 8 << 20];
    let started = Instant::now();
    for file in model {
        let mut file = File::open(&file.path)?;
        while file.read(&mut buffer)? > 0 {}
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Takes the files out of the system's cache.
fn forget(model: &[ModelFile]) -> Result<(), Box<dyn Error>> {
    for file in model {
        let file = File::open(&file.path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

struct Watch {
    started: Instant,
    seen: RefCell<Vec<(Phase, f64)>>,
}

impl Control for Watch {
    fn cancellation(&self) -> Cancellation {
        Cancellation::never()
    }

    fn progress(&self, progress: Progress) {
        self.seen.borrow_mut().push((progress.phase, self.started.elapsed().as_secs_f64()));
    }
}

/// A file of a published network's names and shapes, filled with small values that look random; its length in bytes.
fn write(path: &Path, listing: &str) -> Result<u64, Box<dyn Error>> {
    let mut header = serde_json::Map::new();
    let mut end = 0_usize;
    let mut scales = Vec::new();
    for line in listing.lines() {
        let (name, dims) = line.split_once(' ').unwrap_or((line, ""));
        let shape: Vec<usize> = dims.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let count: usize = shape.iter().product();
        let inputs: usize = shape.iter().skip(1).product();
        // Activations stay near one, whatever is multiplied.
        let is_norm = shape.len() == 1 && name.ends_with("weight");
        scales.push((count, if shape.len() == 1 { 0.02 } else { (inputs as f32).sqrt().recip() }, is_norm));
        let (start, dtype) = (end, "F16");
        end += 2 * count;
        header
            .insert(name.to_owned(), serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}));
    }
    let header = serde_json::to_vec(&header)?;
    let mut file = std::io::BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for (count, scale, is_norm) in scales {
        for _ in 0..count {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Evenly between −√3 and √3, which has a standard deviation of one.
            let uniform = ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 1.732;
            let value = half::f16::from_f32(if is_norm { 1.0 + scale * uniform } else { scale * uniform });
            file.write_all(&value.to_le_bytes())?;
        }
    }
    file.flush()?;
    Ok(8 + header.len() as u64 + end as u64)
}

fn peak_megabytes() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}
