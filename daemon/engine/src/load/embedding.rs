//! Textual inversions: the vectors of words that a text encoder was not trained with (Gal et al. 2022).
//!
//! Forms of files: A1111's `emb_params`, the original's `string_to_param.*`, XL's `clip_l` and `clip_g`, and diffusers' one
//! tensor under the word itself, as AUTOMATIC1111/stable-diffusion-webui v1.10
//! `modules/textual_inversion/textual_inversion.py` (`create_embedding_from_data`) takes them, as safetensors or as torch
//! saved them.

use super::blueprint::Blueprint;
use super::file::TensorFile;
use crate::error::EngineError;
use candle_core::{Device, Tensor};
use paintbox_domain::generation::EmbeddingFile;

/// A word and its vectors for each text encoder of a model.
#[derive(Debug)]
pub(crate) struct Embedding {
    pub(crate) name: String,
    /// How many there are.
    pub(crate) vectors: usize,
    /// `[vectors, width]` for each encoder.
    pub(crate) by_encoder: Vec<Tensor>,
}

/// Those of the embeddings that are made for text encoders like this model's: a prompt that says the name of another one
/// means the word.
///
/// # Errors
/// When a file cannot be read, is no textual inversion, or takes more places than a prompt's row has.
pub(crate) fn embeddings(files: &[EmbeddingFile], blueprint: &Blueprint) -> Result<Vec<Embedding>, EngineError> {
    let mut fitting = Vec::new();
    for file in files {
        match embedding(file, blueprint)? {
            Some(embedding) => fitting.push(embedding),
            None => tracing::info!(embedding = file.name, "made for another architecture; its name is a mere word"),
        }
    }
    Ok(fitting)
}

fn embedding(source: &EmbeddingFile, blueprint: &Blueprint) -> Result<Option<Embedding>, EngineError> {
    let refuse = |problem| EngineError::Embedding { file: source.name.clone(), problem };
    let file = TensorFile::open_embedding(&source.name, &source.path)?;
    let tensors = &file.header.tensors;
    let known = |name: &str| tensors.get_key_value(name);
    let found: Vec<_> = match (known("clip_l"), known("clip_g"), known("emb_params"), known("string_to_param.*")) {
        (Some(clip_l), Some(clip_g), ..) => vec![clip_l, clip_g],
        (_, _, Some(only), _) | (_, _, None, Some(only)) => vec![only],
        _ => tensors.iter().collect(),
    };
    // What is left is diffusers' form, or no textual inversion at all.
    if found.is_empty() || found.len() > 2 {
        return Err(refuse("it holds other tensors than a textual inversion's"));
    }
    let shapes: Vec<(usize, usize)> = found
        .iter()
        .map(|(_, info)| match info.shape[..] {
            [width] => Ok((1, width)),
            [vectors, width] => Ok((vectors, width)),
            _ => Err(refuse("its tensor is no list of vectors")),
        })
        .collect::<Result<_, _>>()?;
    let vectors = shapes.first().map_or(0, |(vectors, _)| *vectors);
    if shapes.iter().any(|(of_this, _)| *of_this != vectors) {
        return Err(refuse("it has more vectors for one encoder than for the other"));
    }
    let widths = blueprint.texts.iter().map(|text| text.shape.width);
    if !widths.eq(shapes.iter().map(|(_, width)| *width)) {
        return Ok(None);
    }
    let room = blueprint.texts.iter().map(|text| text.shape.positions.saturating_sub(2)).min().unwrap_or_default();
    if vectors == 0 || vectors > room {
        return Err(refuse("it has no vectors, or more than a row of a prompt has places"));
    }
    let tensor = |((name, info), shape): ((&String, _), _)| {
        let values = file.read(name, info)?;
        Tensor::from_vec(values, shape, &Device::Cpu).map_err(EngineError::computing("holding a textual inversion"))
    };
    let by_encoder = found.into_iter().zip(shapes).map(tensor).collect::<Result<_, _>>()?;
    Ok(Some(Embedding { name: source.name.clone(), vectors, by_encoder }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{GoldenTensors, golden_path};

    #[test]
    fn vectors_that_torch_saved_are_read_as_they_are() {
        let golden = GoldenTensors::open("torch.safetensors");
        for name in golden.names() {
            let (file, tensor) = name.split_once('/').unwrap();
            let opened = TensorFile::open_embedding(file, &golden_path(&format!("torch/{file}"))).unwrap();
            let info = &opened.header.tensors[tensor];
            assert_eq!(opened.read(tensor, info).unwrap(), golden.values(&name), "{name}");
        }
        assert_eq!(golden.names().len(), 8);
    }
}
