//! What a model looks like, from its headers and configuration files alone: enough to refuse a request, to answer
//! what can be asked for, and to build the networks.

use super::config::{PerLevel, PipelineConfig, SchedulerConfig, UnetConfig, VaeConfig, parse};
use super::family::{AddedSizes, Family};
use super::index::{Index, PIPELINE_FILE, component_name, sizing};
use super::text::{TextTower, is_tiny_emoji, towers};
use crate::error::EngineError;
use crate::networks::{Level, UnetShape, VaeShape};
use crate::sample::{Prediction, TrainingNoise};
use paintbox_domain::Architecture;
use paintbox_domain::generation::Schedule;
use paintbox_weights::stable_diffusion::{Component, Part, UnetDims, VaeDims};

const GROUPS: usize = 32;
const UNET_EPS: f64 = 1e-5;
/// Channels of one attention head where a family does not count heads.
const HEAD_CHANNELS: usize = 64;
/// diffusers refuses sizes that are no multiples of eight, whatever the VAE's factor is.
const SIZE_MULTIPLE: u32 = 8;
/// The demo model's.
const TINY_EMOJI_SIDE: u32 = 64;
const TINY_EMOJI_GUIDANCE: f32 = 3.0;
/// Pixels along a side of the 2.x models that predict velocity.
const SD2_VELOCITY_SIDE: u32 = 768;

/// Everything about a model but its weights.
#[derive(Debug, Clone)]
pub(crate) struct Blueprint {
    pub(crate) architecture: Architecture,
    pub(crate) texts: Vec<TextTower>,
    pub(crate) unet: UnetShape,
    pub(crate) vae: VaeShape,
    pub(crate) inputs: Inputs,
    /// What is added to the timestep's embedding.
    pub(crate) added: Option<Added>,
    /// Whether an empty negative prompt means no states at all.
    pub(crate) zero_negative: bool,
    pub(crate) prediction: Prediction,
    pub(crate) noise: TrainingNoise,
    /// The spacing of noise levels that the model comes with.
    pub(crate) schedule: Schedule,
    /// Pixels, width first.
    pub(crate) default_size: (u32, u32),
    pub(crate) default_guidance: f32,
    pub(crate) default_clip_skip: u32,
    pub(crate) size_multiple: u32,
}

/// What a network sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inputs {
    Latents,
    /// Latents, a mask, and the latents of a picture without what is masked.
    Inpainting,
    /// Latents, and those of a picture that is to be changed as the prompt says (Brooks et al. 2023).
    Editing,
}

/// The pooled prompt and sinusoids of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) sizes: AddedSizes,
    /// Width of the sinusoids of one size.
    pub(crate) width: usize,
}

/// # Errors
/// When the tensors contradict each other, or the configuration asks for what is not built.
pub(crate) fn blueprint(index: &Index) -> Result<Blueprint, EngineError> {
    let parameters = index.parameters();
    let part = |component| Part { parameters: &parameters, component };
    for component in [Component::Unet, Component::Vae] {
        index.require(component)?;
    }
    let unet_dims = UnetDims::from_tensors(&part(Component::Unet)).map_err(sizing(Component::Unet))?;
    let vae_dims = VaeDims::from_tensors(&part(Component::Vae)).map_err(sizing(Component::Vae))?;
    let family = match index.architecture.and_then(Family::of) {
        Some(family) => family,
        None => {
            Family::of_structure(&unet_dims, index.has(Component::TextEncoder), index.has(Component::TextEncoder2))?
        }
    };
    for component in family.text_encoders {
        index.require(*component)?;
    }
    let (unet, unet_config) = unet_shape(index, &unet_dims, &family)?;
    let vae = vae_shape(index, &vae_dims, &family)?;
    let texts = towers(index, &parameters, &family)?;
    let contradiction = |problem| EngineError::Blueprint { component: "model", problem };
    let inputs = inputs(index, &unet, &vae)?;
    if unet.out_channels != vae.latent_channels {
        return Err(contradiction("the UNet does not predict as many channels as the VAE's latents have"));
    }
    if unet.context != texts.iter().map(|text| text.shape.width).sum::<usize>() {
        return Err(contradiction("the UNet does not attend to states as wide as the text encoders make them"));
    }
    let added = added(&unet, &texts, &family)?;

    let (scheduler_file, scheduler) = scheduler(index)?;
    let prediction = prediction(index, &scheduler, &scheduler_file, &family)?;
    let is_tiny = texts.iter().any(|text| is_tiny_emoji(&text.shape));
    let side = match (is_tiny, family.architecture, prediction) {
        (true, ..) => TINY_EMOJI_SIDE,
        (false, Architecture::Sd2, Prediction::Velocity) => SD2_VELOCITY_SIDE,
        (false, ..) => family.side_pixels,
    };
    let pipeline = index.text(&[PIPELINE_FILE])?;
    let pipeline: PipelineConfig = parse(pipeline.as_ref().map(|(_, json)| json.as_slice()), PIPELINE_FILE)?;
    Ok(Blueprint {
        architecture: family.architecture,
        inputs,
        added,
        zero_negative: pipeline.force_zeros_for_empty_prompt.unwrap_or(family.zero_negative),
        prediction,
        noise: scheduler.training_noise(&scheduler_file)?,
        schedule: scheduler.schedule(),
        default_size: default_size(index, &unet_config, &vae, side),
        default_guidance: if is_tiny { TINY_EMOJI_GUIDANCE } else { family.guidance },
        default_clip_skip: family.clip_skip,
        size_multiple: SIZE_MULTIPLE.max(vae.factor() as u32),
        texts,
        unet,
        vae,
    })
}

