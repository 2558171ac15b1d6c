//! The sizes of the networks, read from canonical tensor shapes: what a config file says again, but cannot
//! contradict. What shapes cannot tell (attention heads, scaling factor, default size) is not here.

use crate::shapes::TensorShapes;
use paintbox_domain::{Classify, ErrorClass, reason};

/// No network of the family counts further; it bounds every search.
const MAX_COUNT: usize = 64;

/// A tensor that the sizes are read from is missing or not what the family has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DimsError {
    #[error("tensor `{tensor}` is missing")]
    Missing { tensor: String },
    #[error("tensor `{tensor}` has shape {shape:?}, which has not {wanted_rank} dimensions")]
    WrongRank { tensor: String, shape: Vec<usize>, wanted_rank: usize },
    #[error("tensor `{tensor}` has a dimension of zero: {shape:?}")]
    Zero { tensor: String, shape: Vec<usize> },
    #[error("{what}: {found:?} does not fit {wanted:?}")]
    Contradiction { what: &'static str, found: Vec<usize>, wanted: Vec<usize> },
}

impl Classify for DimsError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Missing { .. } | Self::WrongRank { .. } | Self::Zero { .. } | Self::Contradiction { .. } => {
                ErrorClass::Unsupported
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::WrongRank { .. } | Self::Zero { .. } | Self::Contradiction { .. } => {
                reason::UNSUPPORTED_ARCHITECTURE
            }
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Missing { tensor } => vec![("tensor", tensor.clone())],
            Self::WrongRank { tensor, shape, wanted_rank } => vec![
                ("tensor", tensor.clone()),
                ("shape", format!("{shape:?}")),
                ("wanted_rank", wanted_rank.to_string()),
            ],
            Self::Zero { tensor, shape } => vec![("tensor", tensor.clone()), ("shape", format!("{shape:?}"))],
            Self::Contradiction { what, found, wanted } => {
                vec![("what", (*what).to_owned()), ("found", format!("{found:?}")), ("wanted", format!("{wanted:?}"))]
            }
        }
    }
}

/// What stands between the ways down and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Middle {
    /// KOALA 700M.
    Nothing,
    /// SSD-1B and Vega: one residual block.
    Resnet,
    /// A residual block, as many transformer blocks, a residual block.
    Attention { depth: usize },
}

impl Middle {
    pub(super) fn of(tensors: &impl TensorShapes) -> Self {
        match transformer_blocks(tensors, "mid_block.attentions.0") {
            0 if tensors.shape_of("mid_block.resnets.0.conv1.weight").is_some() => Self::Resnet,
            0 => Self::Nothing,
            depth => Self::Attention { depth },
        }
    }
}

/// The UNet's sizes. Lists go by level, from the highest resolution down, where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnetDims {
    /// 4; 9 for inpainting, 8 for instruct-pix2pix.
    pub in_channels: usize,
    pub out_channels: usize,
    pub block_out_channels: Vec<usize>,
    /// Residual blocks on the way down; one more on the way up.
    pub layers_per_block: usize,
    /// Transformer blocks behind each residual block on the way down; 0 where there is no attention.
    pub down_depth: Vec<Vec<usize>>,
    /// The same on the way up, in the order of `up_blocks` (the lowest resolution first).
    pub up_depth: Vec<Vec<usize>>,
    pub middle: Middle,
    pub cross_attention_dim: usize,
    /// Whether `proj_in` and `proj_out` are linear layers (2.x, XL) rather than 1×1 convolutions (1.x).
    pub use_linear_projection: bool,
    pub time_embed_dim: usize,
    /// Inputs of the embedding that is added to the timestep's (XL: the pooled text and six sizes).
    pub added_inputs: Option<usize>,
}

