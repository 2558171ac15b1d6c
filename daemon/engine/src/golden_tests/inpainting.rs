//! Parts of pictures against diffusers under A1111's masks (`tests/goldens/make_inpainting.py`), from folders and from
//! single files alike.

use super::families::{Family, both_forms};
use super::{Silence, differences, engine, request};
use crate::testing::{GoldenTensors, golden_json, note, single_file};
use paintbox_domain::generation::{
    Generator, InitImage, Inpaint, InpaintArea, MaskedContent, ModelFile, PaintRequest, Sampler,
};
use paintbox_domain::reason;
use serde::Deserialize;

/// What the project promises of a picture against the reference, in units of 1/255.
const PROMISED_MEAN: f64 = 1.0;

#[derive(Deserialize)]
struct Made {
    families: Vec<Networks>,
}

#[derive(Deserialize)]
struct Networks {
    name: String,
    like: String,
    in_channels: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    /// Left, top, right, bottom.
    mask: Option<[usize; 4]>,
    sampler: String,
    strength: Option<f32>,
    prompt: String,
    seed: u64,
    steps: u32,
    cfg: f32,
    width: u32,
    height: u32,
    invert: bool,
    blur: u32,
    content: String,
    padding: Option<u32>,
}

impl Case {
    fn request(&self, model: &[ModelFile], init: &[u8]) -> PaintRequest {
        let inpaint = |[left, top, right, bottom]: [usize; 4]| Inpaint {
            mask: (0..64 * 64)
                .map(|at| (left..right).contains(&(at % 64)) && (top..bottom).contains(&(at / 64)))
                .map(|is_masked| if is_masked { 255 } else { 0 })
                .collect(),
            invert: self.invert,
            blur: self.blur,
            content: MaskedContent::from_name(&self.content).unwrap(),
            area: self.padding.map_or(InpaintArea::Whole, |padding| InpaintArea::OnlyMasked { padding }),
        };
        let init = self.strength.map(|strength| InitImage {
            width: 64,
            height: 64,
            rgb: init.to_vec(),
            strength: Some(strength),
            inpaint: self.mask.map(inpaint),
        });
        PaintRequest {
            prompt: self.prompt.clone(),
            seed: self.seed,
            steps: Some(self.steps),
            guidance_scale: Some(self.cfg),
            sampler: Some(Sampler::from_name(&self.sampler).unwrap()),
            width: Some(self.width),
            height: Some(self.height),
            init,
            ..request(model)
        }
    }
}

/// A family's model whose UNet takes so many channels.
pub(super) fn with_inputs(like: &str, in_channels: usize) -> Family {
    let mut family = Family::named(like);
    family.configs.get_mut("unet/config.json").unwrap()["in_channels"] = in_channels.into();
    let rows = family.tensors.get_mut("unet").unwrap();
    let (_, shape, ..) = rows.iter_mut().find(|(name, ..)| name == "conv_in.weight").unwrap();
    shape[1] = in_channels;
    family
}

#[test]
fn masked_pictures_are_those_of_diffusers_under_the_masks_of_a1111() {
    let goldens = GoldenTensors::open("inpainting.safetensors");
    let init = goldens.bytes("init");
    let Made { families } = golden_json("inpainting.json");
    for Networks { name, like, in_channels, cases } in families {
        let root = tempfile::tempdir().unwrap();
        let forms = both_forms(&with_inputs(&like, in_channels), root.path());
        let mut engines = [engine(), engine()];
        for (number, case) in cases.iter().enumerate() {
            let paint = |form: usize| {
                let request = case.request(&forms[form], &init);
                engines[form].paint(&request, &Silence).unwrap()
            };
            let [from_folder, from_single] = [0, 1].map(paint);
            assert!(from_folder == from_single, "{name} {number}: the two forms paint differently");
            let image = &from_folder.images[0];
            assert_eq!((image.width, image.height), (64, 64), "the picture keeps its size");
            let (mean, pixel) = differences(&image.rgb, &goldens.bytes(&format!("{name}.{number}.pixels")));
            note(&format!("{name} {number} {:8}: mean {mean:.5}, largest {pixel}", case.sampler));
            assert!(mean <= PROMISED_MEAN, "{name} {number}: {mean}");
        }
    }
}

fn masked(mask: Vec<u8>, area: InpaintArea) -> PaintRequest {
    let init = GoldenTensors::open("inpainting.safetensors").bytes("init");
    let inpaint = Inpaint { mask, invert: false, blur: 0, content: MaskedContent::Original, area };
    let init = InitImage { width: 64, height: 64, rgb: init, strength: Some(0.8), inpaint: Some(inpaint) };
    PaintRequest { steps: Some(3), init: Some(init), ..request(&single_file()) }
}

#[test]
fn what_a_mask_leaves_out_stays_as_it_is_with_every_sampler() {
    let mask: Vec<u8> = (0..64 * 64).map(|at| if at % 64 < 24 { 255 } else { 0 }).collect();
    let mut engine = engine();
    for sampler in Sampler::ALL {
        let request = PaintRequest { sampler: Some(*sampler), ..masked(mask.clone(), InpaintArea::Whole) };
        let painted = &engine.paint(&request, &Silence).unwrap().images[0].rgb;
        let init = &request.init.as_ref().unwrap().rgb;
        let changed: Vec<usize> = (0..64 * 64).filter(|at| painted[at * 3..][..3] != init[at * 3..][..3]).collect();
        assert!(changed.iter().all(|at| mask[*at] == 255), "{sampler}: a pixel outside of the mask changed");
        assert!(changed.len() > 1000, "{sampler}: {} pixels changed", changed.len());
    }
}

#[test]
fn masks_that_leave_nothing_to_paint_are_refused() {
    for area in [InpaintArea::Whole, InpaintArea::OnlyMasked { padding: 8 }] {
        let failure = engine().paint(&masked(vec![0; 64 * 64], area), &Silence).unwrap_err();
        assert_eq!(failure.reason, reason::UNSUPPORTED_SETTING);
        assert!(failure.message.starts_with("mask is empty"), "{}", failure.message);
    }
}

#[test]
fn a_part_of_a_picture_of_any_size_is_painted_at_the_models_own() {
    let (width, height) = (150, 101);
    let at = |x: usize, y: usize| (140..150).contains(&x) && (90..101).contains(&y);
    let mask = (0..width * height).map(|n| u8::from(at(n % width, n / width)) * 255).collect();
    let inpaint = Inpaint {
        mask,
        invert: false,
        blur: 1,
        content: MaskedContent::Original,
        area: InpaintArea::OnlyMasked { padding: 4 },
    };
    let (rgb, strength) = (vec![90; width * height * 3], Some(0.8));
    let init = InitImage { width: 150, height: 101, rgb, strength, inpaint: Some(inpaint) };
    let painting = engine()
        .paint(&PaintRequest { steps: Some(2), init: Some(init), ..request(&single_file()) }, &Silence)
        .unwrap();
    assert_eq!((painting.settings.width, painting.settings.height), (64, 64));
    let image = &painting.images[0];
    assert_eq!((image.width, image.height), (150, 101));
    assert!(image.rgb[..80 * width * 3].iter().all(|byte| *byte == 90));
    assert!(image.rgb.iter().any(|byte| *byte != 90));
}
