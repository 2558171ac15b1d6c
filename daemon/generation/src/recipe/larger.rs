//! What recipes say of larger pictures, by A1111's names: "Hires. fix", and what its extras do to a finished picture.
//!
//! AUTOMATIC1111/stable-diffusion-webui 0027ce1f `modules/processing.py` (`StableDiffusionProcessingTxt2Img.init`),
//! `scripts/postprocessing_upscale.py`, and Forge for `Hires CFG Scale`. Neither writes digests of upscalers; ours stand in
//! settings of their own, since CivitAI takes what it does not know in `Hashes` for models of a picture.

use super::reading::Reading;
use super::write::settings_text;
use super::{Recipe, Resource, names};
use paintbox_domain::generation::{
    Hires, HiresUpscaler, LatentScaling, PixelScaling, Sampler, Schedule, Upscale, Upscaler,
};

const HIRES_DIGEST: &str = "Hires upscaler hash";
const UPSCALE_DIGEST: &str = "Postprocess upscaler hash";

/// What was read of a second pass and of an upscaler, until it is known what belongs together.
#[derive(Debug, Default)]
pub(super) struct Larger {
    hires: Hires<Resource>,
    is_hires: bool,
    /// The size of the finished picture.
    hires_size: Option<(u32, u32)>,
    hires_digest: String,
    upscaler: Option<Upscaler<Resource>>,
    scale: Option<f32>,
    upscaler_digest: String,
}

impl Reading {
    /// Takes a setting of larger pictures; false for any other.
    pub(super) fn set_larger(&mut self, key: &str, value: &str) -> bool {
        match key {
            "Hires upscale" => {
                self.larger.is_hires = true;
                self.larger.hires.scale = self.fraction(key, value);
            }
            "Hires resize" => {
                self.larger.is_hires = true;
                self.larger.hires_size = self.sides(key, value);
            }
            "Hires steps" => self.larger.hires.steps = self.number(key, value).filter(|steps| *steps > 0),
            "Hires upscaler" => self.larger.hires.upscaler = Some(hires_upscaler(value)),
            "Hires sampler" | "Hires schedule type" | "Hires Scheduler" if value.starts_with("Use same") => {}
            "Hires sampler" => match Sampler::by_any_name(value) {
                Some((sampler, schedule)) => {
                    self.larger.hires.sampler = Some(sampler);
                    self.larger.hires.schedule = schedule.or(self.larger.hires.schedule);
                }
                None => self.remark(key, value, "this version does not know it; the first pass' is used"),
            },
            "Hires schedule type" => match Schedule::by_any_name(value) {
                Some(schedule) => self.larger.hires.schedule = Some(schedule),
                None if value == "Automatic" => {}
                None => self.remark(key, value, "this version does not know it; the first pass' is used"),
            },
            "Hires CFG Scale" => self.larger.hires.guidance_scale = self.fraction(key, value),
            "Hires prompt" => self.larger.hires.prompt = Some(value.to_owned()),
            "Hires negative prompt" => self.larger.hires.negative_prompt = Some(value.to_owned()),
            HIRES_DIGEST => value.clone_into(&mut self.larger.hires_digest),
            "Postprocess upscale by" => self.larger.scale = self.fraction(key, value),
            "Postprocess upscaler" => self.larger.upscaler = Some(upscaler(value)),
            UPSCALE_DIGEST => value.clone_into(&mut self.larger.upscaler_digest),
            _ => return false,
        }
        true
    }

    /// Puts together what was read, once everything has been.
    pub(super) fn take_larger(&mut self) {
        let Larger { mut hires, is_hires, hires_size, hires_digest, upscaler, scale, upscaler_digest } =
            std::mem::take(&mut self.larger);
        if let Some(mut upscaler) = upscaler {
            if let Upscaler::Network(network) = &mut upscaler {
                network.add_digest(&upscaler_digest);
            }
            self.recipe.upscale = Some(Upscale { upscaler, scale });
        }
        if !is_hires {
            return;
        }
        if let Some(size) = hires_size {
            hires.scale = match self.recipe.width.zip(self.recipe.height) {
                Some(small) if proportional(small, size) => Some(size.0 as f32 / small.0 as f32),
                _ => {
                    let given = format!("{}x{}", size.0, size.1);
                    self.remark("Hires resize", &given, "pictures are enlarged in proportion only");
                    self.recipe.strength = None;
                    return;
                }
            };
        }
        if let Some(HiresUpscaler::Picture(Upscaler::Network(network))) = &mut hires.upscaler {
            network.add_digest(&hires_digest);
        }
        hires.strength = self.recipe.strength.take();
        self.recipe.hires = Some(hires);
    }
}

