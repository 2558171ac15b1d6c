//! Opening the bytes of a file: where they start, how many there should be, and whether they are a file at all.

use crate::body::Body;
use crate::error::HubError;
use crate::politeness::Kind;
use crate::refusal::Asked;
use crate::site::{Site, shown};
use crate::transfer::{self, Source};
use crate::transport::{Answer, Transport, content_type};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use paintbox_domain::{FileFormat, Hub};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use url::Url;

/// So many bytes tell text from weights: safetensors begins with a length whose upper bytes are zero.
const TELLING_BYTES: usize = 8;

/// The beginning of a file that is already here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeFrom {
    /// Bytes that are here.
    pub offset: u64,
    /// [`Download::validator`] of the answer they came from.
    pub validator: Option<String>,
}

/// An open transfer.
pub struct Download {
    /// Where in the file the body starts; 0 if the server started over, and then what was here is worthless.
    pub offset: u64,
    /// Length of the whole file, if the server said it.
    pub total_bytes: Option<u64>,
    /// The strong `ETag`: good for resuming, and no digest of anything.
    pub validator: Option<String>,
    pub content_type: Option<String>,
    /// Ends without an error only after the last byte that was announced.
    pub body: BoxStream<'static, Result<Bytes, HubError>>,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("offset", &self.offset)
            .field("total_bytes", &self.total_bytes)
            .field("validator", &self.validator)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

/// Opens a file, from its beginning or from the end of what is already here. `size_hint` is what its length is thought
/// to be, in bytes: of a large file the first request asks for one piece, and the others come beside each other.
pub(crate) async fn open(
    transport: &Transport,
    site: &Arc<Site>,
    locator: &str,
    from: Option<ResumeFrom>,
    size_hint: Option<u64>,
) -> Result<Download, HubError> {
    let url = site.url(locator)?;
    let from = from.as_ref().and_then(usable);
    if let Some(bytes) = transfer::first_piece(from.as_ref().map_or(0, |(offset, _)| *offset), size_hint) {
        let headers = piece_headers(&bytes, from.as_ref().map(|(_, validator)| validator));
        let answer = transport.get_for(Kind::Download, site, url.clone(), &headers).await?;
        if let Some(download) = in_pieces(transport, site, locator, answer, bytes).await? {
            return Ok(download);
        }
    }
    if let Some((offset, validator)) = from {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range(&format!("bytes={offset}-")));
        headers.insert(IF_RANGE, validator);
        let answer = transport.get_for(Kind::Download, site, url.clone(), &headers).await?;
        match answer.response.status() {
            StatusCode::PARTIAL_CONTENT => return rest(transport, answer, offset, locator).await,
            StatusCode::RANGE_NOT_SATISFIABLE => {
                if content_range(answer.response.headers()) == Some((None, Some(offset))) {
                    return Ok(nothing_left(&answer, offset));
                }
                // What is here is longer than the file, so it is of another one: from the start.
            }
            _ => return whole(transport, answer, locator).await,
        }
    }
    let answer = transport.get_for(Kind::Download, site, url, &HeaderMap::new()).await?;
    whole(transport, answer, locator).await
}

/// A beginning without a validator could be continued with the rest of a changed file; it is not used.
fn usable(from: &ResumeFrom) -> Option<(u64, HeaderValue)> {
    let validator = HeaderValue::from_str(from.validator.as_deref()?).ok()?;
    (from.offset > 0 && is_strong(&validator)).then_some((from.offset, validator))
}

/// Asks for these bytes alone; with a validator, only of the file that it stands for.
pub(crate) fn piece_headers(bytes: &Range<u64>, validator: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(RANGE, range(&format!("bytes={}-{}", bytes.start, bytes.end.saturating_sub(1))));
    headers.extend(validator.map(|validator| (IF_RANGE, validator.clone())));
    headers
}

fn range(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and ASCII signs fit a header")
}

