//! What a model looks like, from its headers and configuration files alone: enough to refuse a request, to answer
//! what can be asked for, and to build the networks.

use super::config::{PerLevel, SchedulerConfig, TextConfig, TokenizerConfig, UnetConfig, VaeConfig, parse};
use super::index::{Index, component_name};
use crate::error::EngineError;
use crate::networks::{ClipShape, Level, UnetShape, VaeShape};
use crate::sample::TrainingNoise;
use crate::text::Vocabulary;
use paintbox_domain::generation::Schedule;
use paintbox_weights::sd1::{ClipDims, Component, DimsError, Part, UnetDims, VaeDims};

/// Heads of every Stable Diffusion 1 UNet.
const UNET_HEADS: usize = 8;
const GROUPS: usize = 32;
const UNET_EPS: f64 = 1e-5;
const CLIP_EPS: f64 = 1e-5;
/// The standard deviation of Stable Diffusion 1's latents is one over this.
const LATENT_SCALING: f64 = 0.18215;
const DEFAULT_GUIDANCE: f32 = 7.0;
/// diffusers refuses sizes that are no multiples of eight, whatever the VAE's factor is.
const SIZE_MULTIPLE: u32 = 8;

/// What a lone file cannot say about its model, known for the token embeddings that it brings.
struct Known {
    vocabulary: usize,
    width: usize,
    heads: usize,
    side_pixels: u32,
    guidance: f32,
    shipped: PromptVocabulary,
}

const KNOWN: [Known; 2] = [
    // CLIP ViT-L/14, as in Stable Diffusion 1.x.
    Known {
        vocabulary: 49_408,
        width: 768,
        heads: 12,
        side_pixels: 512,
        guidance: DEFAULT_GUIDANCE,
        shipped: PromptVocabulary::Clip,
    },
    // The demo model tiny-emoji.
    Known {
        vocabulary: 2000,
        width: 128,
        heads: 4,
        side_pixels: 64,
        guidance: 3.0,
        shipped: PromptVocabulary::TinyEmoji,
    },
];

/// Where a prompt's tokenizer comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PromptVocabulary {
    /// Shipped with the engine.
    Clip,
    /// Shipped with the engine.
    TinyEmoji,
    /// The model's own `tokenizer.json`.
    TokenizerJson { file: String, json: Vec<u8>, padding: Option<String> },
    /// The model's own `vocab.json` and `merges.txt`.
    VocabAndMerges { file: String, vocab: Vec<u8>, merges: String, padding: Option<String> },
}

impl PromptVocabulary {
    /// # Errors
    /// When the model's own files are no tokenizer, or one with more entries than `embeddings`.
    pub(crate) fn load(&self, embeddings: usize) -> Result<Vocabulary, EngineError> {
        let (origin, vocabulary, padding) = match self {
            Self::Clip => ("the shipped CLIP vocabulary", Vocabulary::clip()?, None),
            Self::TinyEmoji => ("the shipped demo vocabulary", Vocabulary::tiny_emoji()?, None),
            Self::TokenizerJson { file, json, padding } => {
                (file.as_str(), Vocabulary::from_tokenizer_json(json, file)?, padding.as_deref())
            }
            Self::VocabAndMerges { file, vocab, merges, padding } => {
                (file.as_str(), Vocabulary::from_vocab_and_merges(vocab, merges, file)?, padding.as_deref())
            }
        };
        if vocabulary.len() > embeddings {
            let (given, wanted) = (vocabulary.len(), embeddings);
            return Err(EngineError::VocabularySize { origin: origin.to_owned(), given, wanted });
        }
        Ok(match padding {
            Some(token) => vocabulary.padded_with(token),
            None => vocabulary,
        })
    }
}

