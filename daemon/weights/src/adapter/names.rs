//! How trainers call the tensors of adapters, and every way in which they spell the layers that these are for.
//!
//! Names: kohya-ss/sd-scripts `networks/lora.py` at 48d368fa, KohakuBlueleaf/LyCORIS `lycoris/modules/` (each `weight_list`) at
//! f49d30d6, huggingface/peft, diffusers in three ages, as Comfy-Org/ComfyUI `comfy/lora.py` and `comfy/weight_adapter/` at
//! a125cd84 reads them.

use crate::shapes::split_last;
use crate::stable_diffusion::{Component, Levels, Parameters, ldm_unet_name};
use std::collections::HashMap;

/// What a tensor is to the matrix that it is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Piece {
    /// Alone what others are the product of.
    Whole,
    /// The factor that gives the outputs.
    Left,
    /// The factor that takes the inputs.
    Right,
    /// What stands between the two where a convolution is in Tucker form.
    Core,
}

/// Which of the two matrices that a change is combined from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Term {
    First,
    Second,
}

/// What a tensor of an adapter is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Lora(Piece),
    /// Element by element the product of both terms.
    Loha(Term, Piece),
    /// The Kronecker product of both terms.
    Lokr(Term, Piece),
    /// The change of the weight itself.
    Difference,
    BiasDifference,
    Alpha,
    /// DoRA's lengths of rows or columns.
    Magnitude,
    /// The same as peft calls it: always of rows.
    RowMagnitude,
}

pub(crate) const UP: Role = Role::Lora(Piece::Left);
pub(crate) const DOWN: Role = Role::Lora(Piece::Right);
pub(crate) const MID: Role = Role::Lora(Piece::Core);

impl Role {
    /// How messages call it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Lora(Piece::Left | Piece::Whole) => "up",
            Self::Lora(Piece::Right) => "down",
            Self::Lora(Piece::Core) => "mid",
            Self::Loha(Term::First, Piece::Left | Piece::Whole) => "hada_w1_a",
            Self::Loha(Term::First, Piece::Right) => "hada_w1_b",
            Self::Loha(Term::First, Piece::Core) => "hada_t1",
            Self::Loha(Term::Second, Piece::Left | Piece::Whole) => "hada_w2_a",
            Self::Loha(Term::Second, Piece::Right) => "hada_w2_b",
            Self::Loha(Term::Second, Piece::Core) => "hada_t2",
            Self::Lokr(Term::First, Piece::Whole) => "lokr_w1",
            Self::Lokr(Term::First, Piece::Left) => "lokr_w1_a",
            Self::Lokr(Term::First, Piece::Right) => "lokr_w1_b",
            Self::Lokr(Term::First, Piece::Core) => "lokr_t1",
            Self::Lokr(Term::Second, Piece::Whole) => "lokr_w2",
            Self::Lokr(Term::Second, Piece::Left) => "lokr_w2_a",
            Self::Lokr(Term::Second, Piece::Right) => "lokr_w2_b",
            Self::Lokr(Term::Second, Piece::Core) => "lokr_t2",
            Self::Difference => "diff",
            Self::BiasDifference => "diff_b",
            Self::Alpha => "alpha",
            Self::Magnitude => "dora_scale",
            Self::RowMagnitude => "lora_magnitude_vector",
        }
    }
}

/// How names of halves end that are called `weight`: kohya, peft (saved with and without its adapter's name), diffusers
/// in three ages.
const ENDINGS: [(&str, Role); 15] = [
    (".lora_down.weight", DOWN),
    (".lora_up.weight", UP),
    (".lora_mid.weight", MID),
    (".lora_A.weight", DOWN),
    (".lora_B.weight", UP),
    (".lora_A.default.weight", DOWN),
    (".lora_B.default.weight", UP),
    (".lora.down.weight", DOWN),
    (".lora.up.weight", UP),
    (".lora_linear_layer.down.weight", DOWN),
    (".lora_linear_layer.up.weight", UP),
    // `…attn1.processor.to_q_lora.down.weight`: the stem keeps `processor`, see `spellings`.
    ("_lora.down.weight", DOWN),
    ("_lora.up.weight", UP),
    (".lora_magnitude_vector.weight", Role::RowMagnitude),
    (".lora_magnitude_vector.default.weight", Role::RowMagnitude),
];

