//! Carrying steps out.

use super::inspect::{self, Inspected, render};
use super::launchd::{NO_SUCH_SERVICE, explained};
use super::tool::files;
use super::{Ask, Definition, Kind, State, Step, Surroundings};
use crate::error::CliError;
use crate::paths::Paths;
use crate::render::sanitize;
use crate::start;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// A job of systemd's may wait for an end in order and for a migration (`TimeoutStopSec` and `TimeoutStartSec` together).
const JOB_LIMIT: Duration = Duration::from_secs(340);
/// `paintboxd check-config` reads a few files.
const CHECK_LIMIT: Duration = Duration::from_secs(20);
/// Until launchd has let go of an agent: `ExitTimeOut`, and some.
const UNLOAD_PATIENCE: Duration = Duration::from_secs(45);
/// Between two looks at a socket, and at a supervisor.
const POLL: Duration = Duration::from_millis(40);
const LOOK: Duration = Duration::from_millis(500);
/// For a word of whoever answers; a daemon that crashes as it starts leaves callers waiting in its supervisor's socket.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// Looks that find a crash before it is believed that no start succeeds.
const CRASHES: u32 = 3;

/// Exit codes of launchctl's for what was so already.
const NO_SUCH_PROCESS: i32 = 3;
const IN_PROGRESS: i32 = 36;

/// Carries out the steps of one plan.
pub(crate) struct Runner<'a> {
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) paths: &'a Paths,
    /// What is written, and what is started.
    pub(crate) program: &'a Path,
    pub(crate) before: &'a Inspected,
    /// How long to wait for an answer.
    pub(crate) patience: Duration,
}

