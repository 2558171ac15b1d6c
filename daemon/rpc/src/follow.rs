//! `FollowService`.

use crate::convert::timestamp;
use crate::server::{Api, page_size};
use crate::status::{error_message, invalid, status};
use paintbox_catalogue::{Follow, FollowState};
use paintbox_domain::follow::{Backfill, FollowPolicy, FollowTarget};
use paintbox_proto::v1;
use paintbox_proto::v1::follow_service_server::FollowService;
use tonic::{Request, Response, Status};

impl Api {
    fn follow_message(&self, follow: &Follow) -> v1::Follow {
        v1::Follow {
            name: format!("follows/{}", follow.name),
            target: follow.target.to_string(),
            hub: follow.target.hub.to_string(),
            policy: Some(v1::FollowPolicy { backfill: backfill_text(follow.policy.backfill) }),
            state: match follow.state {
                FollowState::Active => "active".to_owned(),
                FollowState::Failing => "failing".to_owned(),
            },
            create_time: Some(timestamp(follow.created_at)),
            last_check_time: follow.last_check_at.map(timestamp),
            next_check_time: self.sync.next_check(follow).map(timestamp),
            new_versions: follow.new,
            pending_files: follow.pending,
            failure: follow.failure.as_ref().map(error_message),
        }
    }
}

fn backfill_text(backfill: Backfill) -> String {
    match backfill {
        Backfill::All => "all".to_owned(),
        Backfill::None => "none".to_owned(),
        Backfill::Newest(count) => count.to_string(),
    }
}

fn parse_backfill(text: &str) -> Result<Backfill, Status> {
    match text {
        "" | "all" => Ok(Backfill::All),
        "none" => Ok(Backfill::None),
        number => number
            .parse()
            .map(Backfill::Newest)
            .map_err(|_| invalid("backfill", format!("`{number}` is not all, none or a number of versions"))),
    }
}

#[tonic::async_trait]
impl FollowService for Api {
    async fn create_follow(&self, request: Request<v1::CreateFollowRequest>) -> Result<Response<v1::Follow>, Status> {
        let request = request.into_inner();
        let target: FollowTarget = request.target.parse().map_err(|error| status(&error))?;
        let policy = FollowPolicy { backfill: parse_backfill(&request.backfill)? };
        let follow = self.sync.follow(&target, policy).await.map_err(|error| status(&error))?;
        Ok(Response::new(self.follow_message(&follow)))
    }

    async fn list_follows(
        &self,
        request: Request<v1::ListFollowsRequest>,
    ) -> Result<Response<v1::ListFollowsResponse>, Status> {
        let request = request.into_inner();
        let page_size = page_size(request.page_size)? as usize;
        // A page begins behind the follow that its token names; follows are listed in the order of their ids.
        let after: i64 = match request.page_token.as_str() {
            "" => i64::MIN,
            token => token.parse().map_err(|_| invalid("page_token", "not a token of this listing"))?,
        };
        let follows = self.catalogue.follows().await.map_err(|error| status(&error))?;
        let mut rest = follows.iter().filter(|follow| follow.id.get() > after);
        let page: Vec<&Follow> = rest.by_ref().take(page_size).collect();
        let next_page_token = match (rest.next(), page.last()) {
            (Some(_), Some(last)) => last.id.get().to_string(),
            _ => String::new(),
        };
        let follows = page.into_iter().map(|follow| self.follow_message(follow)).collect();
        Ok(Response::new(v1::ListFollowsResponse { follows, next_page_token }))
    }

    async fn delete_follow(&self, request: Request<v1::DeleteFollowRequest>) -> Result<Response<v1::Follow>, Status> {
        let name = request.into_inner().name;
        let name = name.strip_prefix("follows/").unwrap_or(&name);
        let follow = self.catalogue.delete_follow(name).await.map_err(|error| status(&error))?;
        Ok(Response::new(self.follow_message(&follow)))
    }
}
