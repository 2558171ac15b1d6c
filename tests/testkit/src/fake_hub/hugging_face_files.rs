//! `/resolve/`, the cache behind it for small files, and the CDN for large ones.
//!
//! Headers and hops: recorded answers in `tests/fixtures/hubs/huggingface/api/headers-*.txt`.

use super::bytes::{Incoming, Reply, ServedFile, decoded, serve_file};
use super::hugging_face::{Access, EXPOSED_HEADERS, not_found};
use super::hugging_face_shapes::database_id;
use super::repository::{Commit, Entry, HuggingFace, Repository};
use super::signed_url::Verdict;
use super::{Server, Shared, xet_store};
use bytes::Bytes;
use http::{StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but what is plain in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// `HEAD|GET /{id}/resolve/{revision}/{path}`.
pub(super) fn resolve(
    shared: &Shared,
    hub: &HuggingFace,
    request: &Incoming,
    repository: &Repository,
    revision: &str,
    path: &str,
) -> Reply {
    let access = Access::of(request);
    if let Some(refusal) = access.refusal_of_files(hub, repository) {
        return refusal;
    }
    let (commit, entry) = match find(repository, revision, path) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let id = &repository.about.id;
    let name = path.rsplit('/').next().unwrap_or_default();
    let disposition =
        format!("inline; filename*=UTF-8''{}; filename=\"{}\";", utf8_percent_encode(name, SEGMENT), plain(name));
    let redirect = match &entry.lfs {
        None => {
            // Relative, and the old path comes along as a key of the query without a value.
            let own = utf8_percent_encode(request.path(), SEGMENT);
            let path = utf8_percent_encode(path, PATH);
            let to = format!("/api/resolve-cache/models/{id}/{}/{path}?{own}=&etag=%22{}%22", commit.id, entry.oid);
            Reply::redirect(StatusCode::TEMPORARY_REDIRECT, &to)
                .with_named("x-linked-etag", &format!("\"{}\"", entry.oid))
        }
        Some(lfs) => {
            let at = format!("/xet-bridge-us/{}/{}", database_id(id), lfs.xet_hash);
            let to = format!(
                "{}{at}?X-Xet-Cas-Uid=public&response-content-disposition={}&Expires=3600&Signature={}&Key-Pair-Id=K1",
                shared.origin(Server::HfCdn),
                utf8_percent_encode(&disposition, NON_ALPHANUMERIC),
                shared.signer.sign(&at),
            );
            let mut reply = Reply::redirect(StatusCode::FOUND, &to)
                .with(header::CACHE_CONTROL, "no-store")
                .with_named("x-linked-size", &entry.size.to_string())
                .with_named("x-linked-etag", &format!("\"{}\"", lfs.sha256));
            if hub.announce_xet {
                let origin = request.own_origin();
                let link = format!(
                    "<{origin}/api/models/{id}/xet-read-token/{}>; rel=\"xet-auth\", \
                     <{}/v1/reconstructions/{}>; rel=\"xet-reconstruction-info\"",
                    commit.id,
                    shared.origin(Server::HfStore),
                    lfs.xet_hash
                );
                reply = reply.with_named("x-xet-hash", &lfs.xet_hash).with(header::LINK, &link);
            }
            reply
        }
    };
    redirect
        .with_named("x-repo-commit", &commit.id)
        .with(header::ACCEPT_RANGES, "bytes")
        .with(header::CONTENT_DISPOSITION, &disposition)
}

/// `/api/resolve-cache/models/{id}/{commit}/{path}`: small files, on the hub's own host.
pub(super) fn resolve_cache(hub: &HuggingFace, request: &Incoming, segments: &[&str]) -> Reply {
    let [namespace, name, commit, path @ ..] = segments else {
        return not_found(None, "Entry not found", true);
    };
    let id = format!("{}/{}", decoded(namespace), decoded(name));
    let path = decoded(&path.join("/"));
    let Some(repository) = hub.repository(&id) else {
        return not_found(Some("RepoNotFound"), "Repository not found", true);
    };
    if let Some(refusal) = Access::of(request).refusal_of_files(hub, repository) {
        return refusal;
    }
    let (commit, entry) = match find(repository, commit, &path) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let Some(bytes) = entry.bytes.clone() else {
        return Reply::text(StatusCode::BAD_GATEWAY, "Bad Gateway");
    };
    let content_type = if is_text(&bytes) { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    let file = ServedFile { bytes, etag: format!("\"{}\"", entry.oid), content_type: content_type.to_owned() };
    serve_file(request, &file)
        .with_named("x-repo-commit", &commit.id)
        .with(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS)
}

/// `/{id}/raw/{revision}/{path}`: what git keeps, which for a large file is its pointer.
pub(super) fn raw(hub: &HuggingFace, request: &Incoming, repository: &Repository, revision: &str, path: &str) -> Reply {
    if let Some(refusal) = Access::of(request).refusal_of_files(hub, repository) {
        return refusal;
    }
    match find(repository, revision, path) {
        Ok((_, Entry { lfs: Some(lfs), size, .. })) => {
            Reply::text(StatusCode::OK, super::git::lfs_pointer(&lfs.sha256, *size))
        }
        Ok((_, Entry { bytes: Some(bytes), .. })) => Reply::text(StatusCode::OK, bytes.clone()),
        Ok(_) => Reply::text(StatusCode::BAD_GATEWAY, "Bad Gateway"),
        Err(refusal) => *refusal,
    }
}

/// The CDN: the URL's signature is all the permission there is.
pub(super) fn answer_cdn(shared: &Shared, request: &Incoming) -> Reply {
    let hash = request.path().rsplit('/').next().unwrap_or_default();
    if request.path().starts_with(xet_store::OBJECTS) {
        return xet_store::answer_object(shared, request, hash);
    }
    let denied = |words: &str| {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code><Message>{words}</Message></Error>"
        );
        Reply::xml(StatusCode::FORBIDDEN, body)
    };
    match shared.signer.check(request.path(), request.parameter("Signature").as_deref()) {
        Verdict::Good => {}
        Verdict::Expired => return denied("Request has expired"),
        Verdict::Forged => return denied("Access denied"),
    }
    let Some(bytes) = shared.hugging_face().by_xet_hash(hash) else {
        return Reply::text(StatusCode::NOT_FOUND, "Not Found");
    };
    let file = ServedFile { bytes, etag: format!("\"{hash}\""), content_type: "application/octet-stream".to_owned() };
    let disposition = request.parameter("response-content-disposition").unwrap_or_else(|| "inline".to_owned());
    serve_file(request, &file).with(header::CONTENT_DISPOSITION, &disposition)
}

fn find<'a>(repository: &'a Repository, revision: &str, path: &str) -> Result<(&'a Commit, &'a Entry), Box<Reply>> {
    let revision = decoded(revision);
    let Some(commit) = repository.commit(&revision) else {
        return Err(Box::new(not_found(Some("RevisionNotFound"), &format!("Invalid rev id: {revision}"), true)));
    };
    let Some(entry) = commit.files.get(path) else {
        let reply = not_found(Some("EntryNotFound"), "Entry not found", true);
        return Err(Box::new(reply.with_named("x-repo-commit", &commit.id)));
    };
    Ok((commit, entry))
}

fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '_' }).collect()
}

fn is_text(bytes: &Bytes) -> bool {
    std::str::from_utf8(bytes).is_ok()
}
