//! Who may call and where the daemon listens, as `token`, `web` and `daemon status` print it.

use super::known;
use crate::commands::scope_name;
use crate::render::units::rfc3339;
use paintbox_proto::v1;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct TokenJson<'a> {
    name: &'a str,
    label: &'a str,
    /// read, generate or admin.
    scope: &'static str,
    create_time: Option<String>,
    /// Null: never.
    last_use_time: Option<String>,
    /// Only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl<'a> From<&'a v1::ClientToken> for TokenJson<'a> {
    fn from(token: &'a v1::ClientToken) -> Self {
        Self {
            name: &token.name,
            label: &token.label,
            scope: scope_name(token.scope),
            create_time: rfc3339(token.create_time.as_ref()),
            last_use_time: rfc3339(token.last_use_time.as_ref()),
            token: known(&token.token),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct DeletedTokenJson<'a> {
    pub(crate) name: &'a str,
    pub(crate) deleted: bool,
}

#[derive(Serialize)]
pub(crate) struct WebJson<'a> {
    /// With a code for one browser behind its `#`.
    pub(crate) address: &'a str,
    pub(crate) expire_time: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct SignedOutJson {
    pub(crate) sessions: u32,
}

#[derive(Serialize)]
pub(crate) struct ListenerJson<'a> {
    /// socket, tcp or web.
    kind: &'static str,
    address: &'a str,
    tls: bool,
    connections: u32,
}

impl<'a> From<&'a v1::Listener> for ListenerJson<'a> {
    fn from(listener: &'a v1::Listener) -> Self {
        let v1::Listener { address, tls, connections, .. } = listener;
        Self { kind: listener_kind(listener), address, tls: *tls, connections: *connections }
    }
}

pub(crate) fn listener_kind(listener: &v1::Listener) -> &'static str {
    match listener.kind() {
        v1::ListenerKind::Socket => "socket",
        v1::ListenerKind::Tcp => "tcp",
        v1::ListenerKind::Web => "web",
        v1::ListenerKind::Unspecified => "unknown",
    }
}
