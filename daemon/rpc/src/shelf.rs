//! `ShelfService`.

use crate::convert::timestamp;
use crate::fit;
use crate::server::{Api, page_size};
use crate::status::{invalid, status};
use paintbox_catalogue::{
    Companion, CompanionQuery, Companions, Duplicate, DuplicatePlace, HubModels, ModelUpdate, NamedShare, NewerVersion,
    PlaceShare, Share,
};
use paintbox_proto::v1;
use paintbox_proto::v1::shelf_service_server::ShelfService;
use tonic::{Request, Response, Status};

/// Of each kind that goes with a model.
const USUAL_COMPANIONS: u32 = 10;
const MOST_COMPANIONS: u32 = 500;

/// Of the places of one content.
const PLACES_ROOM: usize = 128 << 10;
/// Of the places of everything.
const STATS_ROOM: usize = 512 << 10;

fn share(name: &str, share: Share) -> v1::Share {
    v1::Share { name: fit::name(name), files: share.files, file_bytes: share.bytes }
}

fn shares(named: &[NamedShare]) -> Vec<v1::Share> {
    named.iter().map(|named| share(&named.name, named.share)).collect()
}

fn place(place: &PlaceShare) -> v1::PlaceShare {
    v1::PlaceShare {
        place: place.place.clone(),
        name: place.name.clone(),
        away: place.away,
        files: place.share.files,
        file_bytes: place.share.bytes,
    }
}

fn hub(hub: &HubModels) -> v1::HubShare {
    v1::HubShare {
        hub: hub.hub.clone(),
        models: hub.models,
        gone_models: hub.gone,
        downloaded_models: hub.downloaded_models,
        files: hub.share.files,
        file_bytes: hub.share.bytes,
    }
}

fn duplicate(duplicate: &Duplicate) -> v1::Duplicate {
    let place = |place: &DuplicatePlace| v1::DuplicatePlace {
        path: place.path.display().to_string(),
        file: place.file,
        in_library: place.in_library,
        away: place.away,
    };
    v1::Duplicate {
        sha256: duplicate.sha256.to_string(),
        size_bytes: duplicate.size_bytes,
        spare_bytes: duplicate.spare_bytes,
        kind: duplicate.kind.to_string(),
        model: duplicate.model.as_ref().map(ToString::to_string).unwrap_or_default(),
        display_name: fit::name(&duplicate.name),
        places: fit::first(&duplicate.places, PLACES_ROOM, place),
        place_count: fit::count(duplicate.places.len()),
    }
}

fn update(update: &ModelUpdate) -> v1::ModelUpdate {
    v1::ModelUpdate {
        model: update.model.to_string(),
        display_name: fit::name(&update.name),
        kind: update.kind.to_string(),
        creator: update.creator.as_deref().map(fit::name).unwrap_or_default(),
        have: update.have.to_string(),
        have_display_name: fit::name(&update.have_name),
        have_base_model: update.have_base_model.as_deref().map(fit::name).unwrap_or_default(),
        have_published_time: update.have_published_at.map(timestamp),
        seen_time: Some(timestamp(update.last_seen_at)),
        newer: update.newer.iter().map(newer).collect(),
    }
}

fn newer(version: &NewerVersion) -> v1::NewerVersion {
    let until = version.early_access.map(|early_access| early_access.until.map(timestamp).unwrap_or_default());
    v1::NewerVersion {
        version: version.version.to_string(),
        display_name: fit::name(&version.name),
        base_model: version.base_model.as_deref().map(fit::name).unwrap_or_default(),
        same_base_model: version.same_base_model,
        published_time: version.published_at.map(timestamp),
        size_bytes: version.size_bytes.unwrap_or_default(),
        early_access_until: until,
        download_allowed: version.download_allowed,
    }
}

fn companions(companions: &Companions) -> v1::Companions {
    v1::Companions {
        kind: companions.kind.to_string(),
        total: companions.total,
        files: companions.files.iter().map(companion).collect(),
    }
}

