//! The life of an installation, which is the same whoever keeps it.

use super::keeper::{Keeper, left_out};
use crate::{error, installation_with, json, ok};
use paintbox_proto::v1;
use paintbox_proto::v1::daemon_service_client::DaemonServiceClient;
use paintbox_proto::v1::generation_service_client::GenerationServiceClient;
use paintbox_testkit::{FakeHub, wait_for};
use paintbox_tests::Installation;
use serde_json::Value;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Life {
    // Before the installation: what it keeps goes with it.
    keeper: Keeper,
    installed: Installation,
    hub: FakeHub,
}

impl Life {
    /// An installation and who keeps it; none, and said why, where that cannot be had.
    pub(super) async fn begin(keeper: impl AsyncFnOnce(&mut Installation) -> Result<Keeper, String>) -> Option<Self> {
        let (hub, mut installed) = installation_with("").await;
        match keeper(&mut installed).await {
            Ok(keeper) => {
                let life = Self { keeper, installed, hub };
                life.configure("");
                Some(life)
            }
            Err(why) => {
                left_out(&why);
                None
            }
        }
    }

    pub(super) async fn live(&self) {
        self.is_installed_once_and_found_so().await;
        self.reads_its_configuration_again().await;
        self.comes_back_after_a_kill().await;
        self.makes_room_for_the_next_program().await;
        self.is_ended_and_started_again_when_it_hangs().await;
        self.is_told_anew_what_an_older_paintbox_wrote();
        self.waits_until_somebody_knocks().await;
        self.stays_stopped_until_it_is_wanted();
        self.takes_over_what_runs_without_it();
        self.is_not_switched_on_behind_anybodys_back();
        self.tells_of_a_daemon_that_cannot_start().await;
        self.leaves_nothing_behind();
    }

    /// A supervised daemon sees no variables of this test's: the file is for it.
    fn configure(&self, more: &str) {
        let (civitai, hf) = (self.hub.civitai_endpoint(), self.hub.hf_endpoint());
        let text = format!(
            "[sync]\nautomatic = false\n[hubs.civitai]\nendpoint = \"{civitai}\"\n[hubs.huggingface]\nendpoint = \"{hf}\"\n{more}"
        );
        self.installed.configure(&text).unwrap();
    }

    fn ok(&self, arguments: &[&str]) -> Value {
        ok(&self.installed, arguments).pop().unwrap()
    }

