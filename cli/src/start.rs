//! Starting the daemon when it is not running, and having it stop. What a supervisor keeps is its own to start and stop
//! (`supervisor`); this is for a daemon that nobody keeps.
//!
//! Several command lines may find it missing at once. One of them takes the start lock and starts it, the others
//! wait for the socket. A daemon that somebody else started meanwhile wins: ours then ends with "already running",
//! and we connect to the other.

use crate::client::{Client, LOCAL_DEADLINE, call};
use crate::error::CliError;
use crate::paths::Paths;
use crate::render::sanitize;
use paintbox_proto::v1;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How long a start may take before we give up waiting.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long an orderly stop may take: a sampler step and what is in flight.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How long a closed socket's file may stay, which is the last that goes: the daemon gives itself fifteen seconds to end.
const FILE_PATIENCE: Duration = Duration::from_secs(17);
/// Between two looks at the socket.
const POLL: Duration = Duration::from_millis(40);
/// Between two starts while another daemon still holds the home, as it does in the last moments of a stop.
const RESTART_PAUSE: Duration = Duration::from_millis(400);
/// For the first word of a daemon that accepted the connection.
const FIRST_WORD_DEADLINE: Duration = Duration::from_secs(5);
/// The same where a supervisor may hold the socket: it takes connections while one daemon makes room for the next, which are
/// answered when that one is there.
const CHANGE_DEADLINE: Duration = START_PATIENCE;
/// `paintboxd`'s exit code when another daemon holds the home.
const EXIT_ALREADY_RUNNING: i32 = 5;
/// How much of a failed daemon's output is repeated.
const TAIL_BYTES: u64 = 2048;

