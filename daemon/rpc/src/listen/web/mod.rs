//! The web listener: our own page, its session, pictures by address, gRPC-Web, and the APIs of other programs.
//!
//! A page of any site can make a browser send requests here, so that what a request proves counts, and nothing else:
//!
//! 1. `Host` and `:authority` name us, whole and exactly. After DNS rebinding they name the attacker.
//! 2. `Origin` is our own, or one that the configuration names, or absent. `Sec-Fetch-Site`, which no page can forge,
//!    says the same (W3C Fetch Metadata): what comes from another site without an origin that may call is refused.
//! 3. A token in `authorization`, which no page sends unless it knows it; or the cookie of a session, of our own page
//!    alone. Nothing is believed because it comes from this machine.
//! 4. What a form or an image can send without asking first (`text/plain`, form data) no path takes, except pictures to
//!    edit, and those only with a token.
//!
//! There is no setting that lets every host or origin in.

pub(crate) mod assets;
mod origin;
mod page;
mod session;

use super::ListenError;
use super::gate::{Basic, Verdict, permit, refuse_token_in_address, token_of, token_required};
use super::options;
use super::refusal::Form;
use crate::access::{Access, Admitted, needed_scope};
use crate::caller::Scope;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::routing::{get, post};
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
pub(super) use origin::Cors;
use origin::{Sender, Standing};
use paintbox_domain::{ErrorClass, Failure, reason};
use std::net::SocketAddr;
use std::sync::Arc;
use tonic_web::GrpcWebLayer;
use tower::Layer as _;

/// What the web listener is, as configured.
#[derive(Debug)]
pub(super) struct Web {
    sender: Sender,
    uri: String,
    cookie: String,
    has_tls: bool,
}

/// What a handler of this listener answers from.
#[derive(Debug, Clone)]
struct State {
    access: Access,
    web: Arc<Web>,
}

/// What a path is, as far as the gate cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The page itself: no secret, and nothing that changes anything.
    Page,
    /// Exchanges a code for a session, which needs nothing but the code.
    SignIn,
    Session,
    Asset,
    /// The HTTP APIs of other programs.
    Foreign,
    Grpc,
    Unknown,
}

impl Place {
    fn of(method: &Method, path: &str) -> Self {
        match path {
            _ if page::PATHS.contains(&path) => Self::Page,
            "/session" if *method == Method::POST => Self::SignIn,
            "/session" => Self::Session,
            _ if path.starts_with("/assets/") => Self::Asset,
            _ if path.starts_with("/v1/") || path.starts_with("/sdapi/v1/") => Self::Foreign,
            // `/package.Service/Method`
            _ => match path.strip_prefix('/').and_then(|rest| rest.split_once('/')) {
                Some((service, method)) if service.contains('.') && !method.contains('/') => Self::Grpc,
                _ => Self::Unknown,
            },
        }
    }

    fn needed_scope(self, path: &str) -> Scope {
        match self {
            Self::Page | Self::SignIn | Self::Session | Self::Asset => Scope::Read,
            Self::Foreign => Scope::Generate,
            Self::Grpc => needed_scope(path),
            Self::Unknown => Scope::Admin,
        }
    }
}

