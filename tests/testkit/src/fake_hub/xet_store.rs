//! The store of chunks behind Hugging Face: real objects in the real format, and the two questions that lead to them.
//!
//! Shapes: xet-client 1.8.0, `src/cas_types/mod.rs` (`QueryReconstructionResponse`) and
//! `src/cas_client/remote_client.rs`; the token's answer is huggingface_hub's at `ee0a4510f4bc`,
//! `src/huggingface_hub/utils/_xet.py`. Objects and hashes are made by xet-core-structures, the official library.

use super::bytes::{Incoming, Reply, ServedFile, serve_file};
use super::{Server, Shared};
use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use xet_core_structures::merklehash::{MerkleHash, compute_data_hash, file_hash, xorb_hash};
use xet_core_structures::xorb_object::{CompressionScheme, serialize_chunk};

/// The one token that the store knows. Hugging Face's own is a wrong one here.
pub const XET_TOKEN: &str = "fake-xet-token";

/// Where the CDN keeps the objects.
pub(super) const OBJECTS: &str = "/xorbs/";

/// What chunks are aimed at; here they all have it, because where a file is cut is nobody's business but the writer's.
const CHUNK_BYTES: usize = 64 << 10;
const CHUNKS_PER_OBJECT: usize = 40;
/// Chunks of others that lie before a file's own in each object.
const FOREIGN_CHUNKS: usize = 2;

/// A stored object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    bytes: Bytes,
    /// Where each chunk begins, and where the last one ends.
    ends: Vec<usize>,
}

/// The hash of a file.
pub(super) fn hash_of(bytes: &Bytes) -> String {
    let chunks: Vec<(MerkleHash, u64)> = bytes.chunks(CHUNK_BYTES).map(hashed).collect();
    file_hash(&chunks).hex()
}

fn hashed(chunk: &[u8]) -> (MerkleHash, u64) {
    (compute_data_hash(chunk), chunk.len() as u64)
}

/// `GET /api/models/{id}/xet-read-token/{revision}`.
pub(super) fn token(shared: &Shared) -> Reply {
    let (store, until) = (shared.origin(Server::HfStore), 4_102_444_800_u64);
    Reply::json(StatusCode::OK, &json!({"accessToken": XET_TOKEN, "exp": until, "casUrl": store}))
        .with_named("x-xet-access-token", XET_TOKEN)
        .with_named("x-xet-token-expiration", &until.to_string())
        .with_named("x-xet-cas-url", &store)
}

/// The store: `GET /v1/reconstructions/{hash}`.
pub(super) fn answer(shared: &Shared, request: &Incoming) -> Reply {
    if request.bearer() != Some(XET_TOKEN) {
        return Reply::text(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    let Some(hash) = request.path().strip_prefix("/v1/reconstructions/") else {
        return Reply::text(StatusCode::NOT_FOUND, "Not Found");
    };
    let mut hub = shared.hugging_face();
    let Some(bytes) = hub.by_xet_hash(hash) else {
        return Reply::text(StatusCode::NOT_FOUND, "Not Found");
    };
    let mut terms = Vec::new();
    let mut fetch_info: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (position, own) in bytes.chunks(CHUNK_BYTES * CHUNKS_PER_OBJECT).enumerate() {
        let (object_hash, object) = object(own, position);
        let chunks = object.ends.len() - 1;
        terms.push(json!({
            "hash": object_hash, "unpacked_length": own.len(), "range": {"start": FOREIGN_CHUNKS, "end": chunks},
        }));
        // What an address brings may be more than a term needs: every other one begins a chunk earlier.
        let first = FOREIGN_CHUNKS - position % 2;
        let (from, to) = (object.ends[first], object.ends[chunks] - 1);
        let path = format!("{OBJECTS}{object_hash}");
        let signature = shared.signer.sign(&format!("{path} {from}-{to}"));
        let url = format!(
            "{}{path}?X-Xet-Signed-Range=bytes%3D{from}-{to}&Signature={signature}",
            shared.origin(Server::HfCdn)
        );
        fetch_info.entry(object_hash.clone()).or_default().push(json!({
            "range": {"start": first, "end": chunks}, "url": url, "url_range": {"start": from, "end": to},
        }));
        hub.objects.insert(object_hash, object);
    }
    let body = json!({"offset_into_first_range": 0, "terms": terms, "fetch_info": fetch_info});
    Reply::json(StatusCode::OK, &body)
}

/// An object of the CDN: only the range that its address is signed for.
pub(super) fn answer_object(shared: &Shared, request: &Incoming, hash: &str) -> Reply {
    let range = request.header(header::RANGE).and_then(|range| range.strip_prefix("bytes=")).unwrap_or_default();
    let signed = format!("{} {range}", request.path());
    let verdict = shared.signer.check(&signed, request.parameter("Signature").as_deref());
    if verdict != super::signed_url::Verdict::Good {
        return Reply::text(StatusCode::FORBIDDEN, "the address is signed for another range or has expired");
    }
    match shared.hugging_face().objects.get(hash) {
        Some(object) => serve_file(
            request,
            &ServedFile {
                bytes: object.bytes.clone(),
                etag: format!("\"{hash}\""),
                content_type: "application/octet-stream".to_owned(),
            },
        ),
        None => Reply::text(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// The object that holds a piece of a file, behind some chunks of others. Chunks come in every compression there is.
fn object(own: &[u8], position: usize) -> (String, Object) {
    let foreign: Vec<Vec<u8>> =
        (0..FOREIGN_CHUNKS).map(|at| format!("somebody else's {position} {at}").into_bytes()).collect();
    let chunks: Vec<&[u8]> = foreign.iter().map(Vec::as_slice).chain(own.chunks(CHUNK_BYTES)).collect();
    let schemes = [CompressionScheme::None, CompressionScheme::LZ4, CompressionScheme::ByteGrouping4LZ4];
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    for (at, chunk) in chunks.iter().enumerate() {
        serialize_chunk(chunk, &mut bytes, schemes[at % schemes.len()]).expect("writing to a buffer cannot fail");
        ends.push(bytes.len());
    }
    let hashes: Vec<(MerkleHash, u64)> = chunks.iter().copied().map(hashed).collect();
    (xorb_hash(&hashes).hex(), Object { bytes: Bytes::from(bytes), ends })
}
