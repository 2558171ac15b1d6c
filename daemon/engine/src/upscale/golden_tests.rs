//! Upscalers against spandrel's, and tiles against the whole.

use super::tiles::Tiling;
use super::{Enlarger, Network};
use crate::golden_tests::families::{named, weight, write};
use crate::picture::Rgb;
use crate::testing::{GoldenTensors, close, golden_json, largest_difference, note};
use crate::{DeviceChoice, Engine, EngineError, EngineOptions};
use candle_core::{Device, Tensor};
use paintbox_domain::generation::{
    Cancellation, Control, Generator, ModelFile, PaintedImage, PixelScaling, Progress, Upscale, Upscaler,
};
use paintbox_domain::reason;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Deserialize)]
struct Model {
    name: String,
    scale: usize,
    tensors: BTreeMap<String, Vec<usize>>,
}

/// Tensors by name, with their shapes.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Model {
    fn drawn(&self) -> Tensors {
        let drawn =
            |(name, shape): (&String, &Vec<usize>)| (name.clone(), (shape.clone(), weight("upscaler", name, shape)));
        self.tensors.iter().map(drawn).collect()
    }
}

fn models() -> Vec<Model> {
    golden_json("upscalers.json")
}

fn model(name: &str) -> Model {
    models().into_iter().find(|model| model.name == name).unwrap()
}

fn with_file<T>(tensors: &Tensors, run: impl FnOnce(&ModelFile) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upscaler.safetensors");
    write(&path, tensors);
    run(&named("upscaler.safetensors", &path))
}

fn load(tensors: &Tensors) -> Result<Enlarger, EngineError> {
    with_file(tensors, |file| Enlarger::load(file, &Device::Cpu))
}

fn made_by(network: &Network, x: &Tensor) -> Tensor {
    network.forward(x).unwrap()
}

fn picture(width: usize, height: usize) -> Rgb {
    let bytes = (0..3 * width * height).map(|at| ((at * 7919 + at / 7 * 31) % 251) as u8).collect();
    Rgb { width, height, bytes }
}

#[test]
fn upscalers_of_every_design_are_those_of_spandrel_with_and_without_a_trainers_prefix() {
    let goldens = GoldenTensors::open("upscalers.safetensors");
    for model in models() {
        let (name, drawn) = (&model.name, model.drawn());
        let upscaler = load(&drawn).unwrap();
        assert_eq!(upscaler.scale, model.scale, "{name}");
        let x = goldens.tensor(&format!("{name}.in"));
        let made = made_by(&upscaler.network, &x);
        close(name, &made, &goldens.tensor(&format!("{name}.out")));
        let prefixed = drawn.into_iter().map(|(name, tensor)| (format!("params_ema.{name}"), tensor)).collect();
        let again = made_by(&load(&prefixed).unwrap().network, &x);
        assert!(largest_difference(&again, &made) == 0.0, "{name}");
    }
}

#[test]
fn tiles_that_see_as_far_as_the_network_make_the_picture_of_the_whole() {
    // Of the compact network a pixel sees as many pixels around as there are convolutions; of ESRGAN's fifteen for each
    // block, two before and behind them, and two at larger sizes.
    for (name, margin) in [("compact-x4", 5), ("esrgan-x2", 20), ("realesrgan-x2", 40), ("span-x4", 24)] {
        let upscaler = load(&model(name).drawn()).unwrap();
        let small = picture(61, 45);
        let run = |side, margin| upscaler.upscale_in(Tiling { side, margin }, &small, 1 << 30, &|_, _| Ok(())).unwrap();
        let whole = run(64, 0);
        assert_eq!((whole.width, whole.height), (61 * upscaler.scale, 45 * upscaler.scale));
        for side in [8, 16, 32] {
            let tiled = run(side, margin);
            assert!(tiled == whole, "{name} in tiles of {side}");
        }
        assert!(run(8, 0) != whole, "{name}: margins matter");
    }
}

/// Wants nothing any more once a tile is done.
#[derive(Default)]
struct Impatient(Arc<AtomicBool>);

impl Control for Impatient {
    fn cancellation(&self) -> Cancellation {
        let wanted = self.0.clone();
        Cancellation::when(move || wanted.load(Ordering::Relaxed))
    }
    fn progress(&self, progress: Progress) {
        self.0.fetch_or(progress.step > 0, Ordering::Relaxed);
    }
}

