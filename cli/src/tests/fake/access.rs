//! Who may call in the scripted world.

use super::{Answer, Fake, answer, refusal, time};
use paintbox_proto::v1;
use tonic::{Code, Request};

/// What the daemon answers.
#[derive(Debug, Default)]
pub(in super::super) struct Access {
    /// In pages of two.
    pub(in super::super) tokens: Vec<v1::ClientToken>,
    pub(in super::super) listeners: Vec<v1::Listener>,
    /// Empty while the web listener is off.
    pub(in super::super) web: String,
}

#[tonic::async_trait]
impl v1::access_service_server::AccessService for Fake {
    async fn create_client_token(&self, request: Request<v1::CreateClientTokenRequest>) -> Answer<v1::ClientToken> {
        self.note(request.get_ref());
        let asked = request.into_inner().client_token.unwrap();
        let name = format!("clientTokens/{:012x}", self.world().access.tokens.len());
        let made = v1::ClientToken { name, create_time: time(0), ..asked };
        self.world().access.tokens.push(made.clone());
        answer(v1::ClientToken { token: "paintbox_secret".into(), ..made })
    }

    async fn list_client_tokens(
        &self,
        request: Request<v1::ListClientTokensRequest>,
    ) -> Answer<v1::ListClientTokensResponse> {
        let world = self.world();
        let at: usize = request.get_ref().page_token.parse().unwrap_or(0);
        let client_tokens: Vec<_> = world.access.tokens.iter().skip(at).take(2).cloned().collect();
        let next = if at + 2 < world.access.tokens.len() { (at + 2).to_string() } else { String::new() };
        answer(v1::ListClientTokensResponse { client_tokens, next_page_token: next })
    }

    async fn delete_client_token(
        &self,
        request: Request<v1::DeleteClientTokenRequest>,
    ) -> Answer<v1::DeleteClientTokenResponse> {
        self.note(request.get_ref());
        let name = request.into_inner().name;
        self.world().access.tokens.retain(|token| token.name != name);
        answer(v1::DeleteClientTokenResponse {})
    }

    async fn create_web_session(
        &self,
        request: Request<v1::CreateWebSessionRequest>,
    ) -> Answer<v1::CreateWebSessionResponse> {
        self.note(request.get_ref());
        let uri = self.world().access.web.clone();
        if uri.is_empty() {
            return Err(refusal(Code::FailedPrecondition, "WEB_LISTENER_OFF", "the web listener is off"));
        }
        answer(v1::CreateWebSessionResponse { uri, code: "one-time".into(), expire_time: time(120) })
    }

    async fn end_web_sessions(&self, _: Request<v1::EndWebSessionsRequest>) -> Answer<v1::EndWebSessionsResponse> {
        answer(v1::EndWebSessionsResponse { sessions: 2 })
    }

    async fn list_listeners(&self, _: Request<v1::ListListenersRequest>) -> Answer<v1::ListListenersResponse> {
        answer(v1::ListListenersResponse { listeners: self.world().access.listeners.clone() })
    }
}
