//! Reading the configuration again while the daemon runs: at SIGHUP, and when a client asks for it.
//!
//! The whole file is read and checked before anything is changed, so that a mistake in it leaves everything as it is. Then every
//! part gets all of its settings at one moment. Settings whose effect is built once wait for the next start, and are told by name
//! until then (`config/changes`).

use crate::announce::announcers;
use crate::config::{Config, Written, changes, variable};
use crate::logging::Filter;
use crate::{StartError, fault, notify};
use arc_swap::ArcSwap;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use paintbox_domain::Failure;
use paintbox_domain::follow::FollowPolicy;
use paintbox_generation::Generations;
use paintbox_rpc::{Configuration, Reloaded};
use paintbox_sync::Sync;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::signal::unix::{SignalKind, signal};

/// Who takes settings to the parts.
#[derive(Debug)]
pub(crate) struct Reloader {
    started: Written,
    /// What was read last.
    held: Mutex<Written>,
    /// Held by whoever reads, so that two do not exchange each other's settings.
    turn: tokio::sync::Mutex<()>,
    sync: Sync,
    generations: Generations,
    follow_policy: Arc<ArcSwap<FollowPolicy>>,
    log: Filter,
}

impl Reloader {
    /// For parts that were built of `config`.
    pub(crate) fn new(
        config: &Config,
        sync: Sync,
        generations: Generations,
        follow_policy: Arc<ArcSwap<FollowPolicy>>,
        log: Filter,
    ) -> Self {
        let written = config.written.clone();
        let (started, held) = (written.clone(), Mutex::new(written));
        Self { started, held, turn: tokio::sync::Mutex::default(), sync, generations, follow_policy, log }
    }

    async fn adopt(&self) -> Result<Reloaded, StartError> {
        let _turn = self.turn.lock().await;
        let lost = |_| fault("the configuration could not be read for an internal fault");
        let config = tokio::task::spawn_blocking(Config::load).await.map_err(lost)??;
        let settings = sync_settings(&config)?;
        // Nothing can fail from here on.
        self.sync.adopt(settings);
        self.generations.adopt(config.generation);
        self.follow_policy.store(Arc::new(config.follow_policy.clone()));
        self.log.adopt(&config.log_filter);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.changes(&held, &config.written);
        *held = config.written;
        Ok(changes)
    }

    fn changes(&self, held: &Written, written: &Written) -> Reloaded {
        changes(&self.started, held, written, |name| variable(name).is_some())
    }
}

/// What a configuration says about syncing.
pub(crate) fn sync_settings(config: &Config) -> Result<paintbox_sync::Settings, StartError> {
    Ok(paintbox_sync::Settings {
        sync_interval: config.sync_interval,
        limits: config.download_limits,
        kept_free_bytes: config.kept_free_bytes,
        care: config.care,
        ignored_shortages: config.ignored_shortages.clone(),
        announcers: announcers(config)?,
    })
}

impl Configuration for Reloader {
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, Failure>> {
        async {
            match self.adopt().await {
                Ok(reloaded) => {
                    tracing::info!(?reloaded, "read the configuration again");
                    Ok(reloaded)
                }
                Err(error) => {
                    let failure = match error {
                        StartError::Part(failure) => failure,
                        error => Failure::of(&error),
                    };
                    tracing::error!(reason = %failure.reason, "the configuration stays as it was: {failure}");
                    Err(failure)
                }
            }
        }
        .boxed()
    }

    fn pending(&self) -> Vec<String> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.changes(&held, &held).pending
    }
}

/// Reads it at every SIGHUP, and tells the supervisor. Somebody who has the daemon in a terminal has it end when the terminal
/// goes, as everything that runs there does.
pub(crate) async fn at_hang_up(configuration: Arc<dyn Configuration>, socket: PathBuf) {
    if std::io::stderr().is_terminal() {
        return;
    }
    // Without the handler, the signal ends the process, which is safe at any moment.
    let Ok(mut hang_ups) = signal(SignalKind::hangup()) else { return };
    while hang_ups.recv().await.is_some() {
        notify::reloading();
        match configuration.reload().await {
            Ok(_) => notify::ready(&socket),
            Err(failure) => notify::not_reloaded(&failure.message),
        }
    }
}
