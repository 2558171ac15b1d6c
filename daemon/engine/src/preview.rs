//! How a picture is coming on, seen without its VAE: by a fixed mixture of the latents, or by TAESD.

use crate::error::EngineError;
use crate::load::{Blueprint, TensorFile, TensorSource, Weights};
use crate::networks::TaesdDecoder;
use crate::picture::Rgb;
use candle_core::{Device, Result as Computed, Tensor};
use paintbox_domain::generation::ModelFile;

/// What each latent channel adds to red, green and blue, and what is there without them: ComfyUI 040a3243
/// `comfy/latent_formats.py`, `SD15` and `SDXL`. Colours lie in −1 to 1.
struct Mixture {
    factors: [[f32; 3]; 4],
    bias: [f32; 3],
}

const SD: Mixture = Mixture {
    factors: [
        [0.3512, 0.2297, 0.3227],
        [0.3250, 0.4974, 0.2350],
        [-0.2829, 0.1762, 0.2721],
        [-0.2120, -0.2616, -0.7177],
    ],
    bias: [0.0; 3],
};
const XL: Mixture = Mixture {
    factors: [
        [0.3651, 0.4232, 0.4341],
        [-0.2533, -0.0042, 0.1068],
        [0.1076, 0.1111, -0.0362],
        [-0.3165, -0.2492, -0.2188],
    ],
    bias: [0.1084, -0.0175, -0.0011],
};

/// What makes previews of one model's latents.
#[derive(Clone, Copy)]
pub(crate) struct Previewer<'a> {
    mixture: &'static Mixture,
    taesd: Option<&'a TaesdDecoder>,
    device: &'a Device,
}

impl<'a> Previewer<'a> {
    pub(crate) fn new(blueprint: &Blueprint, taesd: Option<&'a TaesdDecoder>, device: &'a Device) -> Self {
        let mixture = if blueprint.added.is_some() { &XL } else { &SD };
        Self { mixture, taesd, device }
    }

    /// What the network sees in the noise, `[1, c, h, w]` on the CPU, as a picture: a pixel for each latent, or with TAESD
    /// as large as the painting. None where latents have other channels than those that the mixture is known for.
    pub(crate) fn picture(&self, clean: &Tensor) -> Result<Option<Rgb>, EngineError> {
        let (_, channels, height, width) = clean.dims4().map_err(EngineError::computing("previewing"))?;
        let bytes = match self.taesd {
            Some(taesd) => self.decoded(taesd, clean).map_err(EngineError::computing("previewing by TAESD"))?,
            None if channels == self.mixture.factors.len() => {
                self.mixed(clean).map_err(EngineError::computing("previewing"))?
            }
            None => return Ok(None),
        };
        let scale = ((bytes.len() / (3 * height * width)) as f64).sqrt() as usize;
        Ok(Some(Rgb { width: scale * width, height: scale * height, bytes }))
    }

    fn decoded(&self, taesd: &TaesdDecoder, clean: &Tensor) -> Computed<Vec<u8>> {
        let picture = taesd.forward(&clean.to_device(self.device)?)?.to_device(&Device::Cpu)?;
        let values: Vec<f32> = picture.permute((0, 2, 3, 1))?.contiguous()?.flatten_all()?.to_vec1()?;
        Ok(values.into_iter().map(to_byte).collect())
    }

    fn mixed(&self, clean: &Tensor) -> Computed<Vec<u8>> {
        let Mixture { factors, bias } = self.mixture;
        let values: Vec<f32> = clean.permute((0, 2, 3, 1))?.contiguous()?.flatten_all()?.to_vec1()?;
        let colour = |latent: &[f32], colour: usize| {
            let sum: f32 = latent.iter().zip(factors).map(|(value, factors)| value * factors[colour]).sum();
            to_byte(f32::midpoint(sum + bias[colour], 1.0))
        };
        Ok(values.chunks_exact(factors.len()).flat_map(|latent| [0, 1, 2].map(|c| colour(latent, c))).collect())
    }
}

/// As both of them do: what lies between two is cut off.
fn to_byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0) as u8
}

/// Reads TAESD's decoder from diffusers' files, from its author's, or from one that holds both halves.
///
/// # Errors
/// When the file is no TAESD, or is broken.
pub(crate) fn load_taesd(
    file: &ModelFile,
    latent_channels: usize,
    device: &Device,
) -> Result<TaesdDecoder, EngineError> {
    let source = Source::of(TensorFile::open(&file.name, &file.path)?)?;
    TaesdDecoder::load(&Weights::new(&source, device), latent_channels)
}

