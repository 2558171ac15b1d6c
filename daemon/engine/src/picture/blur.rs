//! Colours for a masked part from around it: what A1111 calls "fill" (`modules/masking.py`, `fill`), in the whole numbers
//! of Pillow 12's `BoxBlur.c`, `AlphaComposite.c` and `Convert.c`, so that no step of it looks different.

use super::{Mask, Picture, Rgb};

/// Radius of each blur, and how often its result is laid over what was there.
const LAYERS: [(f32, usize); 6] = [(256.0, 1), (64.0, 1), (16.0, 2), (4.0, 4), (2.0, 2), (0.0, 1)];
/// Box blurs that stand for a Gaussian.
const PASSES: usize = 3;

/// The picture with the masked part filled by the colours around it.
pub(crate) fn filled(picture: &Rgb, mask: &Mask) -> Rgb {
    // Colours multiplied by how much of them is kept, and that as the fourth channel.
    let kept = picture.bytes.chunks_exact(3).zip(&mask.bytes).flat_map(|(pixel, share)| {
        let kept = u8::MAX - share;
        [pixel[0], pixel[1], pixel[2], u8::MAX].map(|channel| over_255(u32::from(channel) * u32::from(kept)))
    });
    let kept = Picture::<4> { width: picture.width, height: picture.height, bytes: kept.collect() };
    let mut below = vec![[0; 4]; picture.width * picture.height];
    for (radius, repeats) in LAYERS {
        let layer = gaussian(&kept, radius);
        for _ in 0..repeats {
            for (below, pixel) in below.iter_mut().zip(layer.bytes.chunks_exact(4)) {
                *below = composed(divided(pixel), *below);
            }
        }
    }
    let bytes = below.into_iter().flat_map(|[red, green, blue, _]| [red, green, blue]).collect();
    Rgb { width: picture.width, height: picture.height, bytes }
}

/// `value / 255`, rounded.
fn over_255(value: u32) -> u8 {
    let value = value + 128;
    (((value >> 8) + value) >> 8) as u8
}

/// A colour that was multiplied by its opacity, as it was.
fn divided(pixel: &[u8]) -> [u8; 4] {
    let alpha = pixel[3];
    let divide = |channel: u8| match alpha {
        0 | u8::MAX => channel,
        alpha => (255 * u32::from(channel) / u32::from(alpha)).min(255) as u8,
    };
    [divide(pixel[0]), divide(pixel[1]), divide(pixel[2]), alpha]
}

/// One colour laid over another.
fn composed(above: [u8; 4], below: [u8; 4]) -> [u8; 4] {
    const BITS: u32 = 7;
    if above[3] == 0 {
        return below;
    }
    let (alpha, beneath) = (u32::from(above[3]), u32::from(below[3]));
    let opacity = alpha * 255 + beneath * (255 - alpha);
    let share = alpha * 255 * 255 * (1 << BITS) / opacity;
    let rest = 255 * (1 << BITS) - share;
    let by_255 = |value: u32| ((value >> 8) + value) >> 8;
    let mixed = |at: usize| {
        let sum = u32::from(above[at]) * share + u32::from(below[at]) * rest + (0x80 << BITS);
        (by_255(sum) >> BITS) as u8
    };
    [mixed(0), mixed(1), mixed(2), by_255(opacity + 0x80) as u8]
}

/// Three box blurs in a row along both sides (Gwosdek et al. 2011, extended box filter).
fn gaussian(picture: &Picture<4>, radius: f32) -> Picture<4> {
    if radius == 0.0 {
        return picture.clone();
    }
    let variance = radius * radius / PASSES as f32;
    let whole = (((12.0 * variance + 1.0).sqrt() - 1.0) / 2.0).floor();
    let fraction = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance)
        / (6.0 * (variance - (whole + 1.0) * (whole + 1.0)));
    let blurred = (0..PASSES).fold(picture.clone(), |picture, _| box_blur(&picture, whole + fraction));
    let turned = (0..PASSES).fold(blurred.transposed(), |picture, _| box_blur(&picture, whole + fraction));
    turned.transposed()
}

/// The mean of `2 · radius + 1` pixels of each row, of the two at the ends as much as the radius has of them.
fn box_blur(picture: &Picture<4>, radius: f32) -> Picture<4> {
    let whole = radius as isize;
    let of_whole = ((1 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
    let of_ends = ((1 << 24) - (whole as u32 * 2 + 1) * of_whole) / 2;
    let mut bytes = Vec::with_capacity(picture.bytes.len());
    for y in 0..picture.height as isize {
        let at = |x: isize, channel: usize| u32::from(picture.pixel(x, y)[channel]);
        let mut sums = [0, 1, 2, 3].map(|channel| (-whole..=whole).map(|x| at(x, channel)).sum::<u32>());
        for x in 0..picture.width as isize {
            for (channel, sum) in sums.iter_mut().enumerate() {
                let ends = at(x - whole - 1, channel) + at(x + whole + 1, channel);
                bytes.push((*sum * of_whole + ends * of_ends).wrapping_add(1 << 23).wrapping_shr(24) as u8);
                *sum = *sum + at(x + whole + 1, channel) - at(x - whole, channel);
            }
        }
    }
    Picture { bytes, ..*picture }
}
