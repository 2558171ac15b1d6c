//! Stable Diffusion 1.x, 2.x, XL and what was cut out of them: the same networks, two ways of naming their tensors.
//!
//! Single files use the names of the original latent-diffusion code (`model.diffusion_model.input_blocks.1.0…`) and of
//! OpenCLIP, folders those of diffusers and transformers (`down_blocks.0.resnets.0…`). The diffusers names are canonical
//! here: everything is said as [`Recipe`]s that make a canonical tensor out of one in the file. The maps are rules over
//! indices, with counts and widths read from the header, so that a smaller model of the same family works unchanged.

mod alone;
mod clip_names;
mod control;
mod dims;
mod open_clip_names;
mod recipe;
mod unet_names;
mod vae_names;

pub use alone::{LoneEncoder, lone_encoders, unet_recipes};
pub use control::{ControlNetDims, control_net_names};
pub use dims::{ClipDims, DimsError, Middle, UnetDims, VaeDims};
pub use recipe::{Recipe, Recipes, Take};

use crate::safetensors::Header;
use crate::shapes::{TensorShapes, for_message};
use paintbox_domain::{Classify, ErrorClass, reason};
use std::collections::BTreeMap;

/// The networks of the family, in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// CLIP-L of 1.x and XL, OpenCLIP-H of 2.x.
    TextEncoder,
    /// OpenCLIP-bigG of XL, the only encoder of XL's refiner.
    TextEncoder2,
    Unet,
    Vae,
}

/// What precedes the UNet's names in a single file.
const UNET_PREFIX: &str = "model.diffusion_model.";
/// What precedes the VAE's names in a single file.
const VAE_PREFIX: &str = "first_stage_model.";
/// Where single files keep text encoders, and whether in OpenCLIP's names: 1.x, 2.x, XL's two, the refiner's.
const TEXT_PREFIXES: [(&str, Component, bool); 5] = [
    ("cond_stage_model.transformer.", Component::TextEncoder, false),
    (SD2_TEXT_PREFIX, Component::TextEncoder, true),
    ("conditioner.embedders.0.transformer.", Component::TextEncoder, false),
    ("conditioner.embedders.1.model.", Component::TextEncoder2, true),
    ("conditioner.embedders.0.model.", Component::TextEncoder2, true),
];
const SD2_TEXT_PREFIX: &str = "cond_stage_model.model.";

impl Component {
    pub const ALL: [Self; 4] = [Self::TextEncoder, Self::TextEncoder2, Self::Unet, Self::Vae];

    /// The folder's name in a diffusers repository.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::TextEncoder2 => "text_encoder_2",
            Self::Unet => "unet",
            Self::Vae => "vae",
        }
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Canonical parameters and their shapes: what an adapter is matched against.
pub type Parameters = BTreeMap<(Component, String), Vec<usize>>;

/// The counts that the two namings differ by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    /// Residual blocks on each way down of the UNet (SD 1.x: 2); one more on each way up.
    pub unet_blocks_per_level: usize,
    /// For each way up of the UNet, first to last: whether it has attention. An upsampler's index follows from it.
    pub unet_up_attention: Vec<bool>,
    /// Resolutions of the VAE (SD 1.x: 4).
    pub vae_levels: usize,
    /// The layer of 2.x's text encoder that a single file has and nothing uses.
    pub unused_text_layer: Option<usize>,
}

impl Levels {
    /// The counts of a single file. A component that is absent counts as SD 1.x has it.
    #[must_use]
    pub fn of_single_file(header: &Header) -> Self {
        let unet = unet_names::Layout::of_single_file(header);
        Self {
            unet_blocks_per_level: unet.blocks_per_level,
            unet_up_attention: unet.up_attention,
            vae_levels: vae_names::levels_of_single_file(header).unwrap_or(4),
            unused_text_layer: open_clip_names::unused_layer(header, SD2_TEXT_PREFIX),
        }
    }

    /// The counts of canonical parameters. A component that is absent counts as SD 1.x has it.
    #[must_use]
    pub fn of_canonical(parameters: &Parameters) -> Self {
        let unet = unet_names::Layout::of_canonical(&Part { parameters, component: Component::Unet });
        Self {
            unet_blocks_per_level: unet.blocks_per_level,
            unet_up_attention: unet.up_attention,
            vae_levels: vae_names::levels_of_canonical(&Part { parameters, component: Component::Vae }).unwrap_or(4),
            unused_text_layer: None,
        }
    }
}

/// One component of canonical parameters, by the component's own names.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub parameters: &'a Parameters,
    pub component: Component,
}

impl TensorShapes for Part<'_> {
    fn shape_of(&self, name: &str) -> Option<&[usize]> {
        self.parameters.get(&(self.component, name.to_owned())).map(Vec::as_slice)
    }
}

