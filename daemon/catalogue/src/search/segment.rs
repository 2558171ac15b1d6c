//! A stretch of the packed rows as columns, so that a question to a million models reads only what it is about: one
//! byte of each for their kind, and not the 48 of a row.

use super::filter::{Label, Number};
use super::row::{CHUNK_ROWS, ROW_BYTES, Row};

/// Chunks that are copied as one when they change while somebody still looks at them: 240 KiB.
pub(crate) const SEGMENT_CHUNKS: usize = 64;
pub(crate) const SEGMENT_ROWS: usize = SEGMENT_CHUNKS * CHUNK_ROWS;
const MASK_WORDS: usize = SEGMENT_ROWS / 64;
/// As many models of a segment are looked at one by one.
const FEW: usize = SEGMENT_ROWS / 12;

/// Some models of a segment, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mask([u64; MASK_WORDS]);

impl Mask {
    pub(crate) const NONE: Self = Self([0; MASK_WORDS]);

    /// Those of `bits`, which hold the models of all segments, that are in the one of this number.
    pub(crate) fn keep(&mut self, bits: &[u64], segment: usize) {
        let bits = bits.get(segment * MASK_WORDS..).unwrap_or_default();
        let beyond = std::iter::repeat(&0);
        self.0.iter_mut().zip(bits.iter().chain(beyond)).for_each(|(word, other)| *word &= other);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    pub(crate) fn remove(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= !other);
    }

    /// Leaves those whose value in a column passes.
    pub(crate) fn narrow<T: Copy>(&mut self, column: &[T; SEGMENT_ROWS], passes: impl Fn(T) -> bool) {
        let mut room = [0; FEW + 64];
        if let Some(few) = self.few(&mut room) {
            // Without a branch on anything that was fetched, so that many values are on their way at once.
            for at in few.iter().map(|at| usize::from(*at)) {
                self.0[at / 64] &= !(u64::from(!passes(column[at])) << (at % 64));
            }
            return;
        }
        for (word, values) in self.0.iter_mut().zip(column.as_chunks::<64>().0) {
            // A byte for each at first, which the compiler does many at a time.
            let mut passed = [0_u8; 64];
            passed.iter_mut().zip(values).for_each(|(passed, value)| *passed = passes(*value).into());
            let bits = passed.as_chunks::<8>().0.iter().zip(0..).map(|(bytes, at)| gathered(*bytes) << (8 * at));
            *word &= bits.fold(0, |all, bits| all | bits);
        }
    }

    /// Its places, if there are so few that one is looked at after the other.
    fn few<'a>(&self, room: &'a mut [u16; FEW + 64]) -> Option<&'a [u16]> {
        if self.len() > FEW as u64 {
            return None;
        }
        let mut count = 0;
        for (word, first) in self.0.iter().zip((0_u16..).step_by(64)) {
            let (mut left, end) = (*word, count + word.count_ones() as usize);
            // Four at a time whether there are as many or not: what is too much is written over.
            while count < end {
                for place in &mut room[count..count + 4] {
                    *place = first + left.trailing_zeros() as u16;
                    left &= left.wrapping_sub(1);
                }
                count += 4;
            }
            count = end;
        }
        Some(&room[..count])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Does something for each place in the segment, in order.
    pub(crate) fn for_each(&self, mut act: impl FnMut(usize)) {
        let mut room = [0; FEW + 64];
        match self.few(&mut room) {
            Some(few) => few.iter().for_each(|at| act(usize::from(*at))),
            None => self.iter().for_each(act),
        }
    }

    /// Places in the segment, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        super::bits::places(&self.0)
    }

    fn set(&mut self, at: usize, present: bool) {
        let bit = 1 << (at % 64);
        let word = &mut self.0[at / 64];
        *word = if present { *word | bit } else { *word & !bit };
    }
}

/// Eight bytes that are 0 or 1 as the eight lowest bits: each product of one byte and one bit of the factor that falls
/// into the highest byte falls on another place of it.
fn gathered(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Every field of [`Row`], of as many models as a segment holds.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) present: Mask,
    pub(crate) flags: Box<[u32; SEGMENT_ROWS]>,
    pub(crate) kind: Box<[u8; SEGMENT_ROWS]>,
    pub(crate) hub: Box<[u8; SEGMENT_ROWS]>,
    pub(crate) state: Box<[u8; SEGMENT_ROWS]>,
    pub(crate) nsfw: Box<[u8; SEGMENT_ROWS]>,
    pub(crate) created: Box<[u32; SEGMENT_ROWS]>,
    downloads: Box<[u32; SEGMENT_ROWS]>,
    likes: Box<[u32; SEGMENT_ROWS]>,
    updated: Box<[u32; SEGMENT_ROWS]>,
    size_kib: Box<[u32; SEGMENT_ROWS]>,
    creator: Box<[u32; SEGMENT_ROWS]>,
    base_models: Box<[u32; SEGMENT_ROWS]>,
    architectures: Box<[u32; SEGMENT_ROWS]>,
    formats: Box<[u32; SEGMENT_ROWS]>,
    precisions: Box<[u32; SEGMENT_ROWS]>,
    /// When more than counters of each chunk changed.
    pub(crate) renewed: [i64; SEGMENT_CHUNKS],
}