/// A connection to the daemon, which is started, without a supervisor, when nobody answers at the home's socket.
pub(crate) async fn connect_or_spawn(paths: &Paths, program: Option<&Path>) -> Result<Client, CliError> {
    let socket = paths.socket();
    if let Some(client) = answering(&socket).await? {
        return Ok(client);
    }
    let program = match program {
        Some(program) => program.to_owned(),
        None => crate::paths::daemon_program()?,
    };
    paths.create()?;
    let mut start = Start { paths, program, lock: open_lock(paths)?, holds_lock: false, child: None, not_before: None };
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        // In this order: whoever held the lock gave it back when its daemon answered, so having the lock first and
        // looking then shows a daemon that another command line has just started.
        start.take_turn();
        if let Some(client) = answering(&socket).await? {
            return Ok(client);
        }
        start.look_after_child()?;
        if Instant::now() >= deadline {
            return Err(CliError::NotStarted { waited: START_PATIENCE, log: paths.start_log() });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until nobody listens at the socket any more and its file is gone.
pub(crate) async fn wait_until_stopped(socket: &Path, process_id: i32) -> Result<(), CliError> {
    let deadline = Instant::now() + STOP_PATIENCE;
    let mut closed_since = None;
    loop {
        match tokio::net::UnixStream::connect(socket).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(_) => {
                let since = *closed_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= FILE_PATIENCE {
                    return Ok(());
                }
            }
            Ok(_) => closed_since = None,
        }
        if Instant::now() >= deadline {
            return Err(CliError::NotStopped { waited: STOP_PATIENCE, process_id });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Stops the daemon at the socket; false when there was none to stop.
pub(crate) async fn stop(socket: &Path) -> Result<bool, CliError> {
    let client = match Client::connect(socket).await {
        Ok(client) => client,
        Err(CliError::Unreachable { source, .. }) if is_absent(&source) => return Ok(false),
        Err(error) => return Err(error),
    };
    let process_id = client.info(LOCAL_DEADLINE).await.map_or(0, |info| info.process_id);
    ask_to_end(&client).await?;
    // The daemon waits for its callers to hang up.
    drop(client);
    wait_until_stopped(socket, process_id).await?;
    Ok(true)
}

/// Has the daemon at the socket end in order, and does not wait until it has.
pub(crate) async fn call_to_end(socket: &Path) -> Result<(), CliError> {
    ask_to_end(&Client::connect(socket).await?).await
}

async fn ask_to_end(client: &Client) -> Result<(), CliError> {
    match call("stop", LOCAL_DEADLINE, client.daemon().stop_daemon(v1::StopDaemonRequest {})).await {
        // It may hang up before its answer is out, or be stopping already.
        Ok(_) | Err(CliError::ConnectionLost { .. }) => Ok(()),
        Err(error) if error.reason() == "SHUTTING_DOWN" => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether nobody listens at a socket, by the error of knocking there.
pub(crate) fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// Waits until another process than this one answers at a socket that a supervisor holds, or none does.
pub(crate) async fn wait_until_replaced(socket: &Path, process_id: i32) -> Result<(), CliError> {
    let deadline = Instant::now() + STOP_PATIENCE;
    while process_at(socket).await == Some(process_id) {
        if Instant::now() >= deadline {
            return Err(CliError::NotStopped { waited: STOP_PATIENCE, process_id });
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The process of the daemon that answers at the socket; none when none does, for whatever reason.
pub(crate) async fn process_at(socket: &Path) -> Option<i32> {
    process_within(FIRST_WORD_DEADLINE, socket).await
}

/// The same for who will ask again, and looks elsewhere meanwhile.
pub(crate) async fn process_within(deadline: Duration, socket: &Path) -> Option<i32> {
    let client = Client::connect(socket).await.ok()?;
    Some(client.info(deadline).await.ok()?.process_id)
}

/// The daemon at the socket; none when nobody listens there or it went away while we spoke.
async fn answering(socket: &Path) -> Result<Option<Client>, CliError> {
    answering_within(CHANGE_DEADLINE, socket).await
}

/// The same for who does not wait longer for its first word.
pub(crate) async fn answering_within(deadline: Duration, socket: &Path) -> Result<Option<Client>, CliError> {
    let client = match Client::connect(socket).await {
        Ok(client) => client,
        Err(CliError::Unreachable { source, .. }) if is_absent(&source) => return Ok(None),
        // A daemon that is just closing its socket accepts and hangs up.
        Err(CliError::Handshake { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    match client.info(deadline).await {
        Ok(_) => Ok(Some(client)),
        Err(CliError::ConnectionLost { .. }) => Ok(None),
        Err(error) if error.reason() == "SHUTTING_DOWN" => Ok(None),
        Err(error) => Err(error),
    }
}

struct Start<'a> {
    paths: &'a Paths,
    program: PathBuf,
    /// Closing it, however this process ends, gives the lock back.
    lock: File,
    holds_lock: bool,
    child: Option<Child>,
    not_before: Option<Instant>,
}

impl Start<'_> {
    /// Takes the lock if nobody else has it. Whoever has it is starting a daemon; when that fails, it comes to us.
    fn take_turn(&mut self) {
        self.holds_lock = self.holds_lock || self.lock.try_lock().is_ok();
    }

    /// Starts the daemon if it is our turn, and notices when it has ended.
    fn look_after_child(&mut self) -> Result<(), CliError> {
        let Some(child) = &mut self.child else {
            let waiting = self.not_before.is_some_and(|time| Instant::now() < time);
            if self.holds_lock && !waiting {
                self.child = Some(spawn(self.paths, &self.program)?);
            }
            return Ok(());
        };
        let ended = child.try_wait().map_err(|source| CliError::Spawn { program: self.program.clone(), source })?;
        match ended {
            None => Ok(()),
            Some(status) if status.code() == Some(EXIT_ALREADY_RUNNING) => {
                self.child = None;
                self.not_before = Some(Instant::now() + RESTART_PAUSE);
                Ok(())
            }
            Some(status) => Err(self.ended_at_once(status)),
        }
    }

    fn ended_at_once(&self, status: ExitStatus) -> CliError {
        CliError::EndedAtOnce { program: self.program.clone(), status, tail: tail(&self.paths.start_log()) }
    }
}

fn open_lock(paths: &Paths) -> Result<File, CliError> {
    let path = paths.start_lock();
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(&path).map_err(CliError::io("open", &path))
}

fn spawn(paths: &Paths, program: &Path) -> Result<Child, CliError> {
    let log_path = paths.start_log();
    let mut options = File::options();
    // Appended to, so that two daemons' words never overwrite each other; emptied, because each start is a new story.
    let log = options.append(true).create(true).mode(0o600).open(&log_path).map_err(CliError::io("open", &log_path))?;
    log.set_len(0).map_err(CliError::io("empty", &log_path))?;
    let second = log.try_clone().map_err(CliError::io("open", &log_path))?;
    let mut command = Command::new(program);
    command.arg("run").stdin(Stdio::null()).stdout(log).stderr(second);
    // Its own process group: Ctrl-C here is not meant for the daemon. The root folder: it must not keep the folder
    // in which somebody happened to type a command from being removed or unmounted.
    command.process_group(0).current_dir("/");
    if let Some(home) = &paths.home {
        command.env("PAINTBOX_HOME", home);
    }
    command.spawn().map_err(|source| CliError::Spawn { program: program.to_owned(), source })
}

/// Why the daemon's program ended, by its standard error, and what to do.
pub(crate) fn complaint(error: &str) -> (String, Option<String>) {
    let line = |start: &str| error.lines().find_map(|line| line.strip_prefix(start)).map(sanitize::line);
    (line("paintboxd: ").unwrap_or_else(|| sanitize::line(error)), line("hint: "))
}

/// The end of a log as one line of text.
pub(crate) fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    sanitize::line(&String::from_utf8_lossy(&read().unwrap_or_default()))
}
