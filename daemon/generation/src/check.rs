//! What is wrong with a request before anything is looked up.

mod larger;

use crate::error::GenerationError;
use crate::recipe::most_recipe_bytes;
use paintbox_domain::generation::{GenerationSpec, NoiseProblem, PictureFormat};

/// Images in one generation.
pub const LARGEST_COUNT: u32 = 64;
/// Sampler steps; the training schedule has no more.
pub const LARGEST_STEPS: u32 = 1000;
/// A prompt longer than this is a mistake.
pub const LONGEST_PROMPT_BYTES: usize = 64 << 10;
/// A picture's longer side; memory may allow less.
pub const LARGEST_SIDE_PIXELS: u32 = 16_384;

/// ControlNets at once; each costs about as much time and memory as half of a network.
const MOST_CONTROLS: usize = 8;
/// No model has as many.
const MOST_TEXT_ENCODERS: usize = 4;
const MOST_EMBEDDINGS: usize = 64;
const LARGEST_CONTROL_STRENGTH: f32 = 10.0;
/// A1111 goes no farther either.
const LARGEST_BLUR_PIXELS: u32 = 64;

/// Refuses a specification that no model could paint.
pub(crate) fn check(spec: &GenerationSpec) -> Result<(), GenerationError> {
    let refuse = |field: &'static str, problem: String| Err(GenerationError::Invalid { field, problem });
    if !spec.paints() {
        return larger::check_enlarging(spec);
    }
    if spec.model.trim().is_empty() {
        return refuse("model", "no model is named".into());
    }
    larger::check(spec)?;
    for (field, text) in [("prompt", &spec.prompt), ("negative_prompt", &spec.negative_prompt)] {
        if text.len() > LONGEST_PROMPT_BYTES {
            return refuse(field, format!("{} bytes are more than {LONGEST_PROMPT_BYTES}", text.len()));
        }
    }
    if !(1..=LARGEST_COUNT).contains(&spec.count) {
        return refuse("count", format!("{} is not between 1 and {LARGEST_COUNT}", spec.count));
    }
    if let Some(steps) = spec.steps
        && !(1..=LARGEST_STEPS).contains(&steps)
    {
        return refuse("steps", format!("{steps} is not between 1 and {LARGEST_STEPS}"));
    }
    if let Some(scale) = spec.guidance_scale
        && !(0.0..=100.0).contains(&scale)
    {
        return refuse("guidance_scale", format!("{scale} is not between 0 and 100"));
    }
    if let Some(scale) = spec.image_guidance_scale
        && !(0.0..=100.0).contains(&scale)
    {
        return refuse("image_guidance_scale", format!("{scale} is not between 0 and 100"));
    }
    for (field, side) in [("width", spec.width), ("height", spec.height)] {
        if let Some(side) = side
            && !(8..=LARGEST_SIDE_PIXELS).contains(&side)
        {
            return refuse(field, format!("{side} is not between 8 and {LARGEST_SIDE_PIXELS} pixels"));
        }
    }
    if spec.clip_skip == Some(0) {
        return refuse("clip_skip", "counting begins at 1, the last layer".into());
    }
    for lora in &spec.loras {
        for weight in [Some(lora.weight), lora.text_encoder_weight].into_iter().flatten() {
            if !weight.is_finite() || weight.abs() > 100.0 {
                return refuse("loras.weight", format!("{weight} is not a usable weight for {}", lora.model));
            }
        }
    }
    let format = check_format(spec)?;
    let second = spec.hires.iter().flat_map(|hires| [&hires.prompt, &hires.negative_prompt]).flatten();
    let prompts = [&spec.prompt, &spec.negative_prompt].into_iter().chain(second);
    if let Some((bytes, most)) = most_recipe_bytes(format, prompts.map(String::as_str))
        && bytes > most
    {
        let problem = format!("{bytes} bytes of prompts are more than the {most} that a JPEG has room for");
        return refuse("format", problem);
    }
    if spec.controls.len() > MOST_CONTROLS {
        return refuse("controls", format!("{} are more than {MOST_CONTROLS}", spec.controls.len()));
    }
    for (field, named, most) in [
        ("text_encoders", spec.text_encoders.len(), MOST_TEXT_ENCODERS),
        ("embeddings", spec.embeddings.len(), MOST_EMBEDDINGS),
    ] {
        if named > most {
            return refuse(field, format!("{named} are more than {most}"));
        }
    }
    for control in &spec.controls {
        let (start, end) = (control.start.unwrap_or(0.0), control.end.unwrap_or(1.0));
        if let Some(strength) = control.strength
            && !(0.0..=LARGEST_CONTROL_STRENGTH).contains(&strength)
        {
            let problem = format!("{strength} is not between 0 and {LARGEST_CONTROL_STRENGTH}");
            return refuse("controls.strength", problem);
        }
        if !(0.0 <= start && start < end && end <= 1.0) {
            return refuse("controls.start", format!("{start} to {end} is no part of 0 to 1"));
        }
        if let Some(canny) = control.canny
            && canny.low > canny.high
        {
            return refuse("controls.canny", format!("{} is above {}", canny.low, canny.high));
        }
    }
    if let Some(inpaint) = &spec.inpaint {
        if spec.init_image.is_none() {
            return refuse("inpaint", "there is no init image that the mask could lie over".into());
        }
        if let Some(blur) = inpaint.blur
            && blur > LARGEST_BLUR_PIXELS
        {
            return refuse("inpaint.blur", format!("{blur} is more than {LARGEST_BLUR_PIXELS} pixels"));
        }
        if let Some(padding) = inpaint.padding {
            if !inpaint.only_masked {
                return refuse("inpaint.padding", "it belongs to only_masked, which is not asked for".into());
            }
            if padding > LARGEST_SIDE_PIXELS {
                return refuse("inpaint.padding", format!("{padding} is more than {LARGEST_SIDE_PIXELS} pixels"));
            }
        }
    }
    if let Some(rescale) = spec.guidance_rescale
        && !(0.0..=1.0).contains(&rescale)
    {
        return refuse("guidance_rescale", format!("{rescale} is not between 0 and 1"));
    }
    if let Err(NoiseProblem { field, given, wanted }) = spec.noise.check() {
        return refuse(field, format!("{given} is not {wanted}"));
    }
    match (spec.init_image, spec.strength) {
        (None, Some(_)) => refuse("strength", "there is no init image to apply it to".into()),
        (Some(_), Some(strength)) if !(strength > 0.0 && strength <= 1.0) => {
            refuse("strength", format!("{strength} is not above 0 and at most 1"))
        }
        _ => Ok(()),
    }
}

