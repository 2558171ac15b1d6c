//! Where CivitAI's bytes come from: the download endpoint, the storage it redirects to, and the image server.
//!
//! Order and words of the refusals: civitai/civitai at `ebed661630d3`, `src/pages/api/download/models/[modelVersionId].ts`
//! and `src/server/services/file.service.ts`. Storage behaviour: Cloudflare R2's answers as clients have reported them.

use super::bytes::{Incoming, Reply, ServedFile, content_type_of, decoded, serve_file};
use super::civitai::{error, may_see_account, prettified};
use super::civitai_record::{IMAGE_ACCOUNT, is_published};
use super::civitai_shapes::text;
use super::signed_url::Verdict;
use super::{Server, Shared};
use http::{Method, StatusCode, header};
use jiff::{Timestamp, ToSpan};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

const FILE_TYPES: &[&str] = &[
    "Model",
    "Text Encoder",
    "Vision Encoder",
    "Pruned Model",
    "Negative",
    "Training Data",
    "VAE",
    "Config",
    "Archive",
    "UNet",
    "Diffusion Model",
    "CLIPVision",
    "ControlNet",
    "Workflow",
    "Upscaler",
    "Enhancement LoRA",
    "Other",
];
const FILE_FORMATS: &[&str] = &["SafeTensor", "PickleTensor", "GGUF", "Diffusers", "Core ML", "ONNX", "Other"];
/// Any of these in a User-Agent makes the endpoint take the caller for a person at a browser.
const BROWSER_WORDS: &[&str] = &["mozilla", "chrome", "safari", "firefox", "opera", "edge"];

/// `GET /api/download/models/{versionId}`.
pub(super) fn answer_download(shared: &Shared, request: &Incoming, version: &str) -> Reply {
    let reply = match locate(shared, request, version) {
        Ok((file_id, name)) => redirect_to_storage(shared, file_id, &name),
        Err(refusal) => refusal.told_to(request),
    };
    reply.with(header::CACHE_CONTROL, "no-store")
}

/// Why a download is refused, in the order in which the server looks.
#[derive(Debug)]
enum Refusal {
    BadParameter { field: &'static str, words: String },
    NotFound,
    Archived,
    DownloadsDisabled,
    LoginRequired,
    EarlyAccess { version: u64, until: Option<Timestamp> },
    NoAccess,
}

impl Refusal {
    fn told_to(&self, request: &Incoming) -> Reply {
        let browser = is_browser(request);
        match self {
            Self::LoginRequired if browser => {
                let back = utf8_percent_encode(request.path(), NON_ALPHANUMERIC);
                let to = format!("/login?returnUrl={back}&reason=download-auth");
                return Reply::redirect(StatusCode::TEMPORARY_REDIRECT, &to);
            }
            Self::EarlyAccess { version, .. } if browser => {
                return Reply::redirect(StatusCode::TEMPORARY_REDIRECT, &format!("/model-versions/{version}"));
            }
            _ => {}
        }
        let reply = self.as_json();
        if browser {
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let words = text(&body, "message").or_else(|| text(&body, "error")).unwrap_or_default();
            return Reply::text(reply.status, words);
        }
        reply
    }

