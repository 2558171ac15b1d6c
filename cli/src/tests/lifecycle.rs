//! Usage, the daemon's life, and everything around the verbs.

use super::fake::Fake;
use super::{Bench, assert_has};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn json_may_stand_before_and_after_the_verb() {
    let bench = Bench::new().await;
    for words in [&["--json", "daemon", "status"][..], &["daemon", "--json", "status"], &["daemon", "status", "--json"]]
    {
        assert_eq!(bench.run(words).await.object()["running"], true, "{words:?}");
    }
}

#[tokio::test]
async fn usage_errors_are_json_too() {
    let bench = Bench::without_daemon();
    for words in [
        &["--json"][..],
        &["paint", "--json"],
        &["show", "--json"],
        &["--json", "daemon"],
        &["follow", "x", "--backfill", "some", "--json"],
    ] {
        let ended = bench.run(words).await;
        assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("INVALID_ARGUMENT")), "{words:?}");
    }
    let error = bench.run(&["show", "--json"]).await.error();
    assert!(error["message"].as_str().unwrap().contains("<REF>"), "{error}");
}

#[tokio::test]
async fn help_names_every_verb_of_the_contract_and_the_exit_codes() {
    let help = Bench::without_daemon().run(&["--help"]).await.out;
    for verb in [
        "follow",
        "unfollow",
        "follows",
        "plan",
        "sync",
        "pull",
        "search",
        "show",
        "library",
        "updates",
        "dupes",
        "stats",
        "generate",
        "downloads",
        "volumes",
        "verify",
        "rm",
        "gc",
        "catalogue",
        "jobs",
        "job",
        "login",
        "logout",
        "daemon",
        "open",
        "config",
        "doctor",
        "bench",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb} in {help}");
    }
    for code in ["0    done", "1    failed", "2    ", "3    ", "4    ", "130  "] {
        assert!(help.contains(&format!("\n  {code}")), "{code} in {help}");
    }
}

#[tokio::test]
async fn status_says_how_the_daemon_is() {
    let bench = Bench::new().await;
    let status = bench.json(&["daemon", "status"]).await.object();
    assert_has(
        &status,
        &["running", "socket", "version", "process_id", "start_time", "home", "device", "models", "hubs"],
    );
    assert_eq!((&status["process_id"], &status["hubs"][1]["credential"]), (&json!(4242), &json!("none")));
    let text = bench.run(&["daemon", "status"]).await.out;
    assert!(text.contains("process 4242, started 1 minute ago") && text.contains("1,234 models, 3 here"), "{text}");
}

