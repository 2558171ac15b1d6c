//! The few things that tensors cannot say, as diffusers folders write them down in their configuration files.

use crate::error::EngineError;
use crate::networks::Gelu;
use crate::sample::{BetaCurve, Prediction, TRAINING_STEPS, TrainingNoise};
use paintbox_domain::generation::Schedule;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One number for all levels, or one for each.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum PerLevel {
    Same(usize),
    Each(Vec<usize>),
}

impl PerLevel {
    pub(crate) fn at(&self, level: usize) -> Option<usize> {
        match self {
            Self::Same(value) => Some(*value),
            Self::Each(values) => values.get(level).copied(),
        }
    }
}

/// `model_index.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PipelineConfig {
    #[serde(rename = "_class_name")]
    pub(crate) class_name: Option<String>,
    /// Whether an empty negative prompt means no states at all.
    pub(crate) force_zeros_for_empty_prompt: Option<bool>,
}

/// `unet/config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UnetConfig {
    /// The number of heads, in spite of its name, in every model that leaves `num_attention_heads` out.
    pub(crate) attention_head_dim: Option<PerLevel>,
    pub(crate) num_attention_heads: Option<PerLevel>,
    pub(crate) norm_num_groups: Option<usize>,
    pub(crate) norm_eps: Option<f64>,
    /// Latents along a side of the default picture.
    pub(crate) sample_size: Option<PerLevel>,
    act_fn: Option<String>,
    class_embed_type: Option<String>,
    addition_embed_type: Option<String>,
    encoder_hid_dim_type: Option<String>,
    time_embedding_type: Option<String>,
    resnet_time_scale_shift: Option<String>,
    time_cond_proj_dim: Option<usize>,
    flip_sin_to_cos: Option<bool>,
    freq_shift: Option<f64>,
    center_input_sample: Option<bool>,
}

impl UnetConfig {
    /// Refuses variations of the network that the tensors alone would not give away.
    pub(crate) fn check(&self, file: &str) -> Result<(), EngineError> {
        let setting = Setting { file };
        setting.only("act_fn", self.act_fn.as_deref(), "silu")?;
        setting.absent("class_embed_type", self.class_embed_type.as_deref())?;
        setting.only("addition_embed_type", self.addition_embed_type.as_deref(), "text_time")?;
        setting.absent("encoder_hid_dim_type", self.encoder_hid_dim_type.as_deref())?;
        setting.only("time_embedding_type", self.time_embedding_type.as_deref(), "positional")?;
        setting.only("resnet_time_scale_shift", self.resnet_time_scale_shift.as_deref(), "default")?;
        setting.absent("time_cond_proj_dim", self.time_cond_proj_dim.map(|n| n.to_string()).as_deref())?;
        setting.only("flip_sin_to_cos", self.flip_sin_to_cos.map(|b| b.to_string()).as_deref(), "true")?;
        setting.only("freq_shift", self.freq_shift.map(|n| n.to_string()).as_deref(), "0")?;
        setting.only("center_input_sample", self.center_input_sample.map(|b| b.to_string()).as_deref(), "false")
    }
}

/// A ControlNet's `config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ControlNetConfig {
    /// Whether only the means of what is added count.
    pub(crate) global_pool_conditions: Option<bool>,
    controlnet_conditioning_channel_order: Option<String>,
    class_embed_type: Option<String>,
    encoder_hid_dim_type: Option<String>,
}

impl ControlNetConfig {
    /// Refuses variations of the network that the tensors alone would not give away.
    pub(crate) fn check(&self, file: &str) -> Result<(), EngineError> {
        let setting = Setting { file };
        let order = self.controlnet_conditioning_channel_order.as_deref();
        setting.only("controlnet_conditioning_channel_order", order, "rgb")?;
        setting.absent("class_embed_type", self.class_embed_type.as_deref())?;
        setting.absent("encoder_hid_dim_type", self.encoder_hid_dim_type.as_deref())
    }
}

/// `text_encoder/config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TextConfig {
    pub(crate) num_attention_heads: Option<usize>,
    pub(crate) layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
}

