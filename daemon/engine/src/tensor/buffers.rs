//! How much operations take besides what they read and write: bounded, whatever the picture's size.

use super::{attention, conv, cpu};

/// For the widest convolution, whose patches have `depth` values and whose rows are `width` pixels long, and the attention
/// with the most `keys`.
pub(crate) fn bytes(is_gpu: bool, threads: usize, depth: u64, width: u64, keys: u64) -> u64 {
    let (columns, scores) = if is_gpu {
        (conv::COLUMN_BYTES as u64, attention::SCORE_BYTES as u64)
    } else {
        // At least one row of patches, and the scores of a few queries for each thread.
        let columns = (cpu::BAND_VALUES as u64).max(depth.saturating_mul(width));
        (columns.saturating_mul(4), keys.saturating_mul((cpu::QUERIES * threads * size_of::<f32>()) as u64))
    };
    columns.saturating_add(scores)
}
