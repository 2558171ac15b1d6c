//! What to paint: messages ⇄ the domain.

use crate::names;
use crate::names::parse_asset;
use crate::status::{failure_status, invalid};
use paintbox_domain::generation::{
    Canny, ControlNetUse, GenerationSpec, Hires, HiresUpscaler, InpaintUse, LoraUse, MaskedContent, NoiseSettings,
    NoiseSource, PictureFormat, Sampler, Schedule, Upscale, Upscaler,
};
use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_proto::v1;
use prost::Message as _;
use tonic::Status;

fn unsupported(field: &'static str, given: &str, known: &[&str]) -> Status {
    let message = format!("`{given}` is not a {field} of this version; it knows {}", known.join(", "));
    let failure = Failure::new(ErrorClass::InvalidInput, reason::UNSUPPORTED_SETTING, message);
    failure_status(&failure.with("field", field).with("given", given))
}

const LARGEST_SPEC_BYTES: usize = 512 << 10;

pub(crate) fn spec(message: Option<v1::GenerationSpec>) -> Result<GenerationSpec, Status> {
    let message = message.ok_or_else(|| invalid("spec", "there is no specification"))?;
    // It comes back with its generation, in a message that has more to say.
    let bytes = message.encoded_len();
    if bytes > LARGEST_SPEC_BYTES {
        return Err(invalid("spec", format!("{bytes} bytes are more than {LARGEST_SPEC_BYTES}")));
    }
    let (sampler, schedule) = sampling(&message.sampler, &message.schedule)?;
    let format = match message.format.as_str() {
        "" => None,
        name => Some(PictureFormat::from_name(name).ok_or_else(|| {
            unsupported("format", name, &PictureFormat::ALL.iter().map(|each| each.as_str()).collect::<Vec<_>>())
        })?),
    };
    let quality = message.quality.map(|quality| {
        u8::try_from(quality).map_err(|_| invalid("spec.quality", format!("{quality} is not between 1 and 100")))
    });
    let init_image = match message.init_image.as_str() {
        "" => None,
        name => Some(parse_asset(name)?),
    };
    let noise = message.noise.as_ref().map(noise).transpose()?.unwrap_or_default();
    Ok(GenerationSpec {
        model: message.model,
        vae: Some(message.vae).filter(|vae| !vae.is_empty()),
        text_encoders: message.text_encoders,
        embeddings: message.embeddings,
        prompt: message.prompt,
        negative_prompt: message.negative_prompt,
        seed: message.seed,
        steps: message.steps,
        guidance_scale: message.guidance_scale,
        image_guidance_scale: message.image_guidance_scale,
        sampler,
        schedule,
        width: message.width,
        height: message.height,
        clip_skip: message.clip_skip,
        loras: message.loras.into_iter().map(lora).collect(),
        count: message.count.max(1),
        init_image,
        strength: message.strength,
        format,
        quality: quality.transpose()?,
        inpaint: message.inpaint.as_ref().map(inpaint).transpose()?,
        controls: message.controls.into_iter().map(control).collect::<Result<_, _>>()?,
        noise,
        guidance_rescale: message.guidance_rescale,
        taesd: Some(message.taesd).filter(|taesd| !taesd.is_empty()),
        hires: message.hires.map(hires).transpose()?,
        upscale: message.upscale.as_ref().map(upscale).transpose()?,
    })
}

/// Sampler and schedule by anybody's names; the sampler's may say a schedule.
fn sampling(sampler: &str, schedule: &str) -> Result<(Option<Sampler>, Option<Schedule>), Status> {
    let (sampler, spaced) = match sampler {
        "" => (None, None),
        name => {
            let (sampler, spaced) = Sampler::by_any_name(name).ok_or_else(|| {
                unsupported("sampler", name, &Sampler::ALL.iter().map(|each| each.as_str()).collect::<Vec<_>>())
            })?;
            (Some(sampler), spaced)
        }
    };
    let schedule = match schedule {
        "" => spaced,
        name => Some(Schedule::by_any_name(name).ok_or_else(|| {
            unsupported("schedule", name, &Schedule::ALL.iter().map(|each| each.as_str()).collect::<Vec<_>>())
        })?),
    };
    Ok((sampler, schedule))
}

fn hires(message: v1::Hires) -> Result<Hires<String>, Status> {
    let (sampler, schedule) = sampling(&message.sampler, &message.schedule)?;
    Ok(Hires {
        upscaler: Some(message.upscaler).filter(|name| !name.is_empty()).map(|name| HiresUpscaler::read(&name)),
        scale: message.scale,
        steps: message.steps,
        strength: message.strength,
        sampler,
        schedule,
        guidance_scale: message.guidance_scale,
        prompt: message.prompt,
        negative_prompt: message.negative_prompt,
    })
}

fn hires_message(hires: Hires<String>) -> v1::Hires {
    v1::Hires {
        upscaler: hires.upscaler.map(|upscaler| upscaler.as_str().to_owned()).unwrap_or_default(),
        scale: hires.scale,
        steps: hires.steps,
        strength: hires.strength,
        sampler: hires.sampler.map(|sampler| sampler.to_string()).unwrap_or_default(),
        schedule: hires.schedule.map(|schedule| schedule.to_string()).unwrap_or_default(),
        guidance_scale: hires.guidance_scale,
        prompt: hires.prompt,
        negative_prompt: hires.negative_prompt,
    }
}

fn upscale(message: &v1::Upscale) -> Result<Upscale<String>, Status> {
    if message.upscaler.is_empty() {
        return Err(invalid("upscale.upscaler", "it names nothing that could make pictures larger"));
    }
    Ok(Upscale { upscaler: Upscaler::read(&message.upscaler), scale: message.scale })
}