/// Whether both sides grow alike, but for what is cut off to whole latents.
fn proportional((width, height): (u32, u32), (to_width, to_height): (u32, u32)) -> bool {
    let (a, b) = (u64::from(width) * u64::from(to_height), u64::from(height) * u64::from(to_width));
    width > 0 && a.abs_diff(b) < 8 * u64::from(width.max(height))
}

fn upscaler(name: &str) -> Upscaler<Resource> {
    match PixelScaling::by_any_name(name) {
        Some(scaling) => Upscaler::Pixels(scaling),
        None => Upscaler::Network(Resource::named(names::of_upscaler_file(name))),
    }
}

fn hires_upscaler(name: &str) -> HiresUpscaler<Resource> {
    match LatentScaling::by_any_name(name) {
        Some(scaling) => HiresUpscaler::Latents(scaling),
        None => HiresUpscaler::Picture(upscaler(name)),
    }
}

fn latents_name(scaling: LatentScaling) -> &'static str {
    match scaling {
        LatentScaling::Bilinear => "Latent",
        LatentScaling::BilinearAntialiased => "Latent (antialiased)",
        LatentScaling::Bicubic => "Latent (bicubic)",
        LatentScaling::BicubicAntialiased => "Latent (bicubic antialiased)",
        LatentScaling::Nearest => "Latent (nearest)",
        LatentScaling::NearestExact => "Latent (nearest-exact)",
    }
}

/// Its name, and its digest if it is a network.
fn named(upscaler: &Upscaler<Resource>) -> (String, Option<String>) {
    match upscaler {
        Upscaler::Pixels(PixelScaling::Lanczos) => ("Lanczos".to_owned(), None),
        Upscaler::Pixels(PixelScaling::Nearest) => ("Nearest".to_owned(), None),
        Upscaler::Network(network) => (network.plain_name(), network.short_digest()),
    }
}

pub(super) fn of_hires(hires: &Hires<Resource>) -> Vec<(&'static str, Option<String>)> {
    let (name, digest) = match &hires.upscaler {
        None => (latents_name(LatentScaling::Bilinear).to_owned(), None),
        Some(HiresUpscaler::Latents(scaling)) => (latents_name(*scaling).to_owned(), None),
        Some(HiresUpscaler::Picture(upscaler)) => named(upscaler),
    };
    vec![
        ("Denoising strength", Some(hires.strength.unwrap_or(Hires::<Resource>::USUAL_STRENGTH).to_string())),
        ("Hires upscale", Some(hires.scale.unwrap_or(Hires::<Resource>::USUAL_SCALE).to_string())),
        ("Hires steps", hires.steps.map(|steps| steps.to_string())),
        ("Hires upscaler", Some(name)),
        (HIRES_DIGEST, digest),
        ("Hires sampler", hires.sampler.map(|sampler| names::of_sampler(sampler).to_owned())),
        ("Hires schedule type", hires.schedule.map(|schedule| names::of_schedule(schedule).to_owned())),
        ("Hires CFG Scale", hires.guidance_scale.map(|scale| scale.to_string())),
        ("Hires prompt", hires.prompt.clone()),
        ("Hires negative prompt", hires.negative_prompt.clone()),
    ]
}

pub(super) fn of_upscale(upscale: &Upscale<Resource>) -> Vec<(&'static str, Option<String>)> {
    let (name, digest) = named(&upscale.upscaler);
    vec![
        ("Postprocess upscale by", upscale.scale.map(|scale| scale.to_string())),
        ("Postprocess upscaler", Some(name)),
        (UPSCALE_DIGEST, digest),
    ]
}