/// Everything about a model but its weights.
#[derive(Debug, Clone)]
pub(crate) struct Blueprint {
    pub(crate) text: ClipShape,
    pub(crate) unet: UnetShape,
    pub(crate) vae: VaeShape,
    pub(crate) vocabulary: PromptVocabulary,
    pub(crate) noise: TrainingNoise,
    /// The spacing of noise levels that the model comes with.
    pub(crate) schedule: Schedule,
    /// Pixels, width first.
    pub(crate) default_size: (u32, u32),
    pub(crate) default_guidance: f32,
    pub(crate) size_multiple: u32,
}

/// # Errors
/// When the tensors contradict each other, or the configuration asks for what is not built.
pub(crate) fn blueprint(index: &Index) -> Result<Blueprint, EngineError> {
    let parameters = index.parameters();
    let part = |component| Part { parameters: &parameters, component };
    for component in Component::ALL {
        if !parameters.keys().any(|(of, _)| *of == component) {
            let looked_for = "a checkpoint with text encoder, UNet and VAE";
            return Err(EngineError::MissingComponent { component: component_name(component), looked_for });
        }
    }
    let unet_dims = UnetDims::from_tensors(&part(Component::Unet)).map_err(sizing(Component::Unet))?;
    let vae_dims = VaeDims::from_tensors(&part(Component::Vae)).map_err(sizing(Component::Vae))?;
    let text_dims = ClipDims::from_tensors(&part(Component::TextEncoder)).map_err(sizing(Component::TextEncoder))?;
    let known = KNOWN.iter().find(|known| (known.vocabulary, known.width) == (text_dims.vocabulary, text_dims.width));

    let (unet, unet_config) = unet_shape(index, &unet_dims)?;
    let vae = vae_shape(index, &vae_dims)?;
    let text = text_shape(index, text_dims, known)?;
    let contradiction = |problem| EngineError::Blueprint { component: "model", problem };
    if unet.in_channels != vae.latent_channels {
        return Err(EngineError::UnsupportedInputs {
            model: index.model.clone(),
            given: unet.in_channels,
            wanted: vae.latent_channels,
        });
    }
    if unet.out_channels != vae.latent_channels {
        return Err(contradiction("the UNet does not predict as many channels as the VAE's latents have"));
    }
    if unet.context != text.width {
        return Err(contradiction("the UNet does not attend to states as wide as the text encoder makes them"));
    }

    let scheduler_file = "scheduler/scheduler_config.json";
    let scheduler = match index.text(&[scheduler_file])? {
        Some((file, json)) => parse::<SchedulerConfig>(Some(&json), &file)?,
        None => SchedulerConfig::stable_diffusion_1(),
    };
    let prediction = index.metadata.get("modelspec.prediction_type").map(String::as_str);
    if let Some(given) = prediction.filter(|prediction| !matches!(*prediction, "epsilon" | "eps")) {
        return Err(EngineError::ConfigValue {
            file: index.model.clone(),
            setting: "modelspec.prediction_type",
            given: given.to_owned(),
            wanted: "epsilon".to_owned(),
        });
    }
    Ok(Blueprint {
        vocabulary: vocabulary(index, &text, known)?,
        noise: scheduler.training_noise(scheduler_file)?,
        schedule: scheduler.schedule(),
        default_size: default_size(index, &unet_config, &vae, known),
        default_guidance: known.map_or(DEFAULT_GUIDANCE, |known| known.guidance),
        size_multiple: SIZE_MULTIPLE.max(vae.factor() as u32),
        text,
        unet,
        vae,
    })
}

fn sizing(component: Component) -> impl Fn(DimsError) -> EngineError {
    move |source| EngineError::Dims { component: component_name(component), source }
}

