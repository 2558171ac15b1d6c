//! A supervisor for one test: a stand-in, or a systemd user manager of the test's own.

use paintbox_testkit::wait_for;
use paintbox_tests::Installation;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const STAND_IN: &str = include_str!("supervisor.py");
/// Starts a user manager where it finds what it insists on: `/run/systemd/system`, which a mount namespace of its own has, and a
/// cgroup that it may write to, which is removed when it has ended.
const MANAGER: &str = "\
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
mount -t cgroup2 none /sys/fs/cgroup
mkdir \"/sys/fs/cgroup/$1\"
echo $$ > \"/sys/fs/cgroup/$1/cgroup.procs\"
\"$2\" --user --log-target=console --log-level=notice &
manager=$!
trap 'kill $manager' TERM
wait $manager || true
trap '' TERM
wait $manager || code=$?
echo $$ > /sys/fs/cgroup/cgroup.procs
find \"/sys/fs/cgroup/$1\" -depth -type d -exec rmdir {} +
exit ${code:-0}
";
/// Where distributions put the manager, which is on nobody's PATH.
const MANAGERS: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
const START_PATIENCE: Duration = Duration::from_secs(20);

/// What keeps the daemon of one installation.
pub(super) struct Keeper {
    pub(super) kind: &'static str,
    /// The stand-in or the manager.
    child: Child,
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Keeper {
    pub(super) async fn launchd(installed: &mut Installation) -> Result<Self, String> {
        Self::stand_in("launchd", "launchctl", installed).await
    }

    pub(super) async fn recorded_systemd(installed: &mut Installation) -> Result<Self, String> {
        Self::stand_in("systemd", "systemctl", installed).await
    }

    async fn stand_in(kind: &'static str, program: &str, installed: &mut Installation) -> Result<Self, String> {
        if !works(Command::new("python3").arg("--version")) {
            return Err("python3 is missing, in which the stand-in for the supervisor is written".to_owned());
        }
        let folder = installed.scratch().join("supervisor");
        fs::create_dir_all(folder.join("bin")).unwrap();
        let script = folder.join("supervisor.py");
        fs::write(&script, STAND_IN).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(&script, folder.join("bin").join(program)).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the stand-in goes before what is there")]
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = vec![folder.join("bin")];
        folders.extend(std::env::split_paths(&path));
        let path = std::env::join_paths(folders).unwrap().into_string().unwrap();
        let environment = around(installed, kind, &[("PATH", path), ("FAKE_SUPERVISOR", folder.display().to_string())]);
        let mut command = Command::new("python3");
        command.arg(&script).arg("serve").arg(&folder).arg(kind);
        let child = command.envs(environment.clone()).stdin(Stdio::null()).spawn().unwrap();
        let keeper = Self { kind, child, folder, environment };
        wait_for("the stand-in", START_PATIENCE, async || keeper.folder.join("control").exists()).await;
        Ok(keeper)
    }

    pub(super) async fn real_systemd(installed: &mut Installation) -> Result<Self, String> {
        let instead = "; the same life is lived with the recorded stand-in";
        let manager = MANAGERS.into_iter().find(|path| Path::new(path).is_file());
        let manager = manager.ok_or_else(|| format!("there is no systemd on this machine{instead}"))?;
        let folder = installed.scratch().join("run");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let more = [("XDG_RUNTIME_DIR", folder.display().to_string())];
        let environment = around(installed, "systemd", &more);
        let own = format!("paintbox-test-{}", folder.parent().unwrap().file_name().unwrap().to_string_lossy());
        let is_root = works(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"]));
        let mut command = Command::new("unshare");
        // Root needs a mount namespace alone; others have to be root of a namespace of users first.
        command.args(if is_root { &["--mount"][..] } else { &["--user", "--map-root-user", "--mount", "--cgroup"] });
        command.args(["--propagation", "private", "sh", "-c", MANAGER, "sh", &own, manager]);
        command.envs(environment.clone()).env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("NOTIFY_SOCKET");
        let said = installed.scratch().join("manager.log");
        let log = fs::File::create(&said).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().map_err(|error| format!("unshare cannot be run ({error}){instead}"))?;
        let mut keeper = Self { kind: "systemd", child, folder, environment };
        let deadline = std::time::Instant::now() + START_PATIENCE;
        loop {
            if keeper.call("systemctl", &["--user", "show", "--property=Version"]).status.success() {
                return Ok(keeper);
            }
            let ended = keeper.child.try_wait().unwrap();
            if ended.is_some() || std::time::Instant::now() >= deadline {
                let said = fs::read_to_string(&said).unwrap_or_default();
                let last = said.lines().last().unwrap_or("nothing");
                return Err(format!("no systemd user manager starts here (it says: {last}){instead}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs a program of the supervisor's, as a person would.
    pub(super) fn call(&self, program: &str, arguments: &[&str]) -> Output {
        let path = self.folder.join("bin").join(program);
        let program = if path.exists() { path } else { program.into() };
        let mut command = Command::new(program);
        tokio::task::block_in_place(|| command.args(arguments).envs(self.environment.clone()).output().unwrap())
    }

    /// Another program of the supervisor's, as a script.
    pub(super) fn put_program(&self, name: &str, script: &str) {
        let path = self.folder.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// From now on nobody is logged in at the screen of a stand-in for launchd.
    pub(super) fn send_everybody_home(&self) {
        fs::write(self.folder.join("no-session"), "").unwrap();
    }

    pub(super) fn is_real_systemd(&self) -> bool {
        self.kind == "systemd" && !self.folder.join("control").exists()
    }

    /// What was asked of a stand-in, one call a line.
    pub(super) fn calls(&self) -> String {
        fs::read_to_string(self.folder.join("calls")).unwrap_or_default()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A manager that is told to end ends its services first.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}

/// Says why a test cannot run here.
#[expect(clippy::print_stderr, reason = "a test that was left out must not look like one that passed")]
pub(super) fn left_out(why: &str) {
    eprintln!("LEFT OUT: {why}");
}

/// What everything around one installation sees: no supervisor, no configuration and no folder of the person who runs the test.
fn around(installed: &mut Installation, kind: &str, more: &[(&str, String)]) -> Vec<(String, String)> {
    let scratch = installed.scratch().to_owned();
    let mut variables = vec![
        ("HOME".to_owned(), scratch.display().to_string()),
        ("XDG_CONFIG_HOME".to_owned(), scratch.join("config").display().to_string()),
        ("PAINTBOX_SUPERVISOR".to_owned(), kind.to_owned()),
    ];
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    for (name, value) in &variables {
        installed.set(name, value);
    }
    variables
}

fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
