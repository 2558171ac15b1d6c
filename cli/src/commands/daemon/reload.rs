//! `paintbox daemon reload`.

use crate::client::{LOCAL_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::ReloadedJson;
use crate::render::sanitize;
use crate::session::Session;
use paintbox_proto::v1;

pub(super) async fn run(session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect_only().await?;
    let request = v1::ReloadConfigRequest {};
    let reloaded = call("read its configuration again", LOCAL_DEADLINE, client.daemon().reload_config(request)).await?;
    if session.json {
        session.out.json(&ReloadedJson::from(&reloaded))?;
        return Ok(Exit::Done);
    }
    for line in lines(&reloaded) {
        session.out.line(&sanitize::line(&line))?;
    }
    Ok(Exit::Done)
}

fn lines(reloaded: &v1::ReloadConfigResponse) -> Vec<String> {
    let v1::ReloadConfigResponse { adopted, pending, overridden } = reloaded;
    let first = match adopted.as_slice() {
        [] => "Read again; nothing changes now.".to_owned(),
        names => format!("Read again. From now on: {}.", names.join(", ")),
    };
    let from_the_next_start = || format!("From the next start on (`paintbox daemon restart`): {}.", pending.join(", "));
    let by_environment = || format!("Decided by a variable of the daemon's environment: {}.", overridden.join(", "));
    let others = [(!pending.is_empty()).then(from_the_next_start), (!overridden.is_empty()).then(by_environment)];
    [first].into_iter().chain(others.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(adopted: &[&str], pending: &[&str], overridden: &[&str]) -> Vec<String> {
        let [adopted, pending, overridden] =
            [adopted, pending, overridden].map(|names| names.iter().map(ToString::to_string).collect());
        lines(&v1::ReloadConfigResponse { adopted, pending, overridden })
    }

    #[test]
    fn it_is_said_from_when_on_a_setting_holds() {
        assert_eq!(said(&[], &[], &[]), ["Read again; nothing changes now."]);
        assert_eq!(
            said(&["downloads.at_once", "sync.interval_minutes"], &["listen.web"], &["log"]),
            [
                "Read again. From now on: downloads.at_once, sync.interval_minutes.",
                "From the next start on (`paintbox daemon restart`): listen.web.",
                "Decided by a variable of the daemon's environment: log.",
            ]
        );
    }
}
