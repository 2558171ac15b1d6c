//! What a process that paints takes of memory: as much as was planned, and nothing that it does not give back.
#![expect(clippy::unwrap_used, reason = "a test without the usual frame fails by panics all the same")]

use paintbox_domain::Sha256;
use paintbox_domain::generation::{
    Cancellation, Control, ControlImage, ControlNetFile, Generator, InitImage, LoraFile, ModelFile, PaintRequest,
    Progress, Sampler,
};
use paintbox_domain::reason;
use paintbox_engine::{DeviceChoice, Engine, EngineOptions};
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn note(text: &str) {
    assert!(writeln!(std::io::stdout(), "{text}").is_ok());
}

/// `VmRSS` or `VmHWM` of proc_pid_status(5), in bytes.
fn resident_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// Stops a painting at the so-manieth question, if it asks so many.
struct StoppingAt(usize);

impl Control for StoppingAt {
    fn cancellation(&self) -> Cancellation {
        let (at, asked) = (self.0, AtomicUsize::new(0));
        Cancellation::when(move || asked.fetch_add(1, Ordering::Relaxed) + 1 >= at)
    }

    fn progress(&self, _progress: Progress) {}
}

const NEVER: StoppingAt = StoppingAt(usize::MAX);

fn engine() -> Engine {
    Engine::new(EngineOptions { device: DeviceChoice::Cpu, ..EngineOptions::default() }).unwrap()
}

/// Nothing here asks what a file is, only that two are not the same.
fn model_file(name: &str, path: PathBuf) -> ModelFile {
    let mut digest = [0; 32];
    name.bytes().enumerate().for_each(|(at, byte)| digest[at % 32] ^= byte);
    ModelFile { name: name.to_owned(), path, sha256: Sha256::from_bytes(digest) }
}

fn tiny() -> PathBuf {
    repository().join("tests/fixtures/tiny-model")
}

fn request(model: Vec<ModelFile>) -> PaintRequest {
    PaintRequest {
        model,
        prompt: "red heart".to_owned(),
        steps: Some(1),
        sampler: Some(Sampler::Euler),
        width: Some(64),
        height: Some(64),
        count: 1,
        ..PaintRequest::default()
    }
}

fn tiny_model() -> Vec<ModelFile> {
    vec![model_file("tiny-emoji.safetensors", tiny().join("tiny-emoji.safetensors"))]
}

fn lora(weight: f32) -> LoraFile {
    let file = model_file("greyscale", tiny().join("lora/greyscale.safetensors"));
    LoraFile { name: file.name, path: file.path, sha256: file.sha256, weight, text_encoder_weight: weight }
}

/// A file of small weights under these names.
fn write_weights<'a>(path: &Path, shapes: impl Iterator<Item = (&'a str, Vec<usize>)>) {
    let bytes: BTreeMap<&str, (Vec<usize>, Vec<u8>)> = shapes
        .map(|(name, shape)| {
            let value = |at: usize| if shape.len() == 1 { 1.0 } else { ((at * 7919) % 101) as f32 / 1010.0 - 0.05 };
            let values = (0..shape.iter().product()).flat_map(|at| value(at).to_le_bytes()).collect();
            (name, (shape, values))
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, (shape, bytes))| (*name, TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A small model of Stable Diffusion 1 as a folder, and a ControlNet for it (`tests/goldens`).
fn led(root: &Path) -> (Vec<ModelFile>, ControlNetFile) {
    let golden = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(repository().join("tests/goldens").join(name)).unwrap()).unwrap()
    };
    let shape = |row: &serde_json::Value| -> Vec<usize> { serde_json::from_value(row[1].clone()).unwrap() };
    let (families, controls) = (golden("families.json"), golden("controls.json"));
    let family = families.as_array().unwrap().iter().find(|family| family["name"] == "sd1").unwrap();
    let mut files = Vec::new();
    for (component, rows) in family["tensors"].as_object().unwrap() {
        let stem = if component.starts_with("text") { "model" } else { "diffusion_pytorch_model" };
        let name = format!("{component}/{stem}.safetensors");
        let rows = rows.as_array().unwrap().iter().map(|row| (row[0].as_str().unwrap(), shape(row)));
        write_weights(&root.join(&name), rows);
        files.push(model_file(&name, root.join(&name)));
    }
    for (name, json) in family["configs"].as_object().unwrap() {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, json.to_string()).unwrap();
        files.push(model_file(name, path));
    }
    let control = controls.as_array().unwrap().iter().find(|controls| controls["like"] == "sd1").unwrap();
    let rows = control["tensors"].as_array().unwrap().iter().map(|row| (row[0].as_str().unwrap(), shape(row)));
    let path = root.join("control.safetensors");
    write_weights(&path, rows);
    let control = ControlNetFile {
        name: "control".to_owned(),
        path,
        sha256: Sha256::from_bytes([5; 32]),
        config: None,
        image: ControlImage { width: 64, height: 64, rgb: vec![128; 3 * 64 * 64] },
        canny: None,
        strength: 0.8,
        start: 0.0,
        end: 1.0,
    };
    (files, control)
}