fn unet_shape(index: &Index, dims: &UnetDims) -> Result<(UnetShape, UnetConfig), EngineError> {
    let file = "unet/config.json";
    let json = index.text(&[file])?;
    let config: UnetConfig = parse(json.as_ref().map(|(_, json)| json.as_slice()), file)?;
    config.check(file)?;
    let contradiction = |problem| EngineError::Blueprint { component: component_name(Component::Unet), problem };
    if !dims.mid_attention {
        return Err(contradiction("its middle has no attention"));
    }
    if !dims.up_attention.iter().eq(dims.down_attention.iter().rev()) {
        return Err(contradiction("the ways up and down attend at different levels"));
    }
    let first = dims.block_out_channels.first().copied().unwrap_or_default();
    if dims.time_embed_dim != 4 * first {
        return Err(contradiction("the time embedding is not four times as wide as the first level"));
    }
    let groups = config.norm_num_groups.unwrap_or(GROUPS);
    let heads = config.num_attention_heads.clone().or_else(|| config.attention_head_dim.clone());
    let heads = heads.unwrap_or(PerLevel::Same(UNET_HEADS));
    let levels: Vec<Level> = dims
        .block_out_channels
        .iter()
        .zip(&dims.transformer_depth)
        .enumerate()
        .map(|(i, (channels, depth))| Level {
            channels: *channels,
            heads: heads.at(i).unwrap_or_default(),
            depth: *depth,
        })
        .collect();
    if groups == 0 || levels.iter().any(|level| level.channels % groups != 0) {
        return Err(contradiction("its channels do not divide into the groups of its norms"));
    }
    if levels.iter().any(|level| level.heads == 0 || level.channels % level.heads != 0) {
        return Err(contradiction("its channels do not divide into its attention heads"));
    }
    let mid_heads = levels.last().map_or(UNET_HEADS, |level| level.heads);
    let shape = UnetShape {
        in_channels: dims.in_channels,
        out_channels: dims.out_channels,
        levels,
        layers_per_block: dims.layers_per_block,
        context: dims.cross_attention_dim,
        mid_heads,
        mid_depth: dims.mid_transformer_depth,
        groups,
        eps: config.norm_eps.unwrap_or(UNET_EPS),
        linear_projection: dims.use_linear_projection,
    };
    Ok((shape, config))
}

