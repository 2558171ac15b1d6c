//! Weights that stand for training: drawn from their names, so that a network needs no file.

use crate::error::EngineError;
use crate::load::TensorSource;
use crate::sample::PictureNoise;
use candle_core::{Device, Tensor};

/// The weight of a canonical name (`tests/goldens/make_families.py`, `weight`): noise seeded with the CRC-32 of component and
/// name, scaled so that activations stay near one.
pub(crate) fn weight(component: &str, name: &str, shape: &[usize]) -> candle_core::Result<Vec<f32>> {
    let mut crc = !0_u32;
    for byte in format!("{component}.{name}").bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let count = shape.iter().product::<usize>();
    let drawn: Vec<f32> = PictureNoise::new(u64::from(!crc)).tensor(count)?.to_vec1()?;
    let inputs = shape.iter().skip(1).product::<usize>();
    let scale = (1.0 / (inputs as f64).sqrt()) as f32;
    let of = |value: f32| match shape.len() {
        1 if name.ends_with(".weight") => value * 0.1 + 1.0,
        1 => value * 0.1,
        _ => value * scale,
    };
    Ok(drawn.into_iter().map(of).collect())
}

/// All weights of one component.
pub(super) struct Drawn {
    pub(super) component: &'static str,
}

impl TensorSource for Drawn {
    fn read(&self, name: &str, wanted: &[usize]) -> Result<Tensor, EngineError> {
        let drawn =
            weight(self.component, name, wanted).and_then(|values| Tensor::from_vec(values, wanted, &Device::Cpu));
        drawn.map_err(EngineError::computing("drawing weights"))
    }
}