/// A file, and what its names begin with before a layer's number.
struct Source {
    file: TensorFile,
    prefix: &'static str,
    /// Layers that it counts before the first one with weights.
    skipped: usize,
}

impl Source {
    fn of(file: TensorFile) -> Result<Self, EngineError> {
        let forms = [("decoder.layers.", 0), ("taesd_decoder.", 1), ("", 1)];
        let has = |prefix: &str, skipped: usize| {
            file.header.tensors.contains_key(&format!("{prefix}{}.conv.0.weight", 2 + skipped))
                && file.header.tensors.contains_key(&format!("{prefix}{skipped}.weight"))
        };
        let found = forms.into_iter().find(|(prefix, skipped)| has(prefix, *skipped));
        let Some((prefix, skipped)) = found else {
            return Err(EngineError::NotATaesd { file: file.name.clone() });
        };
        Ok(Self { file, prefix, skipped })
    }
}

impl TensorSource for Source {
    fn read(&self, name: &str, wanted: &[usize]) -> Result<Tensor, EngineError> {
        let layer = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
        let layer = layer.and_then(|(number, rest)| Some((number.parse::<usize>().ok()?, rest)));
        let tensor = match layer {
            Some((number, rest)) => format!("{}{}.{rest}", self.prefix, number + self.skipped),
            None => name.to_owned(),
        };
        self.file.tensor("TAESD", &tensor, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden_tests::families::{named, weight, write};
    use crate::testing::{GoldenTensors, close, golden_json, single_file};
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Deserialize)]
    struct Shapes {
        tensors: BTreeMap<String, Vec<usize>>,
    }

    type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

    /// The decoder's tensors in the names that `name` makes of diffusers'.
    fn drawn(name: impl Fn(usize, &str) -> String) -> Tensors {
        let Shapes { tensors } = golden_json("previews.json");
        let draw = |(canonical, shape): (String, Vec<usize>)| {
            let (number, rest) = canonical.strip_prefix("decoder.layers.").unwrap().split_once('.').unwrap();
            (name(number.parse().unwrap(), rest), (shape.clone(), weight("taesd", &canonical, &shape)))
        };
        tensors.into_iter().map(draw).collect()
    }

    fn load(tensors: &Tensors) -> Result<TaesdDecoder, EngineError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taesd.safetensors");
        write(&path, tensors);
        load_taesd(&named("taesd.safetensors", &path), 4, &Device::Cpu)
    }

    #[test]
    fn taesd_decodes_as_in_diffusers_whatever_its_files_call_it() {
        let goldens = GoldenTensors::open("previews.safetensors");
        let latents = goldens.tensor("latents");
        for tensors in [
            drawn(|number, rest| format!("decoder.layers.{number}.{rest}")),
            drawn(|number, rest| format!("taesd_decoder.{}.{rest}", number + 1)),
            drawn(|number, rest| format!("{}.{rest}", number + 1)),
        ] {
            let made = load(&tensors).unwrap().forward(&latents).unwrap();
            close("taesd", &made, &goldens.tensor("taesd"));
        }
    }

    #[test]
    fn latents_are_mixed_as_in_comfyui() {
        let goldens = GoldenTensors::open("previews.safetensors");
        let latents = goldens.tensor("latents");
        let blueprint = crate::load::blueprint(&crate::load::index(&single_file()).unwrap()).unwrap();
        for (name, mixture) in [("sd", &SD), ("xl", &XL)] {
            let previewer = Previewer { mixture, ..Previewer::new(&blueprint, None, &Device::Cpu) };
            let picture = previewer.picture(&latents).unwrap().unwrap();
            assert_eq!((picture.width, picture.height), (5, 4));
            assert_eq!(picture.bytes, goldens.bytes(name), "{name}");
        }
        let other = Tensor::zeros((1, 16, 4, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(Previewer::new(&blueprint, None, &Device::Cpu).picture(&other).unwrap().is_none());
    }

    #[test]
    fn files_that_are_no_taesd_are_refused() {
        let mut lacks = drawn(|number, rest| format!("{}.{rest}", number + 1));
        lacks.remove("19.weight");
        assert!(matches!(load(&lacks), Err(EngineError::MissingTensor { .. })));
        let other = Tensors::from([("x".to_owned(), (vec![1], vec![0.0]))]);
        assert!(matches!(load(&other), Err(EngineError::NotATaesd { .. })));
    }
}
