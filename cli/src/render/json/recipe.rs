//! What `generate --like` read, as the first object that it prints.

use super::known;
use paintbox_proto::v1;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct RecipeLine<'a> {
    event: &'static str,
    program: Option<&'a str>,
    /// What is painted: the recipe, and over it what the command line says.
    spec: SpecJson<'a>,
    models: Vec<RecipeModelJson<'a>>,
    remarks: Vec<RemarkJson<'a>>,
}

#[derive(Serialize)]
struct SpecJson<'a> {
    model: Option<&'a str>,
    prompt: &'a str,
    negative: &'a str,
    seed: Option<u64>,
    steps: Option<u32>,
    cfg: Option<f32>,
    sampler: Option<&'a str>,
    schedule: Option<&'a str>,
    width: Option<u32>,
    height: Option<u32>,
    clip_skip: Option<u32>,
    strength: Option<f32>,
    loras: Vec<LoraJson<'a>>,
    hires: Option<HiresJson<'a>>,
    upscale: Option<UpscaleJson<'a>>,
}

#[derive(Serialize)]
struct HiresJson<'a> {
    upscaler: Option<&'a str>,
    scale: Option<f32>,
    steps: Option<u32>,
    strength: Option<f32>,
    sampler: Option<&'a str>,
    schedule: Option<&'a str>,
    cfg: Option<f32>,
    prompt: Option<&'a str>,
    negative: Option<&'a str>,
}

#[derive(Serialize)]
struct UpscaleJson<'a> {
    upscaler: &'a str,
    scale: Option<f32>,
}

#[derive(Serialize)]
struct LoraJson<'a> {
    model: &'a str,
    weight: f32,
    text_encoder_weight: Option<f32>,
}

#[derive(Serialize)]
struct RecipeModelJson<'a> {
    role: &'a str,
    name: &'a str,
    state: &'a str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    found_by: Option<&'a str>,
    pull: Option<&'a str>,
    volume: Option<&'a str>,
    weight: f32,
    digests: &'a [String],
}

#[derive(Serialize)]
struct RemarkJson<'a> {
    field: &'a str,
    given: &'a str,
    problem: &'a str,
}

impl<'a> RecipeLine<'a> {
    pub(crate) fn new(recipe: &'a v1::ReadRecipeResponse, spec: &'a v1::GenerationSpec) -> Self {
        let model = |model: &'a v1::RecipeModel| RecipeModelJson {
            role: &model.role,
            name: &model.name,
            state: &model.state,
            reference: known(&model.reference),
            found_by: known(&model.found_by),
            pull: known(&model.pull),
            volume: known(&model.volume),
            weight: model.weight,
            digests: &model.digests,
        };
        let remark = |remark: &'a v1::RecipeRemark| RemarkJson {
            field: &remark.field,
            given: &remark.given,
            problem: &remark.problem,
        };
        Self {
            event: "recipe",
            program: known(&recipe.program),
            spec: SpecJson {
                model: known(&spec.model),
                prompt: &spec.prompt,
                negative: &spec.negative_prompt,
                seed: spec.seed,
                steps: spec.steps,
                cfg: spec.guidance_scale,
                sampler: known(&spec.sampler),
                schedule: known(&spec.schedule),
                width: spec.width,
                height: spec.height,
                clip_skip: spec.clip_skip,
                strength: spec.strength,
                loras: spec
                    .loras
                    .iter()
                    .map(|lora| LoraJson {
                        model: &lora.model,
                        weight: lora.weight,
                        text_encoder_weight: lora.text_encoder_weight,
                    })
                    .collect(),
                hires: spec.hires.as_ref().map(|hires| HiresJson {
                    upscaler: known(&hires.upscaler),
                    scale: hires.scale,
                    steps: hires.steps,
                    strength: hires.strength,
                    sampler: known(&hires.sampler),
                    schedule: known(&hires.schedule),
                    cfg: hires.guidance_scale,
                    prompt: hires.prompt.as_deref(),
                    negative: hires.negative_prompt.as_deref(),
                }),
                upscale: spec
                    .upscale
                    .as_ref()
                    .map(|upscale| UpscaleJson { upscaler: &upscale.upscaler, scale: upscale.scale }),
            },
            models: recipe.models.iter().map(model).collect(),
            remarks: recipe.remarks.iter().map(remark).collect(),
        }
    }
}