fn upscale_message(upscale: &Upscale<String>) -> v1::Upscale {
    v1::Upscale { upscaler: upscale.upscaler.as_str().to_owned(), scale: upscale.scale }
}

fn noise(message: &v1::NoiseSettings) -> Result<NoiseSettings, Status> {
    let source = match message.source.as_str() {
        "" => None,
        name => Some(NoiseSource::by_any_name(name).ok_or_else(|| {
            unsupported("noise source", name, &NoiseSource::ALL.iter().map(|each| each.as_str()).collect::<Vec<_>>())
        })?),
    };
    let resize_from = match (message.resize_from_width, message.resize_from_height) {
        (None, None) => None,
        (Some(width), Some(height)) => Some((width, height)),
        _ => return Err(invalid("noise.resize_from_width", "width and height go together")),
    };
    Ok(NoiseSettings {
        source,
        eta_seed_delta: message.eta_seed_delta,
        subseed: message.subseed,
        subseed_strength: message.subseed_strength,
        resize_from,
        eta: message.eta,
        s_churn: message.s_churn,
        s_tmin: message.s_tmin,
        s_tmax: message.s_tmax,
        s_noise: message.s_noise,
    })
}

/// Absent where nothing is set.
fn noise_message(noise: NoiseSettings) -> Option<v1::NoiseSettings> {
    (noise != NoiseSettings::default()).then(|| v1::NoiseSettings {
        source: noise.source.map(|source| source.to_string()).unwrap_or_default(),
        eta_seed_delta: noise.eta_seed_delta,
        subseed: noise.subseed,
        subseed_strength: noise.subseed_strength,
        resize_from_width: noise.resize_from.map(|(width, _)| width),
        resize_from_height: noise.resize_from.map(|(_, height)| height),
        eta: noise.eta,
        s_churn: noise.s_churn,
        s_tmin: noise.s_tmin,
        s_tmax: noise.s_tmax,
        s_noise: noise.s_noise,
    })
}

fn inpaint(message: &v1::Inpaint) -> Result<InpaintUse, Status> {
    let content = match message.content.as_str() {
        "" => None,
        name => Some(MaskedContent::from_name(name).ok_or_else(|| {
            let known: Vec<_> = MaskedContent::ALL.iter().map(|each| each.as_str()).collect();
            unsupported("masked content", name, &known)
        })?),
    };
    Ok(InpaintUse {
        mask: parse_asset(&message.mask)?,
        invert: message.invert,
        blur: message.blur,
        content,
        only_masked: message.only_masked,
        padding: message.padding,
    })
}

fn control(message: v1::ControlNet) -> Result<ControlNetUse, Status> {
    let usual = Canny::default();
    let canny =
        |canny: v1::Canny| Canny { low: canny.low.unwrap_or(usual.low), high: canny.high.unwrap_or(usual.high) };
    Ok(ControlNetUse {
        image: parse_asset(&message.image)?,
        model: message.model,
        canny: message.canny.map(canny),
        strength: message.strength,
        start: message.start,
        end: message.end,
    })
}

fn control_message(control: ControlNetUse) -> v1::ControlNet {
    v1::ControlNet {
        model: control.model,
        image: names::asset(&control.image),
        canny: control.canny.map(|canny| v1::Canny { low: Some(canny.low), high: Some(canny.high) }),
        strength: control.strength,
        start: control.start,
        end: control.end,
    }
}

fn inpaint_message(inpaint: &InpaintUse) -> v1::Inpaint {
    v1::Inpaint {
        mask: names::asset(&inpaint.mask),
        invert: inpaint.invert,
        blur: inpaint.blur,
        content: inpaint.content.map(|content| content.to_string()).unwrap_or_default(),
        only_masked: inpaint.only_masked,
        padding: inpaint.padding,
    }
}

pub(crate) fn spec_message(spec: GenerationSpec) -> v1::GenerationSpec {
    v1::GenerationSpec {
        model: spec.model,
        vae: spec.vae.unwrap_or_default(),
        text_encoders: spec.text_encoders,
        embeddings: spec.embeddings,
        prompt: spec.prompt,
        negative_prompt: spec.negative_prompt,
        seed: spec.seed,
        steps: spec.steps,
        guidance_scale: spec.guidance_scale,
        image_guidance_scale: spec.image_guidance_scale,
        sampler: spec.sampler.map(|sampler| sampler.to_string()).unwrap_or_default(),
        schedule: spec.schedule.map(|schedule| schedule.to_string()).unwrap_or_default(),
        width: spec.width,
        height: spec.height,
        clip_skip: spec.clip_skip,
        loras: spec.loras.into_iter().map(lora_message).collect(),
        count: spec.count,
        init_image: spec.init_image.map(|digest| names::asset(&digest)).unwrap_or_default(),
        strength: spec.strength,
        format: spec.format.map(|format| format.to_string()).unwrap_or_default(),
        quality: spec.quality.map(u32::from),
        inpaint: spec.inpaint.as_ref().map(inpaint_message),
        controls: spec.controls.into_iter().map(control_message).collect(),
        noise: noise_message(spec.noise),
        guidance_rescale: spec.guidance_rescale,
        taesd: spec.taesd.unwrap_or_default(),
        hires: spec.hires.map(hires_message),
        upscale: spec.upscale.as_ref().map(upscale_message),
    }
}

fn lora(message: v1::LoraUse) -> LoraUse {
    LoraUse { model: message.model, weight: message.weight, text_encoder_weight: message.text_encoder_weight }
}

fn lora_message(lora: LoraUse) -> v1::LoraUse {
    v1::LoraUse { model: lora.model, weight: lora.weight, text_encoder_weight: lora.text_encoder_weight }
}