    fn as_json(&self) -> Reply {
        let unauthorized =
            |words: &str| Reply::json(StatusCode::UNAUTHORIZED, &json!({"error": "Unauthorized", "message": words}));
        match self {
            Self::BadParameter { field, words } => prettified(field, words),
            Self::NotFound => error(StatusCode::NOT_FOUND, "File not found"),
            Self::Archived => error(StatusCode::GONE, "Model archived, not available for download"),
            Self::DownloadsDisabled => unauthorized("The creator of this asset has disabled downloads on this file"),
            Self::LoginRequired => {
                unauthorized("The creator of this asset requires you to be logged in to download it")
            }
            Self::EarlyAccess { until, .. } => {
                let words = "This asset is in Early Access. You can use Buzz access it now!";
                let mut body = json!({"error": "Early Access", "message": words});
                if let Some(until) = until {
                    body["deadline"] = json!(until.to_string());
                }
                Reply::json(StatusCode::FORBIDDEN, &body)
            }
            Self::NoAccess => error(StatusCode::FORBIDDEN, "You do not have access to download this file"),
        }
    }
}

fn is_browser(request: &Incoming) -> bool {
    let agent = request.header(header::USER_AGENT).unwrap_or_default().to_lowercase();
    agent.is_empty() || BROWSER_WORDS.iter().any(|word| agent.contains(word))
}

/// Finds the file and its name, or the first reason to refuse.
fn locate(shared: &Shared, request: &Incoming, version: &str) -> Result<(u64, String), Refusal> {
    let hub = shared.civitai();
    let not_a_number =
        |field| Refusal::BadParameter { field, words: "Invalid input: expected number, received NaN".to_owned() };
    let version_id: u64 = decoded(version).parse().map_err(|_| not_a_number("modelVersionId"))?;
    let file_id = match request.parameter("fileId") {
        Some(text) => Some(text.parse::<u64>().map_err(|_| not_a_number("fileId"))?),
        None => None,
    };
    one_of("type", request, FILE_TYPES)?;
    one_of("format", request, FILE_FORMATS)?;
    let (model, version) = hub.version(version_id).ok_or(Refusal::NotFound)?;
    let file = choose_file(request, version, file_id).ok_or(Refusal::NotFound)?;
    if model["poi"] == true || !is_published(model) || !is_published(version) {
        return Err(Refusal::NotFound);
    }
    if text(model, "mode").as_deref() == Some("Archived") {
        return Err(Refusal::Archived);
    }
    if version["usageControl"].as_str().is_some_and(|usage| usage != "Download") {
        return Err(Refusal::DownloadsDisabled);
    }
    if !may_see_account(request) && (hub.require_download_token || version["requireAuth"] == true) {
        return Err(Refusal::LoginRequired);
    }
    if let Some(until) = early_access(version, hub.now()) {
        return Err(Refusal::EarlyAccess { version: version_id, until });
    }
    if version["availability"] == "Private" {
        return Err(Refusal::NoAccess);
    }
    // Recorded models have no bytes here; the real server says the same when its storage fails to answer.
    let id = file["id"].as_u64().ok_or(Refusal::NotFound)?;
    let stored = hub.files.get(&id).ok_or(Refusal::NotFound)?;
    Ok((id, stored.download_name.clone()))
}

fn one_of(field: &'static str, request: &Incoming, allowed: &[&str]) -> Result<(), Refusal> {
    match request.parameter(field) {
        Some(given) if !allowed.contains(&given.as_str()) => {
            let list: Vec<String> = allowed.iter().map(|name| format!("\"{name}\"")).collect();
            let words = format!("Invalid option: expected one of {}", list.join("|"));
            Err(Refusal::BadParameter { field, words })
        }
        _ => Ok(()),
    }
}

/// `fileId` decides alone; otherwise every metadata parameter must fit, and without any the primary file is meant.
fn choose_file<'a>(request: &Incoming, version: &'a Value, file_id: Option<u64>) -> Option<&'a Value> {
    let files = version["files"].as_array()?;
    if let Some(id) = file_id {
        return files.iter().find(|file| file["id"] == id);
    }
    let fits = |file: &&Value| {
        let kind = request.parameter("type").is_none_or(|kind| file["type"] == *kind);
        let metadata = ["format", "size", "fp", "quantType"]
            .iter()
            .all(|key| request.parameter(key).is_none_or(|value| file["metadata"][*key] == *value));
        kind && metadata
    };
    files.iter().filter(fits).find(|file| file["primary"] == true).or_else(|| files.iter().find(fits))
}

