//! The daemon in the hands of a supervisor: launchd's and systemd's dialogues against a stand-in that answers as recorded
//! (`supervisor.py`), and the whole life of an installation at a real systemd user manager, where this machine lets one start.
//!
//! What cannot run here is said on standard error, in a line that begins with `LEFT OUT`.

mod keeper;
mod life;

use crate::{installation, ok};
use keeper::{Keeper, left_out};
use life::Life;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn launchd_keeps_the_daemon_from_install_to_uninstall() {
    let Some(life) = Life::begin(Keeper::launchd).await else { return };
    life.live().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn systemd_as_recorded_keeps_the_daemon_from_install_to_uninstall() {
    let Some(life) = Life::begin(Keeper::recorded_systemd).await else { return };
    life.live().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_real_systemd_user_manager_keeps_the_daemon_from_install_to_uninstall() {
    let Some(life) = Life::begin(Keeper::real_systemd).await else { return };
    life.live().await;
}

/// Over ssh alone there is no session at the screen, and launchd takes agents for others only.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_mac_without_anybody_at_its_screen_keeps_an_agent_in_the_background() {
    let (_hub, mut installed) = installation().await;
    let keeper = match Keeper::launchd(&mut installed).await {
        Ok(keeper) => keeper,
        Err(why) => return left_out(&why),
    };
    keeper.send_everybody_home();
    let found = ok(&installed, &["daemon", "install"]).remove(0);
    let agent = std::fs::read_to_string(found["supervisor"]["file"].as_str().unwrap()).unwrap();
    assert!(agent.contains("<string>Background</string>"), "{agent}");
    assert!(keeper.calls().contains("launchctl bootstrap user/"), "{}", keeper.calls());
    assert_eq!(ok(&installed, &["daemon", "status"])[0]["supervisor"]["state"], "running");
    ok(&installed, &["daemon", "uninstall"]);
}

/// A daemon that never came as far as its log leaves its words to its supervisor.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn without_a_log_of_its_own_the_supervisors_is_shown() {
    let (_hub, mut installed) = installation().await;
    let keeper = match Keeper::recorded_systemd(&mut installed).await {
        Ok(keeper) => keeper,
        Err(why) => return left_out(&why),
    };
    keeper.put_program("journalctl", "echo \"asked for $*\"; echo 'paintboxd: nothing can be written there'");
    let lines = ok(&installed, &["daemon", "logs", "--lines", "7"]);
    let lines: Vec<&str> = lines.iter().filter_map(|line| line["text"].as_str()).collect();
    assert!(lines[0].contains("--user --unit paintbox-") && lines[0].contains("--lines 7"), "{lines:?}");
    assert_eq!(lines[1..], ["paintboxd: nothing can be written there"]);
}

/// launchd starts a program again that failed, so one that finds another in its home must not have failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_daemon_that_is_to_give_way_ends_in_order_where_another_one_is() {
    let (_hub, installed) = installation().await;
    ok(&installed, &["daemon", "start"]);
    for (arguments, code) in [(&["run"][..], 5), (&["run", "--give-way"], 0)] {
        let output = tokio::task::block_in_place(|| installed.command("paintboxd").args(arguments).output().unwrap());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("another paintboxd"), "{output:?}");
    }
    assert_eq!(ok(&installed, &["daemon", "status"])[0]["running"], true);
}

/// Where nobody keeps it, the same verbs do it themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn without_a_supervisor_the_desktops_login_starts_it() {
    let (_hub, mut installed) = installation().await;
    let config = installed.scratch().join("config");
    installed.set("XDG_CONFIG_HOME", &config.display().to_string());
    let first = ok(&installed, &["daemon", "install"]).remove(0);
    let found = &first["supervisor"];
    assert_eq!((&first["changed"], &found["kind"], &found["state"]), (&true.into(), &"none".into(), &"running".into()));
    let file = std::path::PathBuf::from(found["file"].as_str().unwrap());
    assert!(file.starts_with(config.join("autostart")), "{found}");
    let entry = std::fs::read_to_string(&file).unwrap();
    assert!(entry.contains("daemon start\n") && entry.contains("PAINTBOX_HOME="), "{entry}");
    assert_eq!(ok(&installed, &["daemon", "install"])[0]["changed"], false);
    let before = installed.daemon_pid();
    assert_eq!(ok(&installed, &["daemon", "upgrade"])[0]["changed"], false);
    ok(&installed, &["daemon", "restart"]);
    assert_ne!(installed.daemon_pid(), before);
    // Switched off by the desktop's own settings, as GNOME does it.
    std::fs::write(&file, format!("{entry}X-GNOME-Autostart-enabled=false\n")).unwrap();
    let status = ok(&installed, &["daemon", "status"]).remove(0);
    assert_eq!((&status["supervisor"]["at_login"], &status["running"]), (&false.into(), &true.into()));
    let gone = ok(&installed, &["daemon", "uninstall"]).remove(0);
    assert_eq!((&gone["running"], file.exists()), (&false.into(), false));
    assert_eq!(ok(&installed, &["daemon", "uninstall"])[0]["changed"], false);
}
