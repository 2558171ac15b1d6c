//! What a painting takes of memory, reckoned from headers and settings before any of it is taken, and which networks can
//! be in memory together while it is painted.
//!
//! What networks hold at their widest is counted along the same way as they go (`networks/`): a term here is a tensor that
//! is alive there. `benches/painting.rs` and the test `memory` hold it against what processes really took.

mod work;

use crate::device::Precision;
use crate::error::EngineError;
use crate::load::{Blueprint, Component, ControlNetPlan, Inputs, Parameters};
use crate::residence::{Part, Precisions};
use crate::text::{Evaluations, compose, schedule};
use paintbox_domain::generation::{LoraFile, PaintRequest, PaintSettings, Phase};
use std::collections::HashSet;
use work::Work;

/// Code, tokenizers, stacks, and what an allocator keeps.
const BESIDE_BYTES: u64 = 64 << 20;

/// Which networks are in memory together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Residency {
    /// All, from one painting to the next.
    Together,
    /// UNet, ControlNets and VAE, after the text encoders have gone.
    AfterPrompts,
    /// One after the other.
    InTurn,
}

impl Residency {
    /// From what is fastest to what takes the least.
    const ALL: [Self; 3] = [Self::Together, Self::AfterPrompts, Self::InTurn];

    /// Whether a part may stay where another one is asked for.
    pub(crate) fn keeps(self, held: Part, asked: Part) -> bool {
        match self {
            Self::Together => true,
            Self::AfterPrompts => held == asked || (held != Part::TextEncoders && asked != Part::TextEncoders),
            Self::InTurn => held == asked,
        }
    }
}

/// A phase of a painting: bytes of weights that are in memory, and bytes of work at its widest point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryStage {
    pub phase: Phase,
    pub weights_bytes: u64,
    pub work_bytes: u64,
}

/// What a painting will take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    pub residency: Residency,
    pub stages: Vec<MemoryStage>,
    pub limit_bytes: u64,
}

impl MemoryPlan {
    /// The most that is held at any time.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        let most = self.stages.iter().map(|stage| stage.weights_bytes.saturating_add(stage.work_bytes)).max();
        most.unwrap_or_default().saturating_add(BESIDE_BYTES)
    }

    /// The least that the painting `needs` under the limit: the fastest way that fits.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`] when not even one network at a time fits.
    pub(crate) fn within(needs: &Needs, limit_bytes: u64) -> Result<Self, EngineError> {
        let mut plans = Residency::ALL.into_iter().map(|residency| needs.plan(residency, limit_bytes));
        if let Some(plan) = plans.find(|plan| plan.peak_bytes() <= limit_bytes) {
            return Ok(plan);
        }
        let least = needs.plan(Residency::InTurn, limit_bytes);
        let fullest = least.stages.iter().max_by_key(|stage| stage.weights_bytes.saturating_add(stage.work_bytes));
        let (width, height) = needs.size;
        Err(EngineError::TooLarge {
            width,
            height,
            phase: fullest.map_or(Phase::Loading, |stage| stage.phase),
            weights_bytes: fullest.map_or(0, |stage| stage.weights_bytes),
            needed_bytes: least.peak_bytes(),
            limit_bytes,
        })
    }
}

/// What a painting needs of memory, however it is spread over time.
#[derive(Debug)]
pub(crate) struct Needs {
    size: (u32, u32),
    /// Bytes of weights of each part.
    text_encoders: u64,
    unet: u64,
    vae: u64,
    /// What the reading of one tensor takes beside what is read already.
    reading: u64,
    work: Work,
    encodes_pictures: bool,
}

