//! `CatalogueService`.

use crate::convert::{self, Named, model_detail, model_summary, timestamp};
use crate::fit;
use crate::names;
use crate::paging::Page;
use crate::server::{Api, page_size};
use crate::status::{invalid, status};
use paintbox_catalogue::{
    CatalogueError, Facet, FacetCounts, Fact, FileRecord, Filter, Label, ModelDetail, ModelId, PreviewRecord,
    SearchOrder, SearchQuery, VersionRecord,
};
use paintbox_domain::{Architecture, Hub, ModelKind, ModelRef, Timestamp};
use paintbox_proto::v1;
use paintbox_proto::v1::catalogue_service_server::CatalogueService;
use paintbox_sync::HistoryEntry;
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

/// Of the values of one facet; there are eleven.
const FACET_ROOM: usize = 40 << 10;
/// Of what is looked for in place of a query.
const LONGEST_QUERY: usize = 4 << 10;

fn facet_counts(counts: FacetCounts) -> v1::FacetCounts {
    let values = counts.values.into_iter().map(|(value, models)| v1::FacetValue {
        value: fit::name(&value),
        models: i64::try_from(models).unwrap_or(i64::MAX),
    });
    let values = fit::first(&values.collect::<Vec<_>>(), FACET_ROOM, v1::FacetValue::clone);
    v1::FacetCounts { facet: counts.facet.as_str().to_owned(), values }
}

#[tonic::async_trait]
impl CatalogueService for Api {
    async fn search_models(
        &self,
        request: Request<v1::SearchModelsRequest>,
    ) -> Result<Response<v1::SearchModelsResponse>, Status> {
        let mut query = search_query(request.into_inner())?;
        let mut size = fit::PageSize::new(query.page_size);
        loop {
            query.page_size = size.entries();
            let page = self.catalogue.search(&query).await.map_err(|error| status(&error))?;
            let answer = v1::SearchModelsResponse {
                models: page.models.iter().map(model_summary).collect(),
                next_page_token: page.next_page_token.unwrap_or_default(),
                total_size: i64::try_from(page.total).unwrap_or(i64::MAX),
                facets: page.facets.into_iter().map(facet_counts).collect(),
                partial: page.partial,
                corrected_query: fit::cut(&page.corrected.unwrap_or_default(), LONGEST_QUERY),
            };
            if size.fits(&answer) {
                return Ok(Response::new(answer));
            }
        }
    }