impl TextConfig {
    /// The activation, where one is said.
    pub(crate) fn gelu(&self, file: &str) -> Result<Option<Gelu>, EngineError> {
        match self.hidden_act.as_deref() {
            None => Ok(None),
            Some("quick_gelu") => Ok(Some(Gelu::Quick)),
            Some("gelu") => Ok(Some(Gelu::Erf)),
            Some(other) => Err(Setting { file }.refuse("hidden_act", other, "quick_gelu or gelu")),
        }
    }
}

/// `vae/config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VaeConfig {
    pub(crate) scaling_factor: Option<f64>,
    pub(crate) norm_num_groups: Option<usize>,
    act_fn: Option<String>,
    shift_factor: Option<f64>,
}

impl VaeConfig {
    pub(crate) fn check(&self, file: &str) -> Result<(), EngineError> {
        let setting = Setting { file };
        setting.only("act_fn", self.act_fn.as_deref(), "silu")?;
        let shift = self.shift_factor.filter(|shift| *shift != 0.0).map(|shift| shift.to_string());
        setting.absent("shift_factor", shift.as_deref())
    }
}

/// `tokenizer/tokenizer_config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TokenizerConfig {
    pad_token: Option<Token>,
}

/// A token, plain or with its flags around it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Token {
    Plain(String),
    Flagged { content: String },
}

impl TokenizerConfig {
    pub(crate) fn padding(&self) -> Option<&str> {
        self.pad_token.as_ref().map(|token| match token {
            Token::Plain(content) | Token::Flagged { content } => content.as_str(),
        })
    }
}

/// `scheduler/scheduler_config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SchedulerConfig {
    #[serde(rename = "_class_name")]
    class_name: Option<String>,
    beta_start: Option<f64>,
    beta_end: Option<f64>,
    beta_schedule: Option<String>,
    trained_betas: Option<Vec<f64>>,
    prediction_type: Option<String>,
    timestep_spacing: Option<String>,
    steps_offset: Option<usize>,
    rescale_betas_zero_snr: Option<bool>,
    num_train_timesteps: Option<usize>,
}

impl SchedulerConfig {
    /// What every Stable Diffusion was trained with, for a model that brings no configuration. One that was trained
    /// down to no signal has to start there, so its levels end at the last training time (Lin et al. 2023).
    pub(crate) fn stable_diffusion(zero_terminal_snr: bool) -> Self {
        let spacing = if zero_terminal_snr { "trailing" } else { "leading" };
        Self {
            beta_start: Some(0.00085),
            beta_end: Some(0.012),
            beta_schedule: Some("scaled_linear".to_owned()),
            timestep_spacing: Some(spacing.to_owned()),
            steps_offset: Some(1),
            rescale_betas_zero_snr: Some(zero_terminal_snr),
            ..Self::default()
        }
    }

    /// The noise of training. Absent values are those of diffusers' schedulers.
    pub(crate) fn training_noise(&self, file: &str) -> Result<TrainingNoise, EngineError> {
        let setting = Setting { file };
        let curve = match self.beta_schedule.as_deref() {
            Some("scaled_linear") => BetaCurve::ScaledLinear,
            None | Some("linear") => BetaCurve::Linear,
            Some(other) => return Err(setting.refuse("beta_schedule", other, "scaled_linear or linear")),
        };
        setting.absent("trained_betas", self.trained_betas.as_ref().map(|_| "a list"))?;
        let steps = self.num_train_timesteps.map(|n| n.to_string());
        setting.only("num_train_timesteps", steps.as_deref(), &TRAINING_STEPS.to_string())?;
        let (start, end) = (self.beta_start.unwrap_or(0.0001), self.beta_end.unwrap_or(0.02));
        if !(start > 0.0 && start <= end && end < 1.0) {
            return Err(setting.refuse("beta_start, beta_end", &format!("{start}, {end}"), "0 < start ≤ end < 1"));
        }
        let noise = TrainingNoise::new(curve, start, end, self.steps_offset.unwrap_or(0));
        Ok(if self.rescale_betas_zero_snr == Some(true) { noise.with_zero_terminal_snr() } else { noise })
    }