/// The file of which the first piece was asked for. None if the answer tells too little for pieces to be put together:
/// it is then to be asked for once more, without an end.
pub(crate) async fn in_pieces(
    transport: &Transport,
    site: &Arc<Site>,
    locator: &str,
    answer: Answer,
    bytes: Range<u64>,
) -> Result<Option<Download>, HubError> {
    let headers = answer.response.headers();
    let found = (content_range(headers), headers.get(ETAG).filter(|etag| is_strong(etag)).cloned());
    let (range, total_bytes, tag) = match (answer.response.status(), found) {
        (StatusCode::PARTIAL_CONTENT, (Some((Some(range), Some(total))), Some(tag))) => (range, total, tag),
        (StatusCode::RANGE_NOT_SATISFIABLE, (Some((None, Some(total))), _)) if total == bytes.start && total > 0 => {
            return Ok(Some(nothing_left(&answer, total)));
        }
        (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, _) => return Ok(None),
        _ => return whole(transport, answer, locator).await.map(Some),
    };
    let bytes = bytes.start..bytes.end.min(total_bytes);
    if !is_range(range, &bytes) {
        return Ok(None);
    }
    let Opened { validator, content_type, beginning, body } =
        checked(transport, answer, locator, bytes.start, Some(bytes.end - bytes.start)).await?;
    let source = Source::new(transport, site, locator, tag, total_bytes)?;
    let body = transfer::in_pieces(source, bytes.start, beginning, body);
    Ok(Some(Download { offset: bytes.start, total_bytes: Some(total_bytes), validator, content_type, body }))
}

/// Whether the first and the last byte are those of `bytes`.
pub(crate) fn is_range((first, last): (u64, u64), bytes: &Range<u64>) -> bool {
    first == bytes.start && last.checked_add(1) == Some(bytes.end) && !bytes.is_empty()
}

/// The whole file of an answer that is about to bring it.
pub(crate) async fn whole(transport: &Transport, answer: Answer, locator: &str) -> Result<Download, HubError> {
    match answer.response.status() {
        StatusCode::OK => {}
        status if status.is_success() => return Err(unexpected(&answer, "a success that is not a whole file")),
        _ => return Err(transport.refusal(answer).await.into_error(&Asked::File)),
    }
    let total_bytes = answer.response.content_length();
    Ok(checked(transport, answer, locator, 0, total_bytes).await?.into_download(0, total_bytes))
}

async fn rest(transport: &Transport, answer: Answer, offset: u64, locator: &str) -> Result<Download, HubError> {
    let Some((Some((first, last)), total_bytes)) = content_range(answer.response.headers()) else {
        return Err(unexpected(&answer, "part of a file without saying which"));
    };
    if first != offset || last < first || total_bytes.is_some_and(|total| last >= total) {
        return Err(unexpected(&answer, "another part of the file than was asked for"));
    }
    let body_bytes = total_bytes.map_or(last - first + 1, |total| total - first);
    Ok(checked(transport, answer, locator, offset, Some(body_bytes)).await?.into_download(offset, total_bytes))
}

fn nothing_left(answer: &Answer, offset: u64) -> Download {
    Download {
        offset,
        total_bytes: Some(offset),
        validator: strong_validator(answer.response.headers()),
        content_type: content_type(answer.response.headers()),
        body: stream::empty().boxed(),
    }
}

/// An answer that looks like the file.
struct Opened {
    validator: Option<String>,
    content_type: Option<String>,
    /// Bytes that were read to see it.
    beginning: Option<Bytes>,
    body: Body,
}

impl Opened {
    fn into_download(self, offset: u64, total_bytes: Option<u64>) -> Download {
        let Self { validator, content_type, beginning, body } = self;
        let rest = stream::try_unfold(body, async |mut body| Ok(body.next().await?.map(|chunk| (chunk, body))));
        let body = stream::iter(beginning.map(Ok)).chain(rest.into_stream()).boxed();
        Download { offset, total_bytes, validator, content_type, body }
    }
}

