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
    pub(crate) fn start(home: &Path) -> Result<Self, Failure> {
        let process = Command::new(env!("CARGO_BIN_EXE_paintboxd"))
            .arg("run")
            .env_clear()
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

    pub(crate) fn resident_megabytes(&self) -> Result<f64, Failure> {
        self.memory("VmRSS:")
    }

    pub(crate) fn peak_megabytes(&self) -> Result<f64, Failure> {
        self.memory("VmHWM:")
    }

    /// A line of proc(5)'s status.
    fn memory(&self, title: &str) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(title)).ok_or("no such line in status")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0 / 1e6)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It ended by itself, or ends now; there is nobody left to tell.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