/// What the pictures become.
fn check_format(spec: &GenerationSpec) -> Result<PictureFormat, GenerationError> {
    let refuse = |problem: String| Err(GenerationError::Invalid { field: "quality", problem });
    let format = spec.format.unwrap_or(PictureFormat::Png);
    if let Some(quality) = spec.quality {
        if format != PictureFormat::Jpeg {
            return refuse(format!("a {format} is written without loss"));
        }
        if !(1..=100).contains(&quality) {
            return refuse(format!("{quality} is not between 1 and 100"));
        }
    }
    Ok(format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::Sha256;
    use paintbox_domain::generation::{
        Canny, ControlNetUse, Hires, InpaintUse, NoiseSettings, PixelScaling, Upscale, Upscaler,
    };

    fn spec() -> GenerationSpec {
        GenerationSpec { model: "civitai:1".into(), prompt: "x".into(), count: 1, ..GenerationSpec::default() }
    }

    fn inpaint() -> InpaintUse {
        let mask = Sha256::from_bytes([1; 32]);
        InpaintUse { mask, invert: false, blur: None, content: None, only_masked: false, padding: None }
    }

    fn control() -> ControlNetUse {
        let image = Sha256::from_bytes([2; 32]);
        ControlNetUse { model: "civitai:2".into(), image, canny: None, strength: None, start: None, end: None }
    }

    fn twice(hires: Hires<String>) -> GenerationSpec {
        GenerationSpec { hires: Some(hires), ..spec() }
    }

    /// A picture that is only made larger.
    fn enlarged(scale: Option<f32>) -> GenerationSpec {
        let upscaler = Upscaler::Pixels(PixelScaling::Lanczos);
        GenerationSpec {
            init_image: Some(Sha256::from_bytes([0; 32])),
            upscale: Some(Upscale { upscaler, scale }),
            count: 1,
            ..GenerationSpec::default()
        }
    }

    #[test]
    fn accepts_an_empty_prompt_and_open_choices() {
        assert!(check(&GenerationSpec { prompt: String::new(), ..spec() }).is_ok());
        assert!(check(&enlarged(None)).is_ok() && check(&twice(Hires::default())).is_ok());
        let jpeg = GenerationSpec { format: Some(PictureFormat::Jpeg), quality: Some(100), ..spec() };
        assert!(check(&GenerationSpec { prompt: "x".repeat(25_000), ..jpeg }).is_ok());
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let led = |control| GenerationSpec { controls: vec![control], ..spec() };
        let over = |inpaint| GenerationSpec {
            init_image: Some(Sha256::from_bytes([0; 32])),
            inpaint: Some(inpaint),
            ..spec()
        };
        let cases = [
            (GenerationSpec { model: " ".into(), ..spec() }, "model"),
            (GenerationSpec { prompt: "x".repeat(200_000), ..spec() }, "prompt"),
            (GenerationSpec { count: 0, ..spec() }, "count"),
            (GenerationSpec { count: 65, ..spec() }, "count"),
            (GenerationSpec { steps: Some(0), ..spec() }, "steps"),
            (GenerationSpec { steps: Some(1001), ..spec() }, "steps"),
            (GenerationSpec { guidance_scale: Some(f32::NAN), ..spec() }, "guidance_scale"),
            (GenerationSpec { width: Some(1 << 20), ..spec() }, "width"),
            (GenerationSpec { clip_skip: Some(0), ..spec() }, "clip_skip"),
            (GenerationSpec { quality: Some(90), ..spec() }, "quality"),
            (GenerationSpec { format: Some(PictureFormat::Webp), quality: Some(90), ..spec() }, "quality"),
            (GenerationSpec { format: Some(PictureFormat::Jpeg), quality: Some(0), ..spec() }, "quality"),
            (GenerationSpec { format: Some(PictureFormat::Jpeg), prompt: "x".repeat(30_000), ..spec() }, "format"),
            (GenerationSpec { guidance_rescale: Some(1.1), ..spec() }, "guidance_rescale"),
            (GenerationSpec { noise: NoiseSettings { eta: Some(-1.0), ..NoiseSettings::default() }, ..spec() }, "eta"),
            (GenerationSpec { strength: Some(0.5), ..spec() }, "strength"),
            (
                GenerationSpec { init_image: Some(Sha256::from_bytes([0; 32])), strength: Some(0.0), ..spec() },
                "strength",
            ),
            (GenerationSpec { image_guidance_scale: Some(-1.0), ..spec() }, "image_guidance_scale"),
            (GenerationSpec { controls: vec![control(); 9], ..spec() }, "controls"),
            (led(ControlNetUse { strength: Some(f32::NAN), ..control() }), "controls.strength"),
            (led(ControlNetUse { start: Some(0.5), end: Some(0.5), ..control() }), "controls.start"),
            (led(ControlNetUse { end: Some(1.5), ..control() }), "controls.start"),
            (led(ControlNetUse { canny: Some(Canny { low: 200, high: 100 }), ..control() }), "controls.canny"),
            (GenerationSpec { inpaint: Some(inpaint()), ..spec() }, "inpaint"),
            (enlarged(Some(0.0)), "upscale.scale"),
            (enlarged(Some(f32::NAN)), "upscale.scale"),
            (GenerationSpec { init_image: None, ..enlarged(None) }, "init_image"),
            (GenerationSpec { prompt: "x".into(), ..enlarged(None) }, "prompt"),
            (GenerationSpec { hires: Some(Hires::default()), ..enlarged(None) }, "model"),
            (twice(Hires { scale: Some(0.9), ..Hires::default() }), "hires.scale"),
            (twice(Hires { steps: Some(0), ..Hires::default() }), "hires.steps"),
            (twice(Hires { strength: Some(0.0), ..Hires::default() }), "hires.strength"),
            (twice(Hires { guidance_scale: Some(-1.0), ..Hires::default() }), "hires.guidance_scale"),
            (twice(Hires { prompt: Some("x".repeat(200_000)), ..Hires::default() }), "hires.prompt"),
            (GenerationSpec { init_image: Some(Sha256::from_bytes([0; 32])), ..twice(Hires::default()) }, "hires"),
            (over(InpaintUse { blur: Some(65), ..inpaint() }), "inpaint.blur"),
            (over(InpaintUse { padding: Some(8), ..inpaint() }), "inpaint.padding"),
            (over(InpaintUse { padding: Some(1 << 20), only_masked: true, ..inpaint() }), "inpaint.padding"),
        ];
        for (spec, wanted) in cases {
            match check(&spec) {
                Err(GenerationError::Invalid { field, .. }) => assert_eq!(field, wanted),
                other => panic!("{wanted}: {other:?}"),
            }
        }
    }
}