pub(super) fn contradiction(component: Component) -> impl Fn(&'static str) -> EngineError {
    move |problem| EngineError::Blueprint { component: component_name(component), problem }
}

fn unet_shape(index: &Index, dims: &UnetDims, family: &Family) -> Result<(UnetShape, UnetConfig), EngineError> {
    let file = "unet/config.json";
    let json = index.text(&[file])?;
    let config: UnetConfig = parse(json.as_ref().map(|(_, json)| json.as_slice()), file)?;
    config.check(file)?;
    let contradiction = contradiction(Component::Unet);
    let first = dims.block_out_channels.first().copied().unwrap_or_default();
    if dims.time_embed_dim != 4 * first {
        return Err(contradiction("the time embedding is not four times as wide as the first level"));
    }
    let groups = config.norm_num_groups.unwrap_or(GROUPS);
    let configured = config.num_attention_heads.clone().or_else(|| config.attention_head_dim.clone());
    let heads = |level: usize, channels: usize| {
        let known = family.heads.unwrap_or((channels / HEAD_CHANNELS).max(1));
        configured.as_ref().map_or(Some(known), |heads: &PerLevel| heads.at(level)).unwrap_or_default()
    };
    let levels: Vec<Level> = dims
        .block_out_channels
        .iter()
        .enumerate()
        .zip(dims.down_depth.iter().zip(dims.up_depth.iter().rev()))
        .map(|((i, channels), (down, up))| Level {
            channels: *channels,
            heads: heads(i, *channels),
            down: down.clone(),
            up: up.clone(),
        })
        .collect();
    if groups == 0 || levels.iter().any(|level| level.channels % groups != 0) {
        return Err(contradiction("its channels do not divide into the groups of its norms"));
    }
    let attends = |level: &Level| level.down.iter().chain(&level.up).any(|depth| *depth > 0);
    if levels.iter().any(|level| level.heads == 0 || (attends(level) && level.channels % level.heads != 0)) {
        return Err(contradiction("its channels do not divide into its attention heads"));
    }
    let shape = UnetShape {
        in_channels: dims.in_channels,
        out_channels: dims.out_channels,
        levels,
        middle: dims.middle,
        context: dims.cross_attention_dim,
        added: dims.added_inputs,
        groups,
        eps: config.norm_eps.unwrap_or(UNET_EPS),
        linear_projection: dims.use_linear_projection,
    };
    Ok((shape, config))
}

/// What the network was made for, which its first convolution tells.
fn inputs(index: &Index, unet: &UnetShape, vae: &VaeShape) -> Result<Inputs, EngineError> {
    let latents = vae.latent_channels;
    match unet.in_channels {
        given if given == latents => Ok(Inputs::Latents),
        given if given == 2 * latents + 1 => Ok(Inputs::Inpainting),
        given if given == 2 * latents => Ok(Inputs::Editing),
        given => Err(EngineError::UnsupportedInputs { model: index.model.clone(), given, latents }),
    }
}

