//! The socket and processes of another user.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

/// `nobody` on Linux and macOS alike, or at least nobody who runs tests.
const SOMEBODY_ELSE: &str = "65534";

/// Connects and reads until the other side closes; its exit says whether it got that far and how much came.
const VISIT: &str = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
except PermissionError:
    sys.exit(13)
s.settimeout(30)
try:
    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    came = s.recv(1)
except (ConnectionResetError, BrokenPipeError):
    came = b""
sys.exit(0 if came else 7)
"#;

fn visit(socket: &std::path::Path, as_other: bool) -> Option<i32> {
    let mut command = if as_other {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", SOMEBODY_ELSE, "--regid", SOMEBODY_ELSE, "--clear-groups", PYTHON]);
        command
    } else {
        std::process::Command::new(PYTHON)
    };
    let status = command.args(["-c", VISIT]).arg(socket).stderr(std::process::Stdio::null()).status().ok()?;
    status.code()
}

/// The system's own, which every user may run.
const PYTHON: &str = "/usr/bin/python3";

/// Needs a second user id, and so the right to take one (root with setpriv, as CI's containers have it), and python3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_another_user_is_closed_unanswered() {
    let may_be_other = std::process::Command::new("setpriv")
        .args(["--reuid", SOMEBODY_ELSE, "--clear-groups", PYTHON, "-c", ""])
        .status()
        .is_ok_and(|status| status.success());
    if !may_be_other {
        eprintln!("NOT TESTED: this user cannot become another one, or setpriv or python3 is missing");
        return;
    }
    let stage = Stage::new().await;
    let socket = stage.folder.path().join("paintbox.sock");
    let open = |mode| std::fs::set_permissions(stage.folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(visit(&socket, false), Some(0), "this user is answered");
    // The folder keeps others out first.
    open(0o700);
    assert_eq!(visit(&socket, true), Some(13));
    // With both doors left open, the user id still counts.
    open(0o755);
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(visit(&socket, true), Some(7));
    assert_eq!(visit(&socket, false), Some(0));
}
