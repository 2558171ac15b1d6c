//! Who is calling, as handlers see it: every listener puts a [`Caller`] into the extensions of every request.

use std::sync::Arc;

/// What a caller may do. Each one includes those before it, because whoever may ask for a picture has to see it, and
/// whoever keeps the collection may do all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(test), expect(dead_code, reason = "the socket gives all; tokens will carry less"))]
pub(crate) enum Scope {
    /// Looks at the catalogue, at jobs and at pictures.
    Read,
    /// Asks for pictures, cancels and deletes them, and hands over pictures to start from.
    Generate,
    /// Changes what is kept, who may call, and whether the daemon runs.
    Admin,
}

/// Who sent a request, and what they may do.
///
/// Two requests come from the same client exactly if their ids are the same: queues are fair between ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    id: Arc<str>,
    label: Arc<str>,
    scope: Scope,
}

impl Caller {
    /// A process of this user, over the Unix socket. The user may do all, so their processes are not told apart.
    pub(crate) fn socket() -> Self {
        Self { id: "socket".into(), label: "this user".into(), scope: Scope::Admin }
    }

    /// `socket`, `token-<id>` or `web-session`: stable for as long as the client may call.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What people call the client.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scope >= scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_do_more_may_do_less() {
        let caller = |scope| Caller { scope, ..Caller::socket() };
        let all = [Scope::Read, Scope::Generate, Scope::Admin];
        for (rank, given) in all.into_iter().enumerate() {
            let may: Vec<bool> = all.into_iter().map(|wanted| caller(given).may(wanted)).collect();
            assert_eq!(may, [true, rank >= 1, rank >= 2], "{given:?}");
        }
        assert_eq!((Caller::socket().id(), Caller::socket().label()), ("socket", "this user"));
    }
}