    /// Who keeps it, as `daemon status` says, which starts nothing.
    fn status(&self) -> Value {
        let (objects, output) = json(&self.installed, &["daemon", "status"]);
        assert!(!objects.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        objects[0]["supervisor"].clone()
    }

    fn state(&self) -> String {
        self.status()["state"].as_str().unwrap().to_owned()
    }

    fn process_id(&self) -> u64 {
        self.status()["process_id"].as_u64().unwrap_or_else(|| panic!("{}", self.status()))
    }

    /// Keeps what the real systemd says of the units as they are now, for tests of whoever reads it:
    /// `PAINTBOX_WRITE_RECORDINGS=1 cargo test -p paintbox-tests --test e2e a_real_systemd`.
    #[expect(clippy::disallowed_methods, reason = "how the recordings are renewed")]
    fn record(&self, name: &str) {
        if !self.keeper.is_real_systemd() || std::env::var_os("PAINTBOX_WRITE_RECORDINGS").is_none() {
            return;
        }
        let unit = self.status()["name"].as_str().unwrap().trim_end_matches(".service").to_owned();
        let properties = "--property=Id,LoadState,UnitFileState,ActiveState,SubState,Result,MainPID,ExecMainCode,ExecMainStatus,\
                          NRestarts,StatusText,FragmentPath";
        let (service, socket) = (format!("{unit}.service"), format!("{unit}.socket"));
        let said = self.keeper.call("systemctl", &["--user", "show", properties, &service, &socket]);
        let text = String::from_utf8(said.stdout).unwrap().replace(&unit, "paintbox");
        let text = text.replace(&self.installed.scratch().display().to_string(), "/home/somebody");
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/supervisors");
        std::fs::write(folder.join(format!("systemctl-show-{name}.txt")), text).unwrap();
    }

    fn file(&self) -> PathBuf {
        let names = |folder: &str| {
            let entries = std::fs::read_dir(self.installed.scratch().join(folder)).into_iter().flatten().flatten();
            entries
                .map(|entry| entry.path())
                .find(|path| path.is_file() && path.extension().is_some_and(|ending| ending != "socket"))
        };
        let folder = if self.keeper.kind == "launchd" { "Library/LaunchAgents" } else { "config/systemd/user" };
        names(folder).unwrap_or_else(|| panic!("no definition in {folder}"))
    }

    async fn is_installed_once_and_found_so(&self) {
        let (found, output) = json(&self.installed, &["daemon", "status"]);
        assert_eq!((output.status.code(), &found[0]["supervisor"]["state"]), (Some(4), &"not_installed".into()));
        self.record("not-installed");
        let installed = self.ok(&["daemon", "install"]);
        self.record("running");
        assert_eq!((&installed["changed"], &installed["running"]), (&true.into(), &true.into()), "{installed}");
        let found = &installed["supervisor"];
        for (field, wanted) in [
            ("kind", Value::from(self.keeper.kind)),
            ("state", "running".into()),
            ("at_login", true.into()),
            ("definition", "current".into()),
            ("program", self.installed.program().with_file_name("paintboxd").display().to_string().into()),
            ("program_found", true.into()),
            ("hint", Value::Null),
        ] {
            assert_eq!(found[field], wanted, "{field} in {found}");
        }
        assert_eq!(found["process_id"].as_u64(), self.installed.daemon_pid().map(u64::from), "{found}");
        assert_eq!(found["file"], self.file().display().to_string());
        // What is so already is left as it is.
        let again = self.ok(&["daemon", "install"]);
        assert_eq!((&again["changed"], &again["supervisor"]["process_id"]), (&false.into(), &found["process_id"]));
        assert_eq!(self.ok(&["daemon", "start"])["started"], false);
        assert_eq!(self.ok(&["daemon", "upgrade"])["changed"], false);
        // A second daemon in the foreground would push this one aside.
        assert_eq!(error(&self.installed, &["daemon", "run"])["reason"], "HOME_LOCKED");
        let checks = ok(&self.installed, &["doctor"]);
        for name in ["kept by", "program"] {
            assert!(checks.iter().any(|check| check["check"] == name && check["state"] == "ok"), "{checks:#?}");
        }
        assert_eq!(self.ok(&["daemon", "restart"])["started"], true);
        assert_ne!(self.process_id(), found["process_id"].as_u64().unwrap());
    }

    /// Told by systemd's own command, which says what is wrong with a file that cannot be.
    async fn reads_its_configuration_again(&self) {
        if !self.keeper.is_real_systemd() {
            return;
        }
        let (name, before) = (self.status()["name"].as_str().unwrap().to_owned(), self.process_id());
        let reload = || self.keeper.call("systemctl", &["--user", "reload", &name]).status.success();
        let pending = || self.ok(&["daemon", "status"])["pending_settings"].clone();
        self.configure("[listen]\nweb = \"everywhere\"\n");
        assert!(!reload());
        self.configure("[listen]\nweb = \"127.0.0.1:0\"\n");
        assert!(reload());
        // The command may end when the signal is sent, before the daemon has read the file.
        wait_for("a setting to be pending", PATIENCE, async || pending() == serde_json::json!(["listen.web"])).await;
        self.configure("");
        assert!(reload());
        wait_for("it to be as at the start", PATIENCE, async || pending() == serde_json::json!([])).await;
        assert_eq!((self.state(), self.process_id()), ("running".to_owned(), before));
    }

    async fn comes_back_after_a_kill(&self) {
        let before = self.process_id();
        assert!(Command::new("kill").args(["-9", &before.to_string()]).status().unwrap().success());
        wait_for("the daemon to be started again", PATIENCE, async || {
            let status = self.status();
            status["state"] == "running" && status["process_id"].as_u64() != Some(before)
        })
        .await;
        assert_eq!(self.ok(&["config"])["running"], true);
    }

    /// The queue goes on under the next daemon, nobody is refused, and a stream that was open can be gone on with.
    async fn makes_room_for_the_next_program(&self) {
        ok(&self.installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
        ok(&self.installed, &["sync", "--wait"]);
        let model =
            ok(&self.installed, &["search", "emoji", "--kind", "checkpoint"])[0]["ref"].as_str().unwrap().to_owned();
        let mut generations = GenerationServiceClient::new(crate::grpc::channel(&self.installed).await);
        let spec = v1::GenerationSpec {
            model,
            prompt: "banana".into(),
            steps: Some(8),
            width: Some(128),
            height: Some(128),
            ..Default::default()
        };
        let mut names = Vec::new();
        for _ in 0..3 {
            let request = v1::CreateGenerationRequest { spec: Some(spec.clone()), ..Default::default() };
            names.push(generations.create_generation(request).await.unwrap().into_inner().name);
        }
        let request = v1::WatchGenerationRequest { name: names[2].clone(), ..Default::default() };
        let mut watch = generations.watch_generation(request).await.unwrap().into_inner();
        watch.message().await.unwrap().unwrap();

        let before = self.process_id();
        self.put_another_program_in_place();
        let (is_over, refused, knocked) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let knocking = std::thread::spawn({
            let (socket, is_over) = (self.installed.socket(), Arc::clone(&is_over));
            let (refused, knocked) = (Arc::clone(&refused), Arc::clone(&knocked));
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    match UnixStream::connect(&socket) {
                        Ok(_) => knocked.fetch_add(1, Ordering::Relaxed),
                        Err(_) => refused.fetch_add(1, Ordering::Relaxed),
                    };
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
        });
        let upgraded = self.ok(&["daemon", "upgrade"]);
        is_over.store(true, Ordering::Relaxed);
        knocking.join().unwrap();
        assert_eq!((&upgraded["changed"], &upgraded["running"]), (&true.into(), &true.into()), "{upgraded}");
        assert_ne!(self.process_id(), before);
        let (refused, knocked) = (refused.load(Ordering::Relaxed), knocked.load(Ordering::Relaxed));
        assert!(knocked > 0 && refused == 0, "{refused} of {} callers were refused", knocked + refused);
        // The stream has ended in order: with the last word on its generation, or with a reason to come back for more.
        let end = loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(status) => break Some(crate::access::reason(&status)),
            }
        };
        assert!(end.is_none() || end.as_deref() == Some("SHUTTING_DOWN"), "{end:?}");
        wait_for("what was queued to be painted", PATIENCE * 2, async || {
            let jobs = ok(&self.installed, &["jobs"]);
            let painted =
                |name: &String| jobs.iter().any(|job| job["name"] == name.as_str() && job["state"] == "succeeded");
            names.iter().all(painted)
        })
        .await;
        assert_eq!(self.ok(&["daemon", "upgrade"])["changed"], false);
    }

