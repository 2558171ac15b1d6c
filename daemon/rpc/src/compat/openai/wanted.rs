//! From OpenAI's fields to a specification.

use super::answer::Answer;
use crate::compat::Compat;
use crate::compat::fields::Fields;
use crate::compat::problem::Problem;
use paintbox_domain::generation::{Capabilities, GenerationSpec, PictureFormat, Sampler, Schedule};
use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_generation::LARGEST_STEPS;

/// As many as OpenAI's API paints for one request.
const MOST_PICTURES: u32 = 10;
/// As many as OpenAI's API sends.
const MOST_PARTIAL_IMAGES: u32 = 3;

/// What a request wants.
pub(super) struct Wanted {
    pub(super) spec: GenerationSpec,
    pub(super) answer: Answer,
    /// Events on the way, with so many looks at each picture.
    pub(super) stream: Option<u32>,
}

/// How much work is put into a picture. Steps are what a picture takes time for here, so more or fewer of them than the
/// model's usual ones are what these words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quality {
    Low,
    Medium,
    High,
    ExtraHigh,
    Most,
}

impl Quality {
    /// `auto` and nothing are the model's own.
    fn read(fields: &Fields) -> Result<Option<Self>, Problem> {
        Ok(match fields.word("quality")? {
            None | Some("auto") => None,
            Some("low") => Some(Self::Low),
            Some("medium" | "standard") => Some(Self::Medium),
            Some("high" | "hd") => Some(Self::High),
            Some("xhigh") => Some(Self::ExtraHigh),
            Some("max") => Some(Self::Most),
            Some(_) => {
                let problem = "it is not auto, low, medium, high, xhigh, max, standard or hd";
                return Err(Problem::invalid("quality", problem));
            }
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::ExtraHigh => "xhigh",
            Self::Most => "max",
        }
    }

    /// In halves of the usual number.
    fn steps(self, usual: u32) -> u32 {
        let halves = match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 3,
            Self::ExtraHigh => 4,
            Self::Most => 6,
        };
        usual.saturating_mul(halves).div_ceil(2).clamp(1, LARGEST_STEPS)
    }
}

impl Wanted {
    /// What the fields that both kinds of request have say.
    pub(super) async fn read(compat: &Compat, fields: &Fields) -> Result<Self, Problem> {
        let prompt = fields.text("prompt")?.ok_or_else(|| Problem::invalid("prompt", "it is missing"))?.to_owned();
        refuse_other_pictures(fields)?;
        let format = match fields.word("output_format")? {
            None => PictureFormat::Png,
            Some("jpg") => PictureFormat::Jpeg,
            Some(name) => PictureFormat::from_name(name)
                .ok_or_else(|| Problem::unsupported("output_format", "pictures become png, jpeg or webp"))?,
        };
        let compression = fields.count("output_compression", 0..=100)?;
        let count = fields.count("n", 1..=MOST_PICTURES)?.unwrap_or(1);
        let partials = fields.count("partial_images", 0..=MOST_PARTIAL_IMAGES)?.unwrap_or(0);
        let stream = fields.flag("stream")?.unwrap_or(false).then_some(partials);
        let (size, quality) = (size(fields)?, Quality::read(fields)?);
        let sampler = fields.word("sampler")?;
        let (sampler, spaced) = match sampler.map(|name| (name, Sampler::by_any_name(name))) {
            None => (None, None),
            Some((_, Some((sampler, spaced)))) => (Some(sampler), spaced),
            Some((name, None)) => return Err(Problem::unsupported("sampler", format!("`{name}` is not known"))),
        };
        let schedule = match fields.word("schedule")?.map(|name| (name, Schedule::by_any_name(name))) {
            None => spaced,
            Some((_, Some(schedule))) => Some(schedule),
            Some((name, None)) => return Err(Problem::unsupported("schedule", format!("`{name}` is not known"))),
        };
        let mut spec = GenerationSpec {
            model: model(compat, fields).await?,
            prompt,
            negative_prompt: fields.text("negative_prompt")?.unwrap_or_default().to_owned(),
            seed: fields.whole("seed")?.and_then(|seed| u64::try_from(seed).ok()),
            steps: fields.count("steps", 1..=LARGEST_STEPS)?,
            guidance_scale: fields.number("guidance_scale")?,
            sampler,
            schedule,
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            count,
            format: (format != PictureFormat::Png).then_some(format),
            // OpenAI's compression is how much is kept, as a JPEG's quality is; WebP here is without loss.
            quality: compression
                .filter(|_| format == PictureFormat::Jpeg)
                .map(|percent| u8::try_from(percent.max(1)).unwrap_or(100)),
            ..GenerationSpec::default()
        };
        if let (None, Some(quality)) = (spec.steps, quality.filter(|quality| *quality != Quality::Medium)) {
            spec.steps = Some(quality.steps(defaults(compat, &spec).await?.defaults.steps));
        }
        Ok(Self { spec, answer: Answer { format, quality, size, is_edit: false }, stream })
    }
}