    async fn get_model(&self, request: Request<v1::GetModelRequest>) -> Result<Response<v1::Model>, Status> {
        let request = request.into_inner();
        if let Some(at) = request.read_time {
            let id = self.model_by_name(&request.name).await?;
            return Ok(Response::new(model_detail(&self.detail(id, Some(&at)).await?, Named::default())));
        }
        let (hub, external_id) = names::parse_model(&request.name)?;
        let model = if is_basic(request.view)? {
            let found = self.catalogue.model_summary_by_name(hub, &external_id).await;
            found.map_err(|error| status(&error))?.as_ref().map(model_summary)
        } else {
            let found = self.catalogue.model_by_name(hub, &external_id).await;
            found.map_err(|error| status(&error))?.map(|detail| model_detail(&detail, Named::default()))
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
            let detail = self.detail(resolved.model, request.read_time.as_ref()).await?;
            let version = detail.versions.iter().find(|version| Some(version.id) == resolved.version);
            let named = Named { version: resolved.version, file: resolved.file };
            (model_detail(&detail, named), version.map(|version| version.external_id.clone()), resolved.file)
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
        let message = |(_, entry): &(usize, &HistoryEntry)| v1::ModelChange {
            time: Some(timestamp(entry.at)),
            event: entry.event.as_str().to_owned(),
            fields: entry.fields.iter().map(ToString::to_string).collect(),
        };
        let (changes, next_page_token) = page.of(&entries, |(index, _)| index.to_string(), message);
        Ok(Response::new(v1::ListModelHistoryResponse { changes, next_page_token }))
    }

    async fn list_model_versions(
        &self,
        request: Request<v1::ListModelVersionsRequest>,
    ) -> Result<Response<v1::ListModelVersionsResponse>, Status> {
        let v1::ListModelVersionsRequest { name, page_size, page_token, read_time } = request.into_inner();
        let page = Page::read(&listing("versions", &name, read_time), page_size, &page_token)?;
        let id = self.model_by_name(&name).await?;
        let (hub, external_id) = names::parse_model(&name)?;
        let name = names::model(hub, &external_id);
        let message = |version: &VersionRecord| convert::version(&name, version, None);
        let (versions, next_page_token) = if read_time.is_some() {
            let versions = self.detail(id, read_time.as_ref()).await?.versions;
            page.of(&versions, |version| version.external_id.clone(), message)
        } else {
            let mut start = 0;
            let choose = |all: &[String]| {
                let places = page.places(all, String::clone);
                start = places.start;
                places
            };
            let (all, read) = self.catalogue.some_versions(id, choose).await.map_err(|error| status(&error))?;
            page.read_ones(&all, &read, start, String::clone, message)
        };
        Ok(Response::new(v1::ListModelVersionsResponse { versions, next_page_token }))
    }

    async fn list_model_files(
        &self,
        request: Request<v1::ListModelFilesRequest>,
    ) -> Result<Response<v1::ListModelFilesResponse>, Status> {
        let v1::ListModelFilesRequest { name, page_size, page_token, read_time } = request.into_inner();
        let page = Page::read(&listing("files", &name, read_time), page_size, &page_token)?;
        let version = self.version_by_name(&name, read_time.as_ref()).await?;
        let entries: Vec<_> = version.files.iter().enumerate().collect();
        let key = |(place, file): &(usize, &FileRecord)| entry_key(*place, file.id.get(), read_time.as_ref());
        let (files, next_page_token) = page.of(&entries, key, |(_, file)| convert::file(&name, file));
        Ok(Response::new(v1::ListModelFilesResponse { files, next_page_token }))
    }

    async fn list_previews(
        &self,
        request: Request<v1::ListPreviewsRequest>,
    ) -> Result<Response<v1::ListPreviewsResponse>, Status> {
        let v1::ListPreviewsRequest { name, page_size, page_token, read_time } = request.into_inner();
        let page = Page::read(&listing("previews", &name, read_time), page_size, &page_token)?;
        let version = self.version_by_name(&name, read_time.as_ref()).await?;
        let entries: Vec<_> = version.previews.iter().enumerate().collect();
        let key = |(place, preview): &(usize, &PreviewRecord)| entry_key(*place, preview.id.get(), read_time.as_ref());
        let (previews, next_page_token) = page.of(&entries, key, |(_, preview)| convert::preview(preview));
        Ok(Response::new(v1::ListPreviewsResponse { previews, next_page_token }))
    }
}

/// What a page token knows an entry by. The past does not change, but the same row may stand for two of its entries.
fn entry_key(place: usize, id: i64, at: Option<&prost_types::Timestamp>) -> String {
    at.map_or_else(|| id.to_string(), |_| place.to_string())
}

/// Names a list, so that a page's token is good for no other.
fn listing(what: &str, name: &str, at: Option<prost_types::Timestamp>) -> String {
    format!("{what} of {name} at {:?}", at.map(|at| (at.seconds, at.nanos)))
}

impl Api {
    /// The row behind `models/…`.
    pub(crate) async fn model_by_name(&self, name: &str) -> Result<ModelId, Status> {
        let (hub, external_id) = names::parse_model(name)?;
        let found = self.catalogue.find_model(hub, &external_id).await.map_err(|error| status(&error))?;
        found.ok_or_else(|| no_such_model(hub, &external_id))
    }

    /// The version behind `models/…/versions/…`, as it is known, or as it was known at a time.
    async fn version_by_name(&self, name: &str, at: Option<&prost_types::Timestamp>) -> Result<VersionRecord, Status> {
        let (model, external_id) = names::parse_version(name)?;
        let id = self.model_by_name(model).await?;
        let found = match at {
            None => self.catalogue.version(id, external_id).await.map_err(|error| status(&error))?,
            Some(_) => {
                let versions = self.detail(id, at).await?.versions;
                versions.into_iter().find(|version| version.external_id == external_id)
            }
        };
        let (model, version) = (model.to_owned(), external_id.to_owned());
        found.ok_or_else(|| status(&CatalogueError::VersionNotFound { model, version }))
    }

    /// The model as it is known, or as it was known at a time.
    async fn detail(&self, id: ModelId, at: Option<&prost_types::Timestamp>) -> Result<ModelDetail, Status> {
        match at {
            None => self.catalogue.model(id).await.map_err(|error| status(&error)),
            Some(at) => {
                let ms = at.seconds.saturating_mul(1000).saturating_add(i64::from(at.nanos) / 1_000_000);
                self.sync.model_at(id, Timestamp::from_unix_ms(ms)).await.map_err(|error| status(&error))
            }
        }
    }
}

fn no_such_model(hub: Option<Hub>, external_id: &str) -> Status {
    let reference = format!("{}:{external_id}", names::hub(hub));
    status(&CatalogueError::ModelNotFound { reference })
}