impl UnetDims {
    /// Reads the sizes off the UNet's canonical names.
    ///
    /// # Errors
    /// [`DimsError`] names the first tensor that is not there or not of the family.
    pub fn from_tensors(tensors: &impl TensorShapes) -> Result<Self, DimsError> {
        let has = |name: &str| tensors.shape_of(name).is_some();
        let [first_width, in_channels, _, _] = shape(tensors, "conv_in.weight")?;
        let [out_channels, _, _, _] = shape(tensors, "conv_out.weight")?;
        let [time_embed_dim, _] = shape(tensors, "time_embedding.linear_1.weight")?;
        let levels = count(|level| has(&format!("down_blocks.{level}.resnets.0.conv1.weight")));
        let layers_per_block = count(|slot| has(&format!("down_blocks.0.resnets.{slot}.conv1.weight")));
        if levels == 0 {
            return Err(DimsError::Missing { tensor: "down_blocks.0.resnets.0.conv1.weight".to_owned() });
        }
        let block_out_channels = down_widths(tensors, levels)?;
        if block_out_channels.first() != Some(&first_width) {
            return Err(DimsError::Contradiction {
                what: "width of `conv_in` and of the first level",
                found: vec![first_width],
                wanted: block_out_channels,
            });
        }
        let up_levels = count(|level| has(&format!("up_blocks.{level}.resnets.0.conv1.weight")));
        if up_levels != levels {
            return Err(DimsError::Contradiction {
                what: "levels on the way up and down",
                found: vec![up_levels],
                wanted: vec![levels],
            });
        }
        let depth = |place: &str| transformer_blocks(tensors, place);
        let depths = |way: &str, slots: usize| -> Vec<Vec<usize>> {
            let at = |level, slot| depth(&format!("{way}_blocks.{level}.attentions.{slot}"));
            (0..levels).map(|level| (0..slots).map(|slot| at(level, slot)).collect()).collect()
        };
        let middle = Middle::of(tensors);
        let attention = (0..levels)
            .map(|level| format!("down_blocks.{level}.attentions.0"))
            .chain(std::iter::once("mid_block.attentions.0".to_owned()))
            .find(|place| has(&format!("{place}.proj_in.weight")));
        let Some(attention) = attention else {
            return Err(DimsError::Missing { tensor: "mid_block.attentions.0.proj_in.weight".to_owned() });
        };
        let [_, cross_attention_dim] = shape(tensors, &format!("{attention}.transformer_blocks.0.attn2.to_k.weight"))?;
        let projection = format!("{attention}.proj_in.weight");
        let use_linear_projection = match tensors.shape_of(&projection) {
            Some([_, _]) => true,
            Some([_, _, 1, 1]) => false,
            other => {
                let shape = other.unwrap_or_default().to_vec();
                return Err(DimsError::WrongRank { tensor: projection, shape, wanted_rank: 4 });
            }
        };
        let added = "add_embedding.linear_1.weight";
        let added_inputs = if has(added) { Some(shape::<2>(tensors, added)?[1]) } else { None };
        Ok(Self {
            in_channels,
            out_channels,
            block_out_channels,
            layers_per_block,
            down_depth: depths("down", layers_per_block),
            up_depth: depths("up", layers_per_block + 1),
            middle,
            cross_attention_dim,
            use_linear_projection,
            time_embed_dim,
            added_inputs,
        })
    }
}

/// The VAE's sizes. Lists go by level, from the highest resolution down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaeDims {
    /// 3: red, green, blue.
    pub image_channels: usize,
    pub latent_channels: usize,
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of the encoder's levels; one more in the decoder's.
    pub layers_per_block: usize,
    /// Whether the 1×1 convolutions between encoder, latents and decoder are there.
    pub quant_conv: bool,
    /// Whether the file holds an encoder; some VAEs are handed out as decoders only.
    pub encoder: bool,
}

impl VaeDims {
    /// Pixels per latent along one side: a power of two, 8 for SD 1.x.
    #[must_use]
    pub fn scale_factor(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }

    /// Reads the sizes off the VAE's canonical names.
    ///
    /// # Errors
    /// [`DimsError`] names the first tensor that is not there or not of the family.
    pub fn from_tensors(tensors: &impl TensorShapes) -> Result<Self, DimsError> {
        let has = |name: &str| tensors.shape_of(name).is_some();
        let [_, latent_channels, _, _] = shape(tensors, "decoder.conv_in.weight")?;
        let [image_channels, _, _, _] = shape(tensors, "decoder.conv_out.weight")?;
        let levels = count(|level| has(&format!("decoder.up_blocks.{level}.resnets.0.conv1.weight")));
        if levels == 0 {
            return Err(DimsError::Missing { tensor: "decoder.up_blocks.0.resnets.0.conv1.weight".to_owned() });
        }
        let mut block_out_channels = Vec::with_capacity(levels);
        for level in (0..levels).rev() {
            let [width, _, _, _] = shape(tensors, &format!("decoder.up_blocks.{level}.resnets.0.conv1.weight"))?;
            block_out_channels.push(width);
        }
        let decoder_layers = count(|slot| has(&format!("decoder.up_blocks.0.resnets.{slot}.conv1.weight")));
        Ok(Self {
            image_channels,
            latent_channels,
            block_out_channels,
            layers_per_block: decoder_layers.saturating_sub(1),
            quant_conv: has("post_quant_conv.weight"),
            encoder: has("encoder.conv_in.weight"),
        })
    }
}

/// The text encoder's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipDims {
    pub vocabulary: usize,
    /// Tokens of one prompt, start and end included.
    pub positions: usize,
    pub width: usize,
    pub mlp_width: usize,
    pub layers: usize,
    /// Width of what the last state is projected to, where the file has the projection.
    pub projected: Option<usize>,
}

impl ClipDims {
    /// Reads the sizes off the text encoder's canonical names.
    ///
    /// # Errors
    /// [`DimsError`] names the first tensor that is not there or not of the family.
    pub fn from_tensors(tensors: &impl TensorShapes) -> Result<Self, DimsError> {
        let [vocabulary, width] = shape(tensors, "text_model.embeddings.token_embedding.weight")?;
        let [positions, position_width] = shape(tensors, "text_model.embeddings.position_embedding.weight")?;
        let [mlp_width, _] = shape(tensors, "text_model.encoder.layers.0.mlp.fc1.weight")?;
        if position_width != width {
            return Err(DimsError::Contradiction {
                what: "widths of the position and token embeddings",
                found: vec![position_width],
                wanted: vec![width],
            });
        }
        let layers = count(|layer| {
            tensors.shape_of(&format!("text_model.encoder.layers.{layer}.self_attn.q_proj.weight")).is_some()
        });
        let projection = "text_projection.weight";
        let projected = match tensors.shape_of(projection) {
            Some(_) => Some(shape::<2>(tensors, projection)?[0]),
            None => None,
        };
        Ok(Self { vocabulary, positions, width, mlp_width, layers, projected })
    }
}

/// Widths of the first `levels` on the way down.
pub(super) fn down_widths(tensors: &impl TensorShapes, levels: usize) -> Result<Vec<usize>, DimsError> {
    let width = |level| Ok(shape::<4>(tensors, &format!("down_blocks.{level}.resnets.0.conv1.weight"))?[0]);
    (0..levels).map(width).collect()
}

/// How many transformer blocks a spatial transformer has; 0 where there is none.
pub(super) fn transformer_blocks(tensors: &impl TensorShapes, place: &str) -> usize {
    count(|block| tensors.shape_of(&format!("{place}.transformer_blocks.{block}.attn1.to_q.weight")).is_some())
}

pub(super) fn count(has: impl Fn(usize) -> bool) -> usize {
    (0..MAX_COUNT).take_while(|&index| has(index)).count()
}

pub(super) fn shape<const RANK: usize>(tensors: &impl TensorShapes, name: &str) -> Result<[usize; RANK], DimsError> {
    let tensor = || name.to_owned();
    let found = tensors.shape_of(name).ok_or_else(|| DimsError::Missing { tensor: tensor() })?;
    let dims: [usize; RANK] = found.try_into().map_err(|_| DimsError::WrongRank {
        tensor: tensor(),
        shape: found.to_vec(),
        wanted_rank: RANK,
    })?;
    if dims.contains(&0) {
        return Err(DimsError::Zero { tensor: tensor(), shape: found.to_vec() });
    }
    Ok(dims)
}
