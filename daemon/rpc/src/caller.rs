//! Who is calling, as handlers see it: every listener puts a [`Caller`] into the extensions of every request.

use std::sync::Arc;

/// What a caller may do. Each one includes those before it, because whoever may ask for a picture has to see it, and
/// whoever keeps the collection may do all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// Looks at the catalogue, at jobs and at pictures.
    Read,
    /// Asks for pictures, cancels and deletes them, and hands over pictures to start from.
    Generate,
    /// Changes what is kept, who may call, and whether the daemon runs.
    Admin,
}

impl Scope {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Generate => "generate",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Read, Self::Generate, Self::Admin].into_iter().find(|scope| scope.as_str() == name)
    }
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

    pub(crate) fn token(id: &str, label: &str, scope: Scope) -> Self {
        Self { id: format!("token-{id}").into(), label: label.into(), scope }
    }

    /// A browser that signed in. All of them are one person's.
    pub(crate) fn web_session(scope: Scope) -> Self {
        Self { id: "web-session".into(), label: "a browser".into(), scope }
    }

    /// `socket`, `token-<id>` or `web-session`: stable for as long as the client may call.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What people call the client.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope
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
        let all = [Scope::Read, Scope::Generate, Scope::Admin];
        for (rank, given) in all.into_iter().enumerate() {
            let caller = Caller::token("a1", "a client", given);
            let may: Vec<bool> = all.into_iter().map(|wanted| caller.may(wanted)).collect();
            assert_eq!(may, [true, rank >= 1, rank >= 2], "{given:?}");
            assert_eq!(Scope::from_name(given.as_str()), Some(given));
        }
        assert_eq!((Caller::socket().id(), Caller::socket().label()), ("socket", "this user"));
        assert_eq!(Caller::token("a1", "a client", Scope::Read).id(), "token-a1");
        assert_eq!(Scope::from_name("root"), None);
    }
}
