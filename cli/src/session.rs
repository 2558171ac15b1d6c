//! What every command has at hand: where the daemon is, where to write, what time it is.

use crate::client::Client;
use crate::error::CliError;
use crate::paths::{self, Paths};
use crate::render::json::{ErrorJson, ErrorLine};
use crate::render::output::Output;
use crate::render::sanitize;
use crate::render::table::wrap;
use crate::start;
use crate::supervisor::{Inspected, Runner, Step, Surroundings, Verb, may_be_installed, plan};
use crate::terminal::Terminal;
use jiff::Timestamp;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;
use unicode_width::UnicodeWidthStr as _;

/// Within which a daemon that runs has answered; beyond it, its supervisor is asked how it is.
const SOON: Duration = Duration::from_secs(2);
/// For a daemon that a supervisor starts because a command needs it.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than anybody types to say yes or no.
const LONGEST_ANSWER_BYTES: usize = 64;

pub(crate) struct Session {
    pub(crate) json: bool,
    pub(crate) paths: Paths,
    /// `--socket`, when it was given.
    pub(crate) other_socket: Option<PathBuf>,
    /// The daemon's program, when it is known without looking for it.
    pub(crate) daemon_program: Option<PathBuf>,
    /// Who may keep the daemon.
    pub(crate) surroundings: Surroundings,
    /// Results.
    pub(crate) out: Output,
    /// Everything that is not a result.
    pub(crate) notes: Output,
    pub(crate) input: Box<dyn Read + Send>,
    pub(crate) terminal: Terminal,
    pub(crate) now: Timestamp,
    pub(crate) interrupts: Interrupts,
}

impl Session {
    pub(crate) fn of_process(json: bool, other_socket: Option<PathBuf>) -> Result<Self, CliError> {
        let paths = Paths::from_environment()?;
        Ok(Self {
            json,
            surroundings: Surroundings::of_process(&paths)?,
            paths,
            other_socket,
            daemon_program: None,
            out: Output::new(Box::new(std::io::stdout())),
            notes: Output::new(Box::new(std::io::stderr())),
            input: Box::new(std::io::stdin()),
            terminal: Terminal::of_process(),
            now: Timestamp::now(),
            interrupts: Interrupts::Signal,
        })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.other_socket.clone().unwrap_or_else(|| self.paths.socket())
    }

    /// Whether a daemon that is started from here would listen where we look for it.
    pub(crate) fn may_start(&self) -> bool {
        self.other_socket.as_ref().is_none_or(|socket| *socket == self.paths.socket())
    }

    /// The daemon's program.
    pub(crate) fn daemon(&self) -> Result<PathBuf, CliError> {
        self.daemon_program.clone().map_or_else(paths::daemon_program, Ok)
    }

    /// The daemon, started if need be: by its supervisor, where it has one.
    pub(crate) async fn connect(&self) -> Result<Client, CliError> {
        if !self.may_start() {
            return self.connect_only().await;
        }
        if may_be_installed(&self.surroundings, self.paths.home.as_deref()) {
            match start::answering_within(SOON, &self.paths.socket()).await {
                Ok(Some(client)) => return Ok(client),
                // A supervisor's socket takes calls whether or not there will be anybody to answer them.
                Ok(None) | Err(CliError::Deadline { .. }) => self.start_supervised().await?,
                Err(error) => return Err(error),
            }
        }
        start::connect_or_spawn(&self.paths, self.daemon_program.as_deref()).await
    }

