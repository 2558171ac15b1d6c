//! What a model can be asked for.

use crate::client::{Client, DISK_DEADLINE, call};
use crate::error::CliError;
use crate::render::json::ErrorJson;
use crate::render::table::facts;
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;
use serde::Serialize;

pub(super) async fn ask(client: &Client, reference: &str) -> Result<v1::ModelCapabilities, CliError> {
    let request = v1::GetModelCapabilitiesRequest { model: reference.to_owned() };
    let mut generations = client.generations();
    call("say what the model can do", DISK_DEADLINE, generations.get_model_capabilities(request)).await
}

/// What is printed as JSON.
#[derive(Serialize)]
pub(super) struct CapabilitiesJson<'a> {
    model: &'a str,
    sha256: Option<&'a str>,
    architecture: &'a str,
    prediction_type: &'a str,
    inputs: &'a str,
    defaults: Option<DefaultsJson<'a>>,
    samplers: &'a [String],
    schedules: &'a [String],
    features: &'a [String],
    formats: &'a [String],
    size_multiple: u32,
    largest_side: u32,
    largest_steps: u32,
    largest_count: u32,
    largest_clip_skip: u32,
    planned_bytes: u64,
    memory_limit_bytes: u64,
    refused: Vec<RefusalJson<'a>>,
    loras: AdaptersJson<'a>,
    control_nets: AdaptersJson<'a>,
    upscalers: Vec<FileJson<'a>>,
}

#[derive(Serialize)]
struct DefaultsJson<'a> {
    steps: u32,
    guidance_scale: f32,
    image_guidance_scale: Option<f32>,
    sampler: &'a str,
    schedule: &'a str,
    width: u32,
    height: u32,
    clip_skip: u32,
}

#[derive(Serialize)]
struct RefusalJson<'a> {
    what: &'a str,
    error: Option<ErrorJson>,
}

#[derive(Serialize, Default)]
struct AdaptersJson<'a> {
    fitting: Vec<FileJson<'a>>,
    unfit: u32,
    unread: u32,
}

#[derive(Serialize)]
struct FileJson<'a> {
    name: &'a str,
    #[serde(rename = "ref")]
    reference: &'a str,
    architecture: &'a str,
}

impl<'a> From<&'a v1::ModelCapabilities> for CapabilitiesJson<'a> {
    fn from(of: &'a v1::ModelCapabilities) -> Self {
        Self {
            model: &of.model,
            sha256: Some(of.sha256.as_str()).filter(|digest| !digest.is_empty()),
            architecture: &of.architecture,
            prediction_type: &of.prediction_type,
            inputs: &of.inputs,
            defaults: of.defaults.as_ref().map(DefaultsJson::from),
            samplers: &of.samplers,
            schedules: &of.schedules,
            features: &of.features,
            formats: &of.formats,
            size_multiple: of.size_multiple,
            largest_side: of.largest_side,
            largest_steps: of.largest_steps,
            largest_count: of.largest_count,
            largest_clip_skip: of.largest_clip_skip,
            planned_bytes: of.planned_bytes,
            memory_limit_bytes: of.memory_limit_bytes,
            refused: of
                .refused
                .iter()
                .map(|refusal| RefusalJson { what: &refusal.what, error: refusal.error.as_ref().map(ErrorJson::from) })
                .collect(),
            loras: of.loras.as_ref().map(AdaptersJson::from).unwrap_or_default(),
            control_nets: of.control_nets.as_ref().map(AdaptersJson::from).unwrap_or_default(),
            upscalers: of.upscalers.iter().map(FileJson::from).collect(),
        }
    }
}

impl<'a> From<&'a v1::GenerationDefaults> for DefaultsJson<'a> {
    fn from(of: &'a v1::GenerationDefaults) -> Self {
        Self {
            steps: of.steps,
            guidance_scale: of.guidance_scale,
            image_guidance_scale: of.image_guidance_scale,
            sampler: &of.sampler,
            schedule: &of.schedule,
            width: of.width,
            height: of.height,
            clip_skip: of.clip_skip,
        }
    }
}

impl<'a> From<&'a v1::FittingAdapters> for AdaptersJson<'a> {
    fn from(of: &'a v1::FittingAdapters) -> Self {
        let fitting = of.fitting.iter().map(FileJson::from).collect();
        Self { fitting, unfit: of.unfit_count, unread: of.unread_count }
    }
}

impl<'a> From<&'a v1::UsableFile> for FileJson<'a> {
    fn from(of: &'a v1::UsableFile) -> Self {
        Self { name: &of.name, reference: &of.reference, architecture: &of.architecture }
    }
}

/// A table of facts.
pub(super) fn lines(of: &v1::ModelCapabilities, session: &Session) -> Vec<String> {
    let words = |words: &[String]| sanitize::line(&words.join(", ")).replace('_', " ");
    // Names that are to be typed as they are.
    let names = |names: &[String]| sanitize::line(&names.join(", "));
    let digest: String = of.sha256.chars().take(10).collect();
    let defaults = of.defaults.as_ref().map_or_else(String::new, |of| {
        let v1::GenerationDefaults { steps, guidance_scale, sampler, schedule, width, height, clip_skip, .. } = of;
        format!(
            "{width}×{height}, {steps} steps, {sampler}, {schedule}, guidance {guidance_scale}, clip skip {clip_skip}"
        )
    });
    let memory = match of.planned_bytes {
        0 => format!("{} are there", units::bytes(of.memory_limit_bytes)),
        planned => {
            format!("{} for one picture, {} are there", units::bytes(planned), units::bytes(of.memory_limit_bytes))
        }
    };
    let sizes = format!("multiples of {} up to {} pixels a side", of.size_multiple, of.largest_side);
    let mut rows = vec![
        ("model", sanitize::line(&format!("{} {digest}", of.model))),
        (
            "network",
            sanitize::line(&format!("{}, predicts {}, sees {}", of.architecture, of.prediction_type, of.inputs)),
        ),
        ("usual", sanitize::line(&defaults)),
        ("sizes", sizes),
        ("clip skip", format!("1 to {}", of.largest_clip_skip)),
        ("memory", memory),
        ("can", words(&of.features)),
        ("samplers", names(&of.samplers)),
        ("schedules", names(&of.schedules)),
        ("loras", adapters(of.loras.as_ref())),
        ("controlnets", adapters(of.control_nets.as_ref())),
        ("upscalers", names(&of.upscalers.iter().map(|file| file.name.clone()).collect::<Vec<_>>())),
    ];
    for refusal in &of.refused {
        let why = refusal.error.as_ref().map(|error| error.message.as_str()).unwrap_or_default();
        rows.push(("refused", sanitize::line(&format!("{}: {why}", refusal.what.replace('_', " ")))));
    }
    facts(&rows, session.terminal.columns)
}

/// Those that fit by name, and how many others there are.
fn adapters(of: Option<&v1::FittingAdapters>) -> String {
    let Some(of) = of else { return String::new() };
    let mut parts: Vec<String> = of.fitting.iter().map(|file| sanitize::line(&file.name)).collect();
    if of.unfit_count > 0 {
        parts.push(format!("{} here do not fit", units::grouped(of.unfit_count.into())));
    }
    if of.unread_count > 0 {
        parts.push(format!("{} were not looked at", units::grouped(of.unread_count.into())));
    }
    parts.join(", ")
}