fn vae_shape(index: &Index, dims: &VaeDims) -> Result<VaeShape, EngineError> {
    let file = "vae/config.json";
    let json = index.text(&[file])?;
    let config: VaeConfig = parse(json.as_ref().map(|(_, json)| json.as_slice()), file)?;
    config.check(file)?;
    let contradiction = |problem| EngineError::Blueprint { component: component_name(Component::Vae), problem };
    let groups = config.norm_num_groups.unwrap_or(GROUPS);
    if groups == 0 || dims.block_out_channels.iter().any(|channels| channels % groups != 0) {
        return Err(contradiction("its channels do not divide into the groups of its norms"));
    }
    if dims.image_channels != 3 {
        return Err(contradiction("its pictures are not red, green and blue"));
    }
    let scaling = config.scaling_factor.unwrap_or(LATENT_SCALING);
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

fn text_shape(index: &Index, dims: ClipDims, known: Option<&Known>) -> Result<ClipShape, EngineError> {
    let file = "text_encoder/config.json";
    let json = index.text(&[file])?;
    let config: TextConfig = parse(json.as_ref().map(|(_, json)| json.as_slice()), file)?;
    let heads = config.num_attention_heads.or(known.map(|known| known.heads));
    let Some(heads) = heads else {
        let component = "number of attention heads for its text encoder";
        return Err(EngineError::MissingComponent { component, looked_for: file });
    };
    if heads == 0 || !dims.width.is_multiple_of(heads) || dims.layers == 0 || dims.positions < 3 {
        let problem = "its width does not divide into its heads, or it has no layers or positions";
        return Err(EngineError::Blueprint { component: component_name(Component::TextEncoder), problem });
    }
    Ok(ClipShape {
        width: dims.width,
        layers: dims.layers,
        feed_forward: dims.mlp_width,
        vocabulary: dims.vocabulary,
        positions: dims.positions,
        heads,
        gelu: config.gelu(file)?,
        norm_eps: config.layer_norm_eps.unwrap_or(CLIP_EPS),
    })
}

/// The model's own tokenizer if it brings one, else the shipped one that fits.
fn vocabulary(index: &Index, text: &ClipShape, known: Option<&Known>) -> Result<PromptVocabulary, EngineError> {
    let padding = match index.text(&["tokenizer/tokenizer_config.json", "tokenizer_config.json"])? {
        Some((file, json)) => parse::<TokenizerConfig>(Some(&json), &file)?.padding().map(str::to_owned),
        None => None,
    };
    if let Some((file, json)) = index.text(&["tokenizer/tokenizer.json", "tokenizer.json"])? {
        return Ok(PromptVocabulary::TokenizerJson { file, json, padding });
    }
    let vocab = index.text(&["tokenizer/vocab.json", "vocab.json"])?;
    let merges = index.text(&["tokenizer/merges.txt", "merges.txt"])?;
    if let (Some((file, vocab)), Some((_, merges))) = (vocab, merges) {
        let merges = String::from_utf8_lossy(&merges).into_owned();
        return Ok(PromptVocabulary::VocabAndMerges { file, vocab, merges, padding });
    }
    match known {
        Some(known) => Ok(known.shipped.clone()),
        None => Err(EngineError::UnknownVocabulary { vocabulary: text.vocabulary, width: text.width }),
    }
}

/// What the file says of itself wins, then the UNet's configuration, then what is known of such models.
fn default_size(index: &Index, unet: &UnetConfig, vae: &VaeShape, known: Option<&Known>) -> (u32, u32) {
    let sensible = |(width, height): &(u32, u32)| {
        let multiple = SIZE_MULTIPLE.max(vae.factor() as u32);
        [width, height].into_iter().all(|side| (multiple..=2048).contains(side) && side % multiple == 0)
    };
    let configured = unet.sample_size.as_ref().and_then(|latents| {
        let side = |axis| u32::try_from(latents.at(axis)? * vae.factor()).ok();
        // Lists are height first.
        Some((side(1)?, side(0)?))
    });
    let side = known.map_or(512, |known| known.side_pixels);
    index.resolution.filter(sensible).or_else(|| configured.filter(sensible)).unwrap_or((side, side))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::index;
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
            assert_eq!((blueprint.text.layers, blueprint.text.heads, blueprint.text.width), (4, 4, 128));
            let channels: Vec<usize> = blueprint.unet.levels.iter().map(|level| level.channels).collect();
            assert_eq!(channels, [32, 64, 96, 96]);
            assert_eq!(blueprint.unet.levels.iter().map(|level| level.depth).collect::<Vec<_>>(), [1, 1, 1, 0]);
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
        assert_eq!(blueprint.vocabulary, PromptVocabulary::Clip);
        assert_eq!((blueprint.text.width, blueprint.text.heads, blueprint.text.layers), (768, 12, 12));
        assert_eq!(blueprint.vocabulary.load(blueprint.text.vocabulary).unwrap().len(), 49_408);
        let level = |channels, depth| Level { channels, heads: 8, depth };
        assert_eq!(blueprint.unet.levels, [level(320, 1), level(640, 1), level(1280, 1), level(1280, 0)]);
        assert_eq!((blueprint.vae.factor(), blueprint.size_multiple), (8, 8));
        assert!((blueprint.default_guidance - 7.0).abs() < f32::EPSILON);
        assert_eq!(blueprint.schedule, Schedule::DdimUniform);
    }

    #[test]
    fn networks_of_other_families_and_purposes_are_refused_by_name() {
        for (unet, wanted) in [
            ("sdxl-unet.txt", "sdxl"),
            ("sd2-unet.txt", "sd2"),
            ("flux1-dev-transformer.txt", "flux1"),
            ("sd3-transformer.txt", "sd3"),
            ("sd1-inpainting-unet.txt", "9 input channels"),
        ] {
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
            let error = index(&files).unwrap_err();
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
