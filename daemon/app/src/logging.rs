//! Logs: a file a day under the home, and standard error when somebody is watching or systemd's journal reads it.

use crate::StartError;
use paintbox_domain::Classify as _;
use paintbox_domain::classify::message_with_causes;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Two weeks of daily files.
const KEPT_LOG_FILES: usize = 14;

/// What a supervisor's file of our standard error may hold before it is emptied: nobody rotates it.
const LONGEST_ERRORS_BYTES: u64 = 1024 * 1024;

/// A log that is being written.
pub(crate) struct Log {
    /// Writes what is buffered when it is dropped.
    _written: WorkerGuard,
    pub(crate) filter: Filter,
}

/// What decides how much is logged, while it is.
#[derive(Debug, Clone)]
pub(crate) struct Filter(reload::Handle<EnvFilter, Registry>);

impl Filter {
    /// Logs by another filter from now on, one that [`check`] has let pass.
    pub(crate) fn adopt(&self, filter: &str) {
        if let Err(error) = self.0.reload(EnvFilter::new(directives(filter))) {
            tracing::error!(%error, "the log goes on by the filter that it had");
        }
    }
}

/// Refuses what is no filter.
pub(crate) fn check(filter: &str) -> Result<(), StartError> {
    let refused = |_: ParseError| StartError::Setting {
        setting: "log",
        problem: format!("`{filter}` is none of off, error, warn, info, debug and trace"),
    };
    EnvFilter::builder().parse(directives(filter)).map(drop).map_err(refused)
}

/// Libraries below us may log whole URLs at debug level, signed ones among them, so only our own crates follow the filter;
/// everything else says warnings and errors.
fn directives(filter: &str) -> String {
    let own = ["app", "hub", "store", "weights", "catalogue", "sync", "engine", "generation", "rpc"]
        .map(|name| format!("paintbox_{name}={filter}"))
        .join(",");
    // hf-hub calls each failed attempt an error; ours are told once, where they are handled.
    format!("warn,hf_hub=off,{own}")
}

/// Starts logging. `journal_stream` is `JOURNAL_STREAM`.
pub(crate) fn start(folder: &Path, filter: &str, journal_stream: Option<&str>) -> Result<Log, StartError> {
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("paintboxd")
        .filename_suffix("log")
        .max_log_files(KEPT_LOG_FILES)
        .build(folder)
        .map_err(|error| StartError::Io {
            action: "open a log file in",
            path: folder.to_owned(),
            source: std::io::Error::other(error),
        })?;
    let (writer, guard) = tracing_appender::non_blocking(appender);
    let (filter, handle) = reload::Layer::new(EnvFilter::new(directives(filter)));
    // Started in the background, standard error is a file that nobody rotates: it gets the last word only.
    let watched = std::io::stderr().is_terminal();
    let journal = is_journal(journal_stream);
    if !watched && !journal {
        keep_errors_short();
    }
    let result = tracing_subscriber::registry()
        .with(filter)
        .with(fmt::layer().json().with_writer(writer))
        // The journal has the time of every line already.
        .with(journal.then(|| fmt::layer().compact().with_ansi(false).without_time().with_writer(std::io::stderr)))
        .with(watched.then(|| fmt::layer().compact().with_ansi(false).with_writer(std::io::stderr)))
        .try_init();
    if result.is_err() {
        tracing::debug!("logging was started already");
    }
    Ok(Log { _written: guard, filter: Filter(handle) })
}

/// Whether standard error goes to systemd's journal: the variable names the stream by device and inode, so that who inherits it
/// and writes elsewhere is not fooled (systemd.exec(5)).
fn is_journal(stream: Option<&str>) -> bool {
    let Ok(found) = rustix::fs::fstat(std::io::stderr()) else { return false };
    stream.is_some_and(|stream| stream == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Empties the file that standard error goes to, if it has grown long. The words of the last panics stay until then.
fn keep_errors_short() {
    use std::io::Seek as _;
    let Ok(errors) = std::io::stderr().as_fd().try_clone_to_owned() else { return };
    let mut errors = std::fs::File::from(errors);
    if errors.metadata().is_ok_and(|found| found.is_file() && found.len() > LONGEST_ERRORS_BYTES) {
        // Both share their place with standard error, whether or not it appends.
        drop(errors.set_len(0).and_then(|()| errors.rewind()));
    }
}

/// One line to standard output.
#[expect(clippy::print_stdout, reason = "the answer of a subcommand")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Why the daemon ends, with its causes and what to do.
#[expect(clippy::print_stderr, reason = "the last word of a process that may have no log yet")]
pub(crate) fn complain(error: &StartError) {
    eprintln!("paintboxd: {}", message_with_causes(error));
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}