    /// What the network predicts, where it is said.
    pub(crate) fn prediction(&self, file: &str) -> Result<Option<Prediction>, EngineError> {
        match self.prediction_type.as_deref() {
            None => Ok(None),
            Some("epsilon") => Ok(Some(Prediction::Noise)),
            Some("v_prediction") => Ok(Some(Prediction::Velocity)),
            Some(other) => Err(Setting { file }.refuse("prediction_type", other, "epsilon or v_prediction")),
        }
    }

    /// The spacing that the model comes with. What diffusers calls `trailing` is what ComfyUI calls `simple`, but for
    /// which way fractions are rounded.
    pub(crate) fn schedule(&self) -> Schedule {
        if self.timestep_spacing.as_deref() == Some("trailing") {
            return Schedule::Simple;
        }
        let spread = match self.timestep_spacing.as_deref() {
            Some(spacing) => spacing != "leading",
            // diffusers' classes differ in what they do when nothing is said.
            None => {
                let class = self.class_name.as_deref().unwrap_or_default();
                ["Euler", "DPM", "LMS", "UniPC", "Heun", "KDPM", "DEIS"].iter().any(|start| class.starts_with(start))
            }
        };
        if spread { Schedule::Normal } else { Schedule::DdimUniform }
    }
}

/// The settings of one configuration file, for saying no to them by name.
struct Setting<'a> {
    file: &'a str,
}

impl Setting<'_> {
    fn refuse(&self, name: &'static str, given: &str, wanted: &str) -> EngineError {
        EngineError::ConfigValue {
            file: self.file.to_owned(),
            setting: name,
            given: given.to_owned(),
            wanted: wanted.to_owned(),
        }
    }

    fn only(&self, name: &'static str, given: Option<&str>, wanted: &str) -> Result<(), EngineError> {
        match given {
            Some(given) if given != wanted => Err(self.refuse(name, given, wanted)),
            _ => Ok(()),
        }
    }

    fn absent(&self, name: &'static str, given: Option<&str>) -> Result<(), EngineError> {
        given.map_or(Ok(()), |given| Err(self.refuse(name, given, "nothing")))
    }
}

/// Reads a configuration file; nothing gives the defaults.
pub(crate) fn parse<T: DeserializeOwned + Default>(json: Option<&[u8]>, file: &str) -> Result<T, EngineError> {
    json.map_or_else(
        || Ok(T::default()),
        |json| serde_json::from_slice(json).map_err(|source| EngineError::Json { file: file.to_owned(), source }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduler_of_another_kind_of_prediction_is_refused_by_name() {
        let config: SchedulerConfig =
            parse(Some(br#"{"prediction_type": "flow_prediction"}"#), "scheduler/scheduler_config.json").unwrap();
        let message = config.prediction("scheduler/scheduler_config.json").unwrap_err().to_string();
        assert!(message.contains("prediction_type") && message.contains("flow_prediction"), "{message}");
    }

    #[test]
    fn the_models_own_spacing_is_read_from_its_scheduler() {
        for (json, wanted) in [
            (r#"{"_class_name": "PNDMScheduler"}"#, Schedule::DdimUniform),
            (r#"{"_class_name": "EulerDiscreteScheduler"}"#, Schedule::Normal),
            (r#"{"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"}"#, Schedule::DdimUniform),
            (r#"{"timestep_spacing": "linspace"}"#, Schedule::Normal),
            (r#"{"timestep_spacing": "trailing"}"#, Schedule::Simple),
        ] {
            assert_eq!(parse::<SchedulerConfig>(Some(json.as_bytes()), "x").unwrap().schedule(), wanted, "{json}");
        }
    }

    #[test]
    fn heads_are_one_number_or_one_for_each_level() {
        let config: UnetConfig = parse(Some(br#"{"attention_head_dim": [5, 10]}"#), "x").unwrap();
        assert_eq!(config.attention_head_dim.unwrap().at(1), Some(10));
        let config: UnetConfig = parse(Some(br#"{"attention_head_dim": 8}"#), "x").unwrap();
        assert_eq!(config.attention_head_dim.unwrap().at(3), Some(8));
    }

    #[test]
    fn broken_json_names_its_file() {
        let error = parse::<VaeConfig>(Some(b"<html>"), "vae/config.json").unwrap_err().to_string();
        assert!(error.contains("vae/config.json"), "{error}");
    }
}
