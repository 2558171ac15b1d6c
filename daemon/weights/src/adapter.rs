//! LoRA files: which tensors belong to which parameter of the model.
//!
//! Every trainer spells a parameter's name in its own way, some with underscores that can be split in more than one
//! place. So names are never taken apart: every spelling of every parameter of the model is generated, and the file's
//! names are looked up among them.

use crate::safetensors::{Header, TensorInfo};
use crate::shapes::for_message;
use crate::stable_diffusion::{Component, Levels, Parameters, ldm_unet_name};
use paintbox_domain::{Classify, ErrorClass, reason};
use std::collections::{BTreeMap, HashMap};

/// The tensors of one adapted parameter, by their names in the LoRA's file.
///
/// The change to a weight `W` of shape `[out, in, …]` is `strength · alpha / rank · up · down`, both flattened to
/// matrices; without an alpha, alpha is the rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoraTensors {
    /// `[rank, in, …]`.
    pub down: String,
    /// `[out, rank, …]`.
    pub up: String,
    /// A scalar.
    pub alpha: Option<String>,
    /// `[rank, rank, height, width]`: the core of a convolution in Tucker form (LoCon).
    pub mid: Option<String>,
    pub rank: usize,
}

/// A LoRA matched to a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Adapter {
    /// By the canonical name of the weight that is changed.
    pub targets: BTreeMap<(Component, String), LoraTensors>,
    /// Modules of the file that this model has no place for, in the file's spelling.
    pub unmatched: Vec<String>,
    /// The alpha that newer diffusers files state once for a whole component instead of beside each weight.
    pub component_alpha: BTreeMap<Component, f64>,
}

/// Why a file cannot be used as a LoRA for a model.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    #[error("the file holds no LoRA")]
    NotALora,
    #[error("the file adapts weights by {algorithm} (tensor `{tensor}`), which is not supported yet")]
    UnsupportedAlgorithm { algorithm: &'static str, tensor: String },
    #[error("the LoRA states `{setting}` in its metadata, which is not supported yet")]
    UnsupportedSetting { setting: String },
    #[error("the adapter metadata of the LoRA is not the JSON it should be")]
    BadMetadata {
        #[source]
        source: serde_json::Error,
    },
    #[error("module `{module}` of the LoRA has no `{missing}` tensor")]
    Incomplete { module: String, missing: &'static str },
    #[error("tensor `{tensor}` of the LoRA has shape {shape:?}, which no {role} tensor has")]
    BadTensor { tensor: String, role: &'static str, shape: Vec<usize> },
    #[error("modules `{first}` and `{second}` of the LoRA both adapt `{canonical}`")]
    Twice { canonical: String, first: String, second: String },
    #[error("the LoRA is made for another model: module `{module}` does not fit `{canonical}` of shape {wanted:?}")]
    WrongShape { module: String, canonical: String, wanted: Vec<usize>, down: Vec<usize>, up: Vec<usize> },
    #[error(
        "the LoRA is made for another model: {matched} of its {modules} modules have a place, `{example}` has none"
    )]
    Mismatch { matched: usize, modules: usize, example: String },
}

impl Classify for AdapterError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::UnsupportedAlgorithm { .. } | Self::UnsupportedSetting { .. } => ErrorClass::Unsupported,
            Self::NotALora | Self::WrongShape { .. } | Self::Mismatch { .. } => ErrorClass::InvalidInput,
            Self::BadMetadata { .. } | Self::Incomplete { .. } | Self::BadTensor { .. } | Self::Twice { .. } => {
                ErrorClass::DataLoss
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::UnsupportedAlgorithm { .. } | Self::UnsupportedSetting { .. } => reason::UNSUPPORTED_SETTING,
            Self::NotALora | Self::WrongShape { .. } | Self::Mismatch { .. } => reason::LORA_MISMATCH,
            Self::BadMetadata { .. } | Self::Incomplete { .. } | Self::BadTensor { .. } | Self::Twice { .. } => {
                reason::MALFORMED_FILE
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::WrongShape { .. } | Self::Mismatch { .. } => {
                Some("Use a LoRA trained for the same architecture as the model.".to_owned())
            }
            Self::NotALora
            | Self::UnsupportedAlgorithm { .. }
            | Self::UnsupportedSetting { .. }
            | Self::BadMetadata { .. }
            | Self::Incomplete { .. }
            | Self::BadTensor { .. }
            | Self::Twice { .. } => None,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotALora | Self::BadMetadata { .. } => Vec::new(),
            Self::UnsupportedAlgorithm { algorithm, tensor } => {
                vec![("algorithm", (*algorithm).to_owned()), ("tensor", tensor.clone())]
            }
            Self::UnsupportedSetting { setting } => vec![("setting", setting.clone())],
            Self::Incomplete { module, missing } => {
                vec![("module", module.clone()), ("missing", (*missing).to_owned())]
            }
            Self::BadTensor { tensor, role, shape } => {
                vec![("tensor", tensor.clone()), ("role", (*role).to_owned()), ("shape", format!("{shape:?}"))]
            }
            Self::Twice { canonical, first, second } => {
                vec![("canonical", canonical.clone()), ("first", first.clone()), ("second", second.clone())]
            }
            Self::WrongShape { module, canonical, wanted, down, up } => vec![
                ("module", module.clone()),
                ("canonical", canonical.clone()),
                ("wanted", format!("{wanted:?}")),
                ("down", format!("{down:?}")),
                ("up", format!("{up:?}")),
            ],
            Self::Mismatch { matched, modules, example } => {
                vec![("matched", matched.to_string()), ("modules", modules.to_string()), ("example", example.clone())]
            }
        }
    }
}