/// The text of a picture that was made larger: what it said before, and by what (A1111 keeps its extras' settings behind
/// those of the picture).
pub(crate) fn enlarged_text(text: &str, upscale: Option<&Upscale<Resource>>, program: &str) -> String {
    let said = settings_text(upscale.map(of_upscale).unwrap_or_default());
    match text {
        "" => {
            let recipe = Recipe { program: Some(program.to_owned()), ..Recipe::default() };
            format!("{said}, {}", recipe.parameters_text())
        }
        text => format!("{text}, {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pass_and_an_upscaler_are_read_as_they_are_written() {
        let network = |name: &str| Resource {
            name: name.to_owned(),
            digests: vec!["0123456789".to_owned()],
            ..Resource::default()
        };
        let recipe = Recipe {
            prompt: "a cat".to_owned(),
            steps: Some(20),
            sampler: Some(Sampler::Euler),
            schedule: Some(Schedule::Karras),
            seed: Some(1),
            width: Some(512),
            height: Some(512),
            hires: Some(Hires {
                upscaler: Some(HiresUpscaler::Picture(Upscaler::Network(network("4x-UltraSharp")))),
                scale: Some(1.5),
                steps: Some(12),
                strength: Some(0.45),
                sampler: Some(Sampler::Ddim),
                schedule: Some(Schedule::Normal),
                guidance_scale: Some(4.5),
                prompt: Some("a cat, closer: very".to_owned()),
                negative_prompt: Some("dog".to_owned()),
            }),
            upscale: Some(Upscale { upscaler: Upscaler::Network(network("RealESRGAN_x4plus")), scale: Some(2.0) }),
            ..Recipe::default()
        };
        let text = recipe.parameters_text();
        let read = Recipe::read(text.as_bytes()).unwrap();
        assert_eq!((read.hires, read.upscale), (recipe.hires, recipe.upscale), "{text}");
        assert_eq!(read.remarks, []);
        assert_eq!(read.strength, None, "it is the second pass'");
    }

    #[test]
    fn a1111s_names_of_upscalers_are_those_of_files() {
        let settings = "Steps: 20, Sampler: Euler a, Seed: 1, Size: 512x768, Denoising strength: 0.5, ";
        let read = |more: &str| Recipe::read(format!("a\n{settings}{more}").as_bytes()).unwrap();
        let recipe = read("Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+ Anime6B");
        let upscaler = recipe.hires.unwrap().upscaler.unwrap();
        assert_eq!(upscaler.network().unwrap().name, "RealESRGAN_x4plus_anime_6B");
        let recipe = read("Hires resize: 1024x1536, Hires steps: 0, Hires upscaler: Latent (nearest-exact)");
        let hires = recipe.hires.unwrap();
        assert_eq!((hires.scale, hires.steps, hires.strength), (Some(2.0), None, Some(0.5)));
        assert_eq!(hires.upscaler, Some(HiresUpscaler::Latents(LatentScaling::NearestExact)));
        // Cut to another shape.
        let recipe = read("Hires resize: 1024x1024");
        assert_eq!((recipe.hires, recipe.remarks.len()), (None, 1));
    }

    #[test]
    fn a_picture_that_was_made_larger_says_what_it_said_and_by_what() {
        let upscale = Upscale { upscaler: Upscaler::Pixels(PixelScaling::Lanczos), scale: Some(3.0) };
        let text = enlarged_text("a\nSteps: 20, Seed: 1, Size: 64x64", Some(&upscale), "Paintbox 1");
        assert_eq!(
            text,
            "a\nSteps: 20, Seed: 1, Size: 64x64, Postprocess upscale by: 3, Postprocess upscaler: Lanczos"
        );
        let text = enlarged_text("", Some(&upscale), "Paintbox 1");
        assert!(text.starts_with("Postprocess upscale by: 3, Postprocess upscaler: Lanczos, "), "{text}");
        assert!(text.ends_with("Version: Paintbox 1"), "{text}");
    }
}