impl Needs {
    /// `threads` is how many compute at once; on a GPU it does not matter.
    pub(crate) fn of(
        blueprint: &Blueprint,
        parameters: &Parameters,
        precisions: Precisions,
        settings: &PaintSettings,
        request: &PaintRequest,
        controls: &[ControlNetPlan],
        machine: Machine,
    ) -> Self {
        let counted = |is_of: &dyn Fn(Component) -> bool| -> u64 {
            let shapes = parameters.iter().filter(|((component, _), _)| is_of(*component));
            shapes.map(|(_, shape)| values(shape)).sum()
        };
        let bytes = |precision: Precision| precision.bytes(machine.is_gpu);
        let is_text = |component| matches!(component, Component::TextEncoder | Component::TextEncoder2);
        let unet = counted(&|component| component == Component::Unet)
            + controls.iter().map(ControlNetPlan::parameters).sum::<u64>();
        // Read as it lies in the file, widened, and changed by adapters, whose product may be held twice.
        let largest = parameters.values().map(|shape| values(shape)).max().unwrap_or_default();
        let copies = if request.loras.iter().any(LoraFile::changes_anything) { 5 } else { 2 };
        let parts = compose(&request.prompt).len();
        let is_guided = parts > 1 || settings.guidance_scale > 1.0 || settings.image_guidance_scale.is_some();
        let count = settings.steps as usize * crate::sample::evaluations(settings.sampler);
        let evaluations = Evaluations { count, before: None };
        let texts = compose(&request.prompt).iter().map(|(prompt, _)| distinct(prompt, evaluations)).max();
        let texts = texts.unwrap_or(1).max(distinct(&request.negative_prompt, evaluations));
        let batch = work::Batch { pictures: parts as u128 + u128::from(is_guided), texts: texts as u128 };
        let of = |settings| Work::of(blueprint, precisions, settings, request, controls, machine, batch);
        // A second pass is another painting with the same networks, and at the larger size.
        let second = settings.hires.as_ref().map(|hires| crate::hires::settings(settings, hires));
        let work = second.as_ref().map_or(of(settings), |second| of(settings).max(of(second)));
        let last = second.as_ref().unwrap_or(settings);
        Self {
            size: (last.width, last.height),
            text_encoders: counted(&is_text) * bytes(precisions.text_encoders),
            unet: unet * bytes(precisions.unet),
            vae: counted(&|component| component == Component::Vae) * bytes(Precision::Full),
            reading: largest * 4 * copies,
            work,
            encodes_pictures: request.init.is_some() || second.is_some() || blueprint.inputs != Inputs::Latents,
        }
    }

    pub(crate) fn plan(&self, residency: Residency, limit_bytes: u64) -> MemoryPlan {
        let held = |part: Part| {
            let of = |other: Part, bytes: u64| if residency.keeps(other, part) { bytes } else { 0 };
            let text_encoders = of(Part::TextEncoders, self.text_encoders);
            text_encoders.saturating_add(of(Part::Unet, self.unet)).saturating_add(of(Part::Vae, self.vae))
        };
        let stage = |phase, part, work_bytes: u64| MemoryStage {
            phase,
            weights_bytes: held(part),
            // A part that goes in between is read again within its phase.
            work_bytes: work_bytes.max(self.reading).saturating_add(self.work.pictures),
        };
        let mut stages = vec![stage(Phase::EncodingPrompt, Part::TextEncoders, self.work.encoding_prompt)];
        if self.encodes_pictures {
            stages.push(stage(Phase::EncodingImage, Part::Vae, self.work.encoding_image));
        }
        stages.push(stage(Phase::Sampling, Part::Unet, self.work.sampling));
        stages.push(stage(Phase::Decoding, Part::Vae, self.work.decoding));
        MemoryPlan { residency, stages, limit_bytes }
    }
}

/// What it is computed on, as far as memory is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) is_gpu: bool,
    pub(crate) threads: usize,
}

fn values(shape: &[usize]) -> u64 {
    shape.iter().map(|side| *side as u64).product()
}

