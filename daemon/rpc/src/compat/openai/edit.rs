//! `POST /v1/images/edits`: one picture is painted over, as a whole or where its mask is transparent.

use super::wanted::{Wanted, defaults};
use crate::compat::Compat;
use crate::compat::body::Form;
use crate::compat::picture::{close_to, fit};
use crate::compat::problem::Problem;
use paintbox_domain::generation::{InpaintUse, NetworkInputs};
use paintbox_generation::{Fit, has_transparency};

/// How much of the noise is laid over a picture that should be kept closely to (`input_fidelity`).
const FAITHFUL_STRENGTH: f32 = 0.5;

pub(super) async fn read(compat: &Compat, form: Form) -> Result<Wanted, Problem> {
    let Form { fields, files, taken: _taken } = form;
    let mut wanted = Wanted::read(compat, &fields).await?;
    wanted.answer.is_edit = true;
    let (mut image, mut mask) = (None, None);
    for (name, bytes) in files {
        match name.as_str() {
            "image" if image.is_none() => image = Some(bytes),
            "image" => return Err(Problem::unsupported("image", "one picture is edited at a time")),
            "mask" => mask = Some(bytes),
            "markup" => return Err(Problem::unsupported("markup", "say in the prompt or by a mask what is to change")),
            _ => {}
        }
    }
    let image = image.ok_or_else(|| Problem::invalid("image", "it is missing, or is no file of the form"))?;
    let known = defaults(compat, &wanted.spec).await?;
    let kept = compat.keep("image", image.clone()).await?;
    let usual = (known.defaults.width, known.defaults.height);
    let size = wanted.answer.size.unwrap_or_else(|| close_to((kept.width, kept.height), usual, known.size_multiple));
    wanted.spec.width = Some(size.0);
    wanted.spec.height = Some(size.1);
    let is_as_large = (kept.width, kept.height) == size;
    wanted.spec.init_image = Some(if is_as_large {
        kept.sha256
    } else {
        let smaller = fit(image, size, Fit::Cropped).await?;
        compat.keep("image", smaller).await?.sha256
    });
    let strength = fields.number("strength")?;
    let is_faithful = match fields.word("input_fidelity")? {
        None | Some("low") => false,
        Some("high") => true,
        Some(_) => return Err(Problem::invalid("input_fidelity", "it is not low or high")),
    };
    wanted.spec.strength = strength.or(is_faithful.then_some(FAITHFUL_STRENGTH));
    if let Some(mask) = mask {
        if known.inputs == NetworkInputs::Editing {
            return Err(Problem::unsupported("mask", "the model edits whole pictures"));
        }
        let given = compat.keep("mask", mask.clone()).await?;
        if (given.width, given.height) != (kept.width, kept.height) {
            let problem = format!(
                "it has {}×{} pixels and must have those of the image, {}×{}",
                given.width, given.height, kept.width, kept.height
            );
            return Err(Problem::invalid("mask", problem));
        }
        let mask = fit(mask, size, Fit::Cropped).await?;
        if !has_transparency(&mask) {
            return Err(Problem::invalid("mask", "nothing of it is transparent, which is what would be painted"));
        }
        let mask = compat.keep("mask", mask).await?.sha256;
        // OpenAI's masks are transparent where something is painted, and ours where nothing is.
        let (invert, blur, content, only_masked, padding) = (true, None, None, false, None);
        wanted.spec.inpaint = Some(InpaintUse { mask, invert, blur, content, only_masked, padding });
        // Nothing of what was under the mask is to be seen, unless somebody says so.
        wanted.spec.strength = wanted.spec.strength.or(Some(1.0));
    }
    Ok(wanted)
}