    /// systemd's watchdog, quicker than the unit has it: fed while all is well, and not by a process that stands still.
    async fn is_ended_and_started_again_when_it_hangs(&self) {
        if !self.keeper.is_real_systemd() {
            return;
        }
        let name = self.status()["name"].as_str().unwrap().to_owned();
        let quicker = self.file().parent().unwrap().join(format!("{name}.d"));
        std::fs::create_dir(&quicker).unwrap();
        std::fs::write(quicker.join("quicker.conf"), "[Service]\nWatchdogSec=2\n").unwrap();
        assert!(self.keeper.call("systemctl", &["--user", "daemon-reload"]).status.success());
        self.ok(&["daemon", "restart"]);
        let fed = || self.keeper.call("systemctl", &["--user", "show", "--property=WatchdogTimestamp", &name]).stdout;
        for _ in 0..3 {
            let last = fed();
            wait_for("the watchdog to be fed", PATIENCE, async || fed() != last).await;
        }
        let before = self.process_id();
        assert!(Command::new("kill").args(["-STOP", &before.to_string()]).status().unwrap().success());
        wait_for("the watchdog to bite", PATIENCE, async || {
            let status = self.status();
            status["state"] == "running" && status["process_id"].as_u64() != Some(before)
        })
        .await;
        std::fs::remove_dir_all(&quicker).unwrap();
        assert!(self.keeper.call("systemctl", &["--user", "daemon-reload"]).status.success());
        self.ok(&["daemon", "restart"]);
    }