/// Makes sure, as far as the head and the first bytes tell, that this is the file and not a page about it.
async fn checked(
    transport: &Transport,
    answer: Answer,
    locator: &str,
    offset: u64,
    body_bytes: Option<u64>,
) -> Result<Opened, HubError> {
    let headers = answer.response.headers();
    if is_encoded(headers) {
        return Err(unexpected(&answer, "a compressed file, which was not asked for"));
    }
    let name = file_name(answer.hub, locator, headers, &answer.url);
    let content_type = content_type(headers);
    if let Some(found) = text_by_type(content_type.as_deref(), name.as_deref()) {
        return Err(HubError::NotAModelFile { hub: answer.hub, url: shown(&answer.url), found });
    }
    let validator = strong_validator(headers);
    let hub = answer.hub;
    let mut body = Body::new(transport, answer, body_bytes);
    let mut beginning = BytesMut::new();
    if offset == 0 && must_be_binary(name.as_deref()) {
        while beginning.len() < TELLING_BYTES
            && let Some(chunk) = body.next().await?
        {
            beginning.extend_from_slice(&chunk);
        }
        if let Some(found) = text_by_beginning(&beginning) {
            return Err(HubError::NotAModelFile { hub, url: shown(body.url()), found });
        }
    }
    let beginning = (!beginning.is_empty()).then(|| beginning.freeze());
    Ok(Opened { validator, content_type, beginning, body })
}

/// Whether the bytes that come are not the file's own.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity")
}

fn unexpected(answer: &Answer, found: &'static str) -> HubError {
    HubError::UnexpectedAnswer { hub: answer.hub, url: shown(&answer.url), found }
}

fn is_strong(etag: &HeaderValue) -> bool {
    etag.as_bytes().starts_with(b"\"") && etag.as_bytes().ends_with(b"\"") && etag.len() > 2
}

fn strong_validator(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG).filter(|etag| is_strong(etag))?.to_str().ok().map(str::to_owned)
}

/// `bytes 5-9/10` → first and last byte and total; `bytes */10` → total alone.
pub(crate) type ContentRange = (Option<(u64, u64)>, Option<u64>);

pub(crate) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let (range, total) = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let range = match range.split_once('-') {
        Some((first, last)) => Some((first.trim().parse().ok()?, last.trim().parse().ok()?)),
        None if range.trim() == "*" => None,
        None => return None,
    };
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    Some((range, total))
}

/// What the file is called, to know whether text is what it should be. CivitAI's locator holds only numbers; the
/// name is in the answer of the storage, or in the signed address that asks the storage for it.
fn file_name(hub: Hub, locator: &str, headers: &HeaderMap, url: &Url) -> Option<String> {
    let disposition = || {
        let header =
            headers.get(CONTENT_DISPOSITION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let asked = || {
            let pair = url.query_pairs().find(|(key, _)| key.eq_ignore_ascii_case("response-content-disposition"))?;
            Some(pair.1.into_owned())
        };
        disposition_name(&header.or_else(asked)?)
    };
    match hub {
        Hub::Civitai => disposition(),
        Hub::HuggingFace => {
            let path = locator.split('?').next()?;
            Some(percent_decode_str(path.rsplit('/').next()?).decode_utf8_lossy().into_owned())
        }
    }
}

/// `filename*=UTF-8''a%20b.json` or `filename="a b.json"`.
fn disposition_name(disposition: &str) -> Option<String> {
    let value = |key: &str| {
        disposition.split(';').find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case(key).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let extended = value("filename*").and_then(|value| {
        let (_, encoded) = value.split_once("''")?;
        Some(percent_decode_str(encoded).decode_utf8_lossy().into_owned())
    });
    extended.or_else(|| value("filename")).filter(|name| !name.is_empty())
}

/// Whether a file of that name cannot be text. Without a name it is taken for weights.
fn must_be_binary(name: Option<&str>) -> bool {
    match name.map(FileFormat::from_file_name) {
        None
        | Some(
            FileFormat::Safetensors
            | FileFormat::Gguf
            | FileFormat::Pickle
            | FileFormat::Archive
            | FileFormat::Image
            | FileFormat::Onnx,
        ) => true,
        Some(FileFormat::Json | FileFormat::Text | FileFormat::Other) => false,
    }
}

fn text_by_type(content_type: Option<&str>, name: Option<&str>) -> Option<&'static str> {
    let content_type = content_type?.split(';').next()?.trim();
    let is_page = name.is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.ends_with(".html") || name.ends_with(".htm")
    });
    match content_type {
        "text/html" | "application/xhtml+xml" if !is_page => Some("a web page"),
        "application/json" if must_be_binary(name) => Some("a JSON text"),
        _ => None,
    }
}

