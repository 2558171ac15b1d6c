//! Every kind of network on this machine's device, held against diffusers: `paintbox doctor --engine`.
//!
//! The networks are small models of make_families.py, whose weights are drawn; inputs and results of the reference come
//! with the program (`tests/goldens/make_selfcheck.py`). This is how a device is proved that no developer has.

mod drawn;

use crate::device::Precision;
use crate::error::EngineError;
use crate::load::Weights;
use crate::networks::{ClipShape, ClipText, Conditions, Gelu, Layers, Level, Unet, UnetShape, Vae, VaeShape};
use crate::tensor::{interruption, sinusoids};
use candle_core::{DType, Device, Result as Computed, Tensor};
use drawn::Drawn;
#[cfg(test)]
pub(crate) use drawn::weight;
use paintbox_domain::generation::EngineCheck;
use paintbox_weights::read_header;
use paintbox_weights::safetensors::{Dtype, Header};
use paintbox_weights::stable_diffusion::Middle;
use std::io::Cursor;

const GOLDENS: &[u8] = include_bytes!("../assets/selfcheck.safetensors");

const TIMESTEP: f64 = 437.31;
/// The end token of CLIP's vocabulary.
const END: u32 = 49_407;

/// The largest difference that passes, for values up to 10; in proportion above. The engine promises the first on the CPU.
/// A GPU adds in another order and has its own exponentials; f16 has eleven bits, of which sums over a network's depth
/// leave about six.
const OF_CPU: f64 = 2e-5;
const OF_GPU: f64 = 2e-3;
const OF_HALF: f64 = 2e-1;
const MAGNITUDE: f64 = 10.0;

/// Checks each network in each precision that the device computes in. What cannot be computed is a failed check; only
/// being told to stop ends all.
///
/// # Errors
/// [`EngineError::Cancelled`], or when the goldens themselves cannot be read.
pub(crate) fn checks(device: &Device) -> Result<Vec<EngineCheck>, EngineError> {
    let goldens = Goldens::open()?;
    let mut checks = Vec::new();
    for component in Component::ALL {
        for precision in component.precisions() {
            let dtype = precision.dtype(device);
            if precision == Precision::Half && dtype == DType::F32 {
                continue;
            }
            checks.push(check(&goldens, component, precision, device)?);
        }
    }
    Ok(checks)
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Component {
    ClipL,
    OpenClip,
    Unet1,
    UnetXl,
    VaeEncoder,
    VaeDecoder,
}

impl Component {
    const ALL: [Self; 6] = [Self::ClipL, Self::OpenClip, Self::Unet1, Self::UnetXl, Self::VaeEncoder, Self::VaeDecoder];

    const fn name(self) -> &'static str {
        match self {
            Self::ClipL => "text encoder (CLIP-L)",
            Self::OpenClip => "text encoder (OpenCLIP)",
            Self::Unet1 => "UNet of 1.x",
            Self::UnetXl => "UNet of XL",
            Self::VaeEncoder => "VAE encoder",
            Self::VaeDecoder => "VAE decoder",
        }
    }

    /// VAEs compute in f32 everywhere.
    fn precisions(self) -> impl Iterator<Item = Precision> {
        let is_vae = matches!(self, Self::VaeEncoder | Self::VaeDecoder);
        [Precision::Full, Precision::Half].into_iter().take(if is_vae { 1 } else { 2 })
    }
}

fn check(
    goldens: &Goldens,
    component: Component,
    precision: Precision,
    device: &Device,
) -> Result<EngineCheck, EngineError> {
    let compared = computed(goldens, component, precision, device).and_then(|(ours, reference)| {
        let compared = || -> Computed<(f64, f64)> {
            let most = |x: Tensor| Computed::Ok(f64::from(x.abs()?.max_all()?.to_scalar::<f32>()?));
            let ours = ours.to_device(&Device::Cpu)?;
            // What is no number is larger than all, which `max` would pass over.
            let is_number = ours.flatten_all()?.to_vec1::<f32>()?.iter().all(|value| value.is_finite());
            let difference = if is_number { most((ours - &reference)?)? } else { f64::INFINITY };
            Ok((difference, most(reference)?))
        };
        compared().map_err(EngineError::computing("comparing with the reference"))
    });
    let tolerance = match (precision, device.is_cpu()) {
        (_, true) => OF_CPU,
        (Precision::Full, false) => OF_GPU,
        (Precision::Half, false) => OF_HALF,
    };
    let (difference, magnitude, failure) = match compared {
        Ok((difference, magnitude)) => (difference, magnitude, None),
        Err(EngineError::Cancelled) => return Err(EngineError::Cancelled),
        Err(error) => (f64::INFINITY, 0.0, Some(paintbox_domain::classify::message_with_causes(&error))),
    };
    Ok(EngineCheck {
        component: component.name().to_owned(),
        precision: precision.dtype(device).as_str().to_owned(),
        difference,
        magnitude,
        tolerance: tolerance * (magnitude / MAGNITUDE).max(1.0),
        failure,
    })
}

