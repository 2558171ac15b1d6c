//! The CLIP text transformer: token ids in, one state per token out (Radford et al. 2021).

use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{LayerNorm, Linear, causal_attention, gelu, quick_gelu};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::Module;

/// Which GELU the feed-forward layers were trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gelu {
    /// OpenAI's CLIP-L.
    Quick,
    /// OpenCLIP's models.
    Erf,
}

/// Sizes of a CLIP text encoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClipShape {
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) feed_forward: usize,
    pub(crate) vocabulary: usize,
    pub(crate) positions: usize,
    pub(crate) heads: usize,
    pub(crate) gelu: Gelu,
    pub(crate) norm_eps: f64,
    /// Width of the whole prompt's projection, where the encoder makes one.
    pub(crate) projected: Option<usize>,
}

/// Vectors that stand in the place of tokens' own: of which row, from which token on, `[tokens, width]`.
#[derive(Debug, Clone)]
pub(crate) struct Replaced {
    pub(crate) row: usize,
    pub(crate) at: usize,
    pub(crate) vectors: Tensor,
}

/// Which states of a prompt are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layers {
    /// As A1111 counts: 1 is the last layer, 2 the one before it.
    pub(crate) skip: usize,
    /// Whether the final norm follows (1.x and 2.x) or not (XL).
    pub(crate) normed: bool,
}

/// What a text encoder makes of rows of ids, in f32 whatever is computed in.
#[derive(Debug)]
pub(crate) struct TextStates {
    /// `[rows, positions, width]`.
    pub(crate) states: Tensor,
    /// The projection of the last layer's state at the first end token of each row, `[rows, projected]`.
    pub(crate) pooled: Option<Tensor>,
}

#[derive(Debug)]
struct Layer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Layer {
    fn load(weights: &Weights<'_>, shape: &ClipShape) -> std::result::Result<Self, EngineError> {
        let width = shape.width;
        let attention = weights.scope("self_attn");
        let project = |name: &str| Linear::load(&attention.scope(name), width, width);
        Ok(Self {
            norm1: LayerNorm::load(&weights.scope("layer_norm1"), width, shape.norm_eps)?,
            query: project("q_proj")?,
            key: project("k_proj")?,
            value: project("v_proj")?,
            out: project("out_proj")?,
            norm2: LayerNorm::load(&weights.scope("layer_norm2"), width, shape.norm_eps)?,
            fc1: Linear::load(&weights.scope("mlp.fc1"), width, shape.feed_forward)?,
            fc2: Linear::load(&weights.scope("mlp.fc2"), shape.feed_forward, width)?,
        })
    }

    fn forward(&self, x: &Tensor, shape: &ClipShape) -> Result<Tensor> {
        let normed = self.norm1.forward(x)?;
        let of = |linear: &Linear| linear.forward(&normed);
        let attended = causal_attention(&of(&self.query)?, &of(&self.key)?, &of(&self.value)?, shape.heads)?;
        let x = (x + self.out.forward(&attended)?)?;
        let hidden = self.fc1.forward(&self.norm2.forward(&x)?)?;
        let hidden = match shape.gelu {
            Gelu::Quick => quick_gelu(&hidden)?,
            Gelu::Erf => gelu(&hidden)?,
        };
        x + self.fc2.forward(&hidden)?
    }
}

/// A loaded text encoder.
#[derive(Debug)]
pub(crate) struct ClipText {
    shape: ClipShape,
    tokens: candle_nn::Embedding,
    positions: Tensor,
    layers: Vec<Layer>,
    final_norm: LayerNorm,
    projection: Option<Linear>,
    device: Device,
    dtype: DType,
}

impl ClipText {
    pub(crate) fn load(weights: &Weights<'_>, shape: &ClipShape) -> std::result::Result<Self, EngineError> {
        let width = shape.width;
        let projection =
            shape.projected.map(|outputs| Linear::load_without_bias(&weights.scope("text_projection"), width, outputs));
        let weights = weights.scope("text_model");
        let embeddings = weights.scope("embeddings");
        let tokens = embeddings.tensor("token_embedding.weight", &[shape.vocabulary, width])?;
        let positions = embeddings.tensor("position_embedding.weight", &[shape.positions, width])?;
        let layers = (0..shape.layers)
            .map(|i| Layer::load(&weights.scope(&format!("encoder.layers.{i}")), shape))
            .collect::<std::result::Result<_, _>>()?;
        let device = weights.device().clone();
        Ok(Self {
            dtype: weights.dtype(),
            tokens: candle_nn::Embedding::new(tokens, width),
            positions,
            layers,
            final_norm: LayerNorm::load(&weights.scope("final_layer_norm"), width, shape.norm_eps)?,
            projection: projection.transpose()?,
            device,
            shape: shape.clone(),
        })
    }

    /// The states of rows of exactly [`ClipShape::positions`] ids each; `end` is the id of the end token.
    pub(crate) fn encode(
        &self,
        rows: &[Vec<u32>],
        replaced: &[Replaced],
        layers: Layers,
        end: u32,
    ) -> Result<TextStates> {
        let ids: Vec<u32> = rows.iter().flatten().copied().collect();
        let ids = Tensor::from_vec(ids, (rows.len(), self.shape.positions), &self.device)?;
        let mut x = self.tokens.forward(&ids)?;
        for Replaced { row, at, vectors } in replaced {
            let (tokens, width) = vectors.dims2()?;
            let place = [*row..row + 1, *at..at + tokens, 0..width];
            x = x.slice_assign(&place, &vectors.to_dtype(self.dtype)?.to_device(&self.device)?.unsqueeze(0)?)?;
        }
        x = x.broadcast_add(&self.positions)?;
        let run = self.layers.len().saturating_sub(layers.skip.saturating_sub(1));
        for layer in &self.layers[..run] {
            x = layer.forward(&x, &self.shape)?;
        }
        let states = if layers.normed { self.final_norm.forward(&x)? } else { x.clone() };
        let states = states.to_dtype(DType::F32)?;
        let Some(projection) = &self.projection else { return Ok(TextStates { states, pooled: None }) };
        for layer in &self.layers[run..] {
            x = layer.forward(&x, &self.shape)?;
        }
        let ends: Vec<Tensor> = rows
            .iter()
            .enumerate()
            .map(|(row, ids)| {
                let at = ids.iter().position(|id| *id == end).unwrap_or(ids.len() - 1);
                x.narrow(0, row, 1)?.narrow(1, at, 1)?.squeeze(1)
            })
            .collect::<Result<_>>()?;
        let pooled = projection.forward(&self.final_norm.forward(&Tensor::cat(&ends, 0)?)?)?;
        Ok(TextStates { states, pooled: Some(pooled.to_dtype(DType::F32)?) })
    }
}
