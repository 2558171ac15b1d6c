//! The composition root: builds every part, runs them, and ends them in order.
//!
//! Order of ending: streams and connections, then sync and painting (both keep what they have), then the catalogue, and the
//! socket's file at last.

use crate::StartError;
use crate::client_tokens::ClientTokenFile;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::credentials::{CredentialFiles, Credentials};
use crate::keychain::Keychain;
use crate::reload::{Reloader, sync_settings};
use crate::surroundings::{KeptAwake, Machine};
use crate::{
    USER_AGENT, fault, handed_over, home::Home, logging, machine, memory, notify, open_files, part, priority, reload,
};
use arc_swap::ArcSwap;
use paintbox_catalogue::{Catalogue, Interruption, Recovered};
use paintbox_domain::{Classify, Clock, Hub};
use paintbox_engine::Engine;
use paintbox_generation::{GenerationParts, Generations};
use paintbox_hub::{HubConfig, Hubs};
use paintbox_rpc::{Access, Api, Configuration, CredentialStore, DaemonFacts, Listeners};
use paintbox_store::Store;
use paintbox_store::hf_cache::HfCache;
use paintbox_sync::{Parts, Places, Sync};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use url::Url;

/// After this long an orderly end is given up; everything durable is consistent at any moment.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// More threads than these would wait for the catalogue's few readers.
const MOST_SERVING: usize = 4;

/// Runs until a signal or `StopDaemon`.
pub(crate) fn run() -> Result<(), StartError> {
    // Before anything else opens a file whose number could be taken for one of the supervisor's.
    let held = handed_over::socket()?;
    let config = Config::load()?;
    config.home.create()?;
    let _lock = config.home.lock()?;
    let log = logging::start(&config.home.logs, &config.log_filter, config.journal_stream.as_deref())?;
    open_files::allow_many();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(serving_threads())
        .on_thread_start(priority::step_back)
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let result = runtime.block_on(live(&config, log.filter.clone(), held));
    // Threads that are still busy are not waited for: the limit above has passed for them.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = &result {
        tracing::error!(reason = error.reason(), "ended badly: {error}");
    }
    result
}

/// Half of the processors serve, one at least and [`MOST_SERVING`] at most. What takes long is done elsewhere, and each
/// thread more wakes and is woken more often, at the expense of what is painted on the same processors.
fn serving_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).clamp(1, MOST_SERVING))
}

/// Puts a backup in the place of the catalogue that nobody has open, such as one that is too damaged for a daemon to start;
/// the file that was used.
pub(crate) fn restore(backup: &Path) -> Result<String, StartError> {
    let config = Config::load()?;
    config.home.create()?;
    let _lock = config.home.lock()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
    let catalogue = config.home.catalogue();
    let restored = Catalogue::restore(&catalogue, backup, Arc::new(SystemClock));
    let path = runtime.block_on(restored).map_err(|error| part(&error))?;
    Ok(path.display().to_string())
}

/// The catalogue, in which nothing is under way.
async fn opened(path: PathBuf, clock: Arc<dyn Clock>, interruption: Interruption) -> Result<Catalogue, StartError> {
    let catalogue = Catalogue::open(&path, clock).await.map_err(|error| part(&error))?;
    let why = "the daemon ended while this was running";
    let sync_runs = catalogue.interrupt_sync_runs(why).await.map_err(|error| part(&error))?;
    let recovered = catalogue.recover_generations(interruption, why).await.map_err(|error| part(&error))?;
    let Recovered { requeued, failed, cancelled } = recovered;
    if sync_runs + requeued + failed + cancelled > 0 {
        tracing::warn!(
            sync_runs,
            requeued,
            failed,
            cancelled,
            "the last daemon did not end in order; of what it was doing, sync runs are marked as interrupted and \
             generations wait again, failed, or were cancelled because their callers are gone"
        );
    }
    Ok(catalogue)
}