/// What a tensor of a LoRA is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Down,
    Up,
    Mid,
    Alpha,
}

/// How names end: kohya, peft (saved with and without its adapter's name), diffusers in three ages.
const ROLES: [(&str, Role); 14] = [
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora_mid.weight", Role::Mid),
    (".alpha", Role::Alpha),
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_A.default.weight", Role::Down),
    (".lora_B.default.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    // `…attn1.processor.to_q_lora.down.weight`: the stem keeps `processor`, see `spellings`.
    ("_lora.down.weight", Role::Down),
    ("_lora.up.weight", Role::Up),
];

/// Parts of a name that give another algorithm away.
const OTHER_ALGORITHMS: [(&str, &str); 12] = [
    ("hada_", "LoHa"),
    ("lokr_", "LoKr"),
    ("dora_scale", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    ("oft_", "OFT"),
    ("on_input", "IA3"),
    ("diff", "full difference"),
    ("diff_b", "full difference"),
    ("w_norm", "normalisation difference"),
    ("b_norm", "normalisation difference"),
    ("a1", "GLoRA"),
    ("lora_embedding_A", "embedding LoRA"),
];

/// The module and role of a LoRA tensor's name.
pub(crate) fn module_and_role(name: &str) -> Option<(&str, Role)> {
    ROLES.iter().find_map(|(ending, role)| name.strip_suffix(ending).map(|module| (module, *role)))
}

/// The algorithm other than plain LoRA that a tensor's name belongs to.
pub(crate) fn other_algorithm(name: &str) -> Option<&'static str> {
    let mut leaves = name.rsplit('.').take(2);
    leaves.find_map(|leaf| {
        OTHER_ALGORITHMS
            .iter()
            .find(|(mark, _)| if mark.ends_with('_') { leaf.starts_with(mark) } else { leaf == *mark })
            .map(|(_, algorithm)| *algorithm)
    })
}

#[derive(Default)]
struct Module<'a> {
    down: Option<(&'a str, &'a TensorInfo)>,
    up: Option<(&'a str, &'a TensorInfo)>,
    mid: Option<(&'a str, &'a TensorInfo)>,
    alpha: Option<(&'a str, &'a TensorInfo)>,
}