/// What the device makes of the inputs, and what diffusers made of them.
fn computed(
    goldens: &Goldens,
    component: Component,
    precision: Precision,
    device: &Device,
) -> Result<(Tensor, Tensor), EngineError> {
    interruption::check().map_err(EngineError::computing("checking the engine"))?;
    let loaded = |component| Drawn { component };
    let failed = EngineError::computing("checking the engine");
    let golden = |name: &str| goldens.tensor(name);
    match component {
        Component::ClipL | Component::OpenClip => {
            let (name, family, shape) = match component {
                Component::ClipL => ("text_encoder", "sd1", clip_l()),
                _ => ("text_encoder_2", "sdxl", open_clip()),
            };
            let source = loaded(name);
            let network = ClipText::load(&Weights::new(&source, device).computing_in(precision), &shape)?;
            let ids = goldens.ids(&format!("{family}.{name}.ids"))?;
            let encoded = network.encode(&[ids], &[], Layers { skip: 2, normed: false }, END).map_err(&failed)?;
            let wanted = golden(&format!("{family}.{name}.before_last"))?;
            match encoded.pooled {
                // Both at once, as long rows of values.
                Some(pooled) => {
                    let joined = |states: &Tensor, pooled: &Tensor| {
                        Tensor::cat(&[states.flatten_all()?, pooled.flatten_all()?], 0)
                    };
                    let pooled_wanted = golden(&format!("{family}.{name}.pooled"))?;
                    let ours = joined(&encoded.states, &pooled).map_err(&failed)?;
                    Ok((ours, joined(&wanted, &pooled_wanted).map_err(&failed)?))
                }
                None => Ok((encoded.states, wanted)),
            }
        }
        Component::Unet1 | Component::UnetXl => {
            let (family, shape) = if component == Component::Unet1 { ("sd1", unet_1()) } else { ("sdxl", unet_xl()) };
            let source = loaded("unet");
            let network = Unet::load(&Weights::new(&source, device).computing_in(precision), &shape)?;
            let of = |what: &str| golden(&format!("{family}.unet.{what}"))?.to_device(device).map_err(&failed);
            let added = if shape.added.is_some() {
                let sizes: Vec<f32> =
                    golden("sdxl.unet.sizes")?.flatten_all().and_then(|sizes| sizes.to_vec1()).map_err(&failed)?;
                let sizes = sizes.into_iter().map(|size| sinusoids(f64::from(size), 32, device));
                let parts: Computed<Vec<Tensor>> = std::iter::once(Ok(of("pooled")?)).chain(sizes).collect();
                Some(parts.and_then(|parts| Tensor::cat(&parts, 1)).map_err(&failed)?)
            } else {
                None
            };
            let conditions = Conditions { context: of("context")?, added };
            let ours = network.forward(&of("sample")?, TIMESTEP, &conditions, None).map_err(&failed)?;
            Ok((ours, golden(&format!("{family}.unet.out"))?))
        }
        Component::VaeEncoder | Component::VaeDecoder => {
            let source = loaded("vae");
            let network = Vae::load(&Weights::new(&source, device), &vae())?;
            let of = |what: &str| golden(&format!("vae.{what}"))?.to_device(device).map_err(&failed);
            if component == Component::VaeEncoder {
                Ok((network.moments(&of("image")?).map_err(&failed)?, golden("vae.moments")?))
            } else {
                Ok((network.decode(&of("latents")?).map_err(&failed)?, golden("vae.decoded")?))
            }
        }
    }
}