#[test]
fn the_engine_enlarges_until_nobody_wants_it() {
    let mut engine = Engine::new(EngineOptions { device: DeviceChoice::Cpu, ..EngineOptions::default() }).unwrap();
    with_file(&model("compact-x2").drawn(), |file| {
        let image = |width, height| {
            let Rgb { width, height, bytes } = picture(width, height);
            PaintedImage { seed: 7, width: width as u32, height: height as u32, rgb: bytes }
        };
        let by = |scale| Upscale { upscaler: Upscaler::Network(file.clone()), scale };
        /// Nobody wants it to stop.
        struct Patient;
        impl Control for Patient {
            fn cancellation(&self) -> Cancellation {
                Cancellation::never()
            }
            fn progress(&self, _progress: Progress) {}
        }
        let patient = || Patient;
        let small = image(40, 24);
        // As the network does, less, more than it does at once, and as much as it does three times.
        for (scale, size) in [(None, (80, 48)), (Some(1.5), (60, 36)), (Some(3.0), (120, 72)), (Some(8.0), (320, 192))]
        {
            let large = engine.upscale(&small, &by(scale), &patient()).unwrap();
            let (width, height) = size;
            assert_eq!((large.seed, large.width, large.height), (7, width, height));
            assert_eq!(large.rgb.len(), 3 * (width * height) as usize);
        }
        for scaling in PixelScaling::ALL {
            let plain = Upscale { upscaler: Upscaler::Pixels(*scaling), scale: None };
            let large = engine.upscale(&small, &plain, &patient()).unwrap();
            assert_eq!((large.width, large.height), (80, 48), "{scaling}");
        }
        // Two tiles of 576 pixels: the second is not begun.
        let failure = engine.upscale(&image(600, 8), &by(None), &Impatient::default()).unwrap_err();
        assert_eq!(failure.reason, reason::CANCELLED);
        let short = PaintedImage { width: 41, ..small.clone() };
        let wrong =
            [(&short, by(None)), (&small, by(Some(0.0))), (&small, by(Some(f32::NAN))), (&small, by(Some(17.0)))];
        for (image, upscale) in wrong {
            let failure = engine.upscale(image, &upscale, &patient()).unwrap_err();
            assert_eq!(failure.reason, reason::UNSUPPORTED_SETTING);
        }
        let options =
            EngineOptions { device: DeviceChoice::Cpu, memory_limit_bytes: Some(1000), ..EngineOptions::default() };
        let failure = Engine::new(options).unwrap().upscale(&small, &by(None), &patient()).unwrap_err();
        assert_eq!(failure.reason, reason::OUT_OF_MEMORY);
    });
}

#[test]
fn files_that_are_no_whole_upscaler_are_refused() {
    let refused = |tensors: &Tensors| load(tensors).unwrap_err();
    let mut other = Tensors::new();
    other.insert("layers.0.weight".to_owned(), (vec![2, 2], vec![0.0; 4]));
    assert!(matches!(refused(&other), EngineError::UnsupportedUpscaler { .. }));

    let whole = model("realesrgan-x4").drawn();
    let mut lacks = whole.clone();
    lacks.remove("body.1.rdb3.conv5.bias");
    assert!(matches!(refused(&lacks), EngineError::MissingTensor { .. }));
    let mut misshapen = whole.clone();
    misshapen.insert("conv_hr.weight".to_owned(), (vec![8, 4, 3, 3], vec![0.0; 288]));
    assert!(matches!(refused(&misshapen), EngineError::TensorShape { .. }));
    let mut plus = whole.clone();
    plus.insert("body.0.rdb1.conv1x1.weight".to_owned(), (vec![32, 8, 1, 1], vec![0.0; 256]));
    assert!(matches!(refused(&plus), EngineError::Blueprint { .. }));
    let mut grey = whole.clone();
    grey.insert("conv_first.weight".to_owned(), (vec![8, 1, 3, 3], vec![0.0; 72]));
    assert!(matches!(refused(&grey), EngineError::Blueprint { .. }));

    let mut odd = model("compact-x4").drawn();
    odd.insert("body.8.weight".to_owned(), (vec![47, 8, 3, 3], vec![0.0; 47 * 72]));
    assert!(matches!(refused(&odd), EngineError::Blueprint { .. }));

    let mut not_numbers = model("compact-x2").drawn();
    not_numbers.insert("body.0.bias".to_owned(), (vec![8], vec![f32::NAN; 8]));
    let upscaler = load(&not_numbers).unwrap();
    let failed = upscaler.upscale(&picture(9, 9), 1 << 30, &|_, _| Ok(())).unwrap_err();
    note(&failed.to_string());
    assert!(matches!(failed, EngineError::NotFinite { .. }));
}
