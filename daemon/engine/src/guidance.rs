//! What leads the network: the prompts, what the picture is led away from, and how they are joined.

use crate::control::Network;
use crate::error::EngineError;
use crate::model::{Model, Spoken, Wording};
use crate::networks::Conditions;
use crate::sample::evaluations;
use crate::text::Evaluations;
use candle_core::{Device, Result, Tensor};
use paintbox_domain::generation::{EmbeddingFile, PaintSettings};
use std::collections::BTreeSet;

/// What a pass is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'a> {
    pub(crate) prompt: &'a str,
    pub(crate) negative_prompt: &'a str,
    /// What prompts may say beside the model's own words.
    pub(crate) embeddings: &'a [EmbeddingFile],
    /// How often the network is asked in the pass before.
    pub(crate) evaluations_before: Option<usize>,
}

/// The prompts of a painting.
pub(crate) struct Guidance {
    positive: Vec<Spoken>,
    /// Absent where it would change nothing.
    negative: Option<Spoken>,
    scale: f64,
    embeddings: Vec<String>,
    /// Of a network that edits pictures: how far to lead from what it would do without the picture.
    image_scale: Option<f64>,
    /// φ of Lin et al. 2023, section 3.4.
    rescale: f64,
    /// What was said last, as it mostly stays the same from one evaluation to the next.
    last: Option<(Vec<usize>, Said)>,
}

/// What is said at one evaluation.
struct Said {
    positive: Conditions,
    negative: Option<Conditions>,
    /// Negative above positive where they are equally long, so that the network runs once for both.
    both: Option<Conditions>,
}

impl Guidance {
    pub(crate) fn of(
        model: &Model,
        words: Words<'_>,
        settings: &PaintSettings,
    ) -> std::result::Result<Self, EngineError> {
        let lexicon = model.lexicon(words.embeddings)?;
        let wording = |prompt, negative| Wording {
            prompt,
            lexicon: &lexicon,
            negative,
            clip_skip: settings.clip_skip,
            size: (settings.width, settings.height),
            evaluations: Evaluations {
                count: settings.steps as usize * evaluations(settings.sampler),
                before: words.evaluations_before,
            },
        };
        let positive = model.listen(wording(words.prompt, false))?;
        // Below one, guidance would lead away from the prompt.
        let scale = f64::from(settings.guidance_scale).max(1.0);
        let weights: f64 = positive.iter().map(|spoken| spoken.weight).sum();
        #[expect(clippy::float_cmp, reason = "only where it is exactly so, nothing remains of what is led away from")]
        let is_alone = scale * weights == 1.0 && settings.image_guidance_scale.is_none_or(|scale| scale == 1.0);
        let negative =
            if is_alone { None } else { model.listen(wording(words.negative_prompt, true))?.into_iter().next() };
        let said: BTreeSet<usize> =
            positive.iter().chain(&negative).flat_map(|spoken| &spoken.words).copied().collect();
        let embeddings = said.into_iter().map(|number| lexicon.name(number).to_owned()).collect();
        let image_scale = settings.image_guidance_scale.map(f64::from);
        let rescale = f64::from(settings.guidance_rescale);
        Ok(Self { positive, negative, scale, image_scale, rescale, embeddings, last: None })
    }

    /// The names of the textual inversions that the prompts say.
    pub(crate) fn embeddings(&self) -> &[String] {
        &self.embeddings
    }

    /// The guided prediction for network input `x` `[1, c, h, w]`; evaluations are counted from 0.
    ///
    /// From the unconditional prediction past the conditional ones, by the scale and each by its weight (Ho and Salimans
    /// 2022, Liu et al. 2022). A network that edits pictures is first led from what it predicts without its picture to
    /// what it predicts with it (Brooks et al. 2023, equation 3).
    pub(crate) fn predict(
        &mut self,
        unet: &Network<'_>,
        x: &Tensor,
        timestep: f64,
        evaluation: usize,
    ) -> Result<Tensor> {
        let count = self.positive.len();
        let weights: Vec<f64> = self.positive.iter().map(|spoken| spoken.weight).collect();
        let (scale, image_scale, rescale) = (self.scale, self.image_scale, self.rescale);
        let said = self.said(evaluation)?;
        let repeated = |count: usize| x.repeat((count, 1, 1, 1));
        let (negative, positive) = match (&said.both, &said.negative) {
            (Some(both), _) => {
                let predicted = unet.forward(&repeated(1 + count)?, timestep, both)?;
                (Some(predicted.narrow(0, 0, 1)?), predicted.narrow(0, 1, count)?)
            }
            (None, Some(negative)) => {
                let low = unet.forward(x, timestep, negative)?;
                (Some(low), unet.forward(&repeated(count)?, timestep, &said.positive)?)
            }
            (None, None) => (None, unet.forward(&repeated(count)?, timestep, &said.positive)?),
        };
        let parts = || (0..count).map(|part| positive.narrow(0, part, 1)).zip(&weights);
        let Some(negative) = negative else {
            return parts().try_fold(positive.narrow(0, 0, 1)?.zeros_like()?, |sum, (part, weight)| {
                sum + (part? * (weight * scale))?
            });
        };
        let base = match (image_scale, &said.negative) {
            (Some(scale), Some(said)) => {
                let blind = unet.forward(&without_picture(x)?, timestep, said)?;
                (&blind + ((&negative - &blind)? * scale)?)?
            }
            _ => negative.clone(),
        };
        let led = |scale: f64| {
            parts().try_fold(base.clone(), |sum, (part, weight)| sum + ((part? - &negative)? * (weight * scale))?)
        };
        let guided = led(scale)?;
        if rescale > 0.0 { rescaled(&guided, &led(1.0)?, rescale) } else { Ok(guided) }
    }

