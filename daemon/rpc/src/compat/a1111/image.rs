//! What `img2img` has beside `txt2img`: a picture to paint over, and which part of it.
//!
//! Names and defaults: AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/processing.py`,
//! `StableDiffusionProcessingImg2Img`.

use super::asked::Asked;
use crate::compat::Compat;
use crate::compat::fields::Fields;
use crate::compat::picture::{close_to, decoded, fit};
use crate::compat::problem::Problem;
use paintbox_domain::generation::{InpaintUse, MaskedContent, NetworkInputs};
use paintbox_generation::Fit;

/// The API's.
const USUAL_STRENGTH: f32 = 0.75;
/// The engine's, and A1111's page's.
const LARGEST_BLUR: u32 = 64;

/// Adds them to what is asked for.
pub(super) async fn read(compat: &Compat, fields: &Fields, asked: &mut Asked) -> Result<(), Problem> {
    let picture = decoded(fields, "init_images", only).await?.unwrap_or_default();
    let kept = compat.keep("init_images", picture.clone()).await?;
    let given = (kept.width, kept.height);
    let known = compat.generations.model_defaults(&asked.spec.model).await?;
    let usual = (known.defaults.width, known.defaults.height);
    let own = close_to(given, usual, known.size_multiple);
    let size = match (asked.spec.width, asked.spec.height) {
        (None, None) => own,
        (width, height) => (width.unwrap_or(usual.0), height.unwrap_or(usual.1)),
    };
    let mask = decoded(fields, "mask", |fields| fields.word("mask")).await?;
    // A part is cut out of the picture as it is, and painted at the size that was asked for.
    let is_part = mask.is_some() && fields.flag("inpaint_full_res")?.unwrap_or(true);
    let canvas = if is_part { given } else { size };
    let how = match fields.whole("resize_mode")?.unwrap_or(0) {
        _ if given == canvas => Fit::Stretched,
        0 => Fit::Stretched,
        1 => Fit::Cropped,
        mode => {
            let problem = format!("{mode} is not 0 (just resize) or 1 (crop and resize)");
            return Err(Problem::unsupported("resize_mode", problem));
        }
    };
    let spec = &mut asked.spec;
    (spec.width, spec.height) = (Some(size.0), Some(size.1));
    spec.init_image = Some(match given == canvas {
        true => kept.sha256,
        false => compat.keep("init_images", fit(picture, canvas, how).await?).await?.sha256,
    });
    spec.strength = Some(fields.number("denoising_strength")?.unwrap_or(USUAL_STRENGTH));
    // A second pass belongs to pictures that are painted from noise, and A1111 has none here either.
    spec.hires = None;
    if let Some(scale) = fields.number("image_cfg_scale")? {
        spec.image_guidance_scale = Some(scale).filter(|_| known.inputs == NetworkInputs::Editing);
    }
    if fields.number("initial_noise_multiplier")?.is_some_and(|factor| factor != 1.0) {
        return Err(Problem::unsupported(
            "initial_noise_multiplier",
            "the noise is always as much as the strength says",
        ));
    }
    if let Some(mask) = mask {
        let mask = compat.keep("mask", fit(mask, canvas, how).await?).await?;
        spec.inpaint = Some(InpaintUse { mask: mask.sha256, only_masked: is_part, ..inpaint(fields, is_part)? });
    }
    Ok(())
}

/// The one picture that is painted over.
fn only(fields: &Fields) -> Result<Option<&str>, Problem> {
    match fields.texts("init_images")?[..] {
        [one] => Ok(Some(one)),
        [] => Err(Problem::invalid("init_images", "Init image not found")),
        _ => Err(Problem::unsupported("init_images", "one picture is painted over at a time")),
    }
}

fn inpaint(fields: &Fields, is_part: bool) -> Result<InpaintUse, Problem> {
    let content = match fields.whole("inpainting_fill")?.unwrap_or(0) {
        0 => MaskedContent::Fill,
        1 => MaskedContent::Original,
        2 => MaskedContent::Noise,
        3 => MaskedContent::Nothing,
        other => return Err(Problem::invalid("inpainting_fill", format!("{other} is not 0, 1, 2 or 3"))),
    };
    let blur = |name| fields.count(name, 0..=LARGEST_BLUR);
    let both = (blur("mask_blur_x")?, blur("mask_blur_y")?);
    let blur = match (blur("mask_blur")?, both) {
        (Some(blur), _) => Some(blur),
        (None, (Some(x), Some(y))) if x != y => {
            return Err(Problem::unsupported("mask_blur_x", "a mask is softened equally to all sides"));
        }
        (None, (x, y)) => x.or(y),
    };
    // The API has none, and the page 32.
    let padding = fields.count("inpaint_full_res_padding", 0..=u32::MAX)?.unwrap_or(0);
    Ok(InpaintUse {
        mask: paintbox_domain::Sha256::from_bytes([0; 32]),
        invert: fields.flag("inpainting_mask_invert")?.unwrap_or(false),
        blur,
        content: Some(content),
        only_masked: is_part,
        padding: is_part.then_some(padding),
    })
}
