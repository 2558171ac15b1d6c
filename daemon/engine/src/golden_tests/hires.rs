//! Pictures that are painted small and then large, against diffusers (`tests/goldens/make_hires.py`), from folders and
//! from single files alike.

use super::families::{Family, both_forms, named, weight, write};
use super::{Listener, Silence, differences, engine, request};
use crate::testing::{GoldenTensors, golden_json, note};
use paintbox_domain::generation::{
    Cancellation, Control, Generator, Hires, HiresUpscaler, ModelFile, PaintPreview, PaintRequest, PaintedImage, Phase,
    Progress, Sampler, Upscale, Upscaler,
};
use paintbox_domain::reason;
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What the project promises of a picture against the reference, in units of 1/255.
const PROMISED_MEAN: f64 = 1.0;

#[derive(Deserialize)]
struct Case {
    like: String,
    sampler: String,
    second_sampler: Option<String>,
    upscaler: String,
    scale: f32,
    prompt: String,
    negative: String,
    seed: u64,
    steps: u32,
    second_steps: Option<u32>,
    cfg: f32,
    strength: f32,
}

/// One that needs no file.
fn upscaler(name: &str) -> HiresUpscaler<ModelFile> {
    let found = HiresUpscaler::read(name).try_map(|_| Err("it is a network"));
    found.unwrap()
}

#[test]
fn pictures_of_two_passes_are_those_of_diffusers_from_both_forms() {
    let goldens = GoldenTensors::open("hires.safetensors");
    let cases: Vec<Case> = golden_json("hires.json");
    for (number, case) in cases.iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        let forms = both_forms(&Family::named(&case.like), root.path());
        let sampler = |name: &str| Sampler::from_name(name).unwrap();
        let [from_folder, from_single] = forms.map(|files| {
            let request = PaintRequest {
                prompt: case.prompt.clone(),
                negative_prompt: case.negative.clone(),
                seed: case.seed,
                steps: Some(case.steps),
                guidance_scale: Some(case.cfg),
                sampler: Some(sampler(&case.sampler)),
                width: Some(64),
                height: Some(64),
                hires: Some(Hires {
                    upscaler: Some(upscaler(&case.upscaler)),
                    scale: Some(case.scale),
                    steps: case.second_steps,
                    strength: Some(case.strength),
                    sampler: case.second_sampler.as_deref().map(sampler),
                    ..Hires::default()
                }),
                ..request(&files)
            };
            engine().paint(&request, &Silence).unwrap()
        });
        assert!(from_folder == from_single, "{number}: the two forms paint differently");
        let (mean, pixel) = differences(&from_folder.images[0].rgb, &goldens.bytes(&format!("{number}.pixels")));
        note(&format!("{number} {} {}: mean {mean:.5}, largest {pixel}", case.like, case.upscaler));
        assert!(mean <= PROMISED_MEAN, "{number}: {mean}");
    }
}

fn small(files: &[ModelFile], hires: Hires<ModelFile>) -> PaintRequest {
    PaintRequest { steps: Some(3), width: Some(64), height: Some(48), hires: Some(hires), ..request(files) }
}

