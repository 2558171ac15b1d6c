//! A1111's "Hires. fix" (`modules/processing.py`, `StableDiffusionProcessingTxt2Img`).

use super::asked::{sampler, schedule};
use crate::compat::Compat;
use crate::compat::fields::Fields;
use crate::compat::problem::Problem;
use paintbox_domain::ModelKind;
use paintbox_domain::generation::{GenerationSpec, Hires, HiresUpscaler, Upscaler};
use paintbox_generation::{LARGEST_STEPS, a1111_names};

/// The API's, and not the page's.
const USUAL_STRENGTH: f32 = 0.75;

/// The second pass, if one is asked for; an infotext may have asked for one before.
pub(super) async fn read(
    compat: &Compat,
    fields: &Fields,
    spec: &GenerationSpec,
) -> Result<Option<Hires<String>>, Problem> {
    match fields.flag("enable_hr")? {
        None => return Ok(spec.hires.clone()),
        Some(false) => return Ok(None),
        Some(true) => {}
    }
    if fields.word("hr_checkpoint_name")?.is_some_and(|name| !name.starts_with("Use same")) {
        return Err(Problem::unsupported("hr_checkpoint_name", "both passes are painted with the same model"));
    }
    let upscaler = match fields.word("hr_upscaler")? {
        None => None,
        Some(name) => Some(upscaler(compat, name).await?),
    };
    let other = |name| Ok::<_, Problem>(fields.word(name)?.filter(|value| !value.starts_with("Use same")));
    let (second, spaced) = match other("hr_sampler_name")? {
        None => (None, None),
        Some(name) => {
            let (sampler, spaced) = sampler("hr_sampler_name", name)?;
            (Some(sampler), spaced.or_else(|| a1111_names::automatic_schedule(sampler)))
        }
    };
    let text = |name| Ok::<_, Problem>(fields.word(name)?.map(str::to_owned));
    Ok(Some(Hires {
        upscaler,
        scale: Some(scale(compat, fields, spec).await?),
        steps: fields.count("hr_second_pass_steps", 0..=LARGEST_STEPS)?.filter(|steps| *steps > 0),
        strength: Some(fields.number("denoising_strength")?.unwrap_or(USUAL_STRENGTH)),
        sampler: second,
        schedule: schedule("hr_scheduler", other("hr_scheduler")?)?.or(spaced),
        // Forge's.
        guidance_scale: fields.number("hr_cfg")?,
        prompt: text("hr_prompt")?,
        negative_prompt: text("hr_negative_prompt")?,
    }))
}

/// How many times as long sides become: a number, or by the size of the finished picture.
async fn scale(compat: &Compat, fields: &Fields, spec: &GenerationSpec) -> Result<f32, Problem> {
    let side = |name| Ok::<_, Problem>(fields.count(name, 0..=u32::MAX)?.filter(|side| *side > 0));
    let (wide, high) = (side("hr_resize_x")?, side("hr_resize_y")?);
    if wide.is_none() && high.is_none() {
        return Ok(fields.number("hr_scale")?.unwrap_or(Hires::<String>::USUAL_SCALE));
    }
    let usual = compat.generations.model_defaults(&spec.model).await?.defaults;
    let (width, height) = (spec.width.unwrap_or(usual.width), spec.height.unwrap_or(usual.height));
    let times = |side: u32, of: u32| side as f32 / of.max(1) as f32;
    match (wide.map(|side| times(side, width)), high.map(|side| times(side, height))) {
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (Some(one), Some(other)) if (one - other).abs() < 0.01 => Ok(one),
        _ => Err(Problem::unsupported("hr_resize_x", "the second pass keeps the picture's proportions")),
    }
}

/// An upscaler by A1111's name of it, that of its file, or any reference.
pub(super) async fn upscaler(compat: &Compat, name: &str) -> Result<HiresUpscaler<String>, Problem> {
    let read = HiresUpscaler::read(name);
    if read.network().is_none() {
        return Ok(read);
    }
    let file = compat.generations.file_called(ModelKind::Upscaler, a1111_names::of_upscaler_file(name)).await?;
    Ok(HiresUpscaler::Picture(Upscaler::Network(file.unwrap_or_else(|| name.to_owned()))))
}
