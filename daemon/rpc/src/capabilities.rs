//! `GetModelCapabilities` of the `GenerationService`: what a model can be asked for, or without one, what there is to ask for
//! at all.

use crate::fit;
use crate::server::Api;
use crate::status::{error_message, status};
use paintbox_domain::generation::{
    Capabilities, Feature, LatentScaling, NoiseSource, PictureFormat, PixelScaling, Sampler, Schedule,
};
use paintbox_domain::{Classify, ModelKind};
use paintbox_generation::{
    AdaptersHere, FileHere, GenerationError, LARGEST_COUNT, LARGEST_SIDE_PIXELS, LARGEST_STEPS, LONGEST_PROMPT_BYTES,
    ModelCapabilities,
};
use paintbox_proto::v1;
use tonic::Status;

/// Of the files of one kind that go with a model.
const FILES_ROOM: usize = 256 << 10;

impl Api {
    pub(crate) async fn capabilities(&self, model: &str) -> Result<v1::ModelCapabilities, Status> {
        let failed = |error: GenerationError| status(&error as &dyn Classify);
        let mut message = everything();
        let upscalers = self.generations.files_here(ModelKind::Upscaler).await.map_err(failed)?;
        message.upscalers = fit::first(&upscalers, FILES_ROOM, file);
        if model.trim().is_empty() {
            return Ok(message);
        }
        let ModelCapabilities { name, sha256, capabilities, loras, control_nets } =
            self.generations.capabilities(model).await.map_err(failed)?;
        message.model = name;
        message.sha256 = sha256.map(|sha256| sha256.to_string()).unwrap_or_default();
        message.loras = Some(adapters(&loras));
        message.control_nets = Some(adapters(&control_nets));
        of_model(&mut message, capabilities);
        Ok(message)
    }
}

/// What there is, whatever the model.
fn everything() -> v1::ModelCapabilities {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let pixels = PixelScaling::ALL.iter().map(|scaling| scaling.as_str());
    let latents = LatentScaling::ALL.iter().map(|scaling| scaling.as_str());
    v1::ModelCapabilities {
        samplers: Sampler::ALL.iter().map(ToString::to_string).collect(),
        schedules: Schedule::ALL.iter().map(ToString::to_string).collect(),
        features: Feature::ALL.iter().map(ToString::to_string).collect(),
        formats: PictureFormat::ALL.iter().map(ToString::to_string).collect(),
        noise_sources: NoiseSource::ALL.iter().map(ToString::to_string).collect(),
        enlargements: names(&latents.chain(pixels).collect::<Vec<_>>()),
        largest_count: LARGEST_COUNT,
        largest_steps: LARGEST_STEPS,
        largest_side: LARGEST_SIDE_PIXELS,
        longest_prompt_bytes: u32::try_from(LONGEST_PROMPT_BYTES).unwrap_or(u32::MAX),
        ..v1::ModelCapabilities::default()
    }
}

fn of_model(message: &mut v1::ModelCapabilities, of: Capabilities) {
    let defaults = of.defaults;
    message.architecture = of.architecture.to_string();
    message.prediction_type = of.prediction.to_string();
    message.inputs = of.inputs.to_string();
    message.defaults = Some(v1::GenerationDefaults {
        steps: defaults.steps,
        guidance_scale: defaults.guidance_scale,
        image_guidance_scale: defaults.image_guidance_scale,
        sampler: defaults.sampler.to_string(),
        schedule: defaults.schedule.to_string(),
        width: defaults.width,
        height: defaults.height,
        clip_skip: defaults.clip_skip,
    });
    message.samplers = of.samplers.iter().map(ToString::to_string).collect();
    message.schedules = of.schedules.iter().map(ToString::to_string).collect();
    message.features = of.features.iter().map(ToString::to_string).collect();
    message.size_multiple = of.size_multiple;
    message.largest_clip_skip = of.largest_clip_skip;
    message.planned_bytes = of.planned_bytes;
    message.memory_limit_bytes = of.memory_limit_bytes;
    message.refused = of
        .refused
        .iter()
        .map(|refusal| v1::CapabilityRefusal {
            what: refusal.what.as_str().to_owned(),
            error: Some(error_message(&refusal.failure)),
        })
        .collect();
}

fn adapters(adapters: &AdaptersHere) -> v1::FittingAdapters {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let fitting = fit::first(&adapters.fitting, FILES_ROOM, file);
    v1::FittingAdapters {
        unread_count: count(adapters.not_looked_at + adapters.fitting.len() - fitting.len()),
        fitting,
        unfit_count: count(adapters.others),
    }
}

fn file(file: &FileHere) -> v1::UsableFile {
    v1::UsableFile {
        reference: file.reference(),
        architecture: file.architecture.to_string(),
        name: fit::name(&file.name),
        file_name: fit::name(&file.file_name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::testing::World;

    #[tokio::test]
    async fn a_model_is_told_with_what_goes_with_it() {
        let world = World::new().await;
        let told = world.generations().capabilities("civitai:1").await.unwrap();
        let names = |of: &AdaptersHere| of.fitting.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
        assert_eq!((told.name.as_str(), names(&told.loras)), ("dream", vec!["grey".to_owned()]));
        assert_eq!(names(&told.control_nets), ["lines"]);
        let mut message = everything();
        of_model(&mut message, told.capabilities);
        assert_eq!((message.architecture.as_str(), message.inputs.as_str()), ("sd1", "latents"));
        assert_eq!(message.defaults.unwrap().steps, 4);
        assert_eq!((message.size_multiple, message.largest_side), (8, LARGEST_SIDE_PIXELS));
        let missing = world.generations().capabilities("civitai:99").await.unwrap_err();
        assert_eq!(missing.reason(), paintbox_domain::reason::MODEL_NOT_FOUND);
        let other = world.generations().capabilities("civitai:3").await.unwrap_err();
        assert_eq!(other.reason(), paintbox_domain::reason::INVALID_ARGUMENT, "a LoRA paints nothing alone");
    }

    #[test]
    fn without_a_model_all_that_there_is_is_listed() {
        let all = everything();
        assert_eq!(all.samplers.len(), Sampler::ALL.len());
        assert!(all.enlargements.contains(&"latent".to_owned()) && all.enlargements.contains(&"lanczos".to_owned()));
        assert!(all.architecture.is_empty() && all.defaults.is_none() && all.loras.is_none());
    }
}
