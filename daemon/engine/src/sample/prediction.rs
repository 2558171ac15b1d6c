//! What a network predicts, and what clean latents follow from it (Karras et al. 2022, section 5; k-diffusion
//! `external.py`).

use candle_core::{Result, Tensor};

/// What the network was trained to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prediction {
    /// The noise ε.
    Noise,
    /// The velocity √ᾱ · ε − √(1 − ᾱ) · signal (Salimans and Ho 2022).
    Velocity,
}

impl Prediction {
    /// The clean latents in `x = signal + σ · noise`, where the network saw `x / √(σ² + 1)` and said `predicted`.
    pub(crate) fn clean(self, x: &Tensor, predicted: &Tensor, sigma: f64) -> Result<Tensor> {
        match self {
            Self::Noise => x - (predicted * sigma)?,
            Self::Velocity => (x * (1.0 / (sigma * sigma + 1.0)))? - (predicted * (sigma / sigma.hypot(1.0)))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_network_that_knows_signal_and_noise_gives_the_signal_back() {
        let of = |value: f32| Tensor::from_vec(vec![value], 1, &Device::Cpu).unwrap();
        let (signal, noise) = (0.7_f64, -1.3_f64);
        for sigma in [0.03, 1.0, 14.6, 4096.0] {
            let x = of((signal + sigma * noise) as f32);
            // √ᾱ and √(1 − ᾱ) of this σ.
            let (kept, added) = (1.0 / sigma.hypot(1.0), sigma / sigma.hypot(1.0));
            let velocity = of((kept * noise - added * signal) as f32);
            for (prediction, said) in [(Prediction::Noise, of(noise as f32)), (Prediction::Velocity, velocity)] {
                let clean = prediction.clean(&x, &said, sigma).unwrap().to_vec1::<f32>().unwrap()[0];
                // Noise as large as this leaves few digits of the signal.
                let tolerance = 1e-6 * sigma.max(1.0);
                assert!((f64::from(clean) - signal).abs() < tolerance, "{prediction:?} at {sigma}: {clean}");
            }
        }
    }
}