    /// Has the supervisor start the daemon, if it can. One that cannot even be asked, as from a shell without the session's
    /// variables, keeps none that would be in the way: its socket would have answered.
    async fn start_supervised(&self) -> Result<(), CliError> {
        let inspected = match Inspected::look(&self.surroundings, &self.paths, None).await {
            Ok(inspected) => inspected,
            Err(CliError::Supervisor { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let steps = plan(inspected.kind, Verb::Start, &inspected.seen);
        let Some(program) = inspected.program.as_ref().filter(|_| !steps.contains(&Step::Spawn)) else { return Ok(()) };
        let (surroundings, paths) = (&self.surroundings, &self.paths);
        let runner = Runner { surroundings, paths, program: &program.path, before: &inspected, patience: PATIENCE };
        runner.carry_out(&steps).await
    }

    /// The daemon, if it is running. Where a supervisor holds its socket, knocking there would start it, so that the supervisor
    /// is asked first.
    pub(crate) async fn connect_only(&self) -> Result<Client, CliError> {
        match self.supervised().await {
            Some(inspected) if inspected.process_id().is_none() => Err(self.refused()),
            _ => self.knock().await,
        }
    }

    /// How a supervisor has the daemon whose socket it holds.
    pub(crate) async fn supervised(&self) -> Option<Inspected> {
        if !self.may_start() || !may_be_installed(&self.surroundings, self.paths.home.as_deref()) {
            return None;
        }
        let inspected = Inspected::look(&self.surroundings, &self.paths, None).await.ok()?;
        inspected.seen.state.holds_socket().then_some(inspected)
    }

    /// What there is to say when nobody answers and nobody was asked to.
    pub(crate) fn refused(&self) -> CliError {
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        CliError::Unreachable { socket: self.socket(), source, may_start: self.may_start() }
    }

    /// Whoever answers at the socket.
    pub(crate) async fn knock(&self) -> Result<Client, CliError> {
        Client::connect(&self.socket()).await.map_err(|error| match error {
            CliError::Unreachable { socket, source, .. } => {
                CliError::Unreachable { socket, source, may_start: self.may_start() }
            }
            other => other,
        })
    }

    /// Whether bars and spinners have somebody to watch them.
    pub(crate) fn watched(&self) -> bool {
        !self.json && self.terminal.progress
    }

    /// Whether a question would be seen and could be answered.
    pub(crate) fn has_company(&self) -> bool {
        !self.json && self.terminal.input && self.terminal.notes
    }

    /// Asks for a yes or a no. An empty line is a yes; the end of the input, and words that are neither, are a no.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<bool, CliError> {
        self.notes.prompt(&format!("{question} [Y/n] "))?;
        let failed = |source| CliError::Stream { action: "read the answer", source };
        let (mut answer, mut byte) = (String::new(), [0]);
        // One by one: whatever stands behind the line break belongs to somebody else.
        while answer.len() < LONGEST_ANSWER_BYTES && self.input.read(&mut byte).map_err(failed)? == 1 {
            if byte == *b"\n" {
                return Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"));
            }
            answer.push(char::from(byte[0]));
        }
        // Nobody pressed Enter, so the cursor still stands behind the question.
        self.notes.line("")?;
        Ok(false)
    }

    /// A remark for people; programs have no use for it.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), CliError> {
        if self.json {
            return Ok(());
        }
        self.fitted(text).iter().try_for_each(|line| self.notes.line(line))
    }

    /// A result in a sentence.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), CliError> {
        self.fitted(text).iter().try_for_each(|line| self.out.line(line))
    }

    /// Text in lines that fit the terminal.
    fn fitted(&self, text: &str) -> Vec<String> {
        match self.terminal.columns {
            Some(columns) if text.width() > columns => wrap(text, columns),
            _ => vec![text.to_owned()],
        }
    }

    /// Says why a command ended badly.
    pub(crate) fn report(&mut self, error: &CliError) {
        report(self.json, &mut self.notes, error);
    }
}

/// Writes an error as the contract wants it. When that fails too, there is nobody left to tell.
pub(crate) fn report(json: bool, notes: &mut Output, error: &CliError) {
    let written = if json {
        notes.json(&ErrorLine { error: ErrorJson::from(error) })
    } else {
        let hint = error.hint().map(|hint| format!("\nhint: {}", sanitize::line(&hint))).unwrap_or_default();
        notes.line(&format!("error: {}{hint}", sanitize::line(&error.message())))
    };
    drop(written);
}

/// Where Ctrl-C comes from.
#[derive(Clone)]
pub(crate) enum Interrupts {
    Signal,
    #[cfg(test)]
    When(std::sync::Arc<tokio::sync::Notify>),
}

impl Interrupts {
    /// Returns when the person wants to stop.
    pub(crate) async fn wait(&self) {
        match self {
            Self::Signal => {
                if tokio::signal::ctrl_c().await.is_err() {
                    // Without a handler the signal ends the process, which is the next best thing.
                    std::future::pending::<()>().await;
                }
            }
            #[cfg(test)]
            Self::When(notify) => notify.notified().await,
        }
    }
}