    fn said(&mut self, evaluation: usize) -> Result<&Said> {
        let texts: Vec<usize> =
            self.positive.iter().chain(&self.negative).map(|spoken| spoken.at(evaluation)).collect();
        let known = self.last.take().filter(|(last, _)| *last == texts);
        let said = match known {
            Some(known) => known,
            None => {
                let said = self.say(&texts)?;
                (texts, said)
            }
        };
        Ok(&self.last.insert(said).1)
    }

    fn say(&self, texts: &[usize]) -> Result<Said> {
        let parts: Vec<&Conditions> =
            self.positive.iter().zip(texts).map(|(spoken, text)| spoken.text(*text)).collect();
        let positive = stacked(&parts)?;
        let negative = self.negative.as_ref().zip(texts.last()).map(|(spoken, text)| spoken.text(*text).clone());
        let both = match &negative {
            Some(negative) if negative.context.dim(1)? == positive.context.dim(1)? => {
                Some(stacked(&[negative, &positive])?)
            }
            _ => None,
        };
        Ok(Said { positive, negative, both })
    }
}

/// The input of a network that edits pictures, its second half zero: the picture's.
fn without_picture(x: &Tensor) -> Result<Tensor> {
    let latents = x.dim(1)? / 2;
    let picture = x.narrow(1, latents, latents)?.zeros_like()?;
    Tensor::cat(&[&x.narrow(1, 0, latents)?, &picture], 1)
}

/// Brings what was guided back to the spread of what the prompt alone leads to, by the part `rescale` (Lin et al. 2023,
/// section 3.4; diffusers, `rescale_noise_cfg`).
fn rescaled(guided: &Tensor, alone: &Tensor, rescale: f64) -> Result<Tensor> {
    let spread = |predicted: &Tensor| -> Result<f64> {
        let values: Vec<f32> = predicted.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        Ok(values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>().sqrt())
    };
    let (wanted, found) = (spread(alone)?, spread(guided)?);
    // What is the same everywhere has no spread to bring back.
    if found == 0.0 {
        return Ok(guided.clone());
    }
    guided * (rescale * wanted / found + 1.0 - rescale)
}

/// Prompts one above the other; shorter ones repeat their last state, as in A1111 (`stack_conds`).
fn stacked(parts: &[&Conditions]) -> Result<Conditions> {
    let longest = parts.iter().map(|part| part.context.dim(1)).collect::<Result<Vec<_>>>()?.into_iter().max();
    let contexts = parts.iter().map(|part| {
        let (_, tokens, _) = part.context.dims3()?;
        let missing = longest.unwrap_or(tokens) - tokens;
        if missing == 0 {
            return Ok(part.context.clone());
        }
        let last = part.context.narrow(1, tokens - 1, 1)?.repeat((1, missing, 1))?;
        Tensor::cat(&[&part.context, &last], 1)
    });
    let added: Option<Vec<&Tensor>> = parts.iter().map(|part| part.added.as_ref()).collect();
    Ok(Conditions {
        context: Tensor::cat(&contexts.collect::<Result<Vec<_>>>()?, 0)?,
        added: added.map(|added| Tensor::cat(&added, 0)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{GoldenTensors, close};

    #[test]
    fn guided_predictions_are_rescaled_as_in_diffusers() {
        let goldens = GoldenTensors::open("samplers.safetensors");
        let (guided, alone) = (goldens.tensor("rescale.guided"), goldens.tensor("rescale.alone"));
        close("rescaled", &rescaled(&guided, &alone, 0.7).unwrap(), &goldens.tensor("rescale.found"));
        let flat = Tensor::zeros((1, 1, 2, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        close("flat", &rescaled(&flat, &flat, 1.0).unwrap(), &flat);
    }
}
