//! Asking how things are.

use super::launchd::{self, LoginSession, NO_SUCH_SERVICE};
use super::tool::{Said, files};
use super::{Definition, Kind, Names, Program, Seen, State, Surroundings, Written, plain, systemd};
use crate::error::CliError;
use crate::paths::Paths;
use crate::start;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Supervisors answer questions at once, or are in trouble.
const QUESTION_LIMIT: Duration = Duration::from_secs(20);
/// `launchctl print` of a domain that is not there (`launchd::explained`).
const NO_SUCH_DOMAIN: [i32; 2] = [112, 125];

/// How things are, with what only people want to know.
#[derive(Debug, Clone)]
pub(crate) struct Inspected {
    pub(crate) kind: Kind,
    pub(crate) names: Names,
    pub(crate) seen: Seen,
    /// The definition's file (of systemd's two the service), whether it is there or not.
    pub(crate) file: Option<PathBuf>,
    /// The program that the definition names.
    pub(crate) program: Option<Program>,
    /// What the daemon has told its supervisor of itself.
    pub(crate) status: Option<String>,
    /// launchd: the session that the agent is for, or would be.
    pub(super) session: LoginSession,
}

/// What a question to the supervisor brought.
struct Answer {
    state: State,
    at_login: bool,
    status: Option<String>,
}

impl Inspected {
    /// Asks the supervisor. `program` is what a definition should name; without one, what the one on disk names.
    pub(crate) async fn look(
        surroundings: &Surroundings,
        paths: &Paths,
        program: Option<&Path>,
    ) -> Result<Self, CliError> {
        let names = Names::of(paths.home.as_deref());
        let found = files(surroundings, &names);
        let texts: Vec<Option<Vec<u8>>> = found.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        let last = texts.last().cloned().flatten();
        let named = last.as_deref().and_then(|text| match surroundings.kind {
            Kind::Launchd => launchd::program_of(text),
            Kind::Systemd => systemd::program_of(&String::from_utf8_lossy(text)),
            Kind::Plain => None,
        });
        let session = match last.as_deref().and_then(launchd::session_of) {
            Some(session) if surroundings.kind == Kind::Launchd => session,
            _ => login_session(surroundings).await?,
        };
        let wanted = program.map(Path::to_owned).or_else(|| named.clone());
        let written = match wanted {
            _ if texts.iter().all(Option::is_none) => Written::Nothing,
            Some(program) => {
                let definition = Definition::new(paths, surroundings.environment.clone(), program);
                let current = render(surroundings.kind, &definition, session);
                if texts.into_iter().flatten().eq(current) { Written::Current } else { Written::Other }
            }
            None => Written::Other,
        };
        let answer = match surroundings.kind {
            Kind::Launchd => ask_launchd(surroundings, &names, session, written).await?,
            Kind::Systemd => ask_systemd(surroundings, &names, written).await?,
            Kind::Plain => {
                let is_on = last.is_some_and(|text| plain::is_switched_on(&String::from_utf8_lossy(&text)));
                Answer { state: plain::state(written, is_on, None), at_login: is_on, status: None }
            }
        };
        // Where the supervisor holds the socket, whoever answers there is its own; and knocking would start it.
        let outside = if answer.state.holds_socket() { None } else { start::process_at(&paths.socket()).await };
        let state = match (surroundings.kind, outside) {
            (Kind::Plain, Some(_)) => plain::state(written, answer.at_login, outside),
            _ => answer.state,
        };
        let program = named.map(|path| Program { is_there: path.is_file(), path });
        Ok(Self {
            kind: surroundings.kind,
            names,
            seen: Seen { state, written, at_login: answer.at_login, outside },
            file: found.last().cloned(),
            program,
            status: answer.status,
            session,
        })
    }

    /// As if it had been found so.
    #[cfg(test)]
    pub(crate) fn for_tests(kind: Kind, seen: Seen, program: &str) -> Self {
        let program = Some(Program { path: program.into(), is_there: true });
        let (file, status, session) = (None, None, LoginSession::Aqua);
        Self { kind, names: Names::of(None), seen, file, program, status, session }
    }

    /// The process of the daemon, whoever keeps it.
    pub(crate) fn process_id(&self) -> Option<i32> {
        match self.seen.state {
            State::Running { process_id } => Some(process_id),
            _ => self.seen.outside,
        }
    }
}

