//! `DaemonService`.

use crate::convert::timestamp;
use crate::fit;
use crate::server::Api;
use crate::states;
use crate::status::{failure_status, invalid, status};
use futures::future::BoxFuture;
use paintbox_domain::{Failure, Hub, Secret, Timestamp};
use paintbox_proto::v1;
use paintbox_proto::v1::daemon_service_server::DaemonService;
use paintbox_sync::Wait;
use tonic::{Request, Response, Status};

/// What the daemon knows of itself and tells clients.
#[derive(Debug, Clone)]
pub struct DaemonFacts {
    pub version: String,
    /// Changes with each start.
    pub epoch: String,
    pub started_at: Timestamp,
    pub home: String,
    pub socket: String,
    /// cpu, metal or cuda.
    pub device: String,
    /// What its maker calls it; empty where the system does not say.
    pub processor: String,
    /// Version and kind of build.
    pub build: String,
    /// Each hub with the endpoint that is in use.
    pub endpoints: Vec<(Hub, String)>,
}

/// Where hub tokens are kept; the daemon's, because only it may touch its home.
pub trait CredentialStore: Send + Sync + std::fmt::Debug {
    /// `none`, `keychain`, `stored`, `environment` or `huggingface`.
    fn state(&self, hub: Hub) -> &'static str;
    /// The token in use before a new one was tried, to go back to.
    fn current(&self, hub: Hub) -> Option<Secret>;
    /// # Errors
    /// When the file cannot be written.
    fn save(&self, hub: Hub, token: &Secret) -> Result<(), Failure>;
    /// # Errors
    /// When the file cannot be removed.
    fn remove(&self, hub: Hub) -> Result<(), Failure>;
}

/// What the daemon's configuration is read from; the daemon's, because only it reads its home.
pub trait Configuration: Send + Sync + std::fmt::Debug {
    /// Reads it again, and has everything go on by it. A mistake in it leaves all as it was.
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, Failure>>;
    /// Settings that hold from the next start on, and are not what they were at the last.
    fn pending(&self) -> Vec<String>;
}

/// What another reading changed, by names of settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// They hold from now on.
    pub adopted: Vec<String>,
    /// As [`Configuration::pending`].
    pub pending: Vec<String>,
    /// The environment decides them, whatever the file says.
    pub overridden: Vec<String>,
}

fn wait(wait: &Wait) -> v1::Wait {
    v1::Wait {
        chore: wait.chore.to_string(),
        shortages: wait.shortages.iter().map(ToString::to_string).collect(),
        since_time: Some(timestamp(wait.since)),
    }
}

fn hub(name: &str) -> Result<Hub, Status> {
    let name = if name.eq_ignore_ascii_case("huggingface") { "hf" } else { name };
    Hub::from_name(&name.to_ascii_lowercase()).ok_or_else(|| invalid("hub", format!("`{name}` is not civitai or hf")))
}

impl Api {
    fn info(&self) -> v1::ServerInfo {
        v1::ServerInfo {
            version: self.facts.version.clone(),
            api_packages: vec!["paintbox.v1".to_owned()],
            epoch: self.facts.epoch.clone(),
            process_id: i32::try_from(std::process::id()).unwrap_or_default(),
            start_time: Some(timestamp(self.facts.started_at)),
        }
    }
}

/// A hub's token, as people paste it. It travels in a header, which takes no other characters.
fn hub_token(text: &str) -> Result<Secret, Status> {
    let token = Secret::new(text).ok_or_else(|| invalid("token", "the token is empty"))?;
    if !text.trim().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("token", "it holds characters that no token has"));
    }
    Ok(token)
}

