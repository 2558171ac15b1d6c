//! Exponential and error function over whole rows. Written without branches, so that the compiler does many at once.

/// Beyond this f32 has no normal number left.
const LOWEST: f32 = -87.0;
const HIGHEST: f32 = 88.0;
/// Adding and taking away 1.5 · 2²³ rounds to the nearest whole number.
const ROUNDING: f32 = 12_582_912.0;
/// ln 2 in two parts, the first of which has few enough bits that whole multiples of it are exact (Cody and Waite 1980).
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// e to the power of `x`, within two units of the last place; 0 for anything far below. The polynomial is Cephes' `expf`
/// (Moshier, netlib `cephes/single/expf.c`).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let clamped = x.clamp(LOWEST, HIGHEST);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUNDING;
    let whole = shifted - ROUNDING;
    let rest = clamped - whole * LN_2_HIGH - whole * LN_2_LOW;
    let mut sum = 1.987_569_1e-4;
    sum = sum * rest + 1.398_199_9e-3;
    sum = sum * rest + 8.333_452e-3;
    sum = sum * rest + 4.166_579_6e-2;
    sum = sum * rest + 1.666_666_5e-1;
    sum = sum * rest + 0.5;
    let fraction = sum * rest * rest + rest + 1.0;
    // The whole number stands in the lowest bits of what was rounded, and goes to where f32 keeps its exponent.
    let power = shifted.to_bits().wrapping_sub(ROUNDING.to_bits()).wrapping_add(127) << 23;
    let value = fraction * f32::from_bits(power);
    if x < LOWEST { 0.0 } else { value }
}

/// The error function, within 2·10⁻⁷ (Abramowitz and Stegun 1964, 7.1.26).
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let sum = ((((1.061_405_4 * t - 1.453_152_1) * t + 1.421_413_8) * t - 0.284_496_72) * t + 0.254_829_6) * t;
    (1.0 - sum * exp(-size * size)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_the_library() {
        let mut at = -100.0_f32;
        while at < 88.0 {
            let (found, wanted) = (f64::from(exp(at)), f64::from(at).exp());
            let near = if at < LOWEST { found == 0.0 } else { ((found - wanted) / wanted).abs() < 2.5e-7 };
            assert!(near, "exp({at}): {found} for {wanted}");
            at += 0.003_7;
        }
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY)), (1.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn the_error_function_is_the_tables() {
        for (at, wanted) in
            [(0.0, 0.0), (0.1, 0.112_462_916), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (4.0, 1.0)]
        {
            assert!((erf(at) - wanted).abs() < 3e-7, "erf({at}): {}", erf(at));
            assert!((erf(-at) + wanted).abs() < 3e-7, "erf(-{at}): {}", erf(-at));
        }
    }
}
