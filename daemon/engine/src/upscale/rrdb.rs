//! ESRGAN's network of residual dense blocks.
//!
//! Wang et al. 2018, "ESRGAN", and Wang et al. 2021, "Real-ESRGAN"; in the parameter names of Real-ESRGAN
//! (xinntao/Real-ESRGAN, `basicsr/archs/rrdbnet_arch.py`). Pictures whose sides do not divide by the factor of the pixel
//! unshuffle are mirrored at the right and bottom, as spandrel 0.4.2 does (`architectures/ESRGAN/__arch/RRDB.py`).

use super::blueprint::RrdbShape;
use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, leaky_relu};
use candle_core::{Result, Tensor};

/// Slope of everything below zero.
const SLOPE: f64 = 0.2;
/// How much of a block's change is added to what came in.
const RESIDUAL: f64 = 0.2;

/// A loaded network.
#[derive(Debug)]
pub(super) struct Rrdb {
    unshuffle: usize,
    first: Conv2d,
    body: Vec<[[Conv2d; 5]; 3]>,
    last_of_body: Conv2d,
    up: Vec<Conv2d>,
    large: Conv2d,
    last: Conv2d,
}

impl Rrdb {
    pub(super) fn load(weights: &Weights<'_>, shape: RrdbShape) -> std::result::Result<Self, EngineError> {
        let RrdbShape { features, growth, blocks, doublings, unshuffle } = shape;
        let conv = |name: &str, inputs, outputs| Conv2d::load(&weights.scope(name), inputs, outputs, 3);
        let mut body = Vec::with_capacity(blocks);
        for block in 0..blocks {
            let dense = |part: usize| -> std::result::Result<[Conv2d; 5], EngineError> {
                let inner = |number: usize| {
                    let outputs = if number == 5 { features } else { growth };
                    conv(&format!("body.{block}.rdb{part}.conv{number}"), features + (number - 1) * growth, outputs)
                };
                Ok([inner(1)?, inner(2)?, inner(3)?, inner(4)?, inner(5)?])
            };
            body.push([dense(1)?, dense(2)?, dense(3)?]);
        }
        Ok(Self {
            unshuffle,
            first: conv("conv_first", 3 * unshuffle * unshuffle, features)?,
            body,
            last_of_body: conv("conv_body", features, features)?,
            up: (1..=doublings)
                .map(|number| conv(&format!("conv_up{number}"), features, features))
                .collect::<std::result::Result<_, _>>()?,
            large: conv("conv_hr", features, features)?,
            last: conv("conv_last", features, 3)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = x.dims4()?;
        let x = mirrored(&mirrored(x, 2, self.unshuffle)?, 3, self.unshuffle)?;
        let x = candle_nn::ops::pixel_unshuffle(&x, self.unshuffle)?.contiguous()?;
        let first = self.first.forward(&x)?;
        let mut deep = first.clone();
        for block in &self.body {
            let mut inner = deep.clone();
            for dense in block {
                inner = residual_dense(dense, &inner)?;
            }
            deep = ((inner * RESIDUAL)? + deep)?;
        }
        let mut x = (first + self.last_of_body.forward(&deep)?)?;
        for up in &self.up {
            let (_, _, height, width) = x.dims4()?;
            x = leaky_relu(&up.forward(&x.upsample_nearest2d(2 * height, 2 * width)?)?, SLOPE)?;
        }
        let out = self.last.forward(&leaky_relu(&self.large.forward(&x)?, SLOPE)?)?;
        let scale = (1 << self.up.len()) as f64 / self.unshuffle as f64;
        let side = |side: usize| (side as f64 * scale) as usize;
        out.narrow(2, 0, side(height))?.narrow(3, 0, side(width))
    }
}

/// Five convolutions, each of which sees what all before it made.
fn residual_dense(convs: &[Conv2d; 5], x: &Tensor) -> Result<Tensor> {
    let mut seen = x.clone();
    for conv in &convs[..4] {
        let made = leaky_relu(&conv.forward(&seen)?, SLOPE)?;
        seen = Tensor::cat(&[&seen, &made], 1)?;
    }
    (convs[4].forward(&seen)? * RESIDUAL)? + x
}

/// Grows a side to a multiple of `multiple` by what lies on the other side of its last row or column; where the picture is
/// too small to be mirrored, by that row or column again.
fn mirrored(x: &Tensor, axis: usize, multiple: usize) -> Result<Tensor> {
    let side = x.dim(axis)?;
    let missing = side.next_multiple_of(multiple) - side;
    if missing == 0 {
        return Ok(x.clone());
    }
    let rows: Vec<u32> =
        (0..side).chain((1..=missing).map(|by| (side - 1).saturating_sub(by))).map(|at| at as u32).collect();
    let count = rows.len();
    x.index_select(&Tensor::from_vec(rows, count, x.device())?, axis)
}
