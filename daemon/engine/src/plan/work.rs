//! What networks hold beside their weights at their widest point, along the way that they go.

use super::Machine;
use crate::device::Precision;
use crate::load::{Blueprint, ControlNetPlan};
use crate::networks::{ControlNetShape, UnetShape, VaeShape};
use crate::residence::Precisions;
use crate::tensor::buffers;
use paintbox_domain::generation::{PaintRequest, PaintSettings};
use paintbox_weights::stable_diffusion::Middle;

/// Bytes of work at the widest point of each phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) encoding_prompt: u64,
    pub(super) encoding_image: u64,
    pub(super) sampling: u64,
    pub(super) decoding: u64,
    /// Pictures that were given, and that are finished.
    pub(super) pictures: u64,
}

/// How much goes through a network at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub(super) pictures: u128,
    pub(super) texts: u128,
}

/// A GPU's memory pool rounds up to powers of two.
const POOLED: u128 = 2;
/// Bytes of a value of an f32 feature map.
const FULL: u128 = 4;

/// What is more than any machine has is all the same. Until here there is room for the largest sides that can be asked for.
fn bytes(exact: u128) -> u64 {
    u64::try_from(exact).unwrap_or(u64::MAX)
}

impl Work {
    pub(super) fn of(
        blueprint: &Blueprint,
        precisions: Precisions,
        settings: &PaintSettings,
        request: &PaintRequest,
        controls: &[ControlNetPlan],
        machine: Machine,
        batch: Batch,
    ) -> Self {
        let factor = blueprint.vae.factor() as u128;
        let area = Area { width: u128::from(settings.width), height: u128::from(settings.height) };
        let latents = Area { width: area.width / factor, height: area.height / factor };
        let pooled = |bytes: u128| if machine.is_gpu { bytes * POOLED } else { bytes };
        let precise = |precision: Precision| u128::from(precision.bytes(machine.is_gpu));
        let beside = |channels: usize, width: u128| {
            // Nine patches of a kernel, of all channels.
            let depth = 9 * channels as u64;
            let buffers = buffers::bytes(machine.is_gpu, machine.threads, depth, bytes(width), bytes(latents.pixels()));
            u128::from(buffers)
        };
        let widest = |channels: &[usize]| channels.iter().copied().max().unwrap_or_default();

        let text = blueprint.texts.iter().map(|text| {
            let shape = &text.shape;
            let (tokens, width, wide) = (shape.positions as u128, shape.width as u128, shape.feed_forward as u128);
            // The input, its norm, and before and behind the activation; or query, key, value and what they make.
            tokens * (4 * width + (2 * wide).max(5 * width)) * batch.texts
        });
        let channels: Vec<usize> = blueprint.unet.levels.iter().map(|level| level.channels).collect();
        let outermost = channels.first().copied().unwrap_or_default() as u128;
        let unet = unet(&blueprint.unet, latents, batch.pictures, controls.len());
        let nets = controls.iter().map(|plan| control_net(&plan.shape, area, latents, batch.pictures));
        let networks = pooled(nets.fold(unet, u128::max) * precise(precisions.unet));
        // What every ControlNet read of its picture stays, and the sampler holds some latents, both in f32.
        let hints = controls.len() as u128 * latents.pixels() * outermost;
        let held = (hints + latents.pixels() * blueprint.vae.latent_channels as u128 * 16) * FULL;
        // The way up convolves what it is handed together with what it has.
        let of_unet = beside(2 * widest(&channels), latents.width);
        let of_vae = beside(widest(&blueprint.vae.channels), area.width);
        let given = request.init.iter().map(|init| init.rgb.len());
        let given = given.chain(request.controls.iter().map(|control| control.image.rgb.len())).sum::<usize>();
        Self {
            encoding_prompt: bytes(pooled(text.max().unwrap_or_default() * precise(precisions.text_encoders))),
            encoding_image: bytes(pooled(encoder(&blueprint.vae, area) * FULL) + of_vae),
            sampling: bytes(networks + held + of_unet),
            decoding: bytes(pooled(decoder(&blueprint.vae, latents) * FULL) + of_vae),
            // Given pictures are prepared in a copy.
            pictures: bytes(area.pixels() * 3 * u128::from(request.count) + 2 * given as u128),
        }
    }

    /// The most of both.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            encoding_prompt: self.encoding_prompt.max(other.encoding_prompt),
            encoding_image: self.encoding_image.max(other.encoding_image),
            sampling: self.sampling.max(other.sampling),
            decoding: self.decoding.max(other.decoding),
            pictures: self.pictures.max(other.pictures),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Area {
    width: u128,
    height: u128,
}

impl Area {
    fn pixels(self) -> u128 {
        self.width * self.height
    }

    /// As a convolution of stride 2 with padding halves it.
    fn halved(self) -> Self {
        Self { width: self.width.div_ceil(2), height: self.height.div_ceil(2) }
    }