/// Why names cannot be mapped.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    #[error("the file holds none of text encoder, UNet and VAE of Stable Diffusion")]
    NoComponent,
    #[error("tensor `{tensor}` has no place in the {component} of Stable Diffusion")]
    NoPlace { component: Component, tensor: String },
    #[error("tensors `{first}` and `{second}` both claim to be `{canonical}` of the {component}")]
    Ambiguous { component: Component, canonical: String, first: String, second: String },
    #[error("tensor `{tensor}` of shape {shape:?} cannot be `{canonical}` of the {component}")]
    WrongShape { component: Component, canonical: String, tensor: String, shape: Vec<usize> },
}

impl Classify for NameError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoComponent | Self::NoPlace { .. } => ErrorClass::Unsupported,
            Self::Ambiguous { .. } | Self::WrongShape { .. } => ErrorClass::DataLoss,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoComponent | Self::NoPlace { .. } => reason::UNSUPPORTED_ARCHITECTURE,
            Self::Ambiguous { .. } | Self::WrongShape { .. } => reason::MALFORMED_FILE,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NoComponent => Vec::new(),
            Self::NoPlace { component, tensor } => {
                vec![("component", component.to_string()), ("tensor", tensor.clone())]
            }
            Self::Ambiguous { component, canonical, first, second } => vec![
                ("component", component.to_string()),
                ("canonical", canonical.clone()),
                ("first", first.clone()),
                ("second", second.clone()),
            ],
            Self::WrongShape { component, canonical, tensor, shape } => vec![
                ("component", component.to_string()),
                ("canonical", canonical.clone()),
                ("tensor", tensor.clone()),
                ("shape", format!("{shape:?}")),
            ],
        }
    }
}

/// Recipes for every tensor of the components that a single file (or one bare component of it) holds.
///
/// Tensors of other parts (EMA copies, training constants, loss networks, markers), `position_ids`, which is a count
/// and no weight, and what 2.x's text encoder has beyond what is used are left out. A component that the file lacks is simply absent from the result.
///
/// # Errors
/// [`NameError::NoComponent`] when nothing of the family is there; the others when a tensor inside one of the
/// components is not one that the family has.
pub fn diffusers_recipes(header: &Header) -> Result<Recipes, NameError> {
    let levels = Levels::of_single_file(header);
    let mut recipes = Recipes::new();
    for (source, info) in &header.tensors {
        if let Some(local) = source.strip_prefix(UNET_PREFIX) {
            let named = unet_names::canonical(local, &levels);
            insert(&mut recipes, Component::Unet, source, &info.shape, named)?;
        } else if let Some(local) = source.strip_prefix(VAE_PREFIX) {
            let named = vae_names::canonical(local, &levels, &info.shape);
            insert(&mut recipes, Component::Vae, source, &info.shape, named)?;
        } else if let Some((local, component, is_open_clip)) = text_encoder_of(source) {
            let named = if is_open_clip {
                open_clip_names::canonical(local, component, levels.unused_text_layer)
            } else {
                clip_names::canonical(local, component)
            };
            insert(&mut recipes, component, source, &info.shape, named)?;
        }
    }
    if recipes.is_empty() { Err(NameError::NoComponent) } else { Ok(recipes) }
}

/// Recipes for one component's own file as a diffusers folder has it. Such a file already uses canonical names, but
/// for the VAE attention of older exports (`query`, `key`, `value`, `proj_attn`) and text encoders without the
/// `text_model.` prefix.
///
/// # Errors
/// [`NameError::NoComponent`] when the file is empty, [`NameError::Ambiguous`] or [`NameError::WrongShape`] when it
/// contradicts itself. Names are not checked against the family here: a tensor too many does no harm.
pub fn component_recipes(component: Component, header: &Header) -> Result<Recipes, NameError> {
    let mut recipes = Recipes::new();
    for (source, info) in &header.tensors {
        let named = match component {
            Component::TextEncoder | Component::TextEncoder2 => clip_names::canonical(source, component),
            Component::Unet => Named::one(source.clone(), Take::Whole),
            Component::Vae => vae_names::canonical_of_diffusers(source, &info.shape),
        };
        match named {
            Named::NoPlace => {}
            named @ (Named::As(_) | Named::Ignored) => {
                insert(&mut recipes, component, source, &info.shape, named)?;
            }
        }
    }
    if recipes.is_empty() { Err(NameError::NoComponent) } else { Ok(recipes) }
}

