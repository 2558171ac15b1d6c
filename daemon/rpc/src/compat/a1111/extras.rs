//! What A1111 does with finished pictures: `extra-single-image` makes one larger, `png-info` says how one was made
//! (`modules/api/models.py`, `ExtrasBaseRequest`; `scripts/postprocessing_upscale.py`).

use super::hires::upscaler;
use crate::compat::Compat;
use crate::compat::fields::Fields;
use crate::compat::picture::{decoded, from_base64};
use crate::compat::problem::Problem;
use paintbox_domain::generation::{GenerationSpec, HiresUpscaler, Upscale, Upscaler};
use paintbox_generation::{parameters, parameters_of};
use paintbox_store::preview::PreviewFormat;
use serde_json::{Map, Value, json};

const USUAL_SCALE: f32 = 2.0;

/// What is asked for when a picture is to become larger.
pub(super) async fn read(compat: &Compat, fields: &Fields) -> Result<GenerationSpec, Problem> {
    for name in ["gfpgan_visibility", "codeformer_visibility", "extras_upscaler_2_visibility"] {
        if fields.number(name)?.is_some_and(|visibility| visibility != 0.0) {
            return Err(Problem::unsupported(
                name,
                "pictures are made larger by one upscaler, and faces are not restored",
            ));
        }
    }
    let picture = decoded(fields, "image", |fields| Ok(Some(fields.text("image")?.unwrap_or_default()))).await?;
    let kept = compat.keep("image", picture.unwrap_or_default()).await?;
    let scale = match fields.whole("resize_mode")?.unwrap_or(0) {
        0 => fields.number("upscaling_resize")?.unwrap_or(USUAL_SCALE),
        1 => {
            let side = |name| Ok::<_, Problem>(fields.count(name, 1..=u32::MAX)?.unwrap_or(512));
            let times = |side: u32, of: u32| side as f32 / of.max(1) as f32;
            let wide = times(side("upscaling_resize_w")?, kept.width);
            let high = times(side("upscaling_resize_h")?, kept.height);
            if (wide - high).abs() > 0.01 {
                return Err(Problem::unsupported("upscaling_resize_w", "the picture keeps its proportions"));
            }
            wide
        }
        mode => return Err(Problem::invalid("resize_mode", format!("{mode} is not 0 or 1"))),
    };
    let name = fields.word("upscaler_1")?.unwrap_or("None");
    let HiresUpscaler::Picture(upscaler) = upscaler(compat, name).await? else {
        return Err(Problem::invalid("upscaler_1", "it enlarges latents, which a finished picture has none of"));
    };
    let upscaler: Upscaler<String> = upscaler;
    Ok(GenerationSpec {
        init_image: Some(kept.sha256),
        upscale: Some(Upscale { upscaler, scale: Some(scale) }),
        count: 1,
        ..GenerationSpec::default()
    })
}

/// How a picture was made, as text and as a table; empty where it does not say.
pub(super) fn png_info(fields: &Fields) -> Result<Value, Problem> {
    let picture = from_base64("image", fields.text("image")?.unwrap_or_default())?;
    if PreviewFormat::sniff(&picture).is_none() {
        return Err(Problem::invalid("image", "it is no PNG, JPEG, WebP or GIF"));
    }
    let text = parameters_of(&picture);
    let table: Map<_, _> = parameters(&text).into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    Ok(json!({ "info": text, "items": {}, "parameters": table }))
}
