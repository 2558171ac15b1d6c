//! What is followed in the scripted world.

use super::{Answer, Fake, answer, refusal, time, unhinted};
use paintbox_proto::v1;
use tonic::{Code, Request, Response};

#[tonic::async_trait]
impl v1::follow_service_server::FollowService for Fake {
    async fn create_follow(&self, request: Request<v1::CreateFollowRequest>) -> Answer<v1::Follow> {
        self.note(request.get_ref());
        let v1::CreateFollowRequest { target, policy, validate_only, .. } = request.into_inner();
        let Some((hub, creator)) = target.split_once(':') else {
            return Err(refusal(Code::InvalidArgument, "INVALID_REFERENCE", "`x` cannot be followed: it names no hub"));
        };
        match creator {
            "nobody" => {
                return Err(refusal(Code::NotFound, "CREATOR_NOT_FOUND", "civitai knows no creator `nobody`"));
            }
            "collection:7" => return Err(unhinted(Code::FailedPrecondition, "LIST_NOT_OFFERED", "no such list")),
            "asleep" => return Err(unhinted(Code::Unavailable, "HUB_DOWN", "civitai is down until 00:05 UTC")),
            _ => {}
        }
        if self.world().follows.iter().any(|follow| follow.target == target) {
            return Err(unhinted(Code::AlreadyExists, "FOLLOW_EXISTS", "it is followed already"));
        }
        let mut follow = v1::Follow {
            name: format!("follows/{hub}-{}", creator.to_ascii_lowercase()),
            target: target.clone(),
            hub: hub.to_owned(),
            policy: Some(self.effective(policy)),
            state: v1::follow::State::Active.into(),
            create_time: time(0),
            next_check_time: time(300),
            pending_files: 3,
            ..Default::default()
        };
        if validate_only {
            (follow.name, follow.state) = (String::new(), v1::follow::State::Unspecified.into());
        } else {
            self.world().follows.push(follow.clone());
        }
        let world = self.world();
        follow.backfill_preview = (validate_only || !world.is_terse).then_some(world.listed);
        answer(follow)
    }

    async fn update_follow(&self, request: Request<v1::UpdateFollowRequest>) -> Answer<v1::Follow> {
        self.note(request.get_ref());
        let v1::UpdateFollowRequest { follow, validate_only, .. } = request.into_inner();
        let v1::Follow { name, policy, .. } = follow.unwrap_or_default();
        let policy = self.effective(policy);
        let mut world = self.world();
        let listed = world.listed;
        let found = world.follows.iter_mut().find(|follow| follow.name == name || follow.target == name);
        let Some(found) = found else {
            return Err(refusal(Code::NotFound, "FOLLOW_NOT_FOUND", "nobody of that name is followed"));
        };
        let changed = v1::Follow { policy: Some(policy), ..found.clone() };
        if !validate_only {
            *found = changed.clone();
        }
        answer(v1::Follow { backfill_preview: Some(listed), ..changed })
    }

    async fn get_follow(&self, request: Request<v1::GetFollowRequest>) -> Answer<v1::Follow> {
        let name = request.into_inner().name;
        let found = self.world().follows.iter().find(|follow| follow.name == name || follow.target == name).cloned();
        found.map(Response::new).ok_or_else(|| refusal(Code::NotFound, "FOLLOW_NOT_FOUND", "nobody of that name"))
    }

    async fn list_follows(&self, request: Request<v1::ListFollowsRequest>) -> Answer<v1::ListFollowsResponse> {
        // Pages of one, to see whether they are followed.
        let at: usize = request.into_inner().page_token.parse().unwrap_or(0);
        let world = self.world();
        let follows: Vec<_> = world.follows.get(at).cloned().into_iter().collect();
        let next_page_token = if at + 1 < world.follows.len() { (at + 1).to_string() } else { String::new() };
        answer(v1::ListFollowsResponse { follows, next_page_token })
    }

    async fn delete_follow(&self, request: Request<v1::DeleteFollowRequest>) -> Answer<v1::Follow> {
        let name = request.into_inner().name;
        let mut world = self.world();
        match world.follows.iter().position(|follow| follow.name == name || follow.target == name) {
            Some(at) => answer(world.follows.remove(at)),
            None => Err(refusal(Code::NotFound, "FOLLOW_NOT_FOUND", "nobody of that name is followed")),
        }
    }
}
