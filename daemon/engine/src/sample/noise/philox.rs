//! The noise that PyTorch's generator on NVIDIA cards makes for a seed, for pictures that began there.
//!
//! Sources of the facts: Salmon et al. 2011 (Philox-4×32-10); AUTOMATIC1111/stable-diffusion-webui v1.10
//! `modules/rng_philox.py`, whose numbers these are bit for bit: one counter for each number and one offset for each
//! draw, of the four words two, of Box and Muller's two normals the one with the sine.

const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

/// `torch.Generator("cuda").manual_seed(seed)` as A1111 imitates it: successive draws continue one stream.
#[derive(Debug, Clone)]
pub(super) struct Philox {
    seed: u64,
    draws: u32,
}

impl Philox {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, draws: 0 }
    }

    /// `torch.randn(count, device="cuda")`.
    pub(super) fn normal(&mut self, count: usize) -> Vec<f32> {
        let offset = self.draws;
        self.draws = self.draws.wrapping_add(1);
        (0..count).map(|number| normal(words([offset, 0, number as u32, 0], self.seed))).collect()
    }
}

fn words(mut counter: [u32; 4], seed: u64) -> [u32; 4] {
    let mut key = [(seed & 0xffff_ffff) as u32, (seed >> 32) as u32];
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let (high_0, low_0) = product(counter[0], MULTIPLIERS[0]);
        let (high_1, low_1) = product(counter[2], MULTIPLIERS[1]);
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0];
    }
    counter
}

fn product(x: u32, y: u32) -> (u32, u32) {
    let product = u64::from(x) * u64::from(y);
    ((product >> 32) as u32, (product & 0xffff_ffff) as u32)
}

/// Box and Muller's transform in double precision, from factors in single precision.
fn normal(words: [u32; 4]) -> f32 {
    const PART: f32 = 2.328_306_4e-10;
    const ANGLE: f32 = (2.328_306_4e-10_f64 * 6.283_185_5) as f32;
    let within = |word: u32, unit: f32| f64::from(word) * f64::from(unit) + f64::from(unit / 2.0);
    let radius = (-2.0 * within(words[0], PART).ln()).sqrt();
    (radius * within(words[1], ANGLE).sin()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::GoldenTensors;

    #[test]
    fn noise_is_that_of_a1111_bit_for_bit() {
        let goldens = GoldenTensors::open("noise_a1111.safetensors");
        let mut compared = 0;
        for name in goldens.names().into_iter().filter(|name| name.starts_with("philox.")) {
            let mut generator = Philox::new(name.trim_start_matches("philox.").parse().unwrap());
            let golden = goldens.values(&name);
            // Two draws of half each.
            let mut ours = generator.normal(golden.len() / 2);
            ours.extend(generator.normal(golden.len() / 2));
            let bits = |values: &[f32]| -> Vec<u32> { values.iter().map(|value| value.to_bits()).collect() };
            assert_eq!(bits(&ours), bits(&golden), "{name}");
            compared += ours.len();
        }
        assert!(compared >= 4000, "{compared}");
    }
}