impl Runner<'_> {
    /// Carries them out in order, up to the first that fails.
    pub(crate) async fn carry_out(&self, steps: &[Step]) -> Result<(), CliError> {
        for step in steps {
            self.carry_out_one(*step).await?;
        }
        Ok(())
    }

    async fn carry_out_one(&self, step: Step) -> Result<(), CliError> {
        match step {
            Step::CheckConfiguration => self.check_configuration().await,
            Step::StopOutside => start::stop(&self.paths.socket()).await.map(drop),
            Step::CallToEnd => match start::call_to_end(&self.paths.socket()).await {
                Ok(()) => Ok(()),
                // A daemon that does not listen is ended by its supervisor.
                Err(_) => self.ask(Ask::KickstartAnew).await,
            },
            Step::Write => self.write(),
            Step::Remove => self.remove(),
            Step::Ask(ask) => self.ask(ask).await,
            Step::AwaitUnloaded => self.await_unloaded().await,
            Step::AwaitEnded => self.await_ended().await,
            Step::AwaitAnswer => self.await_answer().await,
            Step::Spawn => start::connect_or_spawn(self.paths, Some(self.program)).await.map(drop),
        }
    }

    async fn check_configuration(&self) -> Result<(), CliError> {
        let program = self.program.display().to_string();
        let said = self.surroundings.run(&program, &["check-config".to_owned()], CHECK_LIMIT).await?;
        if said.code == 0 {
            return Ok(());
        }
        let (message, hint) = start::complaint(&said.error);
        Err(CliError::Configuration { message, hint })
    }

    fn write(&self) -> Result<(), CliError> {
        let definition = Definition::new(self.paths, self.surroundings.environment.clone(), self.program.to_owned());
        if let Some((given, problem)) = definition.unspeakable(self.before.kind) {
            let (given, problem) = (sanitize::line(&given), problem.to_owned());
            return Err(CliError::Argument { argument: "path", given, problem });
        }
        // The socket's folder and that of the errors must be there before anybody binds or writes in them.
        self.paths.create()?;
        let texts = render(self.before.kind, &definition, self.before.session);
        files(self.surroundings, &self.before.names).iter().zip(texts).try_for_each(|(path, text)| put(path, &text))
    }

    fn remove(&self) -> Result<(), CliError> {
        for path in files(self.surroundings, &self.before.names) {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(CliError::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn ask(&self, ask: Ask) -> Result<(), CliError> {
        let (program, arguments) = self.words(ask);
        let said = self.surroundings.run(program, &arguments, JOB_LIMIT).await?;
        let is_done = match (ask, said.code) {
            (_, 0) => true,
            // It was gone already, or is going; what follows waits until it is.
            (Ask::Bootout, NO_SUCH_PROCESS | IN_PROGRESS | NO_SUCH_SERVICE) => true,
            // launchd also says that it failed when another command line was faster, and at times when it did not fail.
            (Ask::Bootstrap, _) => self.printed().await?.is_some(),
            _ => false,
        };
        if is_done {
            return Ok(());
        }
        let hint = match self.before.kind {
            Kind::Launchd => explained(said.code).map(str::to_owned),
            _ => Some("`paintbox daemon status` and `paintbox daemon logs` may say more".to_owned()),
        };
        Err(said.failed(program, &arguments, hint.as_deref()))
    }

    /// What is run for `ask`.
    fn words(&self, ask: Ask) -> (&'static str, Vec<String>) {
        let names = &self.before.names;
        let domain = self.before.session.domain(self.surroundings.user);
        let target = format!("{domain}/{}", names.label);
        let launchctl = |words: &[&str]| ("launchctl", words.iter().map(|word| (*word).to_owned()).collect());
        let (service, socket) = (names.service(), names.socket());
        let systemctl = |words: &[&str]| {
            ("systemctl", ["--user"].iter().chain(words).map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        match ask {
            Ask::Enable => launchctl(&["enable", &target]),
            Ask::Bootstrap => {
                let files = files(self.surroundings, names);
                let plist = files.first().map(|path| path.display().to_string()).unwrap_or_default();
                launchctl(&["bootstrap", &domain, &plist])
            }
            Ask::Bootout => launchctl(&["bootout", &target]),
            Ask::Kickstart => launchctl(&["kickstart", &target]),
            Ask::KickstartAnew => launchctl(&["kickstart", "-k", &target]),
            Ask::DaemonReload => systemctl(&["daemon-reload"]),
            Ask::EnableAtLogin => systemctl(&["enable", &socket, &service]),
            Ask::DisableAtLogin => systemctl(&["disable", &socket, &service]),
            Ask::Unmask => systemctl(&["unmask", &socket, &service]),
            Ask::ResetFailed => systemctl(&["reset-failed", &socket, &service]),
            Ask::Start => systemctl(&["start", &socket, &service]),
            Ask::Stop => systemctl(&["stop", &socket, &service]),
            Ask::Restart => systemctl(&["restart", &service]),
        }
    }

    async fn printed(&self) -> Result<Option<super::launchd::Printed>, CliError> {
        inspect::print(self.surroundings, &self.before.names, self.before.session).await
    }

    async fn await_unloaded(&self) -> Result<(), CliError> {
        let deadline = Instant::now() + UNLOAD_PATIENCE;
        while self.printed().await?.is_some() {
            self.not_later_than(deadline)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Until the process that ran before runs no more. Another one may run already: whoever knocks starts it.
    async fn await_ended(&self) -> Result<(), CliError> {
        let State::Running { process_id } = self.before.seen.state else { return Ok(()) };
        let deadline = Instant::now() + UNLOAD_PATIENCE;
        while self.printed().await?.is_some_and(|printed| printed.state == State::Running { process_id }) {
            self.not_later_than(deadline)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn not_later_than(&self, deadline: Instant) -> Result<(), CliError> {
        if Instant::now() < deadline {
            return Ok(());
        }
        Err(CliError::NotStopped { waited: UNLOAD_PATIENCE, process_id: self.before.process_id().unwrap_or_default() })
    }

    async fn await_answer(&self) -> Result<(), CliError> {
        let deadline = Instant::now() + self.patience;
        let (mut next_look, mut crashes) = (Instant::now() + LOOK, 0);
        loop {
            if start::process_within(FIRST_WORD, &self.paths.socket()).await.is_some() {
                return Ok(());
            }
            if Instant::now() >= next_look {
                let now = Inspected::look(self.surroundings, self.paths, Some(self.program)).await?;
                let has_failed = matches!(now.seen.state, State::Crashed { again: false, .. } | State::GivenUp { .. });
                crashes += u32::from(matches!(now.seen.state, State::Crashed { again: true, .. }));
                if has_failed || crashes >= CRASHES {
                    // Where it was about to start anyway, nobody has looked at that before.
                    self.check_configuration().await?;
                    return Err(CliError::NotKept {
                        state: super::described(&now),
                        tail: start::tail(&self.paths.start_log()),
                    });
                }
                next_look = Instant::now() + LOOK;
            }
            if Instant::now() >= deadline {
                return Err(CliError::NotStarted { waited: self.patience, log: self.paths.start_log() });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Writes a file under its name at once and whole: a supervisor may read it at any moment. A link in its place, as a mask is, is
/// replaced and not followed.
fn put(path: &Path, text: &[u8]) -> Result<(), CliError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let failed = || CliError::io("write", path);
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(CliError::io("create", folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
    file.write_all(text).map_err(failed())?;
    // launchd takes no agent that others could write.
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed())?;
    file.as_file().sync_all().map_err(failed())?;
    file.persist(path).map_err(|error| failed()(error.error)).map(drop)
}