#[tokio::test]
async fn status_never_starts_the_daemon() {
    let mut bench = Bench::without_daemon();
    bench.script("touch \"$PAINTBOX_HOME/started\"");
    let ended = bench.json(&["daemon", "status"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (4, &json!("DAEMON_UNREACHABLE")));
    assert_eq!(ended.objects()[0]["running"], false);
    assert!(!bench.folder.path().join("started").exists());
    let config = bench.json(&["config"]).await.object();
    assert_eq!((&config["running"], &config["hubs"]), (&json!(false), &json!([])));
    assert_eq!(config["store"], bench.file("store"));
}

#[tokio::test]
async fn stop_waits_until_the_socket_is_gone() {
    let bench = Bench::new().await;
    let stopped = bench.json(&["daemon", "stop"]).await.object();
    assert_eq!((&stopped["running"], &stopped["stopped"]), (&json!(false), &json!(true)));
    assert!(!bench.paths().socket().exists());
    assert_eq!(bench.json(&["daemon", "stop"]).await.object()["stopped"], false);
    // A socket left behind by a daemon that was killed is no daemon either.
    drop(std::os::unix::net::UnixListener::bind(bench.paths().socket()).unwrap());
    assert_eq!(bench.json(&["daemon", "stop"]).await.object()["stopped"], false);
}

#[tokio::test]
async fn reload_says_what_holds_now_and_what_later() {
    let bench = Bench::new().await;
    let reloaded = bench.json(&["daemon", "reload"]).await.object();
    assert_eq!(reloaded, json!({"adopted": ["downloads.at_once"], "pending": ["listen.web"], "overridden": []}));
    let said = bench.run(&["daemon", "reload"]).await;
    assert!(said.out.starts_with("Read again. From now on: downloads.at_once.\n"), "{}", said.out);
    // One that is not running reads it when it starts, and is not started for that.
    let mut absent = Bench::without_daemon();
    absent.script("touch \"$PAINTBOX_HOME/started\"");
    assert_eq!(absent.run(&["daemon", "reload"]).await.code, 4);
    assert!(!absent.folder.path().join("started").exists());
}

#[tokio::test]
async fn start_says_whether_it_had_to() {
    let bench = Bench::new().await;
    let status = bench.json(&["daemon", "start"]).await.object();
    assert_eq!((&status["running"], &status["started"]), (&json!(true), &json!(false)));
    assert_eq!(bench.run(&["daemon", "start"]).await.out, "Already running, process 4242.\n");
}

#[tokio::test]
async fn a_daemon_that_does_not_start_is_quoted() {
    let mut bench = Bench::without_daemon();
    bench.script("echo \"paintboxd: the configuration is not valid\" >&2; exit 1");
    let ended = bench.json(&["search"]).await;
    let error = ended.error();
    assert_eq!((ended.code, &error["reason"]), (4, &json!("DAEMON_UNREACHABLE")));
    assert!(error["message"].as_str().unwrap().ends_with("paintboxd: the configuration is not valid"), "{error}");
    // The next failure is told alone, not after this one.
    bench.script("echo second >&2; exit 1");
    let message = bench.json(&["search"]).await.error()["message"].clone();
    assert!(message.as_str().unwrap().ends_with(": second"), "{message}");
}

#[tokio::test]
async fn a_daemon_that_is_not_installed_is_named() {
    let bench = Bench::without_daemon();
    let ended = bench.json(&["jobs"]).await;
    assert_eq!((ended.code, &ended.error()["metadata"]["program"]), (4, &json!(bench.file("no-such-daemon"))));
}

/// Listens once the script has left a mark, as a daemon does that somebody else is starting.
fn listen_after_mark(bench: &Bench) -> tokio::task::JoinHandle<()> {
    let (paths, world) = (bench.paths(), Arc::clone(&bench.world));
    let mark = bench.folder.path().join("started");
    tokio::spawn(async move {
        while !mark.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Fake::listen(&paths.socket(), world).await.unwrap();
    })
}

#[tokio::test]
async fn losing_the_race_to_start_the_daemon_ends_well() {
    let mut bench = Bench::without_daemon();
    bench.script("echo x >> \"$PAINTBOX_HOME/started\"; exit 5");
    let _winner = listen_after_mark(&bench);
    assert_eq!(bench.json(&["daemon", "start"]).await.object()["started"], true);
}

#[tokio::test]
async fn commands_at_once_start_one_daemon() {
    let mut bench = Bench::without_daemon();
    // It stays while its standard error is open, and is waited for by nobody, as a daemon.
    bench.script("echo x >> \"$PAINTBOX_HOME/started\"; exec sleep 1");
    let _daemon = listen_after_mark(&bench);
    let ended = tokio::join!(bench.json(&["search"]), bench.json(&["jobs"]), bench.json(&["follows"]));
    assert_eq!((ended.0.code, ended.1.code, ended.2.code), (0, 0, 0), "{ended:?}");
    assert_eq!(std::fs::read_to_string(bench.folder.path().join("started")).unwrap(), "x\n");
}

#[tokio::test]
async fn a_daemon_in_its_last_moments_is_replaced() {
    let mut bench = Bench::without_daemon();
    // The first start still finds the home locked; the second gets it.
    bench.script("test -e \"$PAINTBOX_HOME/once\" || { touch \"$PAINTBOX_HOME/once\"; exit 5; }\ntouch \"$PAINTBOX_HOME/started\"; exec sleep 1");
    let _daemon = listen_after_mark(&bench);
    assert_eq!(bench.json(&["search"]).await.code, 0);
}

#[tokio::test]
async fn another_socket_is_used_and_nothing_is_started_for_it() {
    let mut bench = Bench::new().await;
    bench.script("touch \"$PAINTBOX_HOME/started\"");
    let elsewhere = bench.file("elsewhere.sock");
    let ended = bench.json(&["search", "--socket", &elsewhere]).await;
    let error = ended.error();
    assert_eq!((ended.code, &error["metadata"]["socket"]), (4, &json!(elsewhere)));
    assert!(!bench.folder.path().join("started").exists());
    let _server = Fake::listen(std::path::Path::new(&elsewhere), Arc::default());
    assert_eq!(bench.json(&["search", "--socket", &elsewhere]).await.code, 0);
    assert_eq!(bench.json(&["daemon", "run", "--socket", &elsewhere]).await.code, 2);
}

#[tokio::test]
async fn a_socket_path_that_no_system_takes_is_an_error_at_once() {
    let bench = Bench::without_daemon();
    let ended = bench.json(&["search", "--socket", &format!("/{}", "x".repeat(200))]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (4, &json!("DAEMON_UNREACHABLE")));
}

#[tokio::test]
async fn doctor_checks_what_it_can() {
    let bench = Bench::new().await;
    let checks = bench.json(&["doctor"]).await;
    assert_eq!(checks.code, 0);
    let names: Vec<_> = checks.objects().iter().map(|check| check["check"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        ["command line", "kept by", "socket", "daemon", "device", "disk", "sqlite", "civitai", "hugging face"]
    );
    assert!(checks.objects().iter().all(|check| check["state"] == "ok"), "{checks:?}");
    let absent = Bench::without_daemon().json(&["doctor"]).await;
    assert_eq!((absent.code, &absent.objects()[2]["state"]), (4, &json!("failed")));
}

#[tokio::test]
async fn a_report_is_one_file_that_tells_no_secrets() {
    let bench = Bench::new().await;
    let logs = bench.paths().logs;
    let home = bench.paths().home.unwrap();
    let line = |message: &str| {
        format!(r#"{{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","fields":{{"message":"{message}"}}}}"#)
    };
    let secret = "hf_abcdefghijklmnopqrstuvwx";
    let told = format!(
        "{}\n{}\n",
        line("ready"),
        line(&format!("https://x.example/f?token=12345 {secret} {}/y", home.display()))
    );
    std::fs::write(logs.join("paintboxd.2026-01-01.log"), told).unwrap();
    let path = home.join("report.txt");
    let name = path.to_str().unwrap();
    let ended = bench.run(&["doctor", "--report", name]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let report = std::fs::read_to_string(&path).unwrap();
    for words in [
        "read it before you send it",
        r#"{"check":"sqlite","state":"ok","detail":"3.51.3","hint":null}"#,
        r#""downloaded_models": 3"#,
        "== configuration as it is understood",
        "INFO ready",
        "https://x.example/f?REDACTED REDACTED $PAINTBOX_HOME/y",
    ] {
        assert!(report.contains(words), "{words} in\n{report}");
    }
    assert!(!report.contains(secret) && !report.contains(&home.display().to_string()), "{report}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // What is there already is not written over.
    let again = bench.json(&["doctor", "--report", name]).await;
    assert_eq!(again.code, 1, "{again:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report);
    // A daemon that does not start is what reports are mostly about.
    let absent = Bench::without_daemon();
    let path = absent.paths().home.unwrap().join("report.txt");
    let ended = absent.json(&["doctor", "--report", path.to_str().unwrap()]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(std::fs::read_to_string(&path).unwrap().contains("it does not answer"));
}

#[tokio::test]
async fn logs_come_from_the_newest_file() {
    let bench = Bench::new().await;
    let logs = bench.paths().logs;
    std::fs::write(logs.join("paintboxd.start.log"), "starting\n").unwrap();
    assert_eq!(bench.run(&["daemon", "logs"]).await.out, "starting\n");
    let entry = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","fields":{"message":"ready","socket":"x"}}"#;
    std::fs::write(logs.join("paintboxd.2026-01-01.log"), format!("old\x1b[2J\n{entry}\n")).unwrap();
    assert_eq!(bench.run(&["daemon", "logs"]).await.out, "old\n2026-01-01T00:00:00Z INFO ready socket=x\n");
    assert_eq!(bench.json(&["daemon", "logs", "-n", "1"]).await.object()["fields"]["message"], "ready");
}

#[tokio::test]
async fn completions_are_printed_for_the_common_shells() {
    let bench = Bench::without_daemon();
    for shell in ["bash", "zsh", "fish"] {
        let ended = bench.run(&["completions", shell]).await;
        assert!(ended.code == 0 && ended.out.contains("paintbox"), "{shell}");
        for word in ["quiet-hours", "textual_inversion", "history", "only"] {
            assert!(ended.out.contains(word), "{word} for {shell}");
        }
    }
}

/// Every command with its path of names.
fn commands(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
    let path = format!("{path} {}", command.get_name()).trim().to_owned();
    let below = command.get_subcommands().flat_map(|inner| commands(inner, &path)).collect::<Vec<_>>();
    [vec![(path, command.clone())], below].concat()
}

#[test]
fn every_flag_has_one_clear_line() {
    let all = commands(&<crate::Arguments as clap::CommandFactory>::command(), "");
    assert!(all.len() > 25, "{}", all.len());
    for (path, command) in all {
        assert!(command.get_about().is_some(), "{path} says nothing of itself");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!((5..=130).contains(&help.len()), "{path} {}: {help:?}", argument.get_id());
            assert!(!help.ends_with('.') && !help.contains('\n'), "{path} {}: {help:?}", argument.get_id());
        }
    }
}

#[tokio::test]
async fn help_for_follow_shows_targets_and_examples() {
    let help = Bench::without_daemon().run(&["follow", "--help"]).await.out;
    for text in
        ["civitai:tag:watercolor", "civitai:following", "hf:likes:someone", "--max-total-size 200GB", "--dry-run"]
    {
        assert!(help.contains(text), "{text} in {help}");
    }
}