/// What the supervisor caught of the daemon's standard error, newest last; none where it keeps nothing or cannot be asked. What
/// launchd catches lies beside the daemon's logs.
pub(crate) async fn caught(surroundings: &Surroundings, paths: &Paths, lines: usize) -> Option<String> {
    match surroundings.kind {
        Kind::Systemd => {
            let names = Names::of(paths.home.as_deref());
            let words =
                ["--user", "--unit", &names.service(), "--lines", &lines.to_string(), "--output", "cat", "--no-pager"];
            let arguments = words.map(str::to_owned);
            let said = surroundings.run("journalctl", &arguments, QUESTION_LIMIT).await.ok()?;
            Some(said.out).filter(|text| said.code == 0 && !text.starts_with("-- No entries --"))
        }
        Kind::Launchd | Kind::Plain => {
            let text = std::fs::read(paths.start_log()).ok()?;
            let text = String::from_utf8_lossy(&text).into_owned();
            Some(last_lines(&text, lines).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// The last lines of a text, at most so many.
pub(crate) fn last_lines(text: &str, lines: usize) -> impl Iterator<Item = &str> {
    text.lines().skip(text.lines().count().saturating_sub(lines))
}

/// The texts of a definition's files, in the order of [`files`].
pub(super) fn render(kind: Kind, definition: &Definition, session: LoginSession) -> Vec<Vec<u8>> {
    match kind {
        Kind::Launchd => vec![launchd::agent(definition, session)],
        Kind::Systemd => {
            let units = systemd::Units::of(definition);
            vec![units.socket.into_bytes(), units.service.into_bytes()]
        }
        Kind::Plain => {
            vec![plain::entry(&plain::command_line(&definition.program), &definition.environment).into_bytes()]
        }
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, CliError> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::io("read", path)(error)),
    }
}

/// The session at the screen, where there is one.
async fn login_session(surroundings: &Surroundings) -> Result<LoginSession, CliError> {
    if surroundings.kind != Kind::Launchd {
        return Ok(LoginSession::Aqua);
    }
    let arguments = ["print".to_owned(), LoginSession::Aqua.domain(surroundings.user)];
    let said = surroundings.run("launchctl", &arguments, QUESTION_LIMIT).await?;
    Ok(if NO_SUCH_DOMAIN.contains(&said.code) { LoginSession::Background } else { LoginSession::Aqua })
}

/// What launchd has under the label; none when it has nothing.
pub(super) async fn print(
    surroundings: &Surroundings,
    names: &Names,
    session: LoginSession,
) -> Result<Option<launchd::Printed>, CliError> {
    let arguments = ["print".to_owned(), format!("{}/{}", session.domain(surroundings.user), names.label)];
    let said = surroundings.run("launchctl", &arguments, QUESTION_LIMIT).await?;
    match said.code {
        0 => Ok(launchd::printed(&said.out)),
        NO_SUCH_SERVICE => Ok(None),
        code if NO_SUCH_DOMAIN.contains(&code) => Ok(None),
        code => Err(said.failed("launchctl", &arguments, launchd::explained(code))),
    }
}

async fn ask_launchd(
    surroundings: &Surroundings,
    names: &Names,
    session: LoginSession,
    written: Written,
) -> Result<Answer, CliError> {
    let printed = print(surroundings, names, session).await?;
    let arguments = ["print-disabled".to_owned(), session.domain(surroundings.user)];
    let said = surroundings.run("launchctl", &arguments, QUESTION_LIMIT).await?;
    let is_disabled = said.code == 0 && launchd::is_disabled(&said.out, &names.label);
    let state = match printed {
        Some(printed) => printed.state,
        None if written == Written::Nothing => State::NotInstalled,
        None if is_disabled => State::Disabled(super::Disabled::Override),
        None => State::NotLoaded,
    };
    Ok(Answer { state, at_login: !is_disabled, status: None })
}

async fn ask_systemd(surroundings: &Surroundings, names: &Names, written: Written) -> Result<Answer, CliError> {
    let said = show(surroundings, names).await?;
    let is_written = written != Written::Nothing;
    let shown = systemd::shown(&said.out, &names.service(), &names.socket(), is_written).ok_or_else(|| {
        let arguments = show_arguments(names);
        said.clone().failed(
            "systemctl",
            &arguments,
            Some("is this user's systemd running? `systemctl --user status` says"),
        )
    })?;
    Ok(Answer { state: shown.state, at_login: shown.at_login, status: shown.status })
}

fn show_arguments(names: &Names) -> [String; 5] {
    let property = format!("--property={}", systemd::PROPERTIES);
    ["--user".to_owned(), "show".to_owned(), property, names.service(), names.socket()]
}

async fn show(surroundings: &Surroundings, names: &Names) -> Result<Said, CliError> {
    surroundings.run("systemctl", &show_arguments(names), QUESTION_LIMIT).await
}
