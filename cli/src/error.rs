//! Everything that can go wrong on this side of the socket, and how what the daemon says becomes an error here.

use crate::exit::Exit;
use crate::render::{sanitize, units};
use paintbox_proto::{ERROR_DOMAIN, v1};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Reasons that only the command line gives; all others are the daemon's, listed in `errors.proto`.
pub(crate) mod reason {
    /// The verb belongs to the contract, but this release does not have it.
    pub(crate) const NOT_IN_THIS_RELEASE: &str = "NOT_IN_THIS_RELEASE";
    /// Ctrl-C while waiting for a job that goes on.
    pub(crate) const STOPPED_WAITING: &str = "STOPPED_WAITING";
    /// A file or stream on this side could not be read or written.
    pub(crate) const LOCAL_IO_FAILED: &str = "LOCAL_IO_FAILED";
    /// launchctl or systemctl did not do what it was asked.
    pub(crate) const SUPERVISOR_FAILED: &str = "SUPERVISOR_FAILED";
}

/// What the daemon said about something that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl From<&v1::Error> for Failure {
    fn from(error: &v1::Error) -> Self {
        Self {
            reason: error.reason.clone(),
            message: error.message.clone(),
            hint: Some(error.hint.clone()).filter(|hint| !hint.is_empty()),
            metadata: error.metadata.clone().into_iter().collect(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The daemon refused a call.
    #[error("{}", failure.message)]
    Refused { code: Code, failure: Failure },
    /// The daemon answered without a reason, which it never should.
    #[error("the daemon could not {doing} ({code:?}): {message}")]
    Unexplained { doing: &'static str, code: Code, message: String },
    #[error("this daemon cannot {doing}: it is of another version than this command line")]
    NotServed { doing: &'static str },
    #[error("no daemon answers at {}", socket.display())]
    Unreachable {
        socket: PathBuf,
        #[source]
        source: io::Error,
        /// False when `--socket` names a place at which this command line cannot start a daemon.
        may_start: bool,
    },
    #[error("cannot speak to the daemon at {}", socket.display())]
    Handshake {
        socket: PathBuf,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("lost the daemon while it was to {doing}")]
    ConnectionLost {
        doing: &'static str,
        #[source]
        source: Box<Status>,
    },
    #[error("the daemon did not {doing} within {} seconds", deadline.as_secs())]
    Deadline { doing: &'static str, deadline: Duration },
    #[error("the daemon ended its answer early while it was to {doing}")]
    AnswerCutShort { doing: &'static str },
    #[error("the daemon's answer makes no sense: {problem}")]
    Nonsense { problem: &'static str },
    #[error("cannot find paintboxd, the daemon; looked for {}", listed(looked))]
    DaemonNotFound { looked: Vec<PathBuf> },
    #[error("cannot start {}", program.display())]
    Spawn {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} ended at once ({status}){}", program.display(), last_words(tail))]
    EndedAtOnce { program: PathBuf, status: std::process::ExitStatus, tail: String },
    #[error("the daemon did not answer within {} seconds of being started", waited.as_secs())]
    NotStarted { waited: Duration, log: PathBuf },
    #[error("the daemon (process {process_id}) is still there {} seconds after being told to stop", waited.as_secs())]
    NotStopped { waited: Duration, process_id: i32 },
    /// A supervisor's own program did not do what it was asked.
    #[error("`{command}` failed ({how}){}", last_words(&sanitize::line(said)))]
    Supervisor { command: String, how: String, said: String, hint: Option<String> },
    /// It was told to start the daemon, which did not come up. `state` is how the supervisor has it.
    #[error("the daemon did not come up; {state}{}", last_words(tail))]
    NotKept { state: String, tail: String },
    /// What the daemon's program says of a configuration that it cannot use.
    #[error("{message}")]
    Configuration { message: String, hint: Option<String> },
    /// A daemon in the foreground would push aside the one that a supervisor keeps.
    #[error("the daemon of this home is kept by a supervisor; {state}")]
    Supervised { state: String },
    /// The daemon's program could not restore the catalogue while no daemon runs.
    #[error("{message}")]
    NotRestored { message: String, hint: Option<String> },
    /// The daemon looked through the catalogue and found damage.
    #[error("the catalogue {path} is damaged: {first}")]
    CatalogueDamaged { path: String, first: String, newest_backup: String },
    #[error("cannot find this user's home directory")]
    NoHome,
    /// What clap says about a command line.
    #[error("{message}")]
    Usage { message: String },
    #[error("{argument} `{given}`: {problem}")]
    Argument { argument: &'static str, given: String, problem: String },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot {action}")]
    Stream {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{failed} of {planned} files could not be fetched; the first: {}", first.message)]
    FilesFailed { failed: u32, planned: u32, first: Failure },
    #[error("{name} failed: {}", failure.message)]
    JobFailed { name: String, failure: Failure },
    #[error("{name} was cancelled")]
    JobCancelled { name: String },
    #[error("stopped waiting; {name} goes on")]
    StoppedWaiting { name: String },
    #[error("interrupted; the generation was cancelled")]
    CancelledHere,
    #[error("stopped; what was read is on record ({files_done} of {})", units::count(*files_total, "file"))]
    StoppedVerifying { files_done: u64, files_total: u64 },
    #[error("stopped waiting; the daemon goes on looking through {what}")]
    StoppedScanning { what: String },
    #[error(
        "{target} would bring {}, {}, and only {} are free",
        units::count((*files).into(), "file"), units::bytes(*bytes), units::bytes(*free_bytes)
    )]
    DoesNotFit { target: String, files: u32, bytes: u64, free_bytes: u64 },
    /// `names` are those of the models, `pull` what would bring those that a hub may have.
    #[error("not all that the recipe names is here: {}", names.join(", "))]
    ModelsMissing { names: Vec<String>, pull: Vec<String> },
    #[error("the bytes of the picture {wanted} arrived damaged: their digest is {got}")]
    DamagedPicture { wanted: String, got: String },
}

impl CliError {
    /// Reads a Status. `doing` completes "the daemon could not …".
    pub(crate) fn of_status(doing: &'static str, status: Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN);
        if let Some(info) = info {
            let mut metadata: BTreeMap<String, String> = info.metadata.into_iter().collect();
            let hint = metadata.remove("hint").filter(|hint| !hint.is_empty());
            let failure = Failure { reason: info.reason, message: status.message().to_owned(), hint, metadata };
            return Self::Refused { code: status.code(), failure };
        }
        // A Status that tonic made itself carries what happened to the connection as its source.
        let lost = std::error::Error::source(&status).is_some() || status.code() == Code::Unavailable;
        match status.code() {
            _ if lost => Self::ConnectionLost { doing, source: Box::new(status) },
            Code::Unimplemented => Self::NotServed { doing },
            code => Self::Unexplained { doing, code, message: status.message().to_owned() },
        }
    }

    /// Models of a recipe that are missing, or on volumes that are away.
    pub(crate) fn models_missing(models: &[&v1::RecipeModel]) -> Self {
        let name = |model: &&v1::RecipeModel| {
            let v1::RecipeModel { role, name, digests, volume, .. } = model;
            let known = if name.is_empty() { digests.first().map_or("", String::as_str) } else { name };
            match volume.as_str() {
                "" => format!("the {role} {known}"),
                volume => format!("the {role} {known} (on the volume {volume}, which is away)"),
            }
        };
        let pull = models.iter().map(|model| model.pull.clone()).filter(|pull| !pull.is_empty());
        Self::ModelsMissing { names: models.iter().map(name).collect(), pull: pull.collect() }
    }

    /// What a check of the catalogue found; there is at least one problem.
    pub(crate) fn of_check(check: &v1::CatalogueCheck) -> Self {
        Self::CatalogueDamaged {
            path: check.path.clone(),
            first: check.problems.first().cloned().unwrap_or_default(),
            newest_backup: check.newest_backup.clone(),
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Refused { failure, .. }
            | Self::FilesFailed { first: failure, .. }
            | Self::JobFailed { failure, .. } => &failure.reason,
            Self::Unexplained { .. } | Self::Nonsense { .. } | Self::AnswerCutShort { .. } | Self::NoHome => "INTERNAL",
            Self::NotServed { .. } => reason::NOT_IN_THIS_RELEASE,
            Self::Unreachable { .. }
            | Self::Handshake { .. }
            | Self::ConnectionLost { .. }
            | Self::Deadline { .. }
            | Self::DaemonNotFound { .. }
            | Self::Spawn { .. }
            | Self::EndedAtOnce { .. }
            | Self::NotKept { .. }
            | Self::NotStarted { .. } => "DAEMON_UNREACHABLE",
            Self::NotStopped { .. } | Self::Supervised { .. } => "HOME_LOCKED",
            Self::Supervisor { .. } => reason::SUPERVISOR_FAILED,
            Self::Configuration { .. } => "CONFIG_INVALID",
            Self::Usage { .. } | Self::Argument { .. } => "INVALID_ARGUMENT",
            Self::Io { .. } | Self::Stream { .. } => reason::LOCAL_IO_FAILED,
            Self::JobCancelled { .. } | Self::CancelledHere | Self::StoppedVerifying { .. } => "CANCELLED",
            Self::StoppedWaiting { .. } | Self::StoppedScanning { .. } => reason::STOPPED_WAITING,
            Self::DamagedPicture { .. } => "DIGEST_MISMATCH",
            Self::ModelsMissing { .. } => "FILE_NOT_LOCAL",
            Self::DoesNotFit { .. } => "DISK_FULL",
            Self::NotRestored { .. } | Self::CatalogueDamaged { .. } => "CATALOGUE_FAILED",
        }
    }

    /// What the person can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { failure, .. }
            | Self::FilesFailed { first: failure, .. }
            | Self::JobFailed { failure, .. } => {
                failure.hint.clone().or_else(|| usual_hint(&failure.reason).map(str::to_owned))
            }
            Self::NotServed { .. } => Some("`paintbox daemon restart` starts the daemon that belongs to it".to_owned()),
            Self::Unreachable { may_start: true, .. } => {
                Some("`paintbox daemon start` starts it; so does any command that needs it".to_owned())
            }
            Self::Unreachable { may_start: false, .. } => {
                Some("--socket names another place than this home's socket, so no daemon was started".to_owned())
            }
            Self::ConnectionLost { .. } => Some(
                "jobs outlive a connection: `paintbox jobs` lists them, `paintbox daemon logs` may say more".to_owned(),
            ),
            Self::Deadline { .. } => Some("`paintbox daemon logs` may say what keeps it busy".to_owned()),
            Self::DaemonNotFound { .. } => {
                Some("install paintboxd beside paintbox, or set PAINTBOXD to its path".to_owned())
            }
            Self::NotStarted { log, .. } => {
                Some(format!("it may still be starting; its output is in {}", log.display()))
            }
            Self::NotStopped { .. } => {
                Some("it may be finishing a step; `paintbox daemon logs` says what it does".to_owned())
            }
            Self::NoHome => Some("set PAINTBOX_HOME to the folder that should hold everything".to_owned()),
            Self::Usage { .. } => {
                Some("`paintbox --help` lists the commands, `paintbox COMMAND --help` their options".to_owned())
            }
            Self::DoesNotFit { .. } => Some(
                "a smaller --backfill, --max-total-size or --kind fetches less; --yes follows all the same".to_owned(),
            ),
            Self::ModelsMissing { names, pull } if pull.len() == names.len() => {
                Some(format!("`paintbox pull {}` fetches it, and so does --pull", pull.join(" ")))
            }
            Self::ModelsMissing { pull, .. } if pull.is_empty() => {
                Some("--model and --lora say what to paint with instead".to_owned())
            }
            Self::ModelsMissing { pull, .. } => Some(format!(
                "`paintbox pull {}` fetches some; --model and --lora say what to paint with instead of the rest",
                pull.join(" ")
            )),
            Self::NotRestored { hint, .. } | Self::Supervisor { hint, .. } | Self::Configuration { hint, .. } => {
                hint.clone()
            }
            Self::NotKept { .. } => Some("`paintbox daemon logs` may say why".to_owned()),
            Self::Supervised { .. } => {
                Some("`paintbox daemon stop` stops it; the supervisor has its words in `paintbox daemon logs`".to_owned())
            }
            Self::CatalogueDamaged { newest_backup, .. } if newest_backup.is_empty() => {
                Some("there is no backup of it; `paintbox catalogue export` saves what can still be read".to_owned())
            }
            Self::CatalogueDamaged { newest_backup, .. } => Some(format!(
                "nothing was deleted; `paintbox catalogue restore {newest_backup}` puts the newest backup in its place and \
                 keeps this file"
            )),
            Self::StoppedWaiting { name } => {
                Some(format!("`paintbox job {name} --watch` shows it again, `--cancel` stops it"))
            }
            Self::StoppedVerifying { .. } => Some(
                "the same command begins with what was not read for the longest; `--unread-for 1d` leaves out what was \
                 read today"
                    .to_owned(),
            ),
            Self::StoppedScanning { .. } => Some("`paintbox library list` says what it found so far".to_owned()),
            Self::Unexplained { .. }
            | Self::Handshake { .. }
            | Self::AnswerCutShort { .. }
            | Self::Nonsense { .. }
            | Self::Spawn { .. }
            | Self::EndedAtOnce { .. }
            | Self::Argument { .. }
            | Self::Io { .. }
            | Self::Stream { .. }
            | Self::JobCancelled { .. }
            | Self::CancelledHere
            | Self::DamagedPicture { .. } => None,
        }
    }

    /// The values of the message, by name.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let one = |key: &str, value: String| BTreeMap::from([(key.to_owned(), value)]);
        match self {
            Self::Refused { failure, .. } => failure.metadata.clone(),
            Self::FilesFailed { failed, planned, first } => {
                let mut metadata = first.metadata.clone();
                metadata.insert("failed".to_owned(), failed.to_string());
                metadata.insert("planned".to_owned(), planned.to_string());
                metadata
            }
            Self::JobFailed { name, failure } => {
                let mut metadata = failure.metadata.clone();
                metadata.insert("job".to_owned(), name.clone());
                metadata
            }
            Self::Unreachable { socket, .. } | Self::Handshake { socket, .. } => {
                one("socket", socket.display().to_string())
            }
            Self::Spawn { program, .. } | Self::EndedAtOnce { program, .. } => {
                one("program", program.display().to_string())
            }
            Self::NotStarted { log, .. } => one("log", log.display().to_string()),
            Self::NotStopped { process_id, .. } => one("process_id", process_id.to_string()),
            Self::Supervisor { command, .. } => one("command", command.clone()),
            Self::NotKept { state, .. } | Self::Supervised { state } => one("state", state.clone()),
            Self::Argument { argument, given, .. } => {
                BTreeMap::from([("argument".to_owned(), (*argument).to_owned()), ("given".to_owned(), given.clone())])
            }
            Self::Io { path, .. } => one("path", path.display().to_string()),
            Self::CatalogueDamaged { path, newest_backup, .. } => {
                BTreeMap::from([("path".to_owned(), path.clone()), ("newest_backup".to_owned(), newest_backup.clone())])
            }
            Self::JobCancelled { name } | Self::StoppedWaiting { name } => one("job", name.clone()),
            Self::StoppedVerifying { files_done, files_total } => BTreeMap::from([
                ("files_done".to_owned(), files_done.to_string()),
                ("files_total".to_owned(), files_total.to_string()),
            ]),
            Self::StoppedScanning { what } => one("what", what.clone()),
            Self::ModelsMissing { names, pull } => {
                BTreeMap::from([("models".to_owned(), names.join(", ")), ("pull".to_owned(), pull.join(" "))])
            }
            Self::DamagedPicture { wanted, .. } => one("asset", wanted.clone()),
            Self::DoesNotFit { target, files, bytes, free_bytes } => BTreeMap::from([
                ("target".to_owned(), target.clone()),
                ("files".to_owned(), files.to_string()),
                ("bytes".to_owned(), bytes.to_string()),
                ("free_bytes".to_owned(), free_bytes.to_string()),
            ]),
            Self::Unexplained { .. }
            | Self::NotServed { .. }
            | Self::ConnectionLost { .. }
            | Self::Deadline { .. }
            | Self::AnswerCutShort { .. }
            | Self::Nonsense { .. }
            | Self::DaemonNotFound { .. }
            | Self::NotRestored { .. }
            | Self::Configuration { .. }
            | Self::NoHome
            | Self::Usage { .. }
            | Self::Stream { .. }
            | Self::CancelledHere => BTreeMap::new(),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Refused { code, failure } => match code {
                _ if of_reason(&failure.reason) == Exit::Unsupported => Exit::Unsupported,
                Code::InvalidArgument => Exit::Usage,
                Code::Unimplemented => Exit::Unsupported,
                Code::Unavailable if failure.reason == "SHUTTING_DOWN" => Exit::Unreachable,
                _ => of_reason(&failure.reason),
            },
            Self::JobFailed { failure, .. } => of_reason(&failure.reason),
            Self::NotServed { .. } => Exit::Unsupported,
            Self::Unreachable { .. }
            | Self::Handshake { .. }
            | Self::ConnectionLost { .. }
            | Self::Deadline { .. }
            | Self::DaemonNotFound { .. }
            | Self::Spawn { .. }
            | Self::EndedAtOnce { .. }
            | Self::NotKept { .. }
            | Self::NotStarted { .. } => Exit::Unreachable,
            Self::Usage { .. } | Self::Argument { .. } => Exit::Usage,
            Self::StoppedWaiting { .. }
            | Self::StoppedScanning { .. }
            | Self::CancelledHere
            | Self::StoppedVerifying { .. } => Exit::Interrupted,
            Self::Unexplained { .. }
            | Self::AnswerCutShort { .. }
            | Self::Nonsense { .. }
            | Self::NotStopped { .. }
            | Self::Supervisor { .. }
            | Self::Supervised { .. }
            | Self::Configuration { .. }
            | Self::NoHome
            | Self::Io { .. }
            | Self::Stream { .. }
            | Self::FilesFailed { .. }
            | Self::JobCancelled { .. }
            | Self::DoesNotFit { .. }
            | Self::NotRestored { .. }
            | Self::CatalogueDamaged { .. }
            | Self::ModelsMissing { .. }
            | Self::DamagedPicture { .. } => Exit::Failed,
        }
    }

    /// The error and its causes, each said once.
    pub(crate) fn message(&self) -> String {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = inner.source();
        }
        message
    }
}

fn of_reason(reason: &str) -> Exit {
    // A list that the hub keeps to itself is one that this release cannot read, whatever the target says.
    if reason.starts_with("UNSUPPORTED_") || reason == "LIST_NOT_OFFERED" { Exit::Unsupported } else { Exit::Failed }
}

/// What can be done about a reason for which the daemon gives no hint of its own.
fn usual_hint(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "LIST_NOT_OFFERED" => {
            "the hub shows this list on its pages only; follow the creators in it, or a tag or search, instead"
        }
        "NOT_KNOWN_YET" => "`paintbox show REF --history` says since when it is known and what changed",
        "HUB_DOWN" => {
            "nothing is lost: the daemon tries again by itself, and `paintbox daemon status` says when; what is on \
             this machine can be used meanwhile"
        }
        "FOLLOW_NOT_FOUND" => "`paintbox follows` lists what is followed",
        "VOLUME_NOT_FOUND" => "`paintbox volumes` lists the volumes",
        "VOLUME_EXISTS" => "`paintbox volumes` lists the volumes; `paintbox volumes set LABEL` changes one",
        "VOLUME_AWAY" => "connect it, or say where it is by now: `paintbox volumes set LABEL --path DIR`",
        "VOLUME_IN_USE" => {
            "`paintbox volumes remove LABEL --force` forgets it all the same; what lies nowhere else is absent then"
        }
        "REMOVAL_NOT_FOUND" => "`paintbox rm --list` lists what can be undone, with `--history` also what has ended",
        "TRASH_EMPTIED" => "`paintbox pull REF` fetches it again",
        "LIBRARY_NOT_FOUND" | "LIBRARY_EXISTS" => "`paintbox library list` lists the libraries",
        "LIBRARY_AWAY" => "connect its disk; what is known of it stays",
        "LIBRARY_IS_READ_ONLY" => {
            "remove the file from its folder yourself; Paintbox notices, and touches nothing in folders that are yours"
        }
        "BACKUP_NOT_FOUND" => "`paintbox catalogue backups` lists the backups; a path names any other file",
        "BACKUP_DAMAGED" => "nothing was changed; `paintbox catalogue backups` lists others",
        "CATALOGUE_NOT_EMPTY" => {
            "`paintbox catalogue import FILE --replace` replaces it, and keeps what is there now as a backup"
        }
        "IMPORT_INVALID" => "nothing was changed; it may be cut short or edited, so export it again",
        "FOLLOW_EXISTS" => "`paintbox follow TARGET --update` changes it, `paintbox follows TARGET` shows it",
        _ => return None,
    })
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn last_words(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!(": {tail}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn status(code: Code, reason: &str) -> Status {
        let metadata = [("hint", "try this"), ("model", "civitai:1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        Status::with_error_details(code, "no", ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata))
    }

    #[test]
    fn reads_reason_hint_and_metadata_from_a_status() {
        let error = CliError::of_status("x", status(Code::NotFound, "MODEL_NOT_FOUND"));
        assert_eq!((error.reason(), error.hint().as_deref()), ("MODEL_NOT_FOUND", Some("try this")));
        assert_eq!(error.metadata(), BTreeMap::from([("model".to_owned(), "civitai:1".to_owned())]));
        assert_eq!(error.exit(), Exit::Failed);
    }

    #[test]
    fn exit_codes_follow_what_was_refused() {
        for (code, reason, exit) in [
            (Code::InvalidArgument, "INVALID_REFERENCE", Exit::Usage),
            (Code::Unimplemented, "UNSUPPORTED_SETTING", Exit::Unsupported),
            (Code::FailedPrecondition, "UNSUPPORTED_ARCHITECTURE", Exit::Unsupported),
            (Code::Unavailable, "SHUTTING_DOWN", Exit::Unreachable),
            (Code::Unavailable, "HUB_UNREACHABLE", Exit::Failed),
        ] {
            assert_eq!(CliError::of_status("x", status(code, reason)).exit(), exit, "{reason}");
        }
    }

    #[test]
    fn reasons_without_a_hint_of_the_daemons_have_ours() {
        for (code, reason, exit) in [
            (Code::FailedPrecondition, "LIST_NOT_OFFERED", Exit::Unsupported),
            (Code::InvalidArgument, "LIST_NOT_OFFERED", Exit::Unsupported),
            (Code::NotFound, "NOT_KNOWN_YET", Exit::Failed),
            (Code::Unavailable, "HUB_DOWN", Exit::Failed),
            (Code::NotFound, "VOLUME_NOT_FOUND", Exit::Failed),
            (Code::AlreadyExists, "VOLUME_EXISTS", Exit::Failed),
            (Code::FailedPrecondition, "VOLUME_AWAY", Exit::Failed),
            (Code::FailedPrecondition, "VOLUME_IN_USE", Exit::Failed),
            (Code::NotFound, "REMOVAL_NOT_FOUND", Exit::Failed),
            (Code::FailedPrecondition, "TRASH_EMPTIED", Exit::Failed),
            (Code::NotFound, "BACKUP_NOT_FOUND", Exit::Failed),
            (Code::DataLoss, "BACKUP_DAMAGED", Exit::Failed),
            (Code::FailedPrecondition, "CATALOGUE_NOT_EMPTY", Exit::Failed),
            (Code::InvalidArgument, "IMPORT_INVALID", Exit::Usage),
        ] {
            assert_eq!(CliError::of_status("x", status(code, reason)).hint().as_deref(), Some("try this"));
            let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, []);
            let error = CliError::of_status("x", Status::with_error_details(code, "no", details));
            assert!(error.hint().is_some_and(|hint| hint.len() > 20), "{reason}");
            assert_eq!((error.reason(), error.exit()), (reason, exit));
        }
    }

    #[test]
    fn a_status_without_a_reason_is_never_taken_for_one_of_ours() {
        let foreign = ErrorDetails::with_error_info("MODEL_NOT_FOUND", "elsewhere.example", []);
        let error = CliError::of_status("x", Status::with_error_details(Code::NotFound, "no", foreign));
        assert_eq!((error.reason(), error.exit()), ("INTERNAL", Exit::Failed));
        let error = CliError::of_status("x", Status::unimplemented("what?"));
        assert_eq!((error.reason(), error.exit()), ("NOT_IN_THIS_RELEASE", Exit::Unsupported));
        let error = CliError::of_status("x", Status::unavailable("gone"));
        assert_eq!((error.reason(), error.exit()), ("DAEMON_UNREACHABLE", Exit::Unreachable));
    }
}
