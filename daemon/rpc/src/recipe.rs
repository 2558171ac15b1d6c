//! `ReadRecipe` of the `GenerationService`: a recipe from a caller's bytes or a hub's picture, and what of it is here.

use crate::asset::LARGEST_PICTURE_BYTES;
use crate::fit;
use crate::room::Taken;
use crate::server::{Api, lost};
use crate::spec::spec_message;
use crate::status::{failure_status, invalid, status};
use paintbox_generation::{LONGEST_PROMPT_BYTES, LikeModel, LikePlan, LikeState, Recipe};
use paintbox_proto::v1;
use paintbox_proto::v1::read_recipe_request::Source;
use prost::Message as _;
use tonic::{Status, Streaming};

/// No generation has use for more.
const MOST_LORAS: usize = 128;

impl Api {
    pub(crate) async fn recipe(
        &self,
        parts: Streaming<v1::ReadRecipeRequest>,
    ) -> Result<v1::ReadRecipeResponse, Status> {
        let mut taken = self.room.for_one();
        let recipe = match collected(parts, &mut taken).await? {
            Given::Image(image) => {
                let data = self.sync.civitai_generation_data(image).await.map_err(|error| status(&error))?;
                Recipe::of_civitai(&data)
            }
            Given::Bytes(bytes) => {
                tokio::task::spawn_blocking(move || Recipe::read(&bytes)).await.map_err(|_| lost())?
            }
        };
        let recipe = recipe.map_err(|error| status(&error))?;
        let plan = self.generations.plan_like(recipe).await.map_err(|error| status(&error))?;
        Ok(response(plan))
    }
}

enum Given {
    Bytes(Vec<u8>),
    Image(u64),
}

async fn collected(mut parts: Streaming<v1::ReadRecipeRequest>, taken: &mut Taken) -> Result<Given, Status> {
    let mut bytes = Vec::new();
    while let Some(part) = parts.message().await? {
        match part.source {
            Some(Source::Part(part)) if bytes.len() + part.len() <= LARGEST_PICTURE_BYTES => {
                taken.more(part.len()).map_err(|failure| failure_status(&failure))?;
                bytes.extend(part);
            }
            Some(Source::Part(_)) => {
                return Err(invalid("part", format!("more than {LARGEST_PICTURE_BYTES} bytes came")));
            }
            Some(Source::CivitaiImage(image)) if bytes.is_empty() => return Ok(Given::Image(image)),
            Some(Source::CivitaiImage(_)) => return Err(invalid("civitai_image", "there are bytes before it")),
            None => return Err(invalid("source", "it is missing")),
        }
    }
    Ok(Given::Bytes(bytes))
}

fn response(plan: LikePlan) -> v1::ReadRecipeResponse {
    let remark = |remark: &paintbox_generation::Remark| v1::RecipeRemark {
        field: fit::name(&remark.field),
        given: fit::name(&remark.given),
        problem: fit::name(&remark.problem),
    };
    let mut spec = spec_message(plan.spec);
    let second = spec.hires.iter_mut().flat_map(|hires| [&mut hires.prompt, &mut hires.negative_prompt]).flatten();
    for prompt in [&mut spec.prompt, &mut spec.negative_prompt].into_iter().chain(second) {
        prompt.truncate(prompt.floor_char_boundary(LONGEST_PROMPT_BYTES));
    }
    spec.loras.truncate(MOST_LORAS);
    let room = fit::ROOM.saturating_sub(spec.encoded_len());
    v1::ReadRecipeResponse {
        spec: Some(spec),
        models: fit::first(&plan.models, room / 2, model),
        remarks: fit::first(&plan.remarks, room / 3, remark),
        program: fit::name(&plan.program.unwrap_or_default()),
    }
}

fn model(model: &LikeModel) -> v1::RecipeModel {
    let LikeModel { role, resource, weight, state } = model;
    let mut message = v1::RecipeModel {
        role: role.as_str().to_owned(),
        name: fit::name(&resource.name),
        weight: *weight,
        digests: fit::words(&resource.digests),
        ..v1::RecipeModel::default()
    };
    let state = match state {
        LikeState::Here { reference, by } => {
            message.reference.clone_from(reference);
            by.as_str().clone_into(&mut message.found_by);
            "here"
        }
        LikeState::Missing { pull } => {
            message.pull = fit::name(pull.as_deref().unwrap_or_default());
            "missing"
        }
        LikeState::Away { volume } => {
            message.volume.clone_from(volume);
            "away"
        }
    };
    state.clone_into(&mut message.state);
    message
}