impl Adapter {
    /// Matches a LoRA's file to the canonical parameters of a Stable Diffusion model.
    ///
    /// Modules that the model has no place for are listed, not dropped silently; when they are the majority, or any
    /// module that has a place does not fit it, the LoRA is for another model and is refused whole.
    ///
    /// # Errors
    /// See [`AdapterError`]; the reason is `LORA_MISMATCH` when the file is sound but made for something else.
    pub fn matching(header: &Header, parameters: &Parameters) -> Result<Self, AdapterError> {
        let mut modules: BTreeMap<&str, Module<'_>> = BTreeMap::new();
        let mut adapter = Self { component_alpha: component_alpha(header)?, ..Self::default() };
        for (name, info) in &header.tensors {
            if let Some(algorithm) = other_algorithm(name) {
                return Err(AdapterError::UnsupportedAlgorithm { algorithm, tensor: for_message(name) });
            }
            let Some((stem, role)) = module_and_role(name) else {
                adapter.unmatched.push(name.clone());
                continue;
            };
            let module = modules.entry(stem).or_default();
            let place = match role {
                Role::Down => &mut module.down,
                Role::Up => &mut module.up,
                Role::Mid => &mut module.mid,
                Role::Alpha => &mut module.alpha,
            };
            if let Some((first, _)) = place.replace((name, info)) {
                return Err(AdapterError::Twice {
                    canonical: for_message(stem),
                    first: for_message(first),
                    second: for_message(name),
                });
            }
        }
        if modules.is_empty() {
            return Err(AdapterError::NotALora);
        }
        let spellings = spellings(parameters);
        let total = modules.len();
        let mut first_of: HashMap<&(Component, String), &str> = HashMap::new();
        for (stem, module) in &modules {
            let Some((key, shape)) = spellings.get(*stem) else {
                adapter.unmatched.push((*stem).to_owned());
                continue;
            };
            let tensors = module.fitted(stem, &key.1, shape)?;
            if let Some(first) = first_of.insert(key, stem) {
                return Err(AdapterError::Twice {
                    canonical: key.1.clone(),
                    first: for_message(first),
                    second: for_message(stem),
                });
            }
            adapter.targets.insert((*key).clone(), tensors);
        }
        let matched = adapter.targets.len();
        if matched * 2 < total || matched == 0 {
            let example = adapter.unmatched.last().map(|module| for_message(module)).unwrap_or_default();
            return Err(AdapterError::Mismatch { matched, modules: total, example });
        }
        Ok(adapter)
    }
}

impl Module<'_> {
    /// Checks that the tensors multiply to the shape of the weight they change.
    fn fitted(&self, stem: &str, canonical: &str, wanted: &[usize]) -> Result<LoraTensors, AdapterError> {
        let part = |part: Option<(&str, &TensorInfo)>, missing| {
            part.map(|(name, info)| (name.to_owned(), info.shape.clone()))
                .ok_or_else(|| AdapterError::Incomplete { module: for_message(stem), missing })
        };
        let (down, down_shape) = part(self.down, "down")?;
        let (up, up_shape) = part(self.up, "up")?;
        let bad = |tensor: &str, role, shape: &[usize]| AdapterError::BadTensor {
            tensor: for_message(tensor),
            role,
            shape: shape.to_vec(),
        };
        let rank = *down_shape.first().filter(|&&rank| rank > 0).ok_or_else(|| bad(&down, "down", &down_shape))?;
        let [outputs, up_rank, ..] = up_shape[..] else { return Err(bad(&up, "up", &up_shape)) };
        if let Some((alpha, info)) = self.alpha
            && info.elements() != 1
        {
            return Err(bad(alpha, "alpha", &info.shape));
        }
        let middle = self.mid.map(|(_, info)| info.shape.as_slice());
        let fits = outputs == wanted.first().copied().unwrap_or(0)
            && up_rank == rank
            && up_shape[2..].iter().all(|&size| size == 1)
            && spans(&down_shape, middle, rank, wanted);
        if !fits {
            return Err(AdapterError::WrongShape {
                module: for_message(stem),
                canonical: canonical.to_owned(),
                wanted: wanted.to_vec(),
                down: down_shape,
                up: up_shape,
            });
        }
        let name = |part: Option<(&str, &TensorInfo)>| part.map(|(name, _)| name.to_owned());
        Ok(LoraTensors { down, up, alpha: name(self.alpha), mid: name(self.mid), rank })
    }
}

/// Whether `down` (with `mid`, for a convolution in Tucker form) covers the inputs of a weight.
fn spans(down: &[usize], mid: Option<&[usize]>, rank: usize, wanted: &[usize]) -> bool {
    let inputs = |shape: &[usize]| shape.iter().skip(1).try_fold(1_usize, |product, &size| product.checked_mul(size));
    match mid {
        None => inputs(down).is_some() && inputs(down) == inputs(wanted),
        Some([mid_rank, inner_rank, kernel @ ..]) => {
            *mid_rank == rank
                && *inner_rank == rank
                && wanted.get(2..) == Some(kernel)
                && inputs(down).is_some()
                && inputs(down) == wanted.get(1).copied()
        }
        Some(_) => false,
    }
}

/// Every spelling of every weight that a LoRA can change, without the endings of [`ROLES`].
fn spellings(parameters: &Parameters) -> HashMap<String, (&(Component, String), &Vec<usize>)> {
    let levels = Levels::of_canonical(parameters);
    let mut all = HashMap::new();
    for (key, shape) in parameters {
        let (component, canonical) = key;
        if shape.len() < 2 || !canonical.ends_with(".weight") {
            continue;
        }
        for spelling in spellings_of(*component, canonical, &levels) {
            all.insert(spelling, (key, shape));
        }
    }
    all
}