/// `<` or `{` alone would not do: in one safetensors file of 256 they are the low byte of the header's length.
fn text_by_beginning(beginning: &[u8]) -> Option<&'static str> {
    if beginning.iter().take(TELLING_BYTES).any(|byte| *byte == 0) {
        return None;
    }
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
    match text.first() {
        Some(b'<') => Some("a page of markup"),
        Some(b'{') => Some("a JSON text"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_a_strong_etag_validates() {
        assert_eq!(strong_validator(&headers(&[(ETAG, "\"abc-3\"")])).as_deref(), Some("\"abc-3\""));
        for weak in ["W/\"abc\"", "abc", "\"\""] {
            assert_eq!(strong_validator(&headers(&[(ETAG, weak)])), None, "{weak}");
        }
    }

    #[test]
    fn a_beginning_without_a_strong_validator_is_not_used() {
        let from =
            |offset, validator: Option<&str>| usable(&ResumeFrom { offset, validator: validator.map(Into::into) });
        assert!(from(5, Some("\"a\"")).is_some());
        for (offset, validator) in [(0, Some("\"a\"")), (5, None), (5, Some("W/\"a\"")), (5, Some("\"a\nb\""))] {
            assert!(from(offset, validator).is_none(), "{offset} {validator:?}");
        }
    }

    #[test]
    fn content_ranges_are_read_or_refused() {
        let read = |text: &str| content_range(&headers(&[(CONTENT_RANGE, text)]));
        assert_eq!(read("bytes 5-9/10"), Some((Some((5, 9)), Some(10))));
        assert_eq!(read("bytes 5-9/*"), Some((Some((5, 9)), None)));
        assert_eq!(read("bytes */10"), Some((None, Some(10))));
        for bad in ["", "bytes", "bytes 5/10", "items 5-9/10", "bytes -9/10", "bytes 5-9/ten"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_civitai_files_name_comes_from_the_answer_or_the_signed_address() {
        let plain: Url = "https://x.r2.cloudflarestorage.com/f".parse().unwrap();
        let signed: Url =
            "https://x.r2.cloudflarestorage.com/f?response-content-disposition=attachment%3B%20filename%3D%22a.json%22"
                .parse()
                .unwrap();
        let locator = "/api/download/models/1?fileId=2";
        let name = |headers: &HeaderMap, url| file_name(Hub::Civitai, locator, headers, url);
        assert_eq!(name(&HeaderMap::new(), &plain), None);
        assert_eq!(name(&HeaderMap::new(), &signed).as_deref(), Some("a.json"));
        let both = headers(&[(CONTENT_DISPOSITION, "inline; filename*=UTF-8''%C3%BC.txt; filename=\"u.txt\";")]);
        assert_eq!(name(&both, &signed).as_deref(), Some("ü.txt"));
        let path = "/org/repo/resolve/0/unet/a%20b.safetensors?x=y/z";
        assert_eq!(file_name(Hub::HuggingFace, path, &both, &plain).as_deref(), Some("a b.safetensors"));
    }

    #[test]
    fn text_is_noticed_where_weights_should_be_and_nowhere_else() {
        for (content_type, name, refused) in [
            ("text/html; charset=utf-8", Some("a.safetensors"), true),
            ("text/html", None, true),
            ("text/html", Some("a.json"), true),
            ("text/html", Some("page.HTML"), false),
            ("application/json", Some("a.safetensors"), true),
            ("application/json", None, true),
            ("application/json", Some("tokenizer.json"), false),
            ("binary/octet-stream", None, false),
        ] {
            assert_eq!(text_by_type(Some(content_type), name).is_some(), refused, "{content_type} {name:?}");
        }
        for (beginning, refused) in [
            (&b"<!DOCTYPE html>"[..], true),
            (b"\xef\xbb\xbf\n <html>", true),
            (b"{\"error\":1}", true),
            (b"{}", true),
            // A safetensors header of 0x13c and one of 0x7b bytes.
            (b"\x3c\x01\0\0\0\0\0\0{\"", false),
            (b"\x7b\0\0\0\0\0\0\0{\"", false),
            (b"GGUF\x03\0\0\0", false),
            (b"", false),
        ] {
            assert_eq!(text_by_beginning(beginning).is_some(), refused, "{beginning:?}");
        }
    }
}
