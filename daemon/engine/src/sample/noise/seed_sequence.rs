//! numpy's `SeedSequence`: many independent seeds from one.
//!
//! Sources of the facts: numpy v2 `numpy/random/bit_generator.pyx`; the mixing is O'Neill's `seed_seq_fe` (2015).

/// Words of the pool that torchsde's Brownian tree mixes in.
const POOL_WORDS: usize = 24;

/// The first word of `SeedSequence(entropy, spawn_key=spawn_key, pool_size=24).generate_state(1)`.
pub(super) fn first_word(entropy: u64, spawn_key: &[u64]) -> u32 {
    let mut words = words_of(entropy);
    if !spawn_key.is_empty() {
        // So that no seed with a key is the same as a longer seed without one.
        words.resize(POOL_WORDS.max(words.len()), 0);
        words.extend(spawn_key.iter().flat_map(|part| words_of(*part)));
    }
    let pool = mixed(&words);
    let mut hash = Hash { constant: 0x8b51_f9dd, multiplier: 0x58f3_8ded };
    hash.of(pool[0])
}

/// A number's words, the lowest first; zero has one.
fn words_of(number: u64) -> Vec<u32> {
    let (low, high) = ((number & 0xffff_ffff) as u32, (number >> 32) as u32);
    if high == 0 { vec![low] } else { vec![low, high] }
}

/// Hashes a stream of words, each with another constant.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn of(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ (word >> 16)
    }
}

fn mixed(words: &[u32]) -> [u32; POOL_WORDS] {
    let mut hash = Hash { constant: 0x43b0_d7e5, multiplier: 0x931e_8875 };
    let mut pool = [0; POOL_WORDS];
    for (at, word) in pool.iter_mut().enumerate() {
        *word = hash.of(words.get(at).copied().unwrap_or(0));
    }
    // Every word reaches every other.
    for source in 0..POOL_WORDS {
        for target in (0..POOL_WORDS).filter(|target| *target != source) {
            pool[target] = mix(pool[target], hash.of(pool[source]));
        }
    }
    for word in words.iter().skip(POOL_WORDS) {
        for target in &mut pool {
            *target = mix(*target, hash.of(*word));
        }
    }
    pool
}

fn mix(x: u32, y: u32) -> u32 {
    let mixed = x.wrapping_mul(0xca01_f9dd).wrapping_sub(y.wrapping_mul(0x4973_f715));
    mixed ^ (mixed >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::GoldenTensors;

    #[test]
    fn seeds_are_those_of_numpy() {
        let goldens = GoldenTensors::open("brownian.safetensors");
        // Rows of entropy, the two parts of the key, and the word.
        let rows = goldens.integers("seeds");
        assert!(rows.len() > 40);
        for row in rows.chunks_exact(4) {
            let word = |at: usize| u64::try_from(row[at]).unwrap();
            let key = [word(1), word(2)];
            assert_eq!(u64::from(first_word(word(0), &key)), word(3), "{row:?}");
        }
        for row in goldens.integers("first_seeds").chunks_exact(2) {
            let word = |at: usize| u64::try_from(row[at]).unwrap();
            assert_eq!(u64::from(first_word(word(0), &[])), word(1), "{row:?}");
        }
    }
}