fn added(unet: &UnetShape, texts: &[TextTower], family: &Family) -> Result<Option<Added>, EngineError> {
    let contradiction = contradiction(Component::Unet);
    let pooled = texts.iter().find_map(|text| text.shape.projected);
    let (inputs, sizes, pooled) = match (unet.added, family.sizes, pooled) {
        (None, None, _) => return Ok(None),
        (Some(inputs), Some(sizes), Some(pooled)) => (inputs, sizes, pooled),
        _ => return Err(contradiction("what it adds to the time is not what its family adds")),
    };
    match inputs.checked_sub(pooled) {
        Some(rest) if rest > 0 && rest.is_multiple_of(2 * sizes.count()) => {
            Ok(Some(Added { sizes, width: rest / sizes.count() }))
        }
        _ => Err(contradiction("what it adds to the time is not a pooled prompt and sizes")),
    }
}

fn scheduler(index: &Index) -> Result<(String, SchedulerConfig), EngineError> {
    let file = "scheduler/scheduler_config.json";
    Ok(match index.text(&[file])? {
        Some((file, json)) => (file.clone(), parse::<SchedulerConfig>(Some(&json), &file)?),
        None => {
            let zero_terminal_snr = index.prediction.zero_terminal_snr;
            (index.model.clone(), SchedulerConfig::stable_diffusion(zero_terminal_snr))
        }
    })
}

/// What the network predicts: as marker tensors, metadata or the configuration say, or, in 2.x, as its weights do.
fn prediction(
    index: &Index,
    scheduler: &SchedulerConfig,
    scheduler_file: &str,
    family: &Family,
) -> Result<Prediction, EngineError> {
    let declared = index.metadata.get("modelspec.prediction_type").map(String::as_str);
    let refuse = |given: &str| EngineError::ConfigValue {
        file: index.model.clone(),
        setting: "prediction_type",
        given: given.to_owned(),
        wanted: "epsilon or v_prediction".to_owned(),
    };
    let of_name = |name: &str| match name {
        "epsilon" | "eps" => Ok(Prediction::Noise),
        "v_prediction" | "v" => Ok(Prediction::Velocity),
        other => Err(refuse(other)),
    };
    if let Some(said) = index.prediction.prediction_type.or(declared) {
        return of_name(said);
    }
    match scheduler.prediction(scheduler_file)? {
        Some(prediction) => Ok(prediction),
        None if family.architecture == Architecture::Sd2 => index.sd2_prediction(),
        None => Ok(Prediction::Noise),
    }
}

fn vae_shape(index: &Index, dims: &VaeDims, family: &Family) -> Result<VaeShape, EngineError> {
    let file = "vae/config.json";
    let json = index.text(&[file])?;
    let config: VaeConfig = parse(json.as_ref().map(|(_, json)| json.as_slice()), file)?;
    config.check(file)?;
    let contradiction = contradiction(Component::Vae);
    let groups = config.norm_num_groups.unwrap_or(GROUPS);
    if groups == 0 || dims.block_out_channels.iter().any(|channels| channels % groups != 0) {
        return Err(contradiction("its channels do not divide into the groups of its norms"));
    }
    if dims.image_channels != 3 {
        return Err(contradiction("its pictures are not red, green and blue"));
    }
    let scaling = config.scaling_factor.unwrap_or(family.latent_scaling);
    if !(scaling.is_finite() && scaling > 0.0) {
        return Err(contradiction("its scaling factor is not a positive number"));
    }
    Ok(VaeShape {
        channels: dims.block_out_channels.clone(),
        layers_per_block: dims.layers_per_block,
        latent_channels: dims.latent_channels,
        groups,
        scaling,
        quant: dims.quant_conv,
        encoder: dims.encoder,
    })
}

