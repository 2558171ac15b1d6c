//! Where everything lies.
//!
//! With `PAINTBOX_HOME`, all under that folder. Without it, the platform's own places: on macOS
//! `~/Library/Application Support/paintbox`, elsewhere the XDG base directories. `cli/src/paths.rs` has the same
//! rule, because the command line must find the socket of a daemon that it has not spoken to yet.

use crate::StartError;
use etcetera::BaseStrategy as _;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) config_file: PathBuf,
    /// Catalogue, credentials and lock.
    pub(crate) state: PathBuf,
    /// The socket's folder.
    pub(crate) run: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) logs: PathBuf,
    /// Whether these are the platform's own places rather than one folder of somebody's choice.
    pub(crate) is_of_platform: bool,
}

impl Home {
    pub(crate) fn under(root: &Path) -> Self {
        Self {
            is_of_platform: false,
            config_file: root.join("config.toml"),
            state: root.join("state"),
            run: root.join("run"),
            store: root.join("store"),
            logs: root.join("logs"),
        }
    }

    pub(crate) fn of_platform() -> Result<Self, StartError> {
        let base = etcetera::base_strategy::choose_native_strategy().map_err(|_| StartError::NoHome)?;
        if cfg!(target_os = "macos") {
            return Ok(Self { is_of_platform: true, ..Self::under(&base.data_dir().join("paintbox")) });
        }
        let state = base.state_dir().unwrap_or_else(|| base.data_dir()).join("paintbox");
        Ok(Self {
            is_of_platform: true,
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

    pub(crate) fn catalogue(&self) -> PathBuf {
        self.state.join("catalogue.db")
    }

    /// Creates the folders, readable by their owner alone.
    pub(crate) fn create(&self) -> Result<(), StartError> {
        for folder in [&self.state, &self.run, &self.store, &self.logs] {
            let failed = |action| {
                let path = folder.clone();
                move |source| StartError::Io { action, path, source }
            };
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("create"))?;
            std::fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed("protect"))?;
        }
        Ok(())
    }

    /// Takes the home for this process. The lock goes with the process, however it ends, so a stale one cannot be.
    pub(crate) fn lock(&self) -> Result<HomeLock, StartError> {
        let path = self.state.join("paintboxd.lock");
        let io = |action| {
            let path = path.clone();
            move |source| StartError::Io { action, path, source }
        };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut pid = String::new();
                drop(file.read_to_string(&mut pid));
                return Err(StartError::HomeLocked { home: self.state.clone(), pid: pid.trim().to_owned() });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        let write = |file: &mut File| -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(io("write"))?;
        Ok(HomeLock { _file: file })
    }
}

/// Held for as long as the daemon lives.
#[derive(Debug)]
pub(crate) struct HomeLock {
    _file: File,
}
