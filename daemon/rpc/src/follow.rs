//! `FollowService`.

use crate::convert::timestamp;
use crate::once::Identified;
use crate::paging::Page;
use crate::policy;
use crate::server::Api;
use crate::states;
use crate::status::{error_message, status};
use crate::watching;
use paintbox_catalogue::Follow;
use paintbox_domain::follow::{FollowPolicy, FollowTarget};
use paintbox_proto::v1;
use paintbox_proto::v1::follow_service_server::FollowService;
use paintbox_sync::BackfillPreview;
use tonic::{Request, Response, Status};

impl Api {
    pub(crate) fn follow_message(&self, follow: &Follow) -> v1::Follow {
        v1::Follow {
            name: format!("follows/{}", follow.name),
            target: follow.target.to_string(),
            hub: follow.target.hub().to_string(),
            policy: Some(policy::message(&follow.policy)),
            state: states::of_follow(follow.state()).into(),
            create_time: Some(timestamp(follow.created_at)),
            last_check_time: follow.last_check_at.map(timestamp),
            next_check_time: self.sync.next_check(follow).map(timestamp),
            new_versions: follow.new,
            pending_files: follow.pending,
            failure: follow.failure.as_ref().map(error_message),
            backfill_preview: None,
        }
    }

    /// A follow that has just begun, with what its backfill would fetch.
    async fn followed(&self, follow: &Follow) -> Result<v1::Follow, Status> {
        let preview = self.sync.preview_update(&follow.name, &follow.policy).await.map_err(|error| status(&error))?;
        let mut message = self.follow_message(follow);
        message.backfill_preview = Some(preview_message(preview));
        Ok(message)
    }

    fn policy(&self, message: Option<&v1::FollowPolicy>) -> Result<FollowPolicy, Status> {
        match message {
            Some(message) => policy::read(message, &self.default_policy.load()),
            None => Ok(FollowPolicy::clone(&self.default_policy.load())),
        }
    }
}

fn preview_message(preview: BackfillPreview) -> v1::BackfillPreview {
    v1::BackfillPreview {
        listed_models: preview.listed_models,
        listed_versions: preview.listed_versions,
        files: preview.files,
        bytes: preview.bytes,
        free_bytes: preview.free_bytes,
    }
}

/// The name or target in `follows/…`.
pub(crate) fn without_collection(name: &str) -> &str {
    name.strip_prefix("follows/").unwrap_or(name)
}

#[tonic::async_trait]
impl FollowService for Api {
    async fn create_follow(&self, request: Request<v1::CreateFollowRequest>) -> Result<Response<v1::Follow>, Status> {
        let mut request = request.into_inner();
        let target: FollowTarget = request.target.parse().map_err(|error| status(&error))?;
        let policy = self.policy(request.policy.as_ref())?;
        if request.validate_only {
            watching::request_id(request.request_id)?;
            if let Ok(follow) = self.catalogue.follow(&target.to_string()).await
                && follow.target == target
            {
                let (target, name) = (target.to_string(), follow.name);
                return Err(status(&paintbox_catalogue::CatalogueError::FollowExists { target, name }));
            }
            let preview = self.sync.preview_follow(&target, &policy).await.map_err(|error| status(&error))?;
            return Ok(Response::new(v1::Follow {
                target: target.to_string(),
                hub: target.hub().to_string(),
                policy: Some(policy::message(&policy)),
                backfill_preview: Some(preview_message(preview)),
                ..v1::Follow::default()
            }));
        }
        let id = std::mem::take(&mut request.request_id);
        let (api, there, wanted) = (self.clone(), self.clone(), target.clone());
        let make = async move {
            let follow = api.sync.follow(&target, &policy).await.map_err(|error| status(&error))?;
            api.followed(&follow).await
        };
        let made = async move {
            let known =
                there.catalogue.follow(&wanted.to_string()).await.ok().filter(|known| known.target == wanted)?;
            there.followed(&known).await.ok()
        };
        Ok(Response::new(self.once(Identified { kind: "follow", id, request }, make, made).await?))
    }

    async fn update_follow(&self, request: Request<v1::UpdateFollowRequest>) -> Result<Response<v1::Follow>, Status> {
        let request = request.into_inner();
        let given = request.follow.unwrap_or_default();
        let name = without_collection(&given.name);
        let wanted = self.policy(given.policy.as_ref())?;
        let fields = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
        let follow = self.catalogue.follow(name).await.map_err(|error| status(&error))?;
        let policy = policy::changed(&follow.policy, wanted, &fields)?;
        if request.validate_only {
            let preview = self.sync.preview_update(name, &policy).await.map_err(|error| status(&error))?;
            let mut message = self.follow_message(&Follow { policy, ..follow });
            message.backfill_preview = Some(preview_message(preview));
            return Ok(Response::new(message));
        }
        let follow = self.sync.update_follow(name, &policy).await.map_err(|error| status(&error))?;
        Ok(Response::new(self.follow_message(&follow)))
    }

    async fn get_follow(&self, request: Request<v1::GetFollowRequest>) -> Result<Response<v1::Follow>, Status> {
        let name = request.into_inner().name;
        let follow = self.catalogue.follow(without_collection(&name)).await.map_err(|error| status(&error))?;
        Ok(Response::new(self.follow_message(&follow)))
    }

    async fn list_follows(
        &self,
        request: Request<v1::ListFollowsRequest>,
    ) -> Result<Response<v1::ListFollowsResponse>, Status> {
        let request = request.into_inner();
        let page = Page::read("follows", request.page_size, &request.page_token)?;
        let follows = self.catalogue.follows().await.map_err(|error| status(&error))?;
        let (follows, next_page_token) =
            page.of(&follows, |follow| follow.id.to_string(), |follow| self.follow_message(follow));
        Ok(Response::new(v1::ListFollowsResponse { follows, next_page_token }))
    }

    async fn delete_follow(&self, request: Request<v1::DeleteFollowRequest>) -> Result<Response<v1::Follow>, Status> {
        let name = request.into_inner().name;
        let follow = self.sync.unfollow(without_collection(&name)).await.map_err(|error| status(&error))?;
        Ok(Response::new(self.follow_message(&follow)))
    }
}