/// A compact network that makes pictures four times as large.
fn with_network<T>(run: impl FnOnce(ModelFile) -> T) -> T {
    #[derive(Deserialize)]
    struct Model {
        name: String,
        tensors: BTreeMap<String, Vec<usize>>,
    }
    let models: Vec<Model> = golden_json("upscalers.json");
    let model = models.into_iter().find(|model| model.name == "compact-x4").unwrap();
    let drawn = model.tensors.into_iter().map(|(name, shape)| {
        let values = weight("upscaler", &name, &shape);
        (name, (shape, values))
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compact.safetensors");
    write(&path, &drawn.collect());
    run(named("compact.safetensors", &path))
}

#[test]
fn a_second_pass_paints_through_an_upscaler_and_counts_its_steps_on() {
    let root = tempfile::tempdir().unwrap();
    let [files, _] = both_forms(&Family::named("sd1"), root.path());
    with_network(|network| {
        let upscaler = HiresUpscaler::Picture(Upscaler::Network(network.clone()));
        let hires = Hires { upscaler: Some(upscaler), steps: Some(2), ..Hires::default() };
        let listener = Listener::new(|_| false);
        let mut engine = engine();
        let painting = engine.paint(&small(&files, hires), &listener).unwrap();
        let PaintedImage { width, height, .. } = painting.images[0];
        // Four times, and half of that again by Lanczos' filter: twice, as nothing was said.
        assert_eq!((width, height), (128, 96));
        let settings = painting.settings.hires.unwrap();
        assert_eq!((settings.width, settings.height, settings.steps, settings.strength), (128, 96, 2, 0.7));
        let heard = listener.heard.borrow();
        let steps: Vec<u32> = heard.iter().filter(|p| p.phase == Phase::Sampling).map(|p| p.step).collect();
        assert_eq!(steps, [0, 1, 2, 3, 3, 4, 5]);
        assert!(heard.iter().filter(|p| p.phase == Phase::Sampling).all(|p| p.total_steps == 5));
        assert!(heard.iter().any(|p| p.phase == Phase::Upscaling && p.total_steps == 1));
        // The same upscaler again, on the finished picture.
        let upscale = Upscale { upscaler: Upscaler::Network(network), scale: None };
        let large = engine.upscale(&painting.images[0], &upscale, &Silence).unwrap();
        assert_eq!((large.width, large.height, large.seed), (512, 384, painting.images[0].seed));
    });
}

/// Wants to see every step.
#[derive(Default)]
struct Onlooker(RefCell<Vec<PaintPreview>>);

impl Control for Onlooker {
    fn cancellation(&self) -> Cancellation {
        Cancellation::never()
    }
    fn progress(&self, _progress: Progress) {}
    fn wants_preview(&self) -> bool {
        true
    }
    fn preview(&self, preview: PaintPreview) {
        self.0.borrow_mut().push(preview);
    }
}

#[test]
fn the_picture_is_seen_at_each_step_of_both_passes_and_is_none_the_worse_for_it() {
    let root = tempfile::tempdir().unwrap();
    let [files, _] = both_forms(&Family::named("sd1"), root.path());
    let onlooker = Onlooker::default();
    let mut engine = engine();
    let request = small(&files, Hires::default());
    let seen = engine.paint(&request, &onlooker).unwrap();
    assert!(engine.paint(&request, &Silence).unwrap() == seen);
    let previews = onlooker.0.into_inner();
    let steps: Vec<u32> = previews.iter().map(|preview| preview.step).collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    let factor = 64 / previews[0].width;
    assert!(previews[..3].iter().all(|preview| (preview.width, preview.height) == (64 / factor, 48 / factor)));
    assert!(previews[3..].iter().all(|preview| (preview.width, preview.height) == (128 / factor, 96 / factor)));
    assert!(previews.iter().all(|preview| preview.rgb.len() as u32 == 3 * preview.width * preview.height));
    assert!(previews[0].rgb != previews[2].rgb);
}

#[test]
fn other_words_lead_the_second_pass_alone() {
    let root = tempfile::tempdir().unwrap();
    let [files, _] = both_forms(&Family::named("sd1"), root.path());
    let mut engine = engine();
    let mut paint = |hires| engine.paint(&small(&files, hires), &Silence).unwrap().images.remove(0).rgb;
    let plain = paint(Hires::default());
    assert_eq!(paint(Hires { prompt: Some("red heart".to_owned()), ..Hires::default() }), plain);
    assert!(paint(Hires { prompt: Some("blue star".to_owned()), ..Hires::default() }) != plain);
    assert!(paint(Hires { negative_prompt: Some("blue star".to_owned()), ..Hires::default() }) != plain);
    assert!(paint(Hires { guidance_scale: Some(1.0), ..Hires::default() }) != plain);
}

#[test]
fn second_passes_that_cannot_be_are_refused_with_what_can() {
    let root = tempfile::tempdir().unwrap();
    let [files, _] = both_forms(&Family::named("sd1"), root.path());
    let refused = |hires| engine().paint(&small(&files, hires), &Silence).unwrap_err();
    for (hires, setting) in [
        (Hires { scale: Some(0.5), ..Hires::default() }, "hires.scale"),
        (Hires { scale: Some(f32::NAN), ..Hires::default() }, "hires.scale"),
        (Hires { scale: Some(17.0), ..Hires::default() }, "hires.scale"),
        (Hires { steps: Some(0), ..Hires::default() }, "hires.steps"),
        (Hires { steps: Some(900), ..Hires::default() }, "hires.steps"),
        (Hires { strength: Some(0.0), ..Hires::default() }, "hires.strength"),
        (Hires { prompt: Some("x".repeat(70_000)), ..Hires::default() }, "hires.prompt"),
    ] {
        let failure = refused(hires);
        assert_eq!(failure.reason, reason::UNSUPPORTED_SETTING, "{setting}");
        assert!(failure.message.starts_with(setting), "{setting}: {}", failure.message);
    }
    let missing = named("gone.safetensors", &root.path().join("gone.safetensors"));
    let upscaler = Some(HiresUpscaler::Picture(Upscaler::Network(missing)));
    assert_eq!(refused(Hires { upscaler, ..Hires::default() }).reason, reason::FILE_NOT_LOCAL);
}
