//! Pictures cut into tiles, so that memory is bounded whatever their size.
//!
//! Each tile is enlarged together with a margin of its neighbours, which is cut off again. Where the margin covers what
//! a pixel of the network sees, nothing changes; where it does not, what lies beyond hardly counts.

use super::Watch;
use crate::error::EngineError;
use crate::picture::Rgb;
use candle_core::{Result, Tensor};
use paintbox_domain::generation::Phase;

/// Side of an enlarged tile with its margins, in pixels: 64 features of such a tile are 420 MB in f32.
const ENLARGED_SIDE: usize = 1280;
/// Pixels around a tile. Networks see farther in principle; ESRGAN's do not weigh what lies beyond.
const MARGIN: usize = 32;
/// Tiles begin at multiples of this, which is the largest factor of a pixel unshuffle.
const GRID: usize = 4;

/// How a picture is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiling {
    pub(super) side: usize,
    pub(super) margin: usize,
}

/// # Errors
/// [`EngineError::TooLarge`] when the picture and one of `size`, width first, need more than `limit_bytes`.
pub(super) fn check_size(
    picture: &Rgb,
    size: (usize, usize),
    limit_bytes: u64,
) -> std::result::Result<(), EngineError> {
    // Values of the small picture in f32, bytes of the large one.
    let small = (picture.width as u64 * picture.height as u64).saturating_mul(12);
    let large = (size.0 as u64).saturating_mul(size.1 as u64).saturating_mul(3);
    let needed_bytes = small.saturating_add(large);
    let (width, height) = (u32::try_from(size.0).unwrap_or(u32::MAX), u32::try_from(size.1).unwrap_or(u32::MAX));
    if needed_bytes > limit_bytes || width == u32::MAX || height == u32::MAX {
        let phase = Phase::Upscaling;
        return Err(EngineError::TooLarge { width, height, phase, weights_bytes: 0, needed_bytes, limit_bytes });
    }
    Ok(())
}

impl Tiling {
    pub(super) fn usual(scale: usize) -> Self {
        let side = (ENLARGED_SIDE / scale).saturating_sub(2 * MARGIN).max(MARGIN);
        Self { side: side / GRID * GRID, margin: MARGIN }
    }

    /// Pixels of the whole, from tiles `[1, 3, h, w]` that `enlarge` makes larger by `scale`.
    pub(super) fn run(
        self,
        picture: &Rgb,
        scale: usize,
        watch: &Watch<'_>,
        enlarge: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> std::result::Result<Rgb, EngineError> {
        let image = picture.tensor().map_err(EngineError::computing("cutting the picture"))?;
        let (height, width) = (picture.height, picture.width);
        let row_bytes = 3 * scale * width;
        let mut bytes = vec![0; row_bytes * scale * height];
        let (mut done, count) = (0, height.div_ceil(self.side) * width.div_ceil(self.side));
        for top in (0..height).step_by(self.side) {
            for left in (0..width).step_by(self.side) {
                watch(done, count)?;
                done += 1;
                let (rows, columns) = (self.span(top, height), self.span(left, width));
                let tile = (|| {
                    let tile =
                        image.narrow(2, rows.outer, rows.outer_len)?.narrow(3, columns.outer, columns.outer_len)?;
                    let made = enlarge(&tile.contiguous()?)?;
                    let made = made.narrow(2, scale * rows.skip, scale * rows.len)?;
                    let made = made.narrow(3, scale * columns.skip, scale * columns.len)?;
                    made.permute((0, 2, 3, 1))?.contiguous()?.flatten_all()?.to_vec1::<f32>()
                })();
                let values = tile.map_err(EngineError::computing("enlarging a tile"))?;
                if !values.iter().all(|value| value.is_finite()) {
                    return Err(EngineError::NotFinite { stage: "the upscaler", step: 0 });
                }
                let start = 3 * scale * left;
                for (row, values) in values.chunks_exact(3 * scale * columns.len).enumerate() {
                    let at = (scale * top + row) * row_bytes + start;
                    let place = &mut bytes[at..at + values.len()];
                    place.iter_mut().zip(values).for_each(|(byte, value)| *byte = to_byte(*value));
                }
            }
        }
        Ok(Rgb { width: scale * width, height: scale * height, bytes })
    }

    /// Where the tile that begins at `from` lies on a side of `side` pixels.
    fn span(self, from: usize, side: usize) -> TileSpan {
        let len = self.side.min(side - from);
        let outer = from.saturating_sub(self.margin) / GRID * GRID;
        let end = (from + len + self.margin).min(side);
        TileSpan { outer, outer_len: end - outer, skip: from - outer, len }
    }
}

/// A tile on one axis: with its margins, and within them.
struct TileSpan {
    outer: usize,
    outer_len: usize,
    skip: usize,
    len: usize,
}

fn to_byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}
