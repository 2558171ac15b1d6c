//! What a request has to show before anything else looks at it.

use super::web::{Cors, Web};
use crate::access::{Access, Admitted, looks_like_a_token, needed_scope};
use crate::caller::{Caller, Scope};
use axum::body::Body;
use base64::Engine as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response, Uri};
use paintbox_domain::{ErrorClass, Failure, reason};
use std::sync::Arc;

/// Names of query parameters in which other programs take tokens.
const TOKEN_PARAMETERS: [&str; 6] = ["token", "access_token", "api_key", "apikey", "authorization", "bearer"];

/// Each listener's own.
#[derive(Debug)]
pub(super) enum Gate {
    /// Everybody who gets this far is this.
    Socket(Caller),
    Token,
    Web(Arc<Web>),
}

/// What becomes of a request.
pub(super) enum Verdict {
    /// It goes on, as somebody or, where nobody has to be known, as nobody.
    Pass(Option<Admitted>),
    /// It is answered here.
    Answer(Response<Body>),
    Refuse(Failure),
}

impl Gate {
    /// The verdict, and for a page of another origin, what lets it read the answer.
    pub(super) fn judge<'a>(&'a self, access: &Access, request: &Request<Body>) -> (Verdict, Option<Cors<'a>>) {
        let verdict = match self {
            Self::Web(web) => return web.judge(access, request),
            Self::Socket(caller) => Ok(Admitted { caller: caller.clone(), until: None }),
            Self::Token => by_token_alone(access, request),
        };
        (verdict.map_or_else(Verdict::Refuse, |admitted| Verdict::Pass(Some(admitted))), None)
    }
}

fn by_token_alone(access: &Access, request: &Request<Body>) -> Result<Admitted, Failure> {
    refuse_token_in_address(request.uri())?;
    let token = token_of(request.headers(), Basic::Refused)?.ok_or_else(token_required)?;
    let admitted = access.by_token(&token)?;
    permit(&admitted.caller, needed_scope(request.uri().path()))?;
    Ok(admitted)
}

pub(super) fn token_required() -> Failure {
    let message = "this listener wants a token in the header `authorization: Bearer TOKEN`";
    Failure::new(ErrorClass::Unauthenticated, reason::TOKEN_REQUIRED, message)
        .with_hint("`paintbox token create LABEL` makes one")
}

/// Whether the caller may do what needs a scope.
pub(super) fn permit(caller: &Caller, needed: Scope) -> Result<(), Failure> {
    if caller.may(needed) {
        return Ok(());
    }
    let (has, needs) = (caller.scope().as_str(), needed.as_str());
    let message = format!("this needs the scope `{needs}`, and the client has `{has}`");
    Err(Failure::new(ErrorClass::AccessDenied, reason::TOKEN_SCOPE_MISSING, message)
        .with("scope", has)
        .with("needed_scope", needs)
        .with_hint(format!("`paintbox token create LABEL --scope {needs}` makes a token that may")))
}

/// A token in an address stands in histories and logs from then on. It does not count, whatever else came.
pub(super) fn refuse_token_in_address(uri: &Uri) -> Result<(), Failure> {
    let mut names = uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let is_named = names.any(|name| TOKEN_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known)));
    if !is_named && !looks_like_a_token(uri.path()) && !uri.query().is_some_and(looks_like_a_token) {
        return Ok(());
    }
    let message = "a token does not belong in an address, from where it gets into histories and logs";
    Err(Failure::new(ErrorClass::InvalidInput, reason::TOKEN_IN_URL, message)
        .with_hint("delete it (`paintbox token rm`), make another, and send that in `authorization: Bearer TOKEN`"))
}

/// Whether HTTP's basic authentication may carry a token, as its password: some programs know nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basic {
    Taken,
    Refused,
}

/// The token that came along; none if no header for it did.
pub(super) fn token_of(headers: &HeaderMap, basic: Basic) -> Result<Option<String>, Failure> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let unreadable = || {
        let message = "the header `authorization` is not of the form `Bearer TOKEN`, or came more than once";
        Failure::new(ErrorClass::Unauthenticated, reason::TOKEN_INVALID, message)
    };
    if values.next().is_some() {
        return Err(unreadable());
    }
    let (scheme, rest) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(unreadable)?;
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        Some(rest.trim().to_owned())
    } else if scheme.eq_ignore_ascii_case("basic") && basic == Basic::Taken {
        let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        text.and_then(|text| text.split_once(':').map(|(_, password)| password.to_owned()))
    } else {
        None
    };
    token.filter(|token| !token.is_empty()).map(Some).ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_comes_in_one_header_of_one_form() {
        let found = |values: &[&str], basic| token_of(&headers(values), basic).map_err(|failure| failure.reason);
        assert_eq!(found(&[], Basic::Refused), Ok(None));
        assert_eq!(found(&["Bearer abc"], Basic::Refused), Ok(Some("abc".to_owned())));
        assert_eq!(found(&["bearer  abc "], Basic::Refused), Ok(Some("abc".to_owned())));
        // "me:abc"
        assert_eq!(found(&["Basic bWU6YWJj"], Basic::Taken), Ok(Some("abc".to_owned())));
        for values in [&["Basic bWU6YWJj"][..], &["abc"], &["Bearer "], &["Bearer a", "Bearer b"], &["Digest x"]] {
            assert_eq!(found(values, Basic::Refused), Err("TOKEN_INVALID".to_owned()), "{values:?}");
        }
        for values in [&["Basic !"][..], &["Basic bWU="], &["Basic bWU6"]] {
            assert_eq!(found(values, Basic::Taken), Err("TOKEN_INVALID".to_owned()), "{values:?}");
        }
    }

    #[test]
    fn a_token_in_an_address_is_seen_whatever_it_is_called() {
        let secret = format!("paintbox_{}", "x".repeat(43));
        let bad = ["/v1/models?token=x", "/v1/models?a=1&API_KEY=x", "/?access_token"].map(str::to_owned);
        for uri in bad.into_iter().chain([format!("/?q={secret}"), format!("/assets/{secret}")]) {
            let failure = refuse_token_in_address(&uri.parse().unwrap()).unwrap_err();
            assert_eq!(failure.reason, "TOKEN_IN_URL", "{uri}");
            assert!(!failure.message.contains('x') || !failure.message.contains(&secret), "{failure}");
        }
        for uri in ["/v1/models", "/sdapi/v1/progress?skip_current_image=true", "/?tokens=1"] {
            assert!(refuse_token_in_address(&uri.parse().unwrap()).is_ok(), "{uri}");
        }
    }
}