async fn live(config: &Config, log: logging::Filter, held: Option<UnixListener>) -> Result<(), StartError> {
    notify::starting();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started_at = clock.now();
    // By a thread that steps back, since the catalogue's own threads are started by who opens it.
    let opening = tokio::spawn(opened(config.home.catalogue(), clock.clone(), config.generation.interruption));
    let catalogue = opening.await.map_err(|_| fault("the catalogue could not be opened for an internal fault"))??;
    drop(tokio::spawn(memory::give_back()));
    let store = Store::open(&config.home.store).map_err(|error| part(&error))?;
    let swept = store.sweep_incoming().map_err(|error| part(&error))?;
    if swept > 0 {
        tracing::info!(bytes = swept, "removed what an interrupted write of small files left behind");
    }
    let credentials = Credentials {
        civitai_from_environment: config.civitai_token.clone(),
        hf_from_environment: config.hf_token.clone(),
        keychain: if config.home.is_of_platform { Keychain::of_platform() } else { None },
        files: CredentialFiles::new(&config.home.state),
        hf_token_file: config.hf_token_file.clone(),
    };
    let hubs = hubs(config, &credentials, clock.clone())?;
    let machine = Arc::<Machine>::default();
    let parts = Parts {
        catalogue: catalogue.clone(),
        hubs,
        places: Places::of(store.clone()),
        hf_cache: HfCache::new(config.hf_caches.clone()),
        clock: clock.clone(),
        surroundings: machine.clone(),
    };
    let sync = Sync::new(parts, sync_settings(config)?);
    sync.look_at_volumes().await.map_err(|error| part(&error))?;
    let taken_up = sync.take_up_downloads().await.map_err(|error| part(&error))?;
    if taken_up > 0 {
        tracing::info!(downloads = taken_up, "downloads that were under way are in the queue again");
    }
    let engine = Engine::new(config.engine).map_err(|error| part(&error))?;
    let device = engine.device_name().to_owned();
    let generations = Generations::start(GenerationParts {
        catalogue: catalogue.clone(),
        store: store.clone(),
        generator: Box::new(engine),
        settings: config.generation,
        wakefulness: Some(Arc::<KeptAwake>::default()),
    });
    machine.paints(generations.clone());

    let access = Access::open(Arc::new(ClientTokenFile::new(&config.home.state)), clock.clone())?;
    let socket = config.home.socket();
    let is_held = held.is_some();
    let listeners = match held {
        Some(held) => Listeners::take_over(&socket, held, &config.listen),
        None => Listeners::bind(&socket, &config.listen),
    };
    let listeners = listeners.map_err(|error| part(&error))?;
    let default_policy = Arc::new(ArcSwap::from_pointee(config.follow_policy.clone()));
    let reloader = Reloader::new(config, sync.clone(), generations.clone(), default_policy.clone(), log);
    let reloader: Arc<dyn Configuration> = Arc::new(reloader);
    let stop = CancellationToken::new();
    let shutdown = CancellationToken::new();
    let api = Api {
        catalogue: catalogue.clone(),
        store,
        sync: sync.clone(),
        generations: generations.clone(),
        credentials: Arc::new(credentials),
        default_policy,
        configuration: reloader.clone(),
        facts: Arc::new(facts(config, started_at, device)),
        access,
        listeners: listeners.facts(),
        answering: paintbox_rpc::Answering::default(),
        room: paintbox_rpc::Room::default(),
        stop: stop.clone(),
        shutdown: shutdown.clone(),
    };
    tracing::info!(socket = %socket.display(), is_held, version = env!("CARGO_PKG_VERSION"), "ready");

    let mut server = tokio::spawn(paintbox_rpc::serve(listeners, api));
    let mut reconciler = tokio::spawn({
        let sync = sync.clone();
        async move { sync.reconcile().await }
    });
    let watcher = tokio::spawn({
        let sync = sync.clone();
        async move { sync.watch_store().await }
    });
    let carer = tokio::spawn({
        let sync = sync.clone();
        async move { sync.care().await }
    });
    let librarian = tokio::spawn({
        let sync = sync.clone();
        async move { sync.keep_libraries().await }
    });
    let rereading = tokio::spawn(reload::at_hang_up(reloader, socket.clone()));
    let watched = tokio::spawn(notify::feed_watchdog(catalogue.clone()));
    notify::ready(&socket);
    let ended_early = tokio::select! {
        () = stopped(&stop) => None,
        // A part that ends by itself is a fault; the daemon ends in order and says so.
        result = &mut server => Some(result.map_err(|_| "the API server stopped on an internal fault")),
        Err(_) = &mut reconciler => Some(Err("the reconciler stopped on an internal fault")),
    };

    tracing::info!("ending");
    notify::stopping();
    watched.abort();
    rereading.abort();
    shutdown.cancel();
    let in_order = async {
        drop(tokio::join!(sync.shut_down(), generations.shut_down(), watcher, carer, librarian));
        let file = if ended_early.is_none() { (&mut server).await.ok() } else { None };
        catalogue.close().await;
        // Whoever waits for the end waits for this file to go.
        drop(file);
    };
    if tokio::time::timeout(SHUTDOWN_LIMIT, in_order).await.is_err() {
        tracing::warn!("some parts did not end in time and are left behind");
    }
    match ended_early {
        None => Ok(()),
        Some(Ok(result)) => result.map(drop).map_err(StartError::Part),
        Some(Err(what)) => Err(fault(what)),
    }
}

/// Waits for `StopDaemon`, SIGTERM or SIGINT.
async fn stopped(stop: &CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without signal handlers the system's default ends the process, which is safe at any moment.
        return stop.cancelled().await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        _ = terminate.recv() => tracing::info!("SIGTERM"),
        _ = interrupt.recv() => tracing::info!("SIGINT"),
    }
}

fn hubs(config: &Config, credentials: &Credentials, clock: Arc<dyn Clock>) -> Result<Hubs, StartError> {
    let mature = config.civitai_mature_endpoint.as_deref();
    Hubs::new(HubConfig {
        civitai_endpoint: address("PAINTBOX_CIVITAI_ENDPOINT", &config.civitai_endpoint)?,
        civitai_mature_endpoint: mature.map(|text| address("hubs.civitai.mature_endpoint", text)).transpose()?,
        hf_endpoint: address("HF_ENDPOINT", &config.hf_endpoint)?,
        civitai_token: credentials.current(Hub::Civitai),
        hf_token: credentials.current(Hub::HuggingFace),
        user_agent: USER_AGENT.to_owned(),
        clock,
    })
    .map_err(|error| part(&error))
}

fn address(setting: &'static str, text: &str) -> Result<Url, StartError> {
    text.parse().map_err(|error| StartError::Setting { setting, problem: format!("`{text}`: {error}") })
}

fn facts(config: &Config, started_at: paintbox_domain::Timestamp, device: String) -> DaemonFacts {
    let Home { state, .. } = &config.home;
    let home = state.parent().unwrap_or_else(|| Path::new("/"));
    DaemonFacts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: format!("{}-{}", started_at.unix_ms(), std::process::id()),
        started_at,
        home: home.display().to_string(),
        socket: config.home.socket().display().to_string(),
        device,
        processor: machine::processor(),
        build: machine::BUILD_OF.join(" "),
        endpoints: vec![
            (Hub::Civitai, config.civitai_endpoint.clone()),
            (Hub::HuggingFace, config.hf_endpoint.clone()),
        ],
    }
}
