//! Numbers of eight bits, by table: OCP 8-bit Floating Point Specification (OFP8), revision 1.0, table 1 (`E5M2`, `E4M3`),
//! which torch calls `float8_e5m2` and `float8_e4m3fn`. Every one of them is a number of f32.

/// The values of `E4M3` by code: four bits of exponent with a bias of 7. There are no infinities; the two codes of all ones
/// are no numbers.
pub(super) static E4M3: [f32; 256] = table(3, 7, false);
/// The values of `E5M2` by code: five bits of exponent with a bias of 15, and infinities as IEEE 754 has them.
pub(super) static E5M2: [f32; 256] = table(2, 15, true);

/// The values of all codes of a sign, seven bits of exponent and mantissa, `mantissa_bits` of them the latter.
const fn table(mantissa_bits: u32, bias: i32, has_infinities: bool) -> [f32; 256] {
    let mut values = [0.0; 256];
    let mut code = 0_usize;
    while code < values.len() {
        let mantissa = code & ((1 << mantissa_bits) - 1);
        let exponent = (code & 0x7f) >> mantissa_bits;
        let is_last = exponent == 0x7f >> mantissa_bits;
        // Without infinities the last exponent is one like the others, but for its last mantissa.
        let magnitude = if is_last && has_infinities {
            if mantissa == 0 { f32::INFINITY } else { f32::NAN }
        } else if is_last && mantissa == (1 << mantissa_bits) - 1 {
            f32::NAN
        } else {
            let leading = if exponent == 0 { 0 } else { 1 << mantissa_bits };
            let power = if exponent == 0 { 1 } else { exponent as i32 };
            (leading + mantissa) as f32 * power_of_two(power - bias - mantissa_bits as i32)
        };
        values[code] = if code < 0x80 { magnitude } else { -magnitude };
        code += 1;
    }
    values
}

/// Of exponents that normal numbers of f32 have.
const fn power_of_two(exponent: i32) -> f32 {
    const BIAS: i32 = 127;
    const MANTISSA_BITS: u32 = 23;
    f32::from_bits(((exponent + BIAS) as u32) << MANTISSA_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::GoldenTensors;

    #[test]
    fn every_code_is_what_torch_makes_of_it() {
        let golden = GoldenTensors::open("fp8.safetensors");
        for (name, ours) in [("float8_e4m3fn", &E4M3), ("float8_e5m2", &E5M2)] {
            let theirs: Vec<f32> = golden.tensor(name).to_vec1().unwrap();
            assert_eq!(theirs.len(), ours.len());
            for (code, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                let same = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
                assert!(same, "{name} {code:#04x}: {ours} and {theirs}");
            }
        }
        // What the specification's table lists.
        assert_eq!((E4M3[0x7e], E4M3[0x08], E4M3[0x01]), (448.0, 0.015_625, 0.001_953_125));
        assert_eq!((E5M2[0x7b], E5M2[0x7c], E5M2[0xfc]), (57_344.0, f32::INFINITY, f32::NEG_INFINITY));
    }
}