/// What the file says of itself wins, then the UNet's configuration, then what is known of such models.
fn default_size(index: &Index, unet: &UnetConfig, vae: &VaeShape, side: u32) -> (u32, u32) {
    let sensible = |(width, height): &(u32, u32)| {
        let multiple = SIZE_MULTIPLE.max(vae.factor() as u32);
        [width, height].into_iter().all(|side| (multiple..=2048).contains(side) && side % multiple == 0)
    };
    let configured = unet.sample_size.as_ref().and_then(|latents| {
        let side = |axis| u32::try_from(latents.at(axis)? * vae.factor()).ok();
        // Lists are height first.
        Some((side(1)?, side(0)?))
    });
    index.resolution.filter(sensible).or_else(|| configured.filter(sensible)).unwrap_or((side, side))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::index;
    use crate::load::text::{PromptVocabulary, VocabularySource};
    use crate::testing::{diffusers_folder, listed_folder, model_file, single_file};
    use paintbox_domain::{Classify, reason};

    #[test]
    fn the_tiny_model_is_read_from_both_of_its_forms_alike() {
        let folder = diffusers_folder();
        for files in [single_file(), folder.files.clone()] {
            let blueprint = blueprint(&index(&files).unwrap()).unwrap();
            assert_eq!(blueprint.default_size, (64, 64));
            assert_eq!(blueprint.size_multiple, 8);
            assert_eq!(blueprint.vae.factor(), 4);
            let text = &blueprint.texts[0].shape;
            assert_eq!((blueprint.texts.len(), text.layers, text.heads, text.width), (1, 4, 4, 128));
            let channels: Vec<usize> = blueprint.unet.levels.iter().map(|level| level.channels).collect();
            assert_eq!(channels, [32, 64, 96, 96]);
            assert_eq!(blueprint.unet.levels.iter().map(|level| level.down[0]).collect::<Vec<_>>(), [1, 1, 1, 0]);
            assert!(blueprint.unet.levels.iter().all(|level| level.heads == 8));
            assert_eq!(blueprint.schedule, Schedule::DdimUniform);
            assert!((blueprint.default_guidance - 3.0).abs() < f32::EPSILON);
        }
    }

    #[test]
    fn stable_diffusion_1_is_known_without_any_configuration() {
        let folder = listed_folder("sd1-unet.txt", "sd1-text-encoder.txt", "sd1-vae.txt");
        let blueprint = blueprint(&index(&folder.files).unwrap()).unwrap();
        assert_eq!(blueprint.default_size, (512, 512));
        let text = &blueprint.texts[0];
        assert_eq!(text.vocabulary, PromptVocabulary { source: VocabularySource::Clip, padding: None });
        assert_eq!((text.shape.width, text.shape.heads, text.shape.layers), (768, 12, 12));
        assert_eq!(text.vocabulary.load(text.shape.vocabulary).unwrap().len(), 49_408);
        let level = |channels, depth| Level { channels, heads: 8, down: vec![depth; 2], up: vec![depth; 3] };
        assert_eq!(blueprint.unet.levels, [level(320, 1), level(640, 1), level(1280, 1), level(1280, 0)]);
        assert_eq!((blueprint.vae.factor(), blueprint.size_multiple), (8, 8));
        assert!((blueprint.default_guidance - 7.0).abs() < f32::EPSILON);
        assert_eq!(blueprint.schedule, Schedule::DdimUniform);
    }

    #[test]
    fn networks_of_other_families_and_purposes_are_refused_by_name() {
        for (unet, wanted) in
            [("kolors-unet.txt", "kolors"), ("flux1-dev-transformer.txt", "flux1"), ("sd3-transformer.txt", "sd3")]
        {
            let folder = listed_folder(unet, "sd1-text-encoder.txt", "sd1-vae.txt");
            let error = index(&folder.files).and_then(|index| blueprint(&index)).unwrap_err();
            assert_eq!(error.reason(), reason::UNSUPPORTED_ARCHITECTURE, "{unet}: {error}");
            assert!(error.to_string().contains(wanted), "{unet}: {error}");
        }
    }

    #[test]
    fn a_model_without_a_component_says_which() {
        let folder = diffusers_folder();
        for (gone, component) in [("unet/", "UNet"), ("vae/", "VAE"), ("text_encoder/", "text encoder")] {
            let files: Vec<_> = folder.files.iter().filter(|file| !file.name.starts_with(gone)).cloned().collect();
            let error = index(&files).and_then(|index| blueprint(&index)).unwrap_err();
            assert_eq!(error.reason(), reason::MISSING_COMPONENT);
            assert!(error.to_string().contains(component), "{error}");
        }
    }

    #[test]
    fn half_precision_variants_and_shards_are_found() {
        let folder = diffusers_folder();
        for renamed in
            ["unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model-00001-of-00001.safetensors"]
        {
            let mut files = folder.files.clone();
            for file in &mut files {
                if file.name == "unet/diffusion_pytorch_model.safetensors" {
                    renamed.clone_into(&mut file.name);
                }
            }
            assert!(index(&files).is_ok(), "{renamed}");
        }
    }

    #[test]
    fn pipelines_of_other_families_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model_index.json");
        std::fs::write(&path, r#"{"_class_name": "FluxPipeline"}"#).unwrap();
        let error = index(&[model_file("model_index.json", path)]).unwrap_err();
        assert_eq!(error.reason(), reason::UNSUPPORTED_ARCHITECTURE);
        assert!(error.to_string().contains("FluxPipeline"), "{error}");
    }

    #[test]
    fn nothing_at_all_is_a_missing_component() {
        assert_eq!(index(&[]).unwrap_err().reason(), reason::MISSING_COMPONENT);
    }
}