    fn doubled(self) -> Self {
        Self { width: self.width * 2, height: self.height * 2 }
    }
}

/// A residual block with its input: what is normed, what was convolved once and twice, the shortcut, and the sum.
fn resnet(pixels: u128, inputs: u128, outputs: u128) -> u128 {
    pixels * ((2 * inputs + outputs).max(inputs + 4 * outputs))
}

/// A spatial transformer with its input. Widest in the feed-forward layer, whose values and gates are eight times as wide,
/// with what was given to the transformer, to the block and to each of its layers alive.
fn transformer(pixels: u128, channels: u128) -> u128 {
    pixels * 19 * channels
}

fn slot(pixels: u128, inputs: u128, outputs: u128, depth: usize) -> u128 {
    let attention = if depth > 0 { transformer(pixels, outputs) + pixels * inputs } else { 0 };
    resnet(pixels, inputs, outputs).max(attention)
}

/// The first half of a U-Net: at its widest, what it hands to the second, and where it ends.
struct Halfway {
    widest: u128,
    /// Pixels and channels of each.
    handed: Vec<(Area, u128)>,
    innermost: (Area, u128),
}

fn sum(handed: &[(Area, u128)], batch: u128) -> u128 {
    handed.iter().map(|(area, channels)| area.pixels() * (*channels)).sum::<u128>() * batch
}

fn trunk(shape: &UnetShape, latents: Area, batch: u128) -> Halfway {
    let first = shape.levels.first().map_or(0, |level| level.channels as u128);
    let (mut area, mut channels) = (latents, first);
    let mut handed = vec![(area, first)];
    let mut widest = latents.pixels() * batch * (shape.in_channels as u128 + 2 * first);
    let mut here = |handed: &[(Area, u128)], bytes: u128| widest = widest.max(sum(handed, batch) + bytes);
    for (number, level) in shape.levels.iter().enumerate() {
        let outputs = level.channels as u128;
        for depth in &level.down {
            here(&handed, slot(area.pixels() * batch, channels, outputs, *depth));
            channels = outputs;
            handed.push((area, channels));
        }
        if number + 1 < shape.levels.len() {
            area = area.halved();
            handed.push((area, channels));
        }
    }
    let middle: &[usize] = match shape.middle {
        Middle::Nothing => &[],
        Middle::Resnet => &[0],
        Middle::Attention { depth } => &[depth, 0],
    };
    for depth in middle {
        here(&handed, slot(area.pixels() * batch, channels, channels, *depth));
    }
    Halfway { widest, handed, innermost: (area, channels) }
}

/// With `controls`, what they add and what comes of it are held too.
fn unet(shape: &UnetShape, latents: Area, batch: u128, controls: usize) -> u128 {
    let Halfway { widest, handed, innermost: (mut area, mut channels) } = trunk(shape, latents, batch);
    let added = if controls > 0 { 2 * sum(&handed, batch) } else { 0 };
    let mut widest = widest + added;
    let mut skips = handed;
    for level in shape.levels.iter().rev() {
        let outputs = level.channels as u128;
        for depth in &level.up {
            let held = sum(&skips, batch);
            let (_, skip) = skips.pop().unwrap_or((area, 0));
            let pixels = area.pixels() * batch;
            // What comes from below is alive beside what it is joined to.
            let joined = slot(pixels, channels + skip, outputs, *depth) + pixels * channels;
            widest = widest.max(held + joined + added);
            channels = outputs;
        }
        if let Some((next, _)) = skips.last().copied() {
            let enlarged = next.pixels() * batch * channels;
            let held = sum(&skips, batch) + (area.pixels() * batch * channels);
            widest = widest.max(held + (2 * enlarged) + added);
            area = next;
        }
    }
    widest
}

/// Reading its picture, or beside the residuals of another one.
fn control_net(shape: &ControlNetShape, picture: Area, latents: Area, batch: u128) -> u128 {
    let first = shape.hint.first().copied().unwrap_or_default() as u128;
    let reading = picture.pixels() * (3 * first + shape.image_channels as u128);
    let Halfway { widest, handed, .. } = trunk(&shape.trunk, latents, batch);
    reading.max(widest + (3 * sum(&handed, batch)))
}

fn encoder(shape: &VaeShape, picture: Area) -> u128 {
    let mut area = picture;
    let mut channels = shape.channels.first().copied().unwrap_or_default() as u128;
    let mut widest = area.pixels() * (3 + channels);
    for (number, level) in shape.channels.iter().enumerate() {
        let outputs = *level as u128;
        for _ in 0..shape.layers_per_block {
            widest = widest.max(resnet(area.pixels(), channels, outputs));
            channels = outputs;
        }
        if number + 1 < shape.channels.len() {
            // Padded along one side, then along the other.
            widest = widest.max(area.pixels() * (3 * channels + channels / 4));
            area = area.halved();
        }
    }
    widest.max(attention(area, channels))
}

fn decoder(shape: &VaeShape, latents: Area) -> u128 {
    let mut area = latents;
    let mut channels = shape.channels.last().copied().unwrap_or_default() as u128;
    let mut widest = attention(area, channels);
    for (number, level) in shape.channels.iter().rev().enumerate() {
        let outputs = *level as u128;
        for _ in 0..=shape.layers_per_block {
            widest = widest.max(resnet(area.pixels(), channels, outputs));
            channels = outputs;
        }
        if number + 1 < shape.channels.len() {
            let enlarged = area.doubled();
            let held = area.pixels() + (enlarged.pixels() * 2);
            widest = widest.max(held * channels);
            area = enlarged;
        }
    }
    // The last norm, and the picture as it becomes bytes.
    widest.max(area.pixels() * (2 * channels + 3)).max(area.pixels() * 13)
}

/// The innermost attention and the residual blocks around it.
fn attention(area: Area, channels: u128) -> u128 {
    area.pixels() * 9 * channels
}