    /// As an upgrade does: another file under the same name.
    fn put_another_program_in_place(&self) {
        let program = self.installed.program().with_file_name("paintboxd");
        let next = program.with_file_name("paintboxd.next");
        std::fs::copy(&program, &next).unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "this is what is tested: a program that is replaced while it runs"
        )]
        std::fs::rename(&next, &program).unwrap();
    }

    fn is_told_anew_what_an_older_paintbox_wrote(&self) {
        let file = self.file();
        let text = std::fs::read_to_string(&file).unwrap();
        let older =
            text.replace("RestartSec=2\n", "RestartSec=9\n").replace("<integer>30</integer>", "<integer>20</integer>");
        assert_ne!(older, text);
        std::fs::write(&file, older).unwrap();
        let status = self.status();
        assert_eq!((&status["definition"], &status["state"]), (&"other".into(), &"running".into()));
        assert!(status["hint"].as_str().unwrap().contains("daemon upgrade"), "{status}");
        let upgraded = self.ok(&["daemon", "upgrade"]);
        assert_eq!((&upgraded["changed"], &upgraded["supervisor"]["definition"]), (&true.into(), &"current".into()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }

    /// A daemon that ended by itself stays away until its socket is called, and looking at it is no call.
    async fn waits_until_somebody_knocks(&self) {
        let channel = crate::grpc::channel(&self.installed).await;
        DaemonServiceClient::new(channel).stop_daemon(v1::StopDaemonRequest {}).await.unwrap();
        wait_for("the daemon to end", PATIENCE, async || self.state() == "waiting").await;
        self.record("waiting");
        let (found, output) = json(&self.installed, &["daemon", "status"]);
        assert_eq!((output.status.code(), &found[0]["running"]), (Some(4), &false.into()));
        assert_eq!(self.ok(&["config"])["running"], false);
        assert_eq!(self.state(), "waiting");
        ok(&self.installed, &["follows"]);
        assert_eq!(self.state(), "running");
    }

    fn stays_stopped_until_it_is_wanted(&self) {
        assert_eq!(self.ok(&["daemon", "stop"])["stopped"], true);
        let (found, output) = json(&self.installed, &["daemon", "status"]);
        assert_eq!((output.status.code(), &found[0]["running"]), (Some(4), &false.into()));
        assert_eq!(found[0]["supervisor"]["state"], "not_loaded", "{found:?}");
        self.record("stopped");
        // Whoever only looks starts nothing, and the supervisor does not either.
        assert!(UnixStream::connect(self.installed.socket()).is_err());
        assert_eq!(self.ok(&["config"])["running"], false);
        assert_eq!(self.ok(&["daemon", "stop"])["stopped"], false);
        assert_eq!(self.state(), "not_loaded");
        // What needs it has its supervisor start it.
        ok(&self.installed, &["follows"]);
        assert_eq!(self.state(), "running");
    }

    fn takes_over_what_runs_without_it(&self) {
        self.ok(&["daemon", "stop"]);
        let alone = |arguments: &[&str]| {
            let mut command = self.installed.command("paintbox");
            command.env("PAINTBOX_SUPERVISOR", "none").arg("--json").args(arguments);
            let output = tokio::task::block_in_place(|| command.output().unwrap());
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        alone(&["daemon", "start"]);
        let status = self.status();
        assert_eq!(status["state"], "running_outside");
        assert!(status["hint"].as_str().unwrap().contains("daemon restart"), "{status}");
        let outside = self.process_id();
        assert_eq!(self.ok(&["daemon", "start"])["started"], false, "there is one");
        self.ok(&["daemon", "restart"]);
        assert_eq!(self.state(), "running");
        assert_ne!(self.process_id(), outside);
    }

    fn is_not_switched_on_behind_anybodys_back(&self) {
        self.ok(&["daemon", "stop"]);
        let name = self.status()["name"].as_str().unwrap().to_owned();
        if self.keeper.kind == "launchd" {
            let user = String::from_utf8(self.keeper.call("id", &["-u"]).stdout).unwrap();
            let target = format!("gui/{}/{name}", user.trim());
            assert!(self.keeper.call("launchctl", &["disable", &target]).status.success());
            let status = self.status();
            assert_eq!((&status["state"], &status["at_login"]), (&"disabled".into(), &false.into()));
            assert!(status["hint"].as_str().unwrap().contains("Login Items"), "{status}");
            // It runs for those who ask, and is left switched off.
            self.ok(&["daemon", "start"]);
            assert_eq!(self.state(), "running_outside");
            assert!(!self.keeper.calls().contains("launchctl enable"));
        } else {
            let socket = name.replace(".service", ".socket");
            assert!(self.keeper.call("systemctl", &["--user", "disable", &name, &socket]).status.success());
            // By itself where the whole system is systemd's.
            assert!(self.keeper.call("systemctl", &["--user", "daemon-reload"]).status.success());
            assert_eq!(self.state(), "disabled_at_login");
            self.record("disabled");
            self.ok(&["daemon", "start"]);
            let status = self.status();
            assert_eq!((&status["state"], &status["at_login"]), (&"running".into(), &false.into()));
            self.ok(&["daemon", "uninstall"]);
            assert!(self.keeper.call("systemctl", &["--user", "mask", &name]).status.success());
            assert!(self.keeper.call("systemctl", &["--user", "daemon-reload"]).status.success());
            assert_eq!(self.state(), "masked");
            self.record("masked");
            self.ok(&["daemon", "start"]);
            assert_eq!(self.state(), "running_outside");
        }
        // This asks for just that.
        let installed = self.ok(&["daemon", "install"]);
        let found = &installed["supervisor"];
        assert_eq!((&found["state"], &found["at_login"]), (&"running".into(), &true.into()), "{found}");
    }

    async fn tells_of_a_daemon_that_cannot_start(&self) {
        self.configure("[nonsense]\n");
        // A daemon that works is not given up for one that could not start.
        let before = self.process_id();
        let failed = error(&self.installed, &["daemon", "restart"]);
        assert_eq!(failed["reason"], "CONFIG_INVALID", "{failed}");
        assert!(failed["message"].as_str().unwrap().contains("config.toml"), "{failed}");
        assert_eq!(self.process_id(), before);
        assert!(Command::new("kill").args(["-9", &before.to_string()]).status().unwrap().success());
        let is_down = |state: &str| ["crashed", "crashed_restarting", "given_up"].contains(&state);
        wait_for("a crash to be told of", PATIENCE, async || is_down(&self.state())).await;
        if self.state() == "crashed_restarting" {
            self.record("restarting");
        }
        if self.keeper.kind == "systemd" {
            wait_for("systemd to give up", PATIENCE, async || self.state() == "given_up").await;
            self.record("given-up");
        }
        let status = self.status();
        assert!(status["detail"].as_str().unwrap().contains("exit code 1"), "{status}");
        let (checks, output) = json(&self.installed, &["doctor"]);
        assert!(!output.status.success());
        assert!(checks.iter().any(|check| check["check"] == "kept by" && check["state"] == "failed"), "{checks:#?}");
        for arguments in [&["daemon", "start"][..], &["follows"]] {
            assert_eq!(error(&self.installed, arguments)["reason"], "CONFIG_INVALID", "{arguments:?}");
        }
        self.configure("");
        assert_eq!(self.ok(&["daemon", "start"])["running"], true);
        assert_eq!(self.state(), "running");
    }

    fn leaves_nothing_behind(&self) {
        let gone = self.ok(&["daemon", "uninstall"]);
        assert_eq!((&gone["changed"], &gone["running"]), (&true.into(), &false.into()));
        assert_eq!(gone["supervisor"]["state"], "not_installed");
        for folder in ["Library/LaunchAgents", "config/systemd/user"] {
            let left = std::fs::read_dir(self.installed.scratch().join(folder)).into_iter().flatten().flatten();
            let left: Vec<_> = left.map(|entry| entry.path()).filter(|path| !path.is_dir()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
        assert!(!self.installed.socket().exists());
        assert_eq!(self.ok(&["daemon", "uninstall"])["changed"], false);
        // Commands start it as they did before, and what it kept is there.
        assert!(!ok(&self.installed, &["follows"]).is_empty());
        assert_eq!(self.state(), "running_outside");
        self.ok(&["daemon", "stop"]);
        let calls = self.keeper.calls();
        for legacy in ["launchctl load", "launchctl unload", "launchctl list", "launchctl kill", "launchctl remove"] {
            assert!(!calls.contains(legacy), "{legacy}");
        }
        assert!(!calls.contains("enable-linger"));
    }
}
