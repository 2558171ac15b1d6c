//! `CatalogueService`.

use crate::convert::{model_detail, model_summary, timestamp};
use crate::names;
use crate::paging::Page;
use crate::server::{Api, page_size};
use crate::status::{invalid, status};
use paintbox_catalogue::{
    CatalogueError, Facet, FacetCounts, Fact, Filter, Label, ModelDetail, ModelId, SearchOrder, SearchQuery,
};
use paintbox_domain::{Architecture, Hub, ModelKind, ModelRef, Timestamp};
use paintbox_proto::v1;
use paintbox_proto::v1::catalogue_service_server::CatalogueService;
use tonic::{Request, Response, Status};

/// A filter that is empty for "all", or one of a closed list of names.
pub(crate) fn named<T>(field: &str, text: &str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let value = parse(&text.to_ascii_lowercase());
    value.map(Some).ok_or_else(|| invalid(field, format!("`{text}` is not a known {}", field.replace('_', " "))))
}

/// Whether a list's share of a model is enough for whoever asks.
fn is_basic(view: i32) -> Result<bool, Status> {
    match v1::ModelView::try_from(view) {
        Ok(v1::ModelView::Basic) => Ok(true),
        Ok(v1::ModelView::Unspecified | v1::ModelView::Full) => Ok(false),
        Err(_) => Err(invalid("view", format!("{view} is not a view"))),
    }
}

fn of_hub(name: &str) -> Option<Filter> {
    if name == "local" { Some(Filter::local()) } else { Hub::from_name(name).map(Filter::hub) }
}

/// A request as the catalogue takes it. The fields that filter are parts of the same filter as its text.
fn search_query(request: v1::SearchModelsRequest) -> Result<SearchQuery, Status> {
    let label = |of, text: &str| (!text.is_empty()).then(|| Filter::label(of, text));
    let filters = [
        named("kind", &request.kind, ModelKind::from_name)?.map(Filter::kind),
        named("hub", &request.hub, of_hub)?,
        named("architecture", &request.architecture, Architecture::from_name)?.map(Filter::architecture),
        label(Label::BaseModel, &request.base_model),
        label(Label::Creator, &request.creator),
        request.downloaded.map(|downloaded| Filter::fact(Fact::Downloaded, downloaded)),
        Some(Filter::parse(&request.filter).map_err(|problem| status(&problem))?),
    ];
    if request.facets.len() > Facet::ALL.len() {
        return Err(invalid("facets", format!("there are {} facets to choose from", Facet::ALL.len())));
    }
    let facets = request.facets.iter().filter_map(|name| named("facets", name, Facet::from_name).transpose());
    Ok(SearchQuery {
        text: request.query,
        as_written: request.as_written,
        filter: Filter::all(filters.into_iter().flatten()),
        order: named("order_by", &request.order_by, SearchOrder::from_name)?,
        facets: facets.collect::<Result<_, Status>>()?,
        facet_values: u32::try_from(request.facet_values)
            .map_err(|_| invalid("facet_values", format!("{} is negative", request.facet_values)))?,
        page_size: page_size(request.page_size)?,
        page_token: Some(request.page_token).filter(|token| !token.is_empty()),
    })
}

fn facet_counts(counts: FacetCounts) -> v1::FacetCounts {
    let values = counts
        .values
        .into_iter()
        .map(|(value, models)| v1::FacetValue { value, models: i64::try_from(models).unwrap_or(i64::MAX) });
    v1::FacetCounts { facet: counts.facet.as_str().to_owned(), values: values.collect() }
}