#[tonic::async_trait]
impl DaemonService for Api {
    async fn get_server_info(
        &self,
        _request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::ServerInfo>, Status> {
        Ok(Response::new(self.info()))
    }

    async fn get_status(&self, _request: Request<v1::GetStatusRequest>) -> Result<Response<v1::DaemonStatus>, Status> {
        let counts = self.catalogue.counts().await.map_err(|error| status(&error))?;
        let health = self.catalogue.health().await.map_err(|error| status(&error))?;
        let store = self.store.clone();
        let free_bytes = tokio::task::spawn_blocking(move || store.free_bytes().unwrap_or_default()).await;
        Ok(Response::new(v1::DaemonStatus {
            info: Some(self.info()),
            home: self.facts.home.clone(),
            socket: self.facts.socket.clone(),
            device: self.facts.device.clone(),
            queued_generations: counts.queued_generations,
            running_generations: counts.running_generations,
            running_sync_runs: u32::try_from(self.sync.running_runs()).unwrap_or(u32::MAX),
            models: counts.models,
            downloaded_models: counts.downloaded_models,
            stored_bytes: counts.stored_bytes,
            free_bytes: free_bytes.unwrap_or_default(),
            hubs: self
                .facts
                .endpoints
                .iter()
                .map(|(hub, endpoint)| {
                    let health = self.sync.hub_health(*hub);
                    v1::HubStatus {
                        hub: hub.to_string(),
                        endpoint: endpoint.clone(),
                        credential: self.credentials.state(*hub).to_owned(),
                        state: states::of_hub(health.state).into(),
                        retry_time: health.retry_at.map(timestamp),
                        since_time: health.since.map(timestamp),
                        problem: fit::name(&health.problem.unwrap_or_default()),
                        requests: health.requests,
                    }
                })
                .collect(),
            sqlite_version: counts.sqlite_version,
            catalogue: Some(self.catalogue_health(&health)),
            waits: self.sync.waits().iter().map(wait).collect(),
            pending_settings: self.configuration.pending(),
        }))
    }

    async fn stop_daemon(
        &self,
        _request: Request<v1::StopDaemonRequest>,
    ) -> Result<Response<v1::StopDaemonResponse>, Status> {
        tracing::info!("asked to stop");
        self.stop.cancel();
        Ok(Response::new(v1::StopDaemonResponse {}))
    }

    async fn reload_config(
        &self,
        _request: Request<v1::ReloadConfigRequest>,
    ) -> Result<Response<v1::ReloadConfigResponse>, Status> {
        let reloaded = self.configuration.reload().await.map_err(|failure| failure_status(&failure))?;
        let Reloaded { adopted, pending, overridden } = reloaded;
        Ok(Response::new(v1::ReloadConfigResponse { adopted, pending, overridden }))
    }

    async fn set_hub_credential(
        &self,
        request: Request<v1::SetHubCredentialRequest>,
    ) -> Result<Response<v1::HubCredential>, Status> {
        let request = request.into_inner();
        let hub = hub(&request.hub)?;
        let token = hub_token(&request.token)?;
        let before = self.credentials.current(hub);
        let account = match self.sync.check_token(hub, token.clone()).await {
            Ok(account) => account,
            Err(error) => {
                self.sync.set_token(hub, before);
                return Err(status(&error));
            }
        };
        self.credentials.save(hub, &token).map_err(|failure| failure_status(&failure))?;
        Ok(Response::new(v1::HubCredential { hub: hub.to_string(), account: fit::name(&account) }))
    }

    async fn delete_hub_credential(
        &self,
        request: Request<v1::DeleteHubCredentialRequest>,
    ) -> Result<Response<v1::HubCredential>, Status> {
        let hub = hub(&request.into_inner().hub)?;
        self.credentials.remove(hub).map_err(|failure| failure_status(&failure))?;
        self.sync.set_token(hub, self.credentials.current(hub));
        Ok(Response::new(v1::HubCredential { hub: hub.to_string(), account: String::new() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn a_token_that_can_be_none_is_the_callers_mistake() {
        assert_eq!(hub_token(" hf_aB3-_.~\n").unwrap().expose(), "hf_aB3-_.~");
        for wrong in ["", " \n", "a b", "a\nb", "a\0", "t\u{f6}ken", "\u{202e}abc"] {
            let refused = hub_token(wrong).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{wrong:?}");
            assert!(wrong.trim().is_empty() || !refused.message().contains(wrong.trim()), "a token is never told");
        }
    }
}
