//! A set of models, one bit for each.

use std::sync::Arc;

/// Ids of models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// Reads ids that SQLite put one after the other with commas between.
    pub(crate) fn insert_list(&mut self, list: &str) {
        // By hand, because there may be a million of them.
        let mut id = 0_usize;
        for byte in list.bytes() {
            if byte.is_ascii_digit() {
                id = id.saturating_mul(10).saturating_add(usize::from(byte - b'0'));
            } else {
                self.insert(id);
                id = 0;
            }
        }
        if !list.is_empty() {
            self.insert(id);
        }
    }

    pub(crate) fn insert(&mut self, id: usize) {
        // No row has a higher one; see `index`.
        if id >= 1 << 31 {
            return;
        }
        if self.0.len() <= id / 64 {
            self.0.resize((id / 64 + 1).next_multiple_of(1_024), 0);
        }
        self.0[id / 64] |= 1 << (id % 64);
    }

    pub(crate) fn contains(&self, id: usize) -> bool {
        self.0.get(id / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn remove_range(&mut self, range: std::ops::Range<usize>) {
        let words = range.start / 64..range.end.div_ceil(64).min(self.0.len());
        for (word, first) in self.0.get_mut(words.clone()).into_iter().flatten().zip(words.map(|at| at * 64)) {
            let (begin, end) = (range.start.saturating_sub(first), (range.end - first).min(64));
            if begin < end {
                *word &= !((u64::MAX >> (64 - (end - begin))) << begin);
            }
        }
    }

    pub(crate) fn intersect(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    pub(crate) fn unite(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// To be kept in less memory.
    pub(crate) fn packed(&self) -> Packed {
        let mut gaps = Vec::with_capacity(self.len() + self.len() / 8);
        let mut next = 0;
        for id in self.iter() {
            push_number(&mut gaps, id - next);
            next = id + 1;
            if gaps.len() >= self.0.len() * 8 {
                return Packed::Words(self.0.as_slice().into());
            }
        }
        Packed::Gaps { words: self.0.len(), gaps: gaps.into() }
    }

    /// Bit 0 of the first word is the model with id 0.
    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        places(&self.0)
    }
}

/// A set in less memory. For what words hold, gaps take a quarter more than the best that is possible, and are read and
/// written in a tenth of the time that a general compression takes.
#[derive(Debug, Clone)]
pub(crate) enum Packed {
    /// How many ids are left out before each one, in groups of seven bits, the lowest first; the eighth bit says that more
    /// follow.
    Gaps { words: usize, gaps: Arc<[u8]> },
    /// Of a set that most models are in.
    Words(Arc<[u64]>),
}

impl Packed {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Gaps { gaps, .. } => gaps.len(),
            Self::Words(words) => words.len() * 8,
        }
    }

    pub(crate) fn unpacked(&self) -> Bits {
        match self {
            Self::Words(words) => Bits(words.to_vec()),
            Self::Gaps { words, gaps } => {
                let mut bits = Bits(vec![0; *words]);
                let (mut id, mut shift) = (0, 0);
                for byte in gaps.iter() {
                    id += usize::from(byte & 0x7f) << shift;
                    shift += 7;
                    if byte & 0x80 == 0 {
                        bits.insert(id);
                        (id, shift) = (id + 1, 0);
                    }
                }
                bits
            }
        }
    }
}

fn push_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The places of the bits that are set, in order.
pub(crate) fn places(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(at, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            (left != 0).then(|| {
                left &= left - 1;
                at * 64 + bit as usize
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(
            ids in prop::collection::btree_set(0_usize..5_000, 0..100),
            others in prop::collection::btree_set(0_usize..5_000, 0..100),
            range in (0_usize..5_000, 0_usize..5_000),
        ) {
            let of = |ids: &BTreeSet<usize>| {
                let mut bits = Bits::default();
                bits.insert_list(&ids.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
                bits
            };
            let mut bits = of(&ids);
            prop_assert_eq!(bits.iter().collect::<BTreeSet<_>>(), ids.clone());
            prop_assert_eq!(bits.len(), ids.len());
            for id in 0..5_100 {
                prop_assert_eq!(bits.contains(id), ids.contains(&id));
            }
            prop_assert_eq!(bits.packed().unpacked(), bits.clone());
            let mut dense = bits.clone();
            (range.0.min(range.1)..range.0.max(range.1)).for_each(|id| dense.insert(id));
            prop_assert_eq!(dense.packed().unpacked(), dense.clone());
            prop_assert!(dense.packed().bytes() <= dense.words().len() * 8);
            let mut common = bits.clone();
            common.intersect(&of(&others));
            prop_assert!(common.iter().eq(ids.intersection(&others).copied()));
            let mut both = bits.clone();
            both.unite(&of(&others));
            prop_assert!(both.iter().eq(ids.union(&others).copied()));
            bits.remove_range(range.0..range.1);
            prop_assert!(bits.iter().eq(ids.into_iter().filter(|id| !(range.0..range.1).contains(id))));
        }
    }
}