/// Recipes for a VAE that a file holds alone or beside other things, in LDM's names with or without the single file's
/// prefix, or in diffusers'.
///
/// # Errors
/// [`NameError::NoComponent`] when the file holds no VAE, the others when it contradicts itself.
pub fn vae_recipes(header: &Header) -> Result<Recipes, NameError> {
    let is_prefixed = header.tensors.keys().any(|name| name.starts_with(VAE_PREFIX));
    let prefix = if is_prefixed { VAE_PREFIX } else { "" };
    let mut recipes = Recipes::new();
    if let Some(vae_levels) = vae_names::levels_behind(prefix, header) {
        let levels = Levels { vae_levels, ..Levels::of_single_file(header) };
        for (source, info) in &header.tensors {
            let Some(local) = source.strip_prefix(prefix) else { continue };
            let named = vae_names::canonical(local, &levels, &info.shape);
            insert(&mut recipes, Component::Vae, source, &info.shape, named)?;
        }
    } else if header.tensors.contains_key("decoder.conv_in.weight") {
        recipes = component_recipes(Component::Vae, header)?;
    }
    if recipes.is_empty() { Err(NameError::NoComponent) } else { Ok(recipes) }
}

/// The shapes that the recipes make of a file's tensors.
#[must_use]
pub fn canonical_shapes(header: &Header, recipes: &Recipes) -> Parameters {
    recipes
        .iter()
        .filter_map(|(key, recipe)| {
            let shape = recipe.take.applied_to(header.shape_of(&recipe.source)?)?;
            Some((key.clone(), shape))
        })
        .collect()
}

/// The single file's name of a canonical tensor, and how its shape is made of the canonical one; `None` for a name
/// that the family does not have, and for the second text encoder, whose tensors a single file keeps joined.
#[must_use]
pub fn ldm_name(component: Component, canonical: &str, levels: &Levels) -> Option<(String, Take)> {
    match component {
        Component::TextEncoder => {
            Some((format!("{}{}", TEXT_PREFIXES[0].0, clip_names::single_file(canonical)?), Take::Whole))
        }
        Component::TextEncoder2 => None,
        Component::Unet => Some((format!("{UNET_PREFIX}{}", unet_names::single_file(canonical, levels)?), Take::Whole)),
        Component::Vae => {
            let (local, take) = vae_names::single_file(canonical, levels)?;
            Some((format!("{VAE_PREFIX}{local}"), take))
        }
    }
}

/// The UNet's name of a canonical tensor as a file of the network alone has it, without the single file's prefix.
pub(crate) fn ldm_unet_name(canonical: &str, levels: &Levels) -> Option<String> {
    unet_names::single_file(canonical, levels)
}

/// What a name in a file stands for.
enum Named {
    /// One canonical tensor, or several that are kept joined.
    As(Vec<(String, Take)>),
    /// Known, and no weight.
    Ignored,
    NoPlace,
}

impl Named {
    fn one(canonical: String, take: Take) -> Self {
        Self::As(vec![(canonical, take)])
    }
}

fn text_encoder_of(source: &str) -> Option<(&str, Component, bool)> {
    TEXT_PREFIXES.iter().find_map(|(prefix, component, is_open_clip)| {
        source.strip_prefix(prefix).map(|local| (local, *component, *is_open_clip))
    })
}

fn insert(
    recipes: &mut Recipes,
    component: Component,
    source: &str,
    shape: &[usize],
    named: Named,
) -> Result<(), NameError> {
    let canonicals = match named {
        Named::As(canonicals) => canonicals,
        Named::Ignored => return Ok(()),
        Named::NoPlace => return Err(NameError::NoPlace { component, tensor: for_message(source) }),
    };
    for (canonical, take) in canonicals {
        if take.applied_to(shape).is_none() {
            let (tensor, shape) = (for_message(source), shape.to_vec());
            return Err(NameError::WrongShape { component, canonical, tensor, shape });
        }
        let recipe = Recipe { source: source.to_owned(), take };
        if let Some(first) = recipes.insert((component, canonical.clone()), recipe) {
            return Err(NameError::Ambiguous {
                component,
                canonical: for_message(&canonical),
                first: for_message(&first.source),
                second: for_message(source),
            });
        }
    }
    Ok(())
}

/// Splits `12.rest` into 12 and `rest`. A number with a leading zero or sign is no index.
fn index_and_rest(text: &str) -> Option<(usize, &str)> {
    let (digits, rest) = text.split_once('.')?;
    let is_index = !digits.is_empty()
        && digits.len() <= 4
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    if is_index { Some((digits.parse().ok()?, rest)) } else { None }
}

/// Replaces the part of `name` that one of `pairs` begins it with, up to the name's own `weight` or `bias`.
fn replace_stem(name: &str, pairs: &[(&str, &str)]) -> Option<String> {
    let (stem, leaf) = name.rsplit_once('.')?;
    let (_, replacement) = pairs.iter().find(|(from, _)| *from == stem)?;
    matches!(leaf, "weight" | "bias").then(|| format!("{replacement}.{leaf}"))
}

/// The other direction of [`replace_stem`].
fn replace_stem_back(name: &str, pairs: &[(&str, &str)]) -> Option<String> {
    let (stem, leaf) = name.rsplit_once('.')?;
    let (original, _) = pairs.iter().find(|(_, to)| *to == stem)?;
    matches!(leaf, "weight" | "bias").then(|| format!("{original}.{leaf}"))
}

#[cfg(test)]
mod tests;
