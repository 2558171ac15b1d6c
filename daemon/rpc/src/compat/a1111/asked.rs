//! From A1111's fields to a specification: what `txt2img` and `img2img` have in common.
//!
//! Names and defaults: AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/processing.py`, `StableDiffusionProcessing`.

use super::{control, hires, options};
use crate::compat::Compat;
use crate::compat::caller::CallerId;
use crate::compat::fields::Fields;
use crate::compat::problem::Problem;
use paintbox_domain::generation::{GenerationSpec, Sampler, Schedule};
use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_generation::{LARGEST_COUNT, LARGEST_STEPS, Recipe, a1111_names};

/// What a request asks for.
pub(super) struct Asked {
    pub(super) spec: GenerationSpec,
    /// What of it is not done, as sentences.
    pub(super) remarks: Vec<String>,
    pub(super) sends_images: bool,
    /// Pictures to a turn, of `n_iter` turns.
    pub(super) batch_size: u32,
}

impl Asked {
    /// What a request for a picture from a prompt asks for.
    pub(super) async fn read(compat: &Compat, caller: &CallerId, fields: &Fields) -> Result<Self, Problem> {
        refuse(fields)?;
        let (mut spec, mut remarks) = base(compat, fields).await?;
        options::apply(compat, &Fields::from(compat.callers.options(caller)), &mut spec).await?;
        if let Some(overrides) = fields.object("override_settings")? {
            options::apply(compat, &overrides, &mut spec).await?;
            remarks.extend(
                options::ignored(&overrides).iter().map(|name| format!("`override_settings.{name}` is ignored")),
            );
        }
        if spec.model.is_empty() {
            let first = compat.generations.models_here().await?.into_iter().next();
            spec.model = first.ok_or_else(nothing_here)?.reference;
        }
        if !fields.list("styles")?.is_empty() {
            remarks.push("`styles` are ignored: there are none here".to_owned());
        }
        prompts(fields, &mut spec)?;
        seeds(fields, &mut spec)?;
        sampling(fields, &mut spec)?;
        noise(fields, &mut spec)?;
        let batch_size = fields.count("batch_size", 1..=LARGEST_COUNT)?.unwrap_or(1);
        spec.count = batch_size.saturating_mul(fields.count("n_iter", 1..=LARGEST_COUNT)?.unwrap_or(1));
        if spec.count > LARGEST_COUNT {
            let problem = format!("{} pictures are more than {LARGEST_COUNT}", spec.count);
            return Err(Problem::invalid("n_iter", problem));
        }
        spec.hires = hires::read(compat, fields, &spec).await?;
        let sends_images = fields.flag("send_images")?.unwrap_or(true);
        let mut asked = Self { spec, remarks, sends_images, batch_size };
        asked.spec.controls = control::read(compat, fields, &asked.spec).await?;
        Ok(asked)
    }
}

fn nothing_here() -> Problem {
    let failure = Failure::new(ErrorClass::NotFound, reason::MODEL_NOT_FOUND, "no model is here to paint with");
    failure.with_hint("`paintbox search` finds some, and `paintbox pull` fetches one").into()
}

/// What `infotext` says, which is A1111's way of asking for a picture like another; what the request says itself goes first.
async fn base(compat: &Compat, fields: &Fields) -> Result<(GenerationSpec, Vec<String>), Problem> {
    let Some(text) = fields.word("infotext")? else { return Ok((GenerationSpec::default(), Vec::new())) };
    let recipe =
        Recipe::read(text.as_bytes()).map_err(|error| Problem::from(&error as &dyn paintbox_domain::Classify))?;
    let plan = compat.generations.plan_like(recipe).await?;
    let remark =
        |remark: paintbox_generation::Remark| format!("`{}` of the infotext: {}", remark.field, remark.problem);
    Ok((plan.spec, plan.remarks.into_iter().map(remark).collect()))
}

/// What the picture would lack.
fn refuse(fields: &Fields) -> Result<(), Problem> {
    if let Some(name) = fields.word("script_name")? {
        return Err(Problem::unprocessable("script_name", format!("Script '{name}' not found")));
    }
    for (name, problem) in [
        ("restore_faces", "no faces are restored here"),
        ("tiling", "no picture here continues at its edges"),
        ("disable_extra_networks", "leave their tags out of the prompt"),
    ] {
        if fields.flag(name)?.unwrap_or(false) {
            return Err(Problem::unsupported(name, problem));
        }
    }
    for name in ["refiner_checkpoint", "firstpass_image"] {
        if fields.word(name)?.is_some_and(|value| value != "None") {
            return Err(Problem::unsupported(name, "it is not done here"));
        }
    }
    Ok(())
}

