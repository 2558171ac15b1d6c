//! Models of the scripted world. A message holds few entries of each list, and pages have the rest.

use super::{Answer, Fake, NOW_SECONDS, answer, refusal, unhinted};
use paintbox_proto::v1;
use tonic::{Code, Request, Status};

const MOST_IN_A_MESSAGE: usize = 4;
const MOST_ON_A_PAGE: usize = 3;

/// The model with the first of everything, and how much there is.
fn in_one_message(model: &v1::Model) -> v1::Model {
    let count = |length: usize| u32::try_from(length).unwrap();
    let mut told = model.clone();
    told.version_count = count(model.versions.len());
    told.versions.truncate(MOST_IN_A_MESSAGE);
    for version in &mut told.versions {
        (version.file_count, version.preview_count) = (count(version.files.len()), count(version.previews.len()));
        version.files.truncate(MOST_IN_A_MESSAGE);
        version.previews.truncate(MOST_IN_A_MESSAGE);
    }
    told
}

fn version<'a>(models: &'a [v1::Model], name: &str) -> &'a v1::ModelVersion {
    models.iter().flat_map(|model| &model.versions).find(|version| version.name == name).unwrap()
}

/// The page behind a token, and the token of the next one.
fn page<T: Clone>(all: &[T], token: &str) -> (Vec<T>, String) {
    let from: usize = token.parse().unwrap_or(0);
    let to = (from + MOST_ON_A_PAGE).min(all.len());
    (all[from..to].to_vec(), if to < all.len() { to.to_string() } else { String::new() })
}

#[tonic::async_trait]
impl v1::catalogue_service_server::CatalogueService for Fake {
    async fn search_models(&self, request: Request<v1::SearchModelsRequest>) -> Answer<v1::SearchModelsResponse> {
        self.note(request.get_ref());
        let v1::SearchModelsRequest { page_size, page_token, query, facets, filter, as_written, .. } =
            request.into_inner();
        if filter == "kin:lora" {
            return Err(refusal(Code::InvalidArgument, "FILTER_INVALID", "the filter cannot be read at character 1"));
        }
        if query == "loop" {
            let next_page_token = "again".to_owned();
            return answer(v1::SearchModelsResponse { next_page_token, ..Default::default() });
        }
        let at: usize = page_token.parse().unwrap_or(0);
        let world = self.world();
        // Never more than two a page, whatever was asked for.
        let size = usize::try_from(page_size).unwrap().clamp(1, 2);
        let models: Vec<_> = world.models.iter().skip(at).take(size).cloned().collect();
        let next = at + models.len();
        let next_page_token = if next < world.models.len() { next.to_string() } else { String::new() };
        let values = [("lora", 1_200), ("a\u{1b}[2J", 3)]
            .map(|(value, models)| v1::FacetValue { value: value.to_owned(), models });
        let facets = facets.into_iter().map(|facet| v1::FacetCounts { facet, values: values.to_vec() }).collect();
        let total_size = world.models.len() as i64;
        answer(v1::SearchModelsResponse {
            models,
            next_page_token,
            total_size,
            facets,
            partial: query == "new",
            corrected_query: if query == "draem" && !as_written { "dream\u{1b}[2J".to_owned() } else { String::new() },
        })
    }

    async fn get_model(&self, _: Request<v1::GetModelRequest>) -> Answer<v1::Model> {
        Err(Status::unimplemented("the command line resolves references instead"))
    }

    async fn resolve_model(&self, request: Request<v1::ResolveModelRequest>) -> Answer<v1::ResolveModelResponse> {
        self.note(request.get_ref());
        let v1::ResolveModelRequest { reference, read_time, .. } = request.into_inner();
        if read_time.is_some_and(|time| time.seconds < NOW_SECONDS - 30 * 86_400) {
            return Err(unhinted(Code::NotFound, "NOT_KNOWN_YET", "nothing was known of civitai:1 at that time"));
        }
        let world = self.world();
        let (model, version) = reference.split_once('@').unwrap_or((&reference, ""));
        let Some(found) = world.models.iter().find(|candidate| candidate.r#ref == model) else {
            return Err(refusal(Code::NotFound, "MODEL_NOT_FOUND", "no model of that reference is in the catalogue"));
        };
        let version = found.versions.iter().find(|v| !version.is_empty() && v.r#ref.ends_with(version));
        let version = version.map(|version| version.name.clone()).unwrap_or_default();
        answer(v1::ResolveModelResponse { model: Some(in_one_message(found)), version, file: String::new() })
    }

    async fn list_model_versions(
        &self,
        request: Request<v1::ListModelVersionsRequest>,
    ) -> Answer<v1::ListModelVersionsResponse> {
        let v1::ListModelVersionsRequest { name, page_token, .. } = request.into_inner();
        let world = self.world();
        let model = world.models.iter().find(|model| model.name == name).unwrap();
        let (versions, next_page_token) = page(&model.versions, &page_token);
        answer(v1::ListModelVersionsResponse { versions, next_page_token })
    }

    async fn list_model_files(
        &self,
        request: Request<v1::ListModelFilesRequest>,
    ) -> Answer<v1::ListModelFilesResponse> {
        let v1::ListModelFilesRequest { name, page_token, .. } = request.into_inner();
        let (files, next_page_token) = page(&version(&self.world().models, &name).files, &page_token);
        answer(v1::ListModelFilesResponse { files, next_page_token })
    }

    async fn list_previews(&self, request: Request<v1::ListPreviewsRequest>) -> Answer<v1::ListPreviewsResponse> {
        let v1::ListPreviewsRequest { name, page_token, .. } = request.into_inner();
        let (previews, next) = page(&version(&self.world().models, &name).previews, &page_token);
        answer(v1::ListPreviewsResponse { previews, next_page_token: next })
    }

    async fn list_model_history(
        &self,
        request: Request<v1::ListModelHistoryRequest>,
    ) -> Answer<v1::ListModelHistoryResponse> {
        self.note(request.get_ref());
        answer(v1::ListModelHistoryResponse { changes: self.world().changes.clone(), ..Default::default() })
    }
}
