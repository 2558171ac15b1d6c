//! Telling of new versions outside Paintbox: on the desktop, and to an address of the user's.

use crate::config::Config;
use crate::{StartError, USER_AGENT, part};
use futures::future::BoxFuture;
use paintbox_catalogue::Notice;
use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_hub::Webhook;
use paintbox_sync::Announcer;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// A notification program that hangs must not hold up the daemon.
const DESKTOP_LIMIT: Duration = Duration::from_secs(10);

/// Those that a configuration switches on.
pub(crate) fn announcers(config: &Config) -> Result<Vec<Arc<dyn Announcer>>, StartError> {
    let mut announcers: Vec<Arc<dyn Announcer>> = Vec::new();
    if config.notify_desktop {
        announcers.push(Arc::new(Desktop));
    }
    if let Some(address) = &config.webhook {
        let webhook = Webhook::new(address.clone(), USER_AGENT).map_err(|error| part(&error))?;
        announcers.push(Arc::new(Web(webhook)));
    }
    Ok(announcers)
}

/// A popup by the system's own program. The texts travel as arguments and are never read as commands.
#[derive(Debug)]
struct Desktop;

impl Announcer for Desktop {
    fn name(&self) -> &'static str {
        "desktop"
    }

    fn announce<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let title = format!("New: {}", notice.model_name);
            let mut command = popup(&title, &words(notice));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            match tokio::time::timeout(DESKTOP_LIMIT, command.status()).await {
                Ok(Ok(status)) if status.success() => Ok(()),
                Ok(Ok(status)) => Err(failed(format!("the notification program ended with {status}"))),
                Ok(Err(error)) => Err(failed(format!("the notification program cannot be started: {error}"))),
                Err(_elapsed) => Err(failed("the notification program does not end".to_owned())),
            }
        })
    }
}

/// What a popup says below its title.
fn words(notice: &Notice) -> String {
    let mut parts = vec![notice.version_name.clone(), notice.kind.to_string().replace('_', " ")];
    parts.extend(notice.base_model.clone());
    parts.extend(notice.creator.as_ref().map(|creator| format!("by {creator}")));
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

#[cfg(target_os = "macos")]
fn popup(title: &str, text: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("/usr/bin/osascript");
    command.args(["-e", "on run argv", "-e"]);
    command.args(["display notification (item 2 of argv) with title (item 1 of argv)", "-e", "end run"]);
    // Behind `--` nothing is an option, whatever a model is called.
    command.args(["--", title, text]);
    command
}

#[cfg(not(target_os = "macos"))]
fn popup(title: &str, text: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("notify-send");
    command.args(["--app-name=Paintbox", "--", title, text]);
    command
}

/// A POST of JSON to an address of the user's.
#[derive(Debug)]
struct Web(pub(crate) Webhook);

impl Announcer for Web {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn announce<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { self.0.post(body(notice).to_string()).await.map_err(|error| Failure::of(&error)) })
    }
}

/// `text` is what chat services show.
fn body(notice: &Notice) -> serde_json::Value {
    serde_json::json!({
        "event": "new_version",
        "text": format!("New: {}, {} ({})", notice.model_name, words(notice), notice.version),
        "version": notice.version.to_string(),
        "model_name": notice.model_name,
        "version_name": notice.version_name,
        "kind": notice.kind.as_str(),
        "base_model": notice.base_model,
        "creator": notice.creator,
        "follow": notice.follow,
        "seen_unix_ms": notice.created_at.unix_ms(),
    })
}

fn failed(message: String) -> Failure {
    Failure::new(ErrorClass::Unavailable, reason::INTERNAL, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::{ModelKind, Timestamp};

    fn notice() -> Notice {
        Notice {
            id: 1,
            announcer: "webhook".to_owned(),
            follow: Some("civitai:Konan".to_owned()),
            version: "civitai:4384@128713".parse().unwrap(),
            version_name: "v8".to_owned(),
            model_name: "--help \"; rm".to_owned(),
            creator: Some("Konan".to_owned()),
            kind: ModelKind::TextualInversion,
            base_model: Some("SD 1.5".to_owned()),
            created_at: Timestamp::from_unix_ms(5),
            attempts: 0,
        }
    }

    #[test]
    fn a_notice_says_what_is_new_by_whom_and_for_what() {
        assert_eq!(words(&notice()), "v8 · textual inversion · SD 1.5 · by Konan");
        let body = body(&notice());
        assert_eq!((&body["event"], &body["version"]), (&"new_version".into(), &"civitai:4384@128713".into()));
        assert!(body["text"].as_str().unwrap().contains("by Konan (civitai:4384@128713)"));
    }

    #[test]
    fn a_name_is_an_argument_and_never_an_option() {
        let command = popup(&notice().model_name, "text");
        let arguments: Vec<_> = command.as_std().get_args().map(|argument| argument.to_string_lossy()).collect();
        let end = arguments.iter().position(|argument| argument == "--").unwrap();
        assert_eq!(&arguments[end + 1..], ["--help \"; rm", "text"]);
    }
}