#[tonic::async_trait]
impl CatalogueService for Api {
    async fn search_models(
        &self,
        request: Request<v1::SearchModelsRequest>,
    ) -> Result<Response<v1::SearchModelsResponse>, Status> {
        let query = search_query(request.into_inner())?;
        let page = self.catalogue.search(&query).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::SearchModelsResponse {
            models: page.models.iter().map(model_summary).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
            total_size: i64::try_from(page.total).unwrap_or(i64::MAX),
            facets: page.facets.into_iter().map(facet_counts).collect(),
            partial: page.partial,
            corrected_query: page.corrected.unwrap_or_default(),
        }))
    }

    async fn get_model(&self, request: Request<v1::GetModelRequest>) -> Result<Response<v1::Model>, Status> {
        let request = request.into_inner();
        if let Some(at) = request.read_time {
            let id = self.model_by_name(&request.name).await?;
            return Ok(Response::new(model_detail(&self.model_at(id, &at).await?)));
        }
        let (hub, external_id) = names::parse_model(&request.name)?;
        let model = if is_basic(request.view)? {
            let found = self.catalogue.model_summary_by_name(hub, &external_id).await;
            found.map_err(|error| status(&error))?.as_ref().map(model_summary)
        } else {
            let found = self.catalogue.model_by_name(hub, &external_id).await;
            found.map_err(|error| status(&error))?.as_ref().map(model_detail)
        };
        model.map(Response::new).ok_or_else(|| no_such_model(hub, &external_id))
    }

    async fn resolve_model(
        &self,
        request: Request<v1::ResolveModelRequest>,
    ) -> Result<Response<v1::ResolveModelResponse>, Status> {
        let request = request.into_inner();
        let reference: ModelRef = request.reference.parse().map_err(|error| status(&error))?;
        let (model, version, file) = if request.read_time.is_none() && is_basic(request.view)? {
            let line = self.catalogue.resolve_line(&reference).await.map_err(|error| status(&error))?;
            (model_summary(&line.summary), line.version, line.file)
        } else {
            let resolved = self.catalogue.resolve(&reference).await.map_err(|error| status(&error))?;
            let detail = match request.read_time {
                Some(at) => self.model_at(resolved.model, &at).await?,
                None => self.catalogue.model(resolved.model).await.map_err(|error| status(&error))?,
            };
            let version = detail.versions.iter().find(|version| Some(version.id) == resolved.version);
            (model_detail(&detail), version.map(|version| version.external_id.clone()), resolved.file)
        };
        let version = version.map(|external_id| names::version(&model.name, &external_id));
        let file = file.zip(version.as_deref()).map(|(file, version)| names::file(version, file.get()));
        Ok(Response::new(v1::ResolveModelResponse {
            model: Some(model),
            version: version.unwrap_or_default(),
            file: file.unwrap_or_default(),
        }))
    }

    async fn list_model_history(
        &self,
        request: Request<v1::ListModelHistoryRequest>,
    ) -> Result<Response<v1::ListModelHistoryResponse>, Status> {
        let v1::ListModelHistoryRequest { name, page_size, page_token } = request.into_inner();
        let page = Page::read(&format!("history of {name}"), page_size, &page_token)?;
        let id = self.model_by_name(&name).await?;
        let history = self.sync.history(id).await.map_err(|error| status(&error))?;
        let entries: Vec<_> = history.iter().enumerate().collect();
        let (entries, next_page_token) = page.of(&entries, |(index, _)| index.to_string());
        let changes = entries.iter().map(|(_, entry)| v1::ModelChange {
            time: Some(timestamp(entry.at)),
            event: entry.event.as_str().to_owned(),
            fields: entry.fields.iter().map(ToString::to_string).collect(),
        });
        Ok(Response::new(v1::ListModelHistoryResponse { changes: changes.collect(), next_page_token }))
    }
}

impl Api {
    /// The row behind `models/…`.
    pub(crate) async fn model_by_name(&self, name: &str) -> Result<ModelId, Status> {
        let (hub, external_id) = names::parse_model(name)?;
        let found = self.catalogue.find_model(hub, &external_id).await.map_err(|error| status(&error))?;
        found.ok_or_else(|| no_such_model(hub, &external_id))
    }

    /// The model as it was known at a time.
    async fn model_at(&self, id: ModelId, at: &prost_types::Timestamp) -> Result<ModelDetail, Status> {
        let ms = at.seconds.saturating_mul(1000).saturating_add(i64::from(at.nanos) / 1_000_000);
        self.sync.model_at(id, Timestamp::from_unix_ms(ms)).await.map_err(|error| status(&error))
    }
}

fn no_such_model(hub: Option<Hub>, external_id: &str) -> Status {
    let reference = format!("{}:{external_id}", hub.map_or("local", Hub::as_str));
    status(&CatalogueError::ModelNotFound { reference })
}