impl Web {
    pub(super) fn new(
        address: SocketAddr,
        has_tls: bool,
        hosts: &[String],
        origins: &[String],
    ) -> Result<Self, ListenError> {
        let port = address.port();
        let usual_port = if has_tls { 443 } else { 80 };
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned(), "[::1]".to_owned()];
        let own = SocketAddr::new(address.ip(), 0).to_string();
        let own = own.trim_end_matches(":0").to_owned();
        let mut known: Vec<String> = Vec::new();
        for name in names.into_iter().chain((!address.ip().is_unspecified()).then_some(own)) {
            if port == usual_port {
                known.push(name.clone());
            }
            known.push(format!("{name}:{port}"));
        }
        let scheme = if has_tls { "https" } else { "http" };
        let extra = hosts.iter().map(|host| options::host(host)).collect::<Result<Vec<_>, _>>()?;
        let shown = match (address.ip().is_unspecified(), extra.first()) {
            (true, Some(host)) => host.clone(),
            (true, None) => format!("localhost:{port}"),
            (false, _) => address.to_string(),
        };
        known.extend(extra);
        let origins = origins.iter().map(|origin| options::origin(origin)).collect::<Result<_, _>>()?;
        Ok(Self {
            sender: Sender { scheme, hosts: known, origins },
            uri: format!("{scheme}://{shown}/"),
            // Two daemons on one machine have one host, and browsers keep cookies by host.
            cookie: format!("paintbox-session-{port}"),
            has_tls,
        })
    }

    /// The page's address.
    pub(super) fn uri(&self) -> String {
        self.uri.clone()
    }

    pub(super) fn judge<'a>(&'a self, access: &Access, request: &Request<Body>) -> (Verdict, Option<Cors<'a>>) {
        let host = match self.sender.host(request.uri(), request.headers()) {
            Ok(host) => host,
            Err(failure) => return (Verdict::Refuse(failure), None),
        };
        let place = Place::of(request.method(), request.uri().path());
        let standing = match self.sender.standing(&host, request, place == Place::Page) {
            Ok(standing) => standing,
            Err(failure) => return (Verdict::Refuse(failure), None),
        };
        let cors = match standing {
            Standing::Named(origin) => Some(Cors::new(origin)),
            Standing::Own | Standing::Alone => None,
        };
        if let Some(cors) = &cors
            && request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return (Verdict::Answer(cors.preflight()), Some(Cors::new(cors.origin())));
        }
        let verdict = self.admit(access, request, place, &standing);
        (verdict.map_or_else(Verdict::Refuse, Verdict::Pass), cors)
    }

    fn admit(
        &self,
        access: &Access,
        request: &Request<Body>,
        place: Place,
        standing: &Standing<'_>,
    ) -> Result<Option<Admitted>, Failure> {
        let path = request.uri().path();
        refuse_token_in_address(request.uri())?;
        if place == Place::Page {
            return Ok(None);
        }
        if place == Place::SignIn {
            let own = !matches!(standing, Standing::Named(_));
            only_json(request.headers())?;
            return if own { Ok(None) } else { Err(origin::forbidden("a session is for our own page alone")) };
        }
        let basic = if path.starts_with("/sdapi/") { Basic::Taken } else { Basic::Refused };
        let token = token_of(request.headers(), basic)?;
        let admitted = match &token {
            Some(token) => access.by_token(token)?,
            None => {
                let cookie = self.cookie_of(request.headers()).filter(|_| standing.may_use_cookies(request.headers()));
                access.by_session(&cookie.ok_or_else(token_required)?)?
            }
        };
        permit(&admitted.caller, place.needed_scope(path))?;
        // An empty body says nothing, and a page that sends one knows no token: SillyTavern interrupts so.
        let is_bare =
            token.is_some() && request.body().is_end_stream() && !request.headers().contains_key(CONTENT_TYPE);
        if place == Place::Foreign && *request.method() == Method::POST && !is_bare {
            let is_edit = path == "/v1/images/edits";
            if !(is_edit && token.is_some() && media_type(request.headers()) == "multipart/form-data") {
                only_json(request.headers())?;
            }
        }
        Ok(Some(admitted))
    }

    /// The session's cookie, if the browser sent one.
    fn cookie_of(&self, headers: &HeaderMap) -> Option<String> {
        let lines = headers.get_all(http::header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.cookie).map(|(_, value)| value.to_owned())
    }
}

/// Lower-case, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What a page can send elsewhere without being asked for permission first is never JSON.
fn only_json(headers: &HeaderMap) -> Result<(), Failure> {
    let given = media_type(headers);
    let refuse = |message: &str| {
        Err(Failure::new(ErrorClass::Unsupported, reason::MEDIA_TYPE_UNSUPPORTED, message).with("media_type", &given))
    };
    if given != "application/json" {
        return refuse("this path takes `application/json` alone");
    }
    // Nothing is unpacked, so that nothing small becomes large.
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refuse("a compressed body is not taken; send it as it is");
    }
    Ok(())
}

/// Everything behind the gate.
pub(super) fn routes(access: &Access, web: &Arc<Web>, http: Router, grpc: Router) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/session.js", get(page::script))
        .route("/page.css", get(page::style))
        .route("/icon.svg", get(page::icon))
        .route("/session", post(session::sign_in).get(session::show).delete(session::sign_out))
        .with_state(State { access: access.clone(), web: Arc::clone(web) })
        .merge(http)
        .merge(by_service(grpc))
        .fallback(unknown)
}

/// gRPC-Web becomes gRPC. Over HTTP/2, gRPC itself passes as well.
fn by_service(grpc: Router) -> Router {
    let translated = GrpcWebLayer::new().layer(grpc);
    Router::new().route_service("/{service}/{method}", translated)
}

async fn unknown(request: Request<Body>) -> http::Response<Body> {
    let path = request.uri().path();
    let failure = Failure::new(ErrorClass::NotFound, reason::METHOD_UNKNOWN, format!("there is nothing at {path}"));
    Form::wanted_by(&request).refuse(&failure.with("path", path))
}

/// No browser takes an answer for something that it is not, shows it in a frame, or keeps it unless it says so.
pub(super) fn make_harmless(headers: &mut HeaderMap) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// An answer without a body.
fn bare(status: StatusCode) -> http::Response<Body> {
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