/// What the process that looks at itself is started with.
const LOOK: &str = "--look-at-memory";

/// Starts a process of its own that has glibc give memory back as `paintboxd` tells it to (`daemon/app/src/memory.rs`);
/// otherwise a heap would keep so much that neither a painting nor a leak shows.
pub(super) fn main() {
    if std::env::args().any(|argument| argument == LOOK) {
        // In this order: what a heap keeps of many paintings would hide what the next one takes.
        a_painting_takes_what_was_planned();
        a_thousand_generations_leave_nothing_behind();
        return;
    }
    let mut itself = Command::new(std::env::current_exe().unwrap());
    itself.arg(LOOK).env("MALLOC_MMAP_THRESHOLD_", "131072").env("MALLOC_ARENA_MAX", "2");
    assert!(itself.status().unwrap().success(), "see above");
}

fn a_thousand_generations_leave_nothing_behind() {
    const GENERATIONS: usize = 1000;
    const WARM_UP: usize = 400;
    /// What the heap may still settle by, which is 5 kB for each generation behind the warm-up.
    const SETTLING_BYTES: u64 = 3 << 20;
    let root = tempfile::tempdir().unwrap();
    let (small_model, control) = led(root.path());
    let mut engine = engine();
    let (mut painted, mut cancelled) = (0, 0);
    let mut lowest = [u64::MAX; 2];
    for number in 0..GENERATIONS {
        let side = 32 * (1 + number as u32 % 3);
        let sampler = Sampler::ALL[number % Sampler::ALL.len()];
        // Changes of model are a second's work in these builds, so that they come in runs.
        let is_led = number % 250 >= 200;
        let mut request = PaintRequest {
            prompt: format!(
                "a (red:1.{}) heart [of:in:0.5] number {number} {}",
                number % 10,
                "and more ".repeat(number % 60)
            ),
            seed: number as u64,
            width: Some(side),
            height: Some(side),
            sampler: Some(sampler),
            ..request(if is_led { small_model.clone() } else { tiny_model() })
        };
        if is_led {
            request.controls = vec![ControlNetFile { strength: 0.1 + (number % 7) as f32 / 10.0, ..control.clone() }];
        } else if number % 20 == 0 {
            request.loras = vec![lora(0.5 + (number % 50) as f32 / 100.0)];
        }
        if number % 5 == 0 {
            let rgb = vec![90; 3 * (side * side) as usize];
            request.init = Some(InitImage { width: side, height: side, rgb, strength: Some(1.0), inpaint: None });
        }
        let control = if number % 7 == 0 { StoppingAt(1 + number * 3 % 900) } else { NEVER };
        match engine.paint(&request, &control) {
            Ok(_) => painted += 1,
            Err(failure) if failure.reason == reason::CANCELLED && number % 7 == 0 => cancelled += 1,
            Err(failure) => panic!("{number}: {failure:?}"),
        }
        if number >= WARM_UP {
            let late = usize::from(number >= GENERATIONS - (GENERATIONS - WARM_UP) / 2);
            lowest[late] = lowest[late].min(resident_bytes("VmRSS"));
        }
    }
    let [early, late] = lowest;
    note(&format!("{painted} painted, {cancelled} cancelled; at least {early}, then {late} bytes were held"));
    assert!(painted > 800 && cancelled > 50, "{painted} {cancelled}");
    assert!(late <= early + SETTLING_BYTES, "{early} bytes became {late}");
}

fn a_painting_takes_what_was_planned() {
    let base = resident_bytes("VmRSS");
    let mut engine = engine();
    for (side, over) in [(256, false), (256, true), (384, false)] {
        engine.evict();
        let rgb = vec![90; 3 * side as usize * side as usize];
        let init = over.then_some(InitImage { width: side, height: side, rgb, strength: Some(1.0), inpaint: None });
        let request = PaintRequest { width: Some(side), height: Some(side), init, ..request(tiny_model()) };
        let planned = engine.memory_plan(&request).unwrap().peak_bytes();
        // From here on, the high water mark is that of the painting.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        engine.paint(&request, &NEVER).unwrap();
        let taken = resident_bytes("VmHWM").saturating_sub(base);
        note(&format!("{side}×{side}, over a picture: {over}: {planned} bytes planned, {taken} taken"));
        assert!(taken <= planned, "{side}: {taken} of {planned}");
        // What is set aside for the program itself may not be needed.
        assert!(planned <= taken * 5 / 4 + (64 << 20), "{side}: {planned} for {taken}");
    }
}