/// How many texts a prompt is over time.
fn distinct(prompt: &str, evaluations: Evaluations) -> usize {
    schedule(prompt, evaluations).into_iter().map(|(_, text)| text).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{blueprint, index};
    use crate::settings::resolve;
    use crate::testing::{listed_folder, single_file};
    use paintbox_domain::Classify;
    use paintbox_domain::generation::InitImage;

    const CPU: Machine = Machine { is_gpu: false, threads: 2 };
    const GPU: Machine = Machine { is_gpu: true, threads: 2 };

    fn needs(width: u32, height: u32, prompt: &str, machine: Machine) -> Needs {
        let folder = listed_folder("sd1-unet.txt", "sd1-text-encoder.txt", "sd1-vae.txt");
        let index = index(&folder.files).unwrap();
        let blueprint = blueprint(&index).unwrap();
        let request = PaintRequest {
            prompt: prompt.to_owned(),
            width: Some(width),
            height: Some(height),
            ..crate::settings::tests::request()
        };
        let settings = resolve(&request, &blueprint).unwrap();
        let precisions = Precisions::of(machine.is_gpu, crate::FullPrecision::default());
        Needs::of(&blueprint, &index.parameters(), precisions, &settings, &request, &[], machine)
    }

    #[test]
    fn stable_diffusion_at_its_own_size_takes_what_was_measured() {
        // What `benches/painting.rs` took: 5.17 GB at the peak, for 4.27 GB of weights.
        let plan = needs(512, 512, "a lighthouse", CPU).plan(Residency::Together, u64::MAX);
        let weights = plan.stages[0].weights_bytes;
        assert!((4_250_000_000..4_290_000_000).contains(&weights), "{weights}");
        assert!((5_100_000_000..5_500_000_000).contains(&plan.peak_bytes()), "{}", plan.peak_bytes());
        // Half as exact takes half as much, but for the VAE.
        let half = needs(512, 512, "a lighthouse", GPU).plan(Residency::Together, u64::MAX).stages[0].weights_bytes;
        assert!(half < weights * 6 / 10 && half > weights / 2, "{half} of {weights}");
    }

    #[test]
    fn more_pixels_and_more_prompts_never_take_less() {
        for residency in Residency::ALL {
            let peak = |width, height, prompt: &str| needs(width, height, prompt, CPU).plan(residency, 0).peak_bytes();
            let sides: Vec<u64> = (1..=40).map(|side| peak(side * 64, 512, "one")).collect();
            assert!(sides.is_sorted() && sides[39] > sides[0] + (1 << 30), "{sides:?}");
            let prompts: Vec<String> = (1..8).map(|n| vec!["a"; n].join(" AND ")).collect();
            let prompts: Vec<u64> = prompts.iter().map(|prompt| peak(1024, 1024, prompt)).collect();
            assert!(prompts.is_sorted() && prompts[6] > prompts[0], "{prompts:?}");
        }
        let stage = |prompt| needs(512, 512, prompt, CPU).plan(Residency::InTurn, 0).stages[0].work_bytes;
        assert!(stage(&"[a|b|c|d]".repeat(9)) >= stage("a"));
    }

    #[test]
    fn the_fastest_way_that_fits_is_taken_and_none_is_a_refusal_with_numbers() {
        let needs = needs(512, 512, "a lighthouse", CPU);
        let peaks = Residency::ALL.map(|residency| needs.plan(residency, 0).peak_bytes());
        assert!(peaks[0] > peaks[1] && peaks[1] > peaks[2], "{peaks:?}");
        for (limit, residency) in peaks.into_iter().zip(Residency::ALL) {
            assert_eq!(MemoryPlan::within(&needs, limit).unwrap().residency, residency);
        }
        let error = MemoryPlan::within(&needs, peaks[2] - 1).unwrap_err();
        assert_eq!(error.reason(), paintbox_domain::reason::OUT_OF_MEMORY);
        for number in [peaks[2], peaks[2] - 1] {
            assert!(error.to_string().contains(&number.to_string()), "{error}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_counted() {
        let index = index(&single_file()).unwrap();
        let blueprint = blueprint(&index).unwrap();
        let plan = |request: &PaintRequest| {
            let settings = resolve(request, &blueprint).unwrap();
            let precisions = Precisions::of(false, crate::FullPrecision::default());
            let needs = Needs::of(&blueprint, &index.parameters(), precisions, &settings, request, &[], CPU);
            needs.plan(Residency::Together, 0)
        };
        let plain = crate::settings::tests::request();
        let phases = |request: &PaintRequest| plan(request).stages.iter().map(|stage| stage.phase).collect::<Vec<_>>();
        assert_eq!(phases(&plain), [Phase::EncodingPrompt, Phase::Sampling, Phase::Decoding]);
        let rgb = vec![0; 3 * 64 * 64];
        let init = Some(InitImage { width: 64, height: 64, rgb, strength: None, inpaint: None });
        let over = PaintRequest { init, ..plain.clone() };
        assert_eq!(phases(&over)[1], Phase::EncodingImage);
        let many = PaintRequest { count: 64, ..plain.clone() };
        assert!(plan(&many).peak_bytes() > plan(&plain).peak_bytes(), "finished pictures are held");
    }
}
