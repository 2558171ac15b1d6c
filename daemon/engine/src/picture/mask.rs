//! Masks: the part of a picture that they cover, and how their edges are softened.

use super::Mask;
use crate::error::EngineError;

/// A rectangle of pixels; right and bottom lie outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) right: usize,
    pub(crate) bottom: usize,
}

impl Region {
    pub(crate) const fn width(self) -> usize {
        self.right - self.left
    }

    pub(crate) const fn height(self) -> usize {
        self.bottom - self.top
    }

    /// What has to be seen of a picture to paint the masked part of it at `width` × `height`: the mask's bounds and
    /// `padding` around them, grown to the proportions of the painting and moved back into the picture (A1111 v1.10
    /// `modules/masking.py`, `get_crop_region_v2` and `expand_crop_region`).
    ///
    /// # Errors
    /// [`EngineError::Setting`] when nothing is masked.
    pub(crate) fn around(mask: &Mask, padding: usize, width: usize, height: usize) -> Result<Self, EngineError> {
        let bounds = Self::bounds(mask).ok_or_else(|| EngineError::Setting {
            setting: "mask",
            given: "empty".to_owned(),
            wanted: "one that leaves something to paint".to_owned(),
        })?;
        let (left, right) = padded((bounds.left, bounds.right), padding, mask.width);
        let (top, bottom) = padded((bounds.top, bounds.bottom), padding, mask.height);
        let padded = Self { left, top, right, bottom };
        // Both as the reference divides them, so that they round alike.
        let ratio = width as f64 / height as f64;
        let is_wide = padded.width() as f64 / padded.height() as f64 > ratio;
        Ok(if is_wide {
            let missing = (padded.width() as f64 / ratio - padded.height() as f64) as usize;
            let (top, bottom) = grown((top, bottom), missing, mask.height);
            Self { top, bottom, ..padded }
        } else {
            let missing = (padded.height() as f64 * ratio - padded.width() as f64) as usize;
            let (left, right) = grown((left, right), missing, mask.width);
            Self { left, right, ..padded }
        })
    }

    /// The smallest region with everything in it that is masked at all.
    fn bounds(mask: &Mask) -> Option<Self> {
        let is_masked = |byte: &u8| *byte > 0;
        let rows = || mask.bytes.chunks_exact(mask.width);
        let top = rows().position(|row| row.iter().any(is_masked))?;
        let bottom = rows().rposition(|row| row.iter().any(is_masked))? + 1;
        let left = rows().filter_map(|row| row.iter().position(is_masked)).min()?;
        let right = rows().filter_map(|row| row.iter().rposition(is_masked)).max()? + 1;
        Some(Self { left, top, right, bottom })
    }
}

fn padded((start, end): (usize, usize), padding: usize, length: usize) -> (usize, usize) {
    (start.saturating_sub(padding), end.saturating_add(padding).min(length))
}

/// A stretch of a side made longer by `missing`, half of it before and the greater half behind, and kept inside.
fn grown((start, end): (usize, usize), missing: usize, length: usize) -> (usize, usize) {
    let wanted = (end - start + missing).min(length);
    let start = (start as isize - (missing / 2) as isize).clamp(0, (length - wanted) as isize) as usize;
    (start, start + wanted)
}

/// A mask blurred by a Gaussian of standard deviation `sigma`, of which A1111 takes 2.5 deviations to each side
/// (`modules/processing.py`); edges are mirrored. In the whole numbers of OpenCV 5's `GaussianBlur`, since a byte more or
/// less decides which side of a hard edge a pixel falls to.
pub(crate) fn softened(mask: Mask, sigma: u32) -> Mask {
    if sigma == 0 {
        return mask;
    }
    let weights = weights(f64::from(sigma));
    let reach = (weights.len() / 2) as isize;
    let along = |mask: &Mask| -> Mask {
        let bytes = mask.bytes.chunks_exact(mask.width).flat_map(|row| {
            let weights = &weights;
            (0..mask.width as isize).map(move |x| {
                let near = weights.iter().zip(x - reach..);
                let sum: i64 = near.map(|(weight, at)| weight * i64::from(row[mirrored(at, row.len())])).sum();
                ((sum + 128) >> 8) as u8
            })
        });
        Mask { bytes: bytes.collect(), ..*mask }
    };
    along(&along(&mask).transposed()).transposed()
}

/// A Gaussian's weights in 256ths, which are 256 together: what is lost in rounding one is added to the next, and the
/// middle takes the rest.
fn weights(sigma: f64) -> Vec<i64> {
    let reach = (2.5 * sigma + 0.5) as i64;
    let exact: Vec<f64> = (-reach..=reach).map(|k| (-(k * k) as f64 / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f64 = exact.iter().sum();
    let mut lost = 0.0;
    let side: Vec<i64> = exact[..reach as usize]
        .iter()
        .map(|weight| {
            let wanted = weight / sum * 256.0 + lost;
            lost = wanted - wanted.round_ties_even();
            wanted.round_ties_even() as i64
        })
        .collect();
    let middle = 256 - 2 * side.iter().sum::<i64>();
    side.iter().copied().chain([middle]).chain(side.iter().rev().copied()).collect()
}

/// A place beyond an end, counted back from the end's pixel, which itself is not repeated.
fn mirrored(at: isize, length: usize) -> usize {
    let last = length as isize - 1;
    if last == 0 {
        return 0;
    }
    let turned = at.rem_euclid(2 * last);
    turned.min(2 * last - turned) as usize
}
