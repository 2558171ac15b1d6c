//! The noise that PyTorch's CPU generator makes for a seed, bit for bit, so that a seed copied from a picture made
//! elsewhere starts the same picture here.
//!
//! Sources of the facts: Matsumoto and Nishimura 1998 (MT19937); PyTorch v2.9.1 `ATen/core/MT19937RNGEngine.h`,
//! `ATen/core/DistributionsHelper.h` and `ATen/native/cpu/DistributionTemplates.h` (how uniforms are drawn and
//! paired); Cephes `logf`, `sinf` and `cosf` (Moshier) for the polynomials that PyTorch's x86 build evaluates with
//! fused multiply-adds. ARM builds of PyTorch call the C library there instead, which differs in the last bit.

const WORDS: usize = 624;
const SHIFT: usize = 397;

/// MT19937, seeded the way `torch.manual_seed` does: only the low 32 bits of the seed count.
#[derive(Debug, Clone)]
struct MersenneTwister {
    state: [u32; WORDS],
    next: usize,
}

impl MersenneTwister {
    fn new(seed: u64) -> Self {
        let mut state = [0; WORDS];
        state[0] = (seed & 0xffff_ffff) as u32;
        for i in 1..WORDS {
            let previous = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: WORDS }
    }

    fn refill(&mut self) {
        for i in 0..WORDS {
            let joined = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % WORDS] & 0x7fff_ffff);
            let twist = if joined & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[i] = self.state[(i + SHIFT) % WORDS] ^ (joined >> 1) ^ twist;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
}

/// `torch.Generator("cpu").manual_seed(seed)`: successive calls continue one stream.
#[derive(Debug, Clone)]
pub(super) struct TorchCpu {
    twister: MersenneTwister,
    /// The second half of a Box–Muller pair, kept for the next single draw.
    spare: Option<f64>,
}

impl TorchCpu {
    pub(super) fn new(seed: u64) -> Self {
        Self { twister: MersenneTwister::new(seed), spare: None }
    }

    /// `torch.randn(count)`: standard normal numbers. Short and long draws take different paths, as they do there.
    pub(super) fn normal(&mut self, count: usize) -> Vec<f32> {
        if count < 16 {
            return (0..count).map(|_| self.single() as f32).collect();
        }
        let mut values: Vec<f32> = (0..count).map(|_| self.uniform_f32()).collect();
        for block in values.chunks_exact_mut(16) {
            box_muller_16(block);
        }
        if !count.is_multiple_of(16) {
            // The last sixteen are drawn anew, overlapping the block before them.
            let tail = &mut values[count - 16..];
            for value in tail.iter_mut() {
                *value = self.uniform_f32();
            }
            box_muller_16(tail);
        }
        values
    }

    /// Uniform in [0, 1) with 24 bits.
    fn uniform_f32(&mut self) -> f32 {
        (self.twister.word() & 0x00ff_ffff) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in [0, 1) with 53 bits, the first word being the high one.
    fn uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.twister.word());
        let low = u64::from(self.twister.word());
        ((high << 32 | low) & ((1 << 53) - 1)) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    fn single(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let u1 = self.uniform_f64();
        let u2 = self.uniform_f64();
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * u1;
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

/// Turns sixteen uniforms into sixteen normals: eight radii from the first half, eight angles from the second.
fn box_muller_16(block: &mut [f32]) {
    let (radii, angles) = block.split_at_mut(8);
    for (first, second) in radii.iter_mut().zip(angles) {
        let radius = (-2.0 * ln(1.0 - *first)).sqrt();
        let (sin, cos) = sin_cos(std::f32::consts::TAU * *second);
        *first = radius * cos;
        *second = radius * sin;
    }
}

/// Cephes `logf` for normal positive numbers.
#[expect(clippy::excessive_precision, reason = "the coefficients as they were published")]
fn ln(x: f32) -> f32 {
    const POLYNOMIAL: [f32; 9] = [
        7.037_683_629_2e-2,
        -1.151_461_031_0e-1,
        1.167_699_874_0e-1,
        -1.242_014_084_6e-1,
        1.424_932_278_7e-1,
        -1.666_805_766_5e-1,
        2.000_071_476_5e-1,
        -2.499_999_399_3e-1,
        3.333_333_117_4e-1,
    ];
    let bits = x.to_bits();
    let mut exponent = ((bits >> 23) as i32 - 127) as f32 + 1.0;
    let mut mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f00_0000);
    if mantissa < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1.0;
        mantissa = (mantissa - 1.0) + mantissa;
    } else {
        mantissa -= 1.0;
    }
    let square = mantissa * mantissa;
    let mut y = POLYNOMIAL[0];
    for coefficient in &POLYNOMIAL[1..] {
        y = y.mul_add(mantissa, *coefficient);
    }
    y *= mantissa;
    // ln 2 in two parts, the first of which multiplies exactly.
    y = y.mul_add(square, exponent * -2.121_944_40e-4);
    y = square.mul_add(-0.5, y);
    exponent.mul_add(0.693_359_375, mantissa + y)
}

/// Cephes `sinf` and `cosf` for 0 ≤ x < 8192.
#[expect(clippy::excessive_precision, reason = "the coefficients as they were published")]
fn sin_cos(x: f32) -> (f32, f32) {
    let octant = ((x * 1.273_239_544_735_16) as i32 + 1) & !1;
    let y = octant as f32;
    // π/4 in three parts.
    let x = y.mul_add(-0.785_156_25, x);
    let x = y.mul_add(-2.418_756_484_985_351_562_5e-4, x);
    let x = y.mul_add(-3.774_894_977_445_941_08e-8, x);
    let z = x * x;
    let cos =
        2.443_315_711_809_948e-5_f32.mul_add(z, -1.388_731_625_493_765e-3).mul_add(z, 4.166_664_568_298_827e-2) * z;
    let cos = cos.mul_add(z, -(z * 0.5)) + 1.0;
    let sin = (-1.951_529_589_1e-4_f32).mul_add(z, 8.332_160_873_6e-3).mul_add(z, -1.666_665_461_1e-1) * z;
    let sin = sin.mul_add(x, x);
    let (sin, cos) = if octant & 2 == 0 { (sin, cos) } else { (cos, sin) };
    let sin = if octant & 4 == 0 { sin } else { -sin };
    let cos = if (octant - 2) & 4 == 0 { -cos } else { cos };
    (sin, cos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::GoldenTensors;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn noise_is_that_of_torch_bit_for_bit() {
        let goldens = GoldenTensors::open("noise.safetensors");
        let mut compared = 0;
        for name in goldens.names().into_iter().filter(|name| name.starts_with("seed")) {
            let (seed, count) = name.strip_prefix("seed").unwrap().split_once(".n").unwrap();
            let drawn = TorchCpu::new(seed.parse().unwrap()).normal(count.parse().unwrap());
            assert_eq!(bits(&drawn), bits(&goldens.values(&name)), "{name}");
            compared += drawn.len();
        }
        assert!(compared > 18_000, "{compared}");
    }

    #[test]
    fn successive_draws_continue_the_stream_of_torch() {
        let goldens = GoldenTensors::open("noise.safetensors");
        let mut generator = TorchCpu::new(7);
        let sizes = goldens.integers("consecutive.sizes");
        let drawn: Vec<f32> =
            sizes.into_iter().flat_map(|size| generator.normal(usize::try_from(size).unwrap())).collect();
        assert_eq!(bits(&drawn), bits(&goldens.values("consecutive")));
    }
}
