//! How the daemon gets on with a hub, in words.

use crate::render::{sanitize, units};
use jiff::Timestamp;
use paintbox_proto::v1;
use paintbox_proto::v1::hub_status::State;

/// A hub's address, its token, and how it is.
pub(crate) fn words(hub: &v1::HubStatus, now: Timestamp) -> String {
    let mut parts = vec![sanitize::line(&hub.endpoint), credential(&hub.credential)];
    if hub.requests > 0 {
        parts.push(format!("{} since the daemon started", units::count(hub.requests, "request")));
    }
    parts.extend(state(hub, now));
    parts.join(", ")
}

/// Where the hub's token comes from.
fn credential(credential: &str) -> String {
    match credential {
        "" | "none" => "no token".to_owned(),
        "keychain" => "token in the keychain".to_owned(),
        "stored" => "token stored".to_owned(),
        "environment" => "token from the environment".to_owned(),
        "huggingface" => "token of `hf auth login`".to_owned(),
        other => sanitize::line(other),
    }
}

/// How the hub is and with what it failed; none from a daemon that does not say.
fn state(hub: &v1::HubStatus, now: Timestamp) -> Option<String> {
    let at = |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(units::timestamp);
    let clock = |time: &Option<prost_types::Timestamp>| {
        at(time).map(|exact| format!("{} ({})", units::clock(exact, now), units::relative(time.as_ref(), now)))
    };
    let mut words = match hub.state() {
        State::Unspecified => return None,
        State::Ok => "ok".to_owned(),
        State::Limited => match clock(&hub.retry_time) {
            Some(retry) => format!("asks for patience until {retry}"),
            None => "asks for patience".to_owned(),
        },
        State::Down => {
            let since = clock(&hub.since_time).map(|since| format!(" since {since}")).unwrap_or_default();
            let retry = retry(hub, now).map(|retry| format!(", next try {retry}")).unwrap_or_default();
            format!("down{since}{retry}")
        }
    };
    let problem = sanitize::line(&hub.problem);
    if !problem.is_empty() {
        words.push_str(&format!(": {problem}"));
    }
    Some(words)
}

/// When a hub that is down is asked again, `in 5 minutes`.
pub(crate) fn retry(hub: &v1::HubStatus, now: Timestamp) -> Option<String> {
    hub.retry_time.as_ref().map(|time| units::relative(Some(time), now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_told_with_its_token_its_state_and_its_problem() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let at = |seconds: i64| Some(prost_types::Timestamp { seconds: now.as_second() + seconds, nanos: 0 });
        let mut hub = v1::HubStatus { endpoint: "https://civitai.com".into(), ..Default::default() };
        assert_eq!(words(&hub, now), "https://civitai.com, no token");
        for (name, wanted) in [
            ("none", "no token"),
            ("keychain", "token in the keychain"),
            ("stored", "token stored"),
            ("environment", "token from the environment"),
            ("huggingface", "token of `hf auth login`"),
            ("card\x1b[2J", "card"),
        ] {
            assert_eq!(credential(name), wanted);
        }
        (hub.state, hub.requests) = (State::Ok.into(), 1_234);
        assert_eq!(words(&hub, now), "https://civitai.com, no token, 1,234 requests since the daemon started, ok");
        (hub.state, hub.retry_time, hub.requests) = (State::Limited.into(), at(300), 0);
        assert_eq!(words(&hub, now), "https://civitai.com, no token, asks for patience until 22:18 UTC (in 5 minutes)");
        (hub.state, hub.since_time, hub.problem) = (State::Down.into(), at(-7_200), "no answer\x1b[2J".into());
        assert_eq!(
            words(&hub, now),
            "https://civitai.com, no token, down since 20:13 UTC (2 hours ago), next try in 5 minutes: no answer"
        );
    }
}
