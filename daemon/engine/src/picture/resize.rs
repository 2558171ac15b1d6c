//! Other sizes of a picture, as A1111 makes them (`modules/images.py`, `resize_image`).

use super::Picture;
use super::mask::Region;
use crate::error::EngineError;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

impl<const CHANNELS: usize> Picture<CHANNELS> {
    /// The part of the picture in a region, which must lie inside.
    pub(crate) fn cropped(&self, region: Region) -> Self {
        let rows = self.bytes.chunks_exact(self.width * CHANNELS).skip(region.top).take(region.height());
        let bytes = rows.flat_map(|row| &row[region.left * CHANNELS..region.right * CHANNELS]).copied().collect();
        Self { width: region.width(), height: region.height(), bytes }
    }

    /// By Lanczos' filter with three lobes, its sides changed each on its own.
    pub(crate) fn resized(&self, width: usize, height: usize) -> Result<Self, EngineError> {
        self.resampled(width, height, FilterType::Lanczos3)
    }

    /// By Catmull and Rom's cubic filter, which Pillow calls `BICUBIC`.
    pub(crate) fn resized_bicubic(&self, width: usize, height: usize) -> Result<Self, EngineError> {
        self.resampled(width, height, FilterType::CatmullRom)
    }

    /// Each pixel being the one that its middle lies on.
    pub(crate) fn resized_nearest(&self, width: usize, height: usize) -> Self {
        let under = |at: usize, to: usize, from: usize| ((2 * at + 1) * from / (2 * to)) as isize;
        let rows = (0..height).map(|y| under(y, height, self.height));
        let bytes = rows.flat_map(|y| (0..width).flat_map(move |x| self.pixel(under(x, width, self.width), y)));
        Self { width, height, bytes: bytes.copied().collect() }
    }

    fn resampled(&self, width: usize, height: usize, filter: FilterType) -> Result<Self, EngineError> {
        if (width, height) == (self.width, self.height) {
            return Ok(self.clone());
        }
        let failed = |source: &dyn std::fmt::Display| EngineError::Compute {
            doing: "resizing a picture",
            source: candle_core::Error::msg(source),
        };
        let kind = if CHANNELS == 1 { PixelType::U8 } else { PixelType::U8x3 };
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let source = ImageRef::new(side(self.width), side(self.height), &self.bytes, kind);
        let source = source.map_err(|error| failed(&error))?;
        let mut resized = Image::new(side(width), side(height), kind);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
        Resizer::new().resize(&source, &mut resized, &options).map_err(|error| failed(&error))?;
        Ok(Self { width, height, bytes: resized.into_vec() })
    }

    /// All of the picture inside of another size, its edges drawn out to fill the rest (A1111's "Resize and fill").
    pub(crate) fn inside(&self, width: usize, height: usize) -> Result<Self, EngineError> {
        // Which of the sides is the tighter one, in whole numbers.
        let is_taller = width * self.height < self.width * height;
        let (inner_width, inner_height) = if is_taller {
            (width, (self.height * width / self.width).max(1))
        } else {
            ((self.width * height / self.height).max(1), height)
        };
        let inner = self.resized(inner_width, inner_height)?;
        let left = (width / 2) as isize - (inner_width / 2) as isize;
        let top = (height / 2) as isize - (inner_height / 2) as isize;
        Ok(inner.seen_from(left, top, width, height))
    }

    /// As much of the picture's middle as fills another size (A1111's "Crop and resize").
    pub(crate) fn covering(&self, width: usize, height: usize) -> Result<Self, EngineError> {
        let is_wider = width * self.height > self.width * height;
        let (outer_width, outer_height) = if is_wider {
            (width, self.height * width / self.width)
        } else {
            (self.width * height / self.height, height)
        };
        let outer = self.resized(outer_width.max(width), outer_height.max(height))?;
        let left = (width / 2) as isize - (outer.width / 2) as isize;
        let top = (height / 2) as isize - (outer.height / 2) as isize;
        Ok(outer.seen_from(left, top, width, height))
    }

    /// The picture placed on a sheet of another size, which its edges are drawn out over.
    fn seen_from(&self, left: isize, top: isize, width: usize, height: usize) -> Self {
        let rows = (0..height as isize).map(|y| y - top);
        let bytes = rows.flat_map(|y| (0..width as isize).flat_map(move |x| self.pixel(x - left, y)));
        Self { width, height, bytes: bytes.copied().collect() }
    }
}
