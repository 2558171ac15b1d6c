//! What is around this process: which supervisor there is, where it looks for definitions, and its own program.

use super::Kind;
use crate::error::CliError;
use crate::paths::{Paths, variable};
use etcetera::BaseStrategy as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// What decides where a home is; see `paths.rs`. On a Mac only the first does.
const HOME_VARIABLES: [&str; 4] = ["PAINTBOX_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];

/// Where supervisors are to be found, for one home.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) kind: Kind,
    /// This user's number, of which launchd's domains are named.
    pub(super) user: u32,
    /// `~/Library/LaunchAgents`.
    pub(super) agents: PathBuf,
    /// `~/.config/systemd/user`.
    pub(super) units: PathBuf,
    /// `~/.config/autostart`, where desktops have it.
    pub(super) autostart: Option<PathBuf>,
    /// Where the user's manager has its sockets, when this process was not told.
    runtime_folder: Option<PathBuf>,
    /// The variables that decide where the home is, as far as they are set.
    pub(super) environment: Vec<(&'static str, String)>,
}

impl Surroundings {
    /// What this process finds around it. `PAINTBOX_SUPERVISOR` (`launchd`, `systemd` or `none`) says it instead.
    pub(crate) fn of_process(paths: &Paths) -> Result<Self, CliError> {
        let base = etcetera::base_strategy::Xdg::new().map_err(|_| CliError::NoHome)?;
        let user = rustix::process::getuid().as_raw();
        let usual = PathBuf::from(format!("/run/user/{user}"));
        let told = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = told.clone().unwrap_or_else(|| usual.clone());
        let kind = match variable("PAINTBOX_SUPERVISOR") {
            Some(given) => Kind::ALL.into_iter().find(|kind| kind.name() == given).ok_or(CliError::Argument {
                argument: "PAINTBOX_SUPERVISOR",
                given,
                problem: "it is launchd, systemd or none".to_owned(),
            })?,
            None if cfg!(target_os = "macos") => Kind::Launchd,
            // The socket at which systemctl finds the user's manager (systemd `src/shared/bus-util.c`).
            None if runtime.join("systemd/private").exists() => Kind::Systemd,
            None => Kind::Plain,
        };
        let mut environment: Vec<_> =
            HOME_VARIABLES.into_iter().filter_map(|name| Some((name, variable(name)?))).collect();
        if let Some(home) = &paths.home {
            // As an absolute path, and then it alone decides.
            environment = vec![("PAINTBOX_HOME", home.display().to_string())];
        } else if cfg!(target_os = "macos") {
            environment.clear();
        }
        Ok(Self {
            kind,
            user,
            agents: base.home_dir().join("Library/LaunchAgents"),
            units: base.config_dir().join("systemd/user"),
            autostart: (!cfg!(target_os = "macos")).then(|| base.config_dir().join("autostart")),
            runtime_folder: (told.is_none() && usual.is_dir()).then_some(usual),
            environment,
        })
    }

    /// Where nobody keeps a daemon and nothing is installed.
    #[cfg(test)]
    pub(crate) fn without_supervisor(folder: &Path) -> Self {
        Self {
            kind: Kind::Plain,
            user: rustix::process::getuid().as_raw(),
            agents: folder.join("LaunchAgents"),
            units: folder.join("systemd/user"),
            autostart: Some(folder.join("autostart")),
            runtime_folder: None,
            environment: vec![("PAINTBOX_HOME", folder.display().to_string())],
        }
    }

    /// Runs a supervisor's program to its end. What it says is for machines: no colours, no pager, no other language.
    pub(crate) async fn run(&self, program: &str, arguments: &[String], limit: Duration) -> Result<Said, CliError> {
        let said = |how: String| CliError::Supervisor {
            command: [&[program.to_owned()], arguments].concat().join(" "),
            how,
            said: String::new(),
            hint: None,
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
        if let Some(folder) = &self.runtime_folder {
            command.env("XDG_RUNTIME_DIR", folder);
        }
        match tokio::time::timeout(limit, command.output()).await {
            Ok(Ok(output)) => Ok(Said {
                code: output.status.code().unwrap_or(-1),
                out: String::from_utf8_lossy(&output.stdout).into_owned(),
                error: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }),
            Ok(Err(source)) if source.kind() == ErrorKind::NotFound => Err(said("there is no such program".to_owned())),
            Ok(Err(source)) => Err(said(source.to_string())),
            Err(_elapsed) => Err(said(format!("it did not end within {} seconds", limit.as_secs()))),
        }
    }
}

/// How a supervisor's program ended.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) error: String,
}

impl Said {
    /// It as an error, of a command that had to succeed.
    pub(super) fn failed(self, program: &str, arguments: &[String], hint: Option<&str>) -> CliError {
        let said = if self.error.is_empty() { self.out } else { self.error };
        CliError::Supervisor {
            command: [&[program.to_owned()], arguments].concat().join(" "),
            how: format!("exit code {}", self.code),
            said,
            hint: hint.map(str::to_owned),
        }
    }
}

/// The files of a definition, in the order in which they are written.
pub(super) fn files(surroundings: &Surroundings, names: &super::Names) -> Vec<PathBuf> {
    match surroundings.kind {
        Kind::Launchd => vec![surroundings.agents.join(format!("{}.plist", names.label))],
        Kind::Systemd => vec![surroundings.units.join(names.socket()), surroundings.units.join(names.service())],
        Kind::Plain => {
            surroundings.autostart.iter().map(|folder| folder.join(format!("{}.desktop", names.unit))).collect()
        }
    }
}

/// Whether anything was installed for the home, by a look at the disk alone.
pub(crate) fn may_be_installed(surroundings: &Surroundings, home: Option<&Path>) -> bool {
    surroundings.kind != Kind::Plain
        && files(surroundings, &super::Names::of(home)).iter().any(|file| file.symlink_metadata().is_ok())
}
