//! `AccessService`.

use super::tokens::Token;
use crate::caller::Scope;
use crate::convert::timestamp;
use crate::server::{Api, page_size};
use crate::status::{failure_status, invalid};
use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_proto::v1;
use paintbox_proto::v1::access_service_server::AccessService;
use tonic::{Request, Response, Status};

const LONGEST_LABEL_CHARACTERS: usize = 64;

impl From<Scope> for v1::AccessScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Read,
            Scope::Generate => Self::Generate,
            Scope::Admin => Self::Admin,
        }
    }
}

/// None where nothing was said.
fn scope(field: &str, given: i32) -> Result<Option<Scope>, Status> {
    match v1::AccessScope::try_from(given) {
        Ok(v1::AccessScope::Unspecified) => Ok(None),
        Ok(v1::AccessScope::Read) => Ok(Some(Scope::Read)),
        Ok(v1::AccessScope::Generate) => Ok(Some(Scope::Generate)),
        Ok(v1::AccessScope::Admin) => Ok(Some(Scope::Admin)),
        Err(_) => Err(invalid(field, format!("{given} is no scope"))),
    }
}

fn message(token: &Token, text: Option<String>) -> v1::ClientToken {
    v1::ClientToken {
        name: format!("clientTokens/{}", token.id),
        label: token.label.clone(),
        scope: v1::AccessScope::from(token.scope).into(),
        create_time: Some(timestamp(token.created_at)),
        last_use_time: token.last_used_at.map(timestamp),
        token: text.unwrap_or_default(),
    }
}

fn not_found(name: &str) -> Status {
    let message = format!("there is no client token {name}");
    failure_status(&Failure::new(ErrorClass::NotFound, reason::TOKEN_NOT_FOUND, message).with("name", name))
}

#[tonic::async_trait]
impl AccessService for Api {
    async fn create_client_token(
        &self,
        request: Request<v1::CreateClientTokenRequest>,
    ) -> Result<Response<v1::ClientToken>, Status> {
        let Some(asked) = request.into_inner().client_token else {
            return Err(invalid("client_token", "it is missing"));
        };
        let label = asked.label.trim();
        if label.is_empty() || label.chars().count() > LONGEST_LABEL_CHARACTERS || label.chars().any(char::is_control) {
            let problem = format!("a label has 1 to {LONGEST_LABEL_CHARACTERS} characters, none of them for control");
            return Err(invalid("client_token.label", problem));
        }
        let scope = scope("client_token.scope", asked.scope)?
            .ok_or_else(|| invalid("client_token.scope", "it is not said what the client may do"))?;
        let tokens = self.access.tokens.clone();
        let (token, text) = tokens.create(label.to_owned(), scope).await.map_err(|failure| failure_status(&failure))?;
        tracing::info!(id = token.id, label, scope = scope.as_str(), "a client token was made");
        Ok(Response::new(message(&token, Some(text))))
    }

    async fn list_client_tokens(
        &self,
        request: Request<v1::ListClientTokensRequest>,
    ) -> Result<Response<v1::ListClientTokensResponse>, Status> {
        let v1::ListClientTokensRequest { page_size: size, page_token } = request.into_inner();
        let size = usize::try_from(page_size(size)?).unwrap_or(usize::MAX);
        let tokens = self.access.tokens.list();
        let from = match page_token.as_str() {
            "" => 0,
            // The last one of the page before. One that was deleted since then leaves nothing to go on from.
            last => tokens.iter().position(|token| token.id == last).map_or_else(
                || Err(invalid("page_token", "not a token of this listing, or the client that it stands for is gone")),
                |at| Ok(at + 1),
            )?,
        };
        let page: Vec<&Token> = tokens[from..].iter().take(size).collect();
        let is_last = from + page.len() == tokens.len();
        Ok(Response::new(v1::ListClientTokensResponse {
            next_page_token: page.last().filter(|_| !is_last).map(|token| token.id.clone()).unwrap_or_default(),
            client_tokens: page.into_iter().map(|token| message(token, None)).collect(),
        }))
    }

    async fn delete_client_token(
        &self,
        request: Request<v1::DeleteClientTokenRequest>,
    ) -> Result<Response<v1::DeleteClientTokenResponse>, Status> {
        let name = request.into_inner().name;
        let id = name.strip_prefix("clientTokens/").ok_or_else(|| not_found(&name))?;
        match self.access.tokens.delete(id).await {
            Ok(true) => {
                tracing::info!(id, "a client token was deleted");
                Ok(Response::new(v1::DeleteClientTokenResponse {}))
            }
            Ok(false) => Err(not_found(&name)),
            Err(failure) => Err(failure_status(&failure)),
        }
    }

    async fn create_web_session(
        &self,
        request: Request<v1::CreateWebSessionRequest>,
    ) -> Result<Response<v1::CreateWebSessionResponse>, Status> {
        let scope = scope("scope", request.into_inner().scope)?.unwrap_or(Scope::Generate);
        let web = self.listeners.iter().find(|listening| listening.kind == v1::ListenerKind::Web);
        let uri = web.map(|web| web.address.clone()).ok_or_else(|| {
            let failure = Failure::new(ErrorClass::Precondition, reason::WEB_LISTENER_OFF, "the web listener is off")
                .with_hint("write `web = \"127.0.0.1:7860\"` into [listen] of config.toml and restart the daemon");
            failure_status(&failure)
        })?;
        let (code, expires_at) = self.access.sessions.issue_code(scope).map_err(|failure| failure_status(&failure))?;
        Ok(Response::new(v1::CreateWebSessionResponse { uri, code, expire_time: Some(timestamp(expires_at)) }))
    }

    async fn end_web_sessions(
        &self,
        _request: Request<v1::EndWebSessionsRequest>,
    ) -> Result<Response<v1::EndWebSessionsResponse>, Status> {
        Ok(Response::new(v1::EndWebSessionsResponse { sessions: self.access.sessions.end_all() }))
    }

    async fn list_listeners(
        &self,
        _request: Request<v1::ListListenersRequest>,
    ) -> Result<Response<v1::ListListenersResponse>, Status> {
        let listeners = self.listeners.iter().map(|listening| v1::Listener {
            kind: listening.kind.into(),
            address: listening.address.clone(),
            tls: listening.tls,
            connections: listening.connections(),
        });
        Ok(Response::new(v1::ListListenersResponse { listeners: listeners.collect() }))
    }
}
