//! A Paintbox of its own for a test or the demo: both programs, a private home, a hub on this machine.
//!
//! The programs are the real ones. `demo` is one binary that answers to three names, so that `cargo run --bin demo`
//! and `cargo test` build everything they run; each installation links it as `paintbox` and `paintboxd`.

pub mod contract;
pub mod requests;

use paintbox_testkit::{FakeHub, TestHome};
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

/// Runs as the program that this process was started as; none under any other name.
#[must_use]
pub fn run_as_named() -> Option<ExitCode> {
    let name = PathBuf::from(std::env::args_os().next()?);
    match name.file_name().and_then(OsStr::to_str) {
        Some("paintbox") => Some(paintbox_cli::main()),
        Some("paintboxd") => Some(paintbox_app::main()),
        _ => None,
    }
}

/// Both programs with a private home. The daemon is stopped when this goes away.
#[derive(Debug)]
pub struct Installation {
    home: TestHome,
    programs: PathBuf,
    environment: Vec<(String, String)>,
}

impl Installation {
    /// Links `multi_call` (the `demo` binary) into a new home whose hubs are `hub`.
    ///
    /// # Errors
    /// When the home cannot be made.
    pub fn new(multi_call: &Path, hub: &FakeHub) -> io::Result<Self> {
        let home = TestHome::new()?;
        let programs = home.path().join("bin");
        std::fs::create_dir(&programs)?;
        for name in ["paintbox", "paintboxd"] {
            let to = programs.join(name);
            // A hard link, so that the process sees itself under its new name; a copy where links cannot reach.
            if std::fs::hard_link(multi_call, &to).is_err() {
                std::fs::copy(multi_call, &to)?;
            }
        }
        let environment = vec![
            ("PAINTBOX_HOME".to_owned(), home.path().join("home").display().to_string()),
            ("PAINTBOX_CIVITAI_ENDPOINT".to_owned(), hub.civitai_endpoint()),
            ("HF_ENDPOINT".to_owned(), hub.hf_endpoint()),
            // Of the person who runs this: never asked.
            ("PAINTBOX_SUPERVISOR".to_owned(), "none".to_owned()),
        ];
        Ok(Self { home, programs, environment })
    }

    /// Writes `config.toml`, which a daemon reads when it starts.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, text: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.home())?;
        std::fs::write(self.home().join("config.toml"), text)
    }

    /// Adds an environment variable for every program started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// `PAINTBOX_HOME`.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.home.path().join("home")
    }

    /// A folder for what the programs write besides their home.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.home.path()
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home().join("run/paintbox.sock")
    }

    /// The program `paintbox`, which finds this installation by `PAINTBOX_HOME`.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.programs.join("paintbox")
    }

    /// A command for `paintbox` or `paintboxd` in this installation's environment and no other.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        for name in TestHome::cleared_variables() {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("NO_COLOR", "1").current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// Runs `paintbox` to its end.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn paintbox<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> io::Result<Output> {
        self.command("paintbox").args(arguments).output()
    }

    /// Runs `paintbox` to its end with `input` on its standard input.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn paintbox_reading<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> io::Result<Output> {
        let mut command = self.command("paintbox");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(input.as_bytes()) {
                // A program that ended without reading has said why.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        child.wait_with_output()
    }

    /// The daemon's process id, from its lock file.
    #[must_use]
    pub fn daemon_pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.home().join("state/paintboxd.lock")).ok()?.trim().parse().ok()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if self.socket().exists() {
            drop(self.command("paintbox").args(["daemon", "stop"]).output());
        }
    }
}
