//! Pictures as bytes, before and behind the networks: sizes, masks, edges. Colours are sRGB and are computed with as they
//! are, like every tool that recipes come from does.

mod blur;
mod canny;
#[cfg(test)]
mod golden_tests;
mod mask;
mod resize;

pub(crate) use blur::filled;
pub(crate) use canny::canny;
pub(crate) use mask::{Region, softened};

use crate::error::EngineError;
use candle_core::{Device, Tensor};

/// A picture of so many bytes a pixel, row by row from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture<const CHANNELS: usize> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) type Rgb = Picture<3>;
/// 255 is painted, 0 stays.
pub(crate) type Mask = Picture<1>;

impl<const CHANNELS: usize> Picture<CHANNELS> {
    /// # Errors
    /// [`EngineError::Setting`] when there are more or fewer bytes than pixels, or no pixels at all.
    pub(crate) fn new(what: &'static str, width: u32, height: u32, bytes: Vec<u8>) -> Result<Self, EngineError> {
        let wanted = (u64::from(width) * u64::from(height)).saturating_mul(CHANNELS as u64);
        if wanted == 0 || bytes.len() as u64 != wanted {
            let (given, wanted) = (format!("{} bytes", bytes.len()), format!("{wanted}, and more than none"));
            return Err(EngineError::Setting { setting: what, given, wanted });
        }
        Ok(Self { width: width as usize, height: height as usize, bytes })
    }

    /// The pixel at a place; beyond the edges, the nearest one there is.
    fn pixel(&self, x: isize, y: isize) -> &[u8] {
        let within = |at: isize, length: usize| at.clamp(0, length as isize - 1) as usize;
        let at = (within(y, self.height) * self.width + within(x, self.width)) * CHANNELS;
        &self.bytes[at..at + CHANNELS]
    }

    /// Rows for columns.
    fn transposed(&self) -> Self {
        let bytes = (0..self.width as isize)
            .flat_map(|x| (0..self.height as isize).flat_map(move |y| self.pixel(x, y)))
            .copied()
            .collect();
        Self { width: self.height, height: self.width, bytes }
    }

    /// Values in 0 to 1, `[1, CHANNELS, height, width]`, on the CPU.
    pub(crate) fn tensor(&self) -> candle_core::Result<Tensor> {
        let planes = (0..CHANNELS).flat_map(|channel| self.bytes.iter().skip(channel).step_by(CHANNELS));
        let values: Vec<f32> = planes.map(|byte| f32::from(*byte) / 255.0).collect();
        Tensor::from_vec(values, (1, CHANNELS, self.height, self.width), &Device::Cpu)
    }
}

impl Rgb {
    /// What a VAE takes: values in −1 to 1, `[1, 3, height, width]`, on the CPU.
    pub(crate) fn signal(&self) -> candle_core::Result<Tensor> {
        (self.tensor()? * 2.0)? - 1.0
    }

    /// The picture with another one in place of a region of its size.
    pub(crate) fn with(&self, part: &Self, region: Region) -> Self {
        let mut bytes = self.bytes.clone();
        let rows = bytes.chunks_exact_mut(self.width * 3).skip(region.top);
        for (row, part) in rows.zip(part.bytes.chunks_exact(part.width * 3)) {
            row[region.left * 3..region.right * 3].copy_from_slice(part);
        }
        Self { bytes, ..*self }
    }

    /// `painted` where the mask says so, this picture elsewhere, and both where it is soft.
    pub(crate) fn under(&self, painted: &Self, mask: &Mask) -> Self {
        let pixels = self.bytes.chunks_exact(3).zip(painted.bytes.chunks_exact(3)).zip(&mask.bytes);
        let mixed = |ours: u8, theirs: u8, share: u8| {
            let (share, kept) = (u32::from(share), u32::from(u8::MAX - share));
            ((u32::from(theirs) * share + u32::from(ours) * kept + 127) / 255) as u8
        };
        let bytes = pixels
            .flat_map(|((ours, theirs), share)| [0, 1, 2].map(|channel| mixed(ours[channel], theirs[channel], *share)));
        Self { width: self.width, height: self.height, bytes: bytes.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_picture_are_refused() {
        for (width, height, bytes) in [(2, 2, 11), (2, 2, 13), (0, 4, 0), (u32::MAX, u32::MAX, 3)] {
            let error = Rgb::new("init image bytes", width, height, vec![0; bytes]).unwrap_err();
            assert!(error.to_string().starts_with("init image bytes"), "{error}");
        }
    }

    #[test]
    fn a_mask_says_how_much_of_which_picture_is_seen() {
        let picture = |value: u8| Rgb { width: 3, height: 1, bytes: vec![value; 9] };
        let mask = Mask { width: 3, height: 1, bytes: vec![0, 255, 51] };
        assert_eq!(picture(100).under(&picture(200), &mask).bytes, [100, 100, 100, 200, 200, 200, 120, 120, 120]);
    }
}