fn spellings_of(component: Component, canonical: &str, levels: &Levels) -> Vec<String> {
    let Some(module) = canonical.strip_suffix(".weight") else { return Vec::new() };
    let single_file = match component {
        Component::Unet => {
            ldm_unet_name(canonical, levels).and_then(|name| name.strip_suffix(".weight").map(str::to_owned))
        }
        Component::TextEncoder | Component::TextEncoder2 | Component::Vae => None,
    };
    let (kohya, prefixes): (&[&str], &[&str]) = match component {
        Component::Unet => (
            &["lora_unet_"],
            &[
                "",
                "unet.",
                "base_model.model.",
                "base_model.model.unet.",
                "unet.base_model.model.",
                "diffusion_model.",
                "model.diffusion_model.",
            ],
        ),
        Component::TextEncoder => (
            &["lora_te_", "lora_te1_"],
            &[
                "",
                "text_encoder.",
                "base_model.model.",
                "base_model.model.text_encoder.",
                "text_encoder.base_model.model.",
                "cond_stage_model.transformer.",
                "conditioner.embedders.0.transformer.",
            ],
        ),
        // Without a prefix a name is the first encoder's.
        Component::TextEncoder2 => (
            &["lora_te2_"],
            &["text_encoder_2.", "base_model.model.text_encoder_2.", "text_encoder_2.base_model.model."],
        ),
        // No trainer adapts the VAE.
        Component::Vae => return Vec::new(),
    };
    let mut spellings = Vec::new();
    let dotted = std::iter::once(module).chain(single_file.as_deref()).chain(module.strip_prefix("text_model."));
    for dotted in dotted {
        let underscored = dotted.replace('.', "_");
        spellings.extend(kohya.iter().map(|prefix| format!("{prefix}{underscored}")));
        spellings.extend(prefixes.iter().map(|prefix| format!("{prefix}{dotted}")));
    }
    // Diffusers until 0.20 hung the adapters on the attention processors.
    if let Some(old) = processor_spelling(module) {
        spellings.push(format!("{}.{old}", component.as_str()));
        if component != Component::TextEncoder2 {
            spellings.push(old);
        }
    }
    spellings
}

/// `….attn1.to_q` → `….attn1.processor.to_q`; in the text encoder `….self_attn.q_proj` → `….self_attn.to_q`.
fn processor_spelling(module: &str) -> Option<String> {
    const UNET: [(&str, &str); 4] = [
        (".to_q", ".processor.to_q"),
        (".to_k", ".processor.to_k"),
        (".to_v", ".processor.to_v"),
        (".to_out.0", ".processor.to_out"),
    ];
    const TEXT_ENCODER: [(&str, &str); 4] = [
        (".self_attn.q_proj", ".self_attn.to_q"),
        (".self_attn.k_proj", ".self_attn.to_k"),
        (".self_attn.v_proj", ".self_attn.to_v"),
        (".self_attn.out_proj", ".self_attn.to_out"),
    ];
    UNET.iter()
        .chain(&TEXT_ENCODER)
        .find_map(|(ending, old)| module.strip_suffix(ending).map(|parent| format!("{parent}{old}")))
}

/// What newer diffusers writes instead of alpha tensors: `lora_adapter_metadata`, a JSON object of `unet.lora_alpha`,
/// `unet.r` and other settings of peft. Settings that would change the arithmetic are refused, not ignored.
fn component_alpha(header: &Header) -> Result<BTreeMap<Component, f64>, AdapterError> {
    let mut alphas = BTreeMap::new();
    let Some(text) = header.metadata.get("lora_adapter_metadata") else { return Ok(alphas) };
    let settings: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|source| AdapterError::BadMetadata { source })?;
    for (setting, value) in &settings {
        let Some((component, key)) = setting.rsplit_once('.') else { continue };
        let is_set = match value {
            serde_json::Value::Bool(value) => *value,
            serde_json::Value::Object(object) => !object.is_empty(),
            _ => false,
        };
        if is_set && matches!(key, "use_rslora" | "use_dora" | "alpha_pattern") {
            return Err(AdapterError::UnsupportedSetting { setting: for_message(setting) });
        }
        if key == "lora_alpha"
            && let Some(alpha) = value.as_f64()
            && let Some(component) = Component::ALL.into_iter().find(|known| known.as_str() == component)
        {
            alphas.insert(component, alpha);
        }
    }
    Ok(alphas)
}

#[cfg(test)]
#[path = "adapter_tests.rs"]
mod tests;