/// What the model is painted with when nothing is said.
pub(super) async fn defaults(compat: &Compat, spec: &GenerationSpec) -> Result<Capabilities, Problem> {
    Ok(compat.generations.model_defaults(&spec.model).await?)
}

/// The model that is meant; without a word of it, the only one that is here.
async fn model(compat: &Compat, fields: &Fields) -> Result<String, Problem> {
    if let Some(text) = fields.word("model")? {
        return Ok(compat.generations.model_called(text).await?);
    }
    let mut here = compat.generations.models_here().await?;
    match (here.pop(), here.len()) {
        (Some(only), 0) => Ok(only.reference),
        (None, _) => {
            let failure = Failure::new(ErrorClass::NotFound, reason::MODEL_NOT_FOUND, "no model is here to paint with");
            Err(failure.with_hint("`paintbox search` finds some, and `paintbox pull` fetches one").into())
        }
        (Some(_), others) => {
            let problem = format!("it is missing, and {} models are here; /v1/models lists them", others + 1);
            Err(Problem::invalid("model", problem))
        }
    }
}

/// Pixels, or none for what suits the model.
fn size(fields: &Fields) -> Result<Option<(u32, u32)>, Problem> {
    match fields.word("size")? {
        None | Some("auto") => Ok(None),
        Some(text) => {
            let sides = text.split_once(['x', 'X', '×']);
            let sides =
                sides.and_then(|(width, height)| Some((width.trim().parse().ok()?, height.trim().parse().ok()?)));
            sides.map(Some).ok_or_else(|| Problem::invalid("size", "it is not auto or such as 1024x768"))
        }
    }
}

/// What OpenAI's models can and nothing here does.
fn refuse_other_pictures(fields: &Fields) -> Result<(), Problem> {
    if fields.word("background")? == Some("transparent") {
        return Err(Problem::unsupported("background", "no model here paints transparency"));
    }
    for name in ["frame_count", "frame_duration_ms", "svg"] {
        if fields.value(name).is_some() {
            return Err(Problem::unsupported(name, "pictures become png, jpeg or webp"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_more_or_fewer_steps_than_usual() {
        let steps = |quality: Quality, usual| quality.steps(usual);
        assert_eq!([Quality::Low, Quality::Medium, Quality::High].map(|q| steps(q, 25)), [13, 25, 38]);
        assert_eq!([Quality::ExtraHigh, Quality::Most].map(|q| steps(q, 25)), [50, 75]);
        assert_eq!(steps(Quality::Low, 1), 1);
        assert_eq!(steps(Quality::Most, LARGEST_STEPS), LARGEST_STEPS);
    }

    #[test]
    fn sizes_are_two_numbers_or_left_to_the_model() {
        let size = |text: &str| size(&Fields::read(format!(r#"{{"size": "{text}"}}"#).as_bytes()).unwrap());
        assert_eq!(size("1536x1024").unwrap(), Some((1536, 1024)));
        assert_eq!((size("auto").unwrap(), size("").unwrap()), (None, None));
        for text in ["big", "10", "x", "1024x", "-1x5", "1e3x5", "99999999999x1"] {
            assert_eq!(size(text).unwrap_err().field(), Some("size"), "{text}");
        }
    }
}