fn companion(companion: &Companion) -> v1::Companion {
    v1::Companion {
        version: companion.version.to_string(),
        display_name: fit::name(&companion.name),
        base_model: companion.base_model.as_deref().map(fit::name).unwrap_or_default(),
        by_label: companion.by_label,
        use_time: Some(timestamp(companion.used_at)),
    }
}

fn token(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[tonic::async_trait]
impl ShelfService for Api {
    async fn get_stats(&self, _request: Request<v1::GetStatsRequest>) -> Result<Response<v1::Stats>, Status> {
        let stats = self.catalogue.stats(self.store.root()).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::Stats {
            total: Some(share("", stats.total)),
            unknown: Some(share("", stats.unknown)),
            refused: Some(share("", stats.refused)),
            unread: Some(share("", stats.unread)),
            kinds: shares(&stats.kinds),
            architectures: shares(&stats.architectures),
            precisions: shares(&stats.precisions),
            places: fit::first(&stats.places, STATS_ROOM, place),
            hubs: stats.hubs.iter().map(hub).collect(),
            creators: shares(&stats.creators),
            pictures: shares(&stats.pictures),
            catalogue_bytes: stats.catalogue_bytes,
        }))
    }

    async fn list_duplicates(
        &self,
        request: Request<v1::ListDuplicatesRequest>,
    ) -> Result<Response<v1::ListDuplicatesResponse>, Status> {
        let request = request.into_inner();
        let mut size = fit::PageSize::new(page_size(request.page_size)?);
        loop {
            let found = self.catalogue.duplicates(size.entries(), token(&request.page_token)).await;
            let page = found.map_err(|error| status(&error))?;
            let answer = v1::ListDuplicatesResponse {
                duplicates: page.duplicates.iter().map(duplicate).collect(),
                next_page_token: page.next_page_token.unwrap_or_default(),
                contents: page.contents,
                spare_bytes: page.spare_bytes,
                linked_contents: page.linked_contents,
                unread_files: page.unread_files,
            };
            if size.fits(&answer) {
                return Ok(Response::new(answer));
            }
        }
    }

    async fn list_updates(
        &self,
        request: Request<v1::ListUpdatesRequest>,
    ) -> Result<Response<v1::ListUpdatesResponse>, Status> {
        let request = request.into_inner();
        let mut size = fit::PageSize::new(page_size(request.page_size)?);
        loop {
            let found = self.catalogue.updates(size.entries(), token(&request.page_token)).await;
            let page = found.map_err(|error| status(&error))?;
            let answer = v1::ListUpdatesResponse {
                models: page.models.iter().map(update).collect(),
                next_page_token: page.next_page_token.unwrap_or_default(),
                total_models: page.total_models,
            };
            if size.fits(&answer) {
                return Ok(Response::new(answer));
            }
        }
    }

    async fn list_companions(
        &self,
        request: Request<v1::ListCompanionsRequest>,
    ) -> Result<Response<v1::ListCompanionsResponse>, Status> {
        let request = request.into_inner();
        let page_size = match u32::try_from(request.page_size) {
            Ok(0) => USUAL_COMPANIONS,
            Ok(size) => size.min(MOST_COMPANIONS),
            Err(_) => return Err(invalid("page_size", format!("{} is negative", request.page_size))),
        };
        let id = self.model_by_name(&request.name).await?;
        let page_token = token(&request.page_token).map(str::to_owned);
        let mut query = CompanionQuery { page_size, page_token };
        let mut size = fit::PageSize::new(page_size);
        loop {
            query.page_size = size.entries();
            let page = self.catalogue.companions(id, &query).await.map_err(|error| status(&error))?;
            let answer = v1::ListCompanionsResponse {
                kinds: page.kinds.iter().map(companions).collect(),
                next_page_token: page.next_page_token.unwrap_or_default(),
            };
            if size.fits(&answer) {
                return Ok(Response::new(answer));
            }
        }
    }
}