fn clip_l() -> ClipShape {
    ClipShape {
        width: 32,
        layers: 3,
        feed_forward: 64,
        vocabulary: 49_408,
        positions: 77,
        heads: 1,
        gelu: Gelu::Quick,
        norm_eps: 1e-5,
        projected: None,
    }
}

fn open_clip() -> ClipShape {
    ClipShape { width: 64, feed_forward: 128, gelu: Gelu::Erf, projected: Some(64), ..clip_l() }
}

fn unet_1() -> UnetShape {
    let level = |channels, depth| Level { channels, heads: 8, down: vec![depth; 2], up: vec![depth; 3] };
    UnetShape {
        in_channels: 4,
        out_channels: 4,
        levels: vec![level(32, 1), level(32, 1), level(64, 1), level(64, 0)],
        middle: Middle::Attention { depth: 1 },
        context: 32,
        added: None,
        groups: 32,
        eps: 1e-5,
        linear_projection: false,
    }
}

fn unet_xl() -> UnetShape {
    let level = |channels, heads, depth| Level { channels, heads, down: vec![depth; 2], up: vec![depth; 3] };
    UnetShape {
        levels: vec![level(32, 1, 0), level(64, 1, 1), level(128, 2, 2)],
        middle: Middle::Attention { depth: 2 },
        context: 96,
        added: Some(256),
        linear_projection: true,
        ..unet_1()
    }
}

fn vae() -> VaeShape {
    VaeShape {
        channels: vec![32, 32, 64],
        layers_per_block: 1,
        latent_channels: 4,
        groups: 32,
        scaling: 0.18215,
        quant: true,
        encoder: true,
    }
}

/// Inputs and results of the reference.
struct Goldens {
    header: Header,
}

impl Goldens {
    fn open() -> Result<Self, EngineError> {
        let header = read_header(&mut Cursor::new(GOLDENS), GOLDENS.len() as u64);
        let header =
            header.map_err(|source| EngineError::Header { file: FILE.to_owned(), source: Box::new(source) })?;
        Ok(Self { header })
    }

    fn bytes(&self, name: &str, wanted: Dtype) -> Result<(&'static [u8], &[usize]), EngineError> {
        let missing = || EngineError::MissingTensor { component: FILE, tensor: name.to_owned() };
        let info = self.header.tensors.get(name).filter(|info| info.dtype == wanted).ok_or_else(missing)?;
        let place = usize::try_from(info.start).ok().zip(usize::try_from(info.end).ok());
        let bytes = place.and_then(|(start, end)| GOLDENS.get(start..end)).ok_or_else(missing)?;
        Ok((bytes, &info.shape))
    }

    fn tensor(&self, name: &str) -> Result<Tensor, EngineError> {
        let (bytes, shape) = self.bytes(name, Dtype::F32)?;
        let (fours, _) = bytes.as_chunks::<4>();
        let values: Vec<f32> = fours.iter().map(|four| f32::from_le_bytes(*four)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).map_err(EngineError::computing("reading goldens"))
    }

    fn ids(&self, name: &str) -> Result<Vec<u32>, EngineError> {
        let (bytes, _) = self.bytes(name, Dtype::I64)?;
        let (eights, _) = bytes.as_chunks::<8>();
        // Ids of a vocabulary; what is none of them is unknown to the network.
        Ok(eights.iter().map(|eight| u32::try_from(i64::from_le_bytes(*eight)).unwrap_or(u32::MAX)).collect())
    }
}

const FILE: &str = "the engine's own goldens";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::note;

    #[test]
    fn the_cpu_computes_what_diffusers_does() {
        let checks = checks(&Device::Cpu).unwrap();
        assert_eq!(checks.len(), Component::ALL.len());
        for check in checks {
            note(&format!("{}: {:e} in values up to {}", check.component, check.difference, check.magnitude));
            assert!(check.passed() && check.magnitude > 0.1, "{check:?}");
            assert_eq!(check.precision, "f32");
        }
    }

    #[test]
    fn a_check_that_is_worse_than_promised_does_not_pass() {
        let mut check = checks(&Device::Cpu).unwrap().remove(0);
        check.difference = 1.1 * check.tolerance;
        assert!(!check.passed());
        check.difference = f64::NAN;
        assert!(!check.passed());
        check = EngineCheck { difference: 0.0, failure: Some("no such operation".to_owned()), ..check };
        assert!(!check.passed());
    }
}
