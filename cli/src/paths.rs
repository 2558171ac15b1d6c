//! Where the daemon's home is, and the only reader of the environment on this side.
//!
//! The rule is the daemon's own (`daemon/app/src/home.rs`): the command line must find the socket of a daemon that
//! it has not spoken to yet.

use crate::error::CliError;
use etcetera::BaseStrategy as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The folders of one home.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// `PAINTBOX_HOME` as an absolute path; none when the platform's own places are used.
    pub(crate) home: Option<PathBuf>,
    pub(crate) config_file: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) logs: PathBuf,
}

impl Paths {
    pub(crate) fn from_environment() -> Result<Self, CliError> {
        match variable("PAINTBOX_HOME") {
            Some(home) => {
                let home = PathBuf::from(home);
                let home = std::path::absolute(&home).map_err(CliError::io("find", &home))?;
                Ok(Self::under(&home))
            }
            None => Self::of_platform(),
        }
    }

    pub(crate) fn under(home: &Path) -> Self {
        Self {
            home: Some(home.to_owned()),
            config_file: home.join("config.toml"),
            state: home.join("state"),
            run: home.join("run"),
            store: home.join("store"),
            logs: home.join("logs"),
        }
    }

    fn of_platform() -> Result<Self, CliError> {
        let base = etcetera::base_strategy::choose_native_strategy().map_err(|_| CliError::NoHome)?;
        if cfg!(target_os = "macos") {
            return Ok(Self { home: None, ..Self::under(&base.data_dir().join("paintbox")) });
        }
        let state = base.state_dir().unwrap_or_else(|| base.data_dir()).join("paintbox");
        Ok(Self {
            home: None,
            config_file: base.config_dir().join("paintbox/config.toml"),
            run: state.join("run"),
            logs: state.join("logs"),
            state,
            store: base.data_dir().join("paintbox/store"),
        })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join("paintbox.sock")
    }

    /// What a daemon that was started from here writes before it has a log, and its standard error after that.
    pub(crate) fn start_log(&self) -> PathBuf {
        self.logs.join("paintboxd.start.log")
    }

    /// Held by the one command line that is starting a daemon.
    pub(crate) fn start_lock(&self) -> PathBuf {
        self.run.join("paintboxd.start.lock")
    }

    /// Creates the folders that are needed before the daemon runs, readable by their owner alone.
    pub(crate) fn create(&self) -> Result<(), CliError> {
        for folder in [&self.run, &self.logs] {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder).map_err(CliError::io("create", folder))?;
        }
        Ok(())
    }
}

/// The daemon's program: `PAINTBOXD`, else `paintboxd` beside this program, else on the `PATH`.
pub(crate) fn daemon_program() -> Result<PathBuf, CliError> {
    if let Some(given) = variable("PAINTBOXD") {
        let given = PathBuf::from(given);
        return std::path::absolute(&given).map_err(CliError::io("find", &given));
    }
    let mut looked = Vec::new();
    if let Ok(this) = std::env::current_exe() {
        looked.extend(this.parent().map(|folder| folder.join("paintboxd")));
        // Package managers link programs into one folder; the daemon then lies beside what the link points to.
        let resolved = this.canonicalize().ok().and_then(|this| Some(this.parent()?.join("paintboxd")));
        looked.extend(resolved.filter(|path| !looked.contains(path)));
    }
    let path = variable("PATH").unwrap_or_default();
    looked.extend(std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|f| f.join("paintboxd")));
    match looked.iter().find(|path| path.is_file()) {
        Some(found) => Ok(found.clone()),
        None => {
            // The whole PATH is noise; the first places and the PATH by name say enough.
            looked.truncate(2);
            looked.push(PathBuf::from("paintboxd on the PATH"));
            Err(CliError::DaemonNotFound { looked })
        }
    }
}

/// The daemon's program by the path that a supervisor should know: beside this one as it was called, with no link resolved,
/// so that the path outlives an upgrade (`supervisor/definition.rs`).
pub(crate) fn lasting_daemon_program() -> Result<PathBuf, CliError> {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let folders: Vec<PathBuf> = match called.parent() {
        // Called by its name alone, it was found on the PATH.
        Some(folder) if folder.as_os_str().is_empty() => {
            let path = variable("PATH").unwrap_or_default();
            std::env::split_paths(&path).filter(|folder| folder.join(&called).is_file()).take(1).collect()
        }
        Some(folder) => std::path::absolute(folder).into_iter().collect(),
        None => Vec::new(),
    };
    let beside = folders.iter().map(|folder| folder.join("paintboxd")).find(|path| path.is_file());
    let found = match beside.filter(|_| variable("PAINTBOXD").is_none()) {
        Some(found) => found,
        None => daemon_program()?,
    };
    Ok(crate::supervisor::lasting(&found, Path::is_file))
}

/// An environment variable that is set and not blank.
#[expect(clippy::disallowed_methods, reason = "the command line's one reader of the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_of_its_own_holds_everything() {
        let paths = Paths::under(Path::new("/srv/paint"));
        assert_eq!(paths.socket(), Path::new("/srv/paint/run/paintbox.sock"));
        for path in
            [&paths.config_file, &paths.state, &paths.store, &paths.logs, &paths.start_log(), &paths.start_lock()]
        {
            assert!(path.starts_with("/srv/paint"), "{}", path.display());
        }
    }
}