fn prompts(fields: &Fields, spec: &mut GenerationSpec) -> Result<(), Problem> {
    if let Some(prompt) = fields.text("prompt")? {
        prompt.clone_into(&mut spec.prompt);
    }
    if let Some(prompt) = fields.text("negative_prompt")? {
        prompt.clone_into(&mut spec.negative_prompt);
    }
    spec.steps = fields.count("steps", 1..=LARGEST_STEPS)?.or(spec.steps);
    spec.guidance_scale = fields.number("cfg_scale")?.or(spec.guidance_scale);
    // 0 is what some send for "nothing in particular".
    spec.width = fields.count("width", 0..=u32::MAX)?.filter(|side| *side > 0).or(spec.width);
    spec.height = fields.count("height", 0..=u32::MAX)?.filter(|side| *side > 0).or(spec.height);
    // SD.Next's name, which SillyTavern sends beside A1111's.
    if spec.clip_skip.is_none() {
        spec.clip_skip = fields.count("clip_skip", 0..=24)?.filter(|skip| *skip > 1);
    }
    Ok(())
}

/// Any negative seed is a random one.
fn seeds(fields: &Fields, spec: &mut GenerationSpec) -> Result<(), Problem> {
    if let Some(seed) = fields.whole("seed")? {
        spec.seed = u64::try_from(seed).ok();
    }
    if let Some(strength) = fields.number("subseed_strength")?.filter(|strength| *strength != 0.0) {
        spec.noise.subseed_strength = Some(strength);
        spec.noise.subseed = fields.whole("subseed")?.and_then(|seed| u64::try_from(seed).ok());
    }
    let side =
        |name| Ok::<_, Problem>(fields.whole(name)?.and_then(|side| u32::try_from(side).ok()).filter(|s| *s > 0));
    if let (Some(width), Some(height)) = (side("seed_resize_from_w")?, side("seed_resize_from_h")?) {
        spec.noise.resize_from = Some((width, height));
    }
    Ok(())
}

fn sampling(fields: &Fields, spec: &mut GenerationSpec) -> Result<(), Problem> {
    // `sampler_index` is the same under its older name.
    let name = match fields.word("sampler_name")? {
        Some(name) => Some(("sampler_name", name)),
        None => fields.word("sampler_index")?.map(|name| ("sampler_index", name)),
    };
    if let Some((field, name)) = name {
        let (sampler, spaced) = sampler(field, name)?;
        spec.sampler = Some(sampler);
        // What a schedule is left to, A1111 decides by the sampler.
        spec.schedule = spaced.or_else(|| a1111_names::automatic_schedule(sampler));
    }
    if let Some(schedule) = schedule("scheduler", fields.word("scheduler")?)? {
        spec.schedule = Some(schedule);
    }
    Ok(())
}

/// A sampler by A1111's name for it, and the schedule that the name may say.
pub(super) fn sampler(field: &str, name: &str) -> Result<(Sampler, Option<Schedule>), Problem> {
    Sampler::by_any_name(name)
        .ok_or_else(|| Problem::unsupported(field, format!("`{name}` is not known; /sdapi/v1/samplers lists what is")))
}

/// A schedule by A1111's name for it; none where it is left to the sampler.
pub(super) fn schedule(field: &str, name: Option<&str>) -> Result<Option<Schedule>, Problem> {
    let Some(name) = name.filter(|name| !name.eq_ignore_ascii_case("automatic")) else { return Ok(None) };
    let known = Schedule::by_any_name(name);
    let problem = || Problem::unsupported(field, format!("`{name}` is not known; /sdapi/v1/schedulers lists what is"));
    known.map(Some).ok_or_else(problem)
}

/// Settings that A1111 has of every sampler, and that are refused here of one that has no use for them: what is as A1111 has
/// it when nothing is said is as good as nothing.
fn noise(fields: &Fields, spec: &mut GenerationSpec) -> Result<(), Problem> {
    let number = |name, nothing: f32| Ok::<_, Problem>(fields.number(name)?.filter(|value| *value != nothing));
    let takes = |takes: fn(Sampler) -> bool| spec.sampler.is_some_and(takes);
    let eta = fields.number("eta")?.filter(|_| takes(Sampler::takes_eta));
    let (churn, least) = (number("s_churn", 0.0)?, number("s_tmin", 0.0)?);
    // A1111 takes 0 for no bound.
    let most = number("s_tmax", 0.0)?;
    let factor = number("s_noise", 1.0)?;
    let noise = &mut spec.noise;
    noise.eta = eta.or(noise.eta);
    noise.s_churn = churn.or(noise.s_churn);
    noise.s_tmin = least.or(noise.s_tmin);
    noise.s_tmax = most.or(noise.s_tmax);
    noise.s_noise = factor.or(noise.s_noise);
    Ok(())
}