impl Segment {
    pub(crate) fn new() -> Self {
        let words = || Box::new([0; SEGMENT_ROWS]);
        let bytes = || Box::new([0; SEGMENT_ROWS]);
        Self {
            present: Mask::NONE,
            flags: words(),
            kind: bytes(),
            hub: bytes(),
            state: bytes(),
            nsfw: bytes(),
            created: words(),
            downloads: words(),
            likes: words(),
            updated: words(),
            size_kib: words(),
            creator: words(),
            base_models: words(),
            architectures: words(),
            formats: words(),
            precisions: words(),
            renewed: [0; SEGMENT_CHUNKS],
        }
    }

    /// Takes over the rows of a chunk, of which there are [`SEGMENT_CHUNKS`] places.
    pub(crate) fn set_chunk(&mut self, place: usize, renewed: i64, bytes: &[u8]) {
        self.renewed[place] = renewed;
        for (bytes, at) in bytes.as_chunks::<ROW_BYTES>().0.iter().zip(place * CHUNK_ROWS..(place + 1) * CHUNK_ROWS) {
            let row = Row::read_from(bytes);
            self.present.set(at, row.is_present());
            self.flags[at] = row.flags;
            self.kind[at] = row.kind;
            self.hub[at] = row.hub;
            self.state[at] = row.state;
            self.nsfw[at] = row.nsfw;
            self.created[at] = row.created;
            self.downloads[at] = row.downloads;
            self.likes[at] = row.likes;
            self.updated[at] = row.updated;
            self.size_kib[at] = row.size_kib;
            self.creator[at] = row.creator;
            self.base_models[at] = row.base_models;
            self.architectures[at] = row.architectures;
            self.formats[at] = row.formats;
            self.precisions[at] = row.precisions;
        }
    }

    pub(crate) fn labels(&self, of: Label) -> &[u32; SEGMENT_ROWS] {
        match of {
            Label::BaseModel => &self.base_models,
            Label::Creator => &self.creator,
            Label::Architecture => &self.architectures,
            Label::Format => &self.formats,
            Label::Precision => &self.precisions,
        }
    }

    /// The column of a number; none of ratings, which are bytes.
    pub(crate) fn numbers(&self, of: Number) -> Option<&[u32; SEGMENT_ROWS]> {
        match of {
            Number::Downloads => Some(&self.downloads),
            Number::Likes => Some(&self.likes),
            Number::Size => Some(&self.size_kib),
            Number::Created => Some(&self.created),
            Number::Updated => Some(&self.updated),
            Number::Nsfw => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_mask_is_a_set(
            values in prop::collection::vec(0_u8..4, 300),
            others in prop::collection::btree_set(0_usize..400, 0..60),
        ) {
            let mut column = [9; SEGMENT_ROWS];
            column[..300].copy_from_slice(&values);
            let mut all = Mask::NONE;
            (0..350).for_each(|at| all.set(at, true));
            let mut small = all;
            small.narrow(&column, |value| value < 2);
            let wanted: BTreeSet<usize> = (0..300).filter(|at| values[*at] < 2).collect();
            prop_assert_eq!(small.iter().collect::<BTreeSet<_>>(), wanted.clone());
            prop_assert_eq!((small.len(), small.is_empty()), (wanted.len() as u64, wanted.is_empty()));

            let mut bits = super::super::bits::Bits::default();
            others.iter().for_each(|id| bits.insert(SEGMENT_ROWS + id));
            let mut kept = small;
            kept.keep(bits.words(), 1);
            prop_assert!(kept.iter().eq(wanted.intersection(&others).copied()));
            let mut elsewhere = small;
            elsewhere.keep(bits.words(), 7);
            prop_assert!(elsewhere.is_empty());

            let mut rest = small;
            rest.remove(&kept);
            prop_assert!(rest.iter().eq(wanted.difference(&others).copied()));
            rest.add(&kept);
            prop_assert_eq!(rest, small);
        }
    }

    #[test]
    fn a_chunk_is_put_in_its_place() {
        let mut row = Row::present();
        (row.kind, row.nsfw, row.downloads, row.creator) = (2, 3, 4, 5);
        let mut bytes = [0; CHUNK_ROWS * ROW_BYTES];
        row.write_to(&mut bytes.as_chunks_mut::<ROW_BYTES>().0[7]);
        let mut segment = Segment::new();
        segment.set_chunk(2, 11, &bytes);
        let at = 2 * CHUNK_ROWS + 7;
        assert_eq!(segment.present.iter().collect::<Vec<_>>(), [at]);
        assert_eq!((segment.kind[at], segment.nsfw[at], segment.renewed[2]), (2, 3, 11));
        assert_eq!(segment.numbers(Number::Downloads).unwrap()[at], 4);
        assert_eq!(segment.labels(Label::Creator)[at], 5);
        segment.set_chunk(2, 12, &[0; CHUNK_ROWS * ROW_BYTES]);
        assert!(segment.present.is_empty());
    }
}
