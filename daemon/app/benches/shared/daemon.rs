//! A real daemon, and a connection to it.

use crate::Failure;
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// How long a daemon may take to listen.
const START: Duration = Duration::from_secs(60);

/// Ends with the benchmark.
pub(crate) struct Daemon {
    process: Child,
    socket: PathBuf,
}

impl Daemon {
    /// Starts one on a home, with a configuration that leaves out what is not measured, such as a daily backup, and with
    /// nothing but `environment` in its environment.
    pub(crate) fn start(home: &Path, configuration: &str, environment: &[(&str, String)]) -> Result<Self, Failure> {
        std::fs::write(home.join("config.toml"), configuration)?;
        let process = Command::new(env!("CARGO_BIN_EXE_paintboxd"))
            .arg("run")
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("PAINTBOX_HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let daemon = Self { process, socket: home.join("run/paintbox.sock") };
        let started = Instant::now();
        while std::os::unix::net::UnixStream::connect(&daemon.socket).is_err() {
            if started.elapsed() > START {
                return Err("the daemon does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(daemon)
    }

    pub(crate) async fn client(&self) -> Result<Channel, Failure> {
        let socket = self.socket.clone();
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { std::io::Result::Ok(TokioIo::new(UnixStream::connect(socket).await?)) }
        });
        Ok(Endpoint::from_static("http://paintboxd").connect_with_connector(connector).await?)
    }

    /// Where proc(5) tells of it.
    pub(crate) fn told(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.process.id()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // In order, because after any other end the next daemon would check the whole catalogue while it is measured.
        let asked = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            drop(self.process.kill());
        }
        drop(self.process.wait());
    }
}