/// Parts of a name that give an algorithm away which is not supported.
const OTHER_ALGORITHMS: [(&str, &str); 4] =
    [("oft_", "OFT"), ("on_input", "IA3"), ("a1", "GLoRA"), ("lora_embedding_A", "embedding LoRA")];

/// The module and role of an adapter tensor's name. Asked of every tensor of every file, so the last word decides first:
/// most are no adapter's.
pub(crate) fn module_and_role(name: &str) -> Option<(&str, Role)> {
    let (module, leaf) = split_last(name)?;
    let role = match leaf {
        "weight" => return ENDINGS.iter().find_map(|(ending, role)| Some((name.strip_suffix(ending)?, *role))),
        "alpha" => Role::Alpha,
        "hada_w1_a" => Role::Loha(Term::First, Piece::Left),
        "hada_w1_b" => Role::Loha(Term::First, Piece::Right),
        "hada_t1" => Role::Loha(Term::First, Piece::Core),
        "hada_w2_a" => Role::Loha(Term::Second, Piece::Left),
        "hada_w2_b" => Role::Loha(Term::Second, Piece::Right),
        "hada_t2" => Role::Loha(Term::Second, Piece::Core),
        "lokr_w1" => Role::Lokr(Term::First, Piece::Whole),
        "lokr_w1_a" => Role::Lokr(Term::First, Piece::Left),
        "lokr_w1_b" => Role::Lokr(Term::First, Piece::Right),
        "lokr_t1" => Role::Lokr(Term::First, Piece::Core),
        "lokr_w2" => Role::Lokr(Term::Second, Piece::Whole),
        "lokr_w2_a" => Role::Lokr(Term::Second, Piece::Left),
        "lokr_w2_b" => Role::Lokr(Term::Second, Piece::Right),
        "lokr_t2" => Role::Lokr(Term::Second, Piece::Core),
        "dora_scale" => Role::Magnitude,
        "lora_magnitude_vector" => Role::RowMagnitude,
        "diff" | "w_norm" => Role::Difference,
        "diff_b" | "b_norm" => Role::BiasDifference,
        _ => return None,
    };
    Some((module, role))
}

/// The unsupported algorithm that a tensor's name belongs to.
pub(super) fn other_algorithm(name: &str) -> Option<&'static str> {
    let mut leaves = name.rsplit('.').take(2);
    leaves.find_map(|leaf| {
        OTHER_ALGORITHMS
            .iter()
            .find(|(mark, _)| if mark.ends_with('_') { leaf.starts_with(mark) } else { leaf == *mark })
            .map(|(_, algorithm)| *algorithm)
    })
}

/// Every spelling of every weight that a LoRA can change, without the endings of [`module_and_role`].
pub(super) fn spellings(parameters: &Parameters) -> HashMap<String, (&(Component, String), &Vec<usize>)> {
    let levels = Levels::of_canonical(parameters);
    let mut all = HashMap::new();
    for (key, shape) in parameters {
        let (component, canonical) = key;
        for spelling in spellings_of(*component, canonical, &levels) {
            all.insert(spelling, (key, shape));
        }
    }
    all
}

pub(super) fn spellings_of(component: Component, canonical: &str, levels: &Levels) -> Vec<String> {
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
                // What ComfyUI saves.
                "text_encoders.clip_l.transformer.",
                "text_encoders.clip_h.transformer.",
            ],
        ),
        // Without a prefix a name is the first encoder's.
        Component::TextEncoder2 => (
            &["lora_te2_"],
            &[
                "text_encoder_2.",
                "base_model.model.text_encoder_2.",
                "text_encoder_2.base_model.model.",
                "text_encoders.clip_g.transformer.",
            ],
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