/// Some while the version must be paid for; the date when one is known. Three generations of keys say so.
fn early_access(version: &Value, now: Timestamp) -> Option<Option<Timestamp>> {
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let paid = &version["paidAccess"];
    if paid.is_object() {
        let ends = time(&paid["endsAt"]);
        return (paid["permanent"] == true || ends.is_none_or(|ends| ends > now)).then_some(ends);
    }
    if version["availability"] == "EarlyAccess" {
        let ends = time(&version["earlyAccessEndsAt"]);
        return ends.is_none_or(|ends| ends > now).then_some(ends);
    }
    let days = version["earlyAccessTimeFrame"].as_i64().unwrap_or_default();
    let since = time(&version["publishedAt"]).or_else(|| time(&version["createdAt"]))?;
    let ends = since.checked_add((24 * days).hours()).ok()?;
    (days > 0 && ends > now).then_some(Some(ends))
}

/// 307 to a URL that carries its own permission.
fn redirect_to_storage(shared: &Shared, file_id: u64, name: &str) -> Reply {
    let path = format!("/civitai-delivery-worker-prod/model/{file_id}/{}", percent(name));
    let disposition = percent(&format!("attachment; filename=\"{}\"", name.replace(['"', '\\'], "")));
    let location = format!(
        "{}{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&X-Amz-Expires=86400\
         &X-Amz-SignedHeaders=host&X-Amz-Signature={}&response-content-disposition={disposition}&x-id=GetObject",
        shared.origin(Server::CivitaiStorage),
        shared.signer.sign(&path),
    );
    Reply::redirect(StatusCode::TEMPORARY_REDIRECT, &location)
}

fn percent(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The storage: a signed URL is all the permission there is, and a token beside it is an error.
pub(super) fn answer_storage(shared: &Shared, request: &Incoming) -> Reply {
    if request.headers.contains_key(header::AUTHORIZATION) {
        return storage_error(StatusCode::BAD_REQUEST, "InvalidRequest", "Missing x-amz-content-sha256");
    }
    if request.method != Method::GET {
        // A presigned URL is signed for one method.
        let words = "The request signature we calculated does not match the signature you provided.";
        return storage_error(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", words);
    }
    match shared.signer.check(request.path(), request.parameter("X-Amz-Signature").as_deref()) {
        Verdict::Good => {}
        Verdict::Expired => return storage_error(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired"),
        Verdict::Forged => {
            let words = "The request signature we calculated does not match the signature you provided.";
            return storage_error(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", words);
        }
    }
    let hub = shared.civitai();
    let id = request.path().split('/').nth(3).and_then(|text| text.parse::<u64>().ok());
    let Some(file) = id.and_then(|id| hub.files.get(&id)) else {
        return storage_error(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
    };
    let disposition = request.parameter("response-content-disposition").unwrap_or_else(|| "attachment".to_owned());
    let printable: String = disposition.chars().map(|c| if (' '..='~').contains(&c) { c } else { '_' }).collect();
    serve_file(request, &file.served).with(header::CONTENT_DISPOSITION, &printable)
}

fn storage_error(status: StatusCode, code: &str, message: &str) -> Reply {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Reply::xml(status, xml)
}

/// The image server: `/{account}/{uuid}/{params}/{name}`. Pictures here are smaller than any width it would scale to,
/// so every form of one is the same bytes, whatever ending the name has.
pub(super) fn answer_images(shared: &Shared, request: &Incoming) -> Reply {
    let segments: Vec<&str> = request.path().split('/').skip(1).collect();
    let [IMAGE_ACCOUNT, uuid, parameters, _name] = segments.as_slice() else {
        return Reply::text(StatusCode::NOT_FOUND, "Not Found");
    };
    if !decoded(parameters).split(',').all(|pair| pair.contains('=')) {
        return Reply::text(StatusCode::BAD_REQUEST, "Bad Request");
    }
    let hub = shared.civitai();
    let Some(bytes) = hub.images.get(*uuid) else {
        return Reply::text(StatusCode::NOT_FOUND, "Not Found");
    };
    let file = ServedFile {
        bytes: bytes.clone(),
        etag: format!("\"{}\"", &blake3::hash(bytes).to_hex()[..32]),
        content_type: content_type_of(bytes).to_owned(),
    };
    serve_file(request, &file).with(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
}
