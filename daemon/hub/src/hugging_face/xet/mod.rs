//! Large files by Xet, with plain HTTP behind it.
//!
//! The Hub keeps large files as chunks in a content-addressed store. Where it offers that way (`X-Xet-Hash` and
//! `Link: …; rel="xet-auth"`, or `X-Xet-Refresh-Route`, on its own hop), a file is put together from ranges of stored
//! objects; whenever anything about that fails, before the first byte or between two, plain HTTP goes on at the byte
//! where it stopped. Both give the same bytes under the same validator: the CDN's `ETag` is the Xet hash in quotes.
//!
//! The protocol is read here rather than by hf-xet's client (hf-xet 1.8.0), because that one builds its own HTTP
//! client, which takes proxies from the environment and follows redirects anywhere
//! (`xet-client/src/common/http_client.rs` `reqwest_client_raw`); visits whatever host an answer names; and makes
//! folders for its shard cache (`xet-data/src/processing/configurations.rs` `TranslatorConfig::new`). Its data formats
//! and hashes are used as they are, from xet-core-structures. Here every address passes [`Site::may_visit`], the
//! Hub's token goes to the Hub alone, the store's own token to the store alone, and nothing is written anywhere.
//!
//! Wire facts: huggingface_hub @ ee0a4510f4bc, `src/huggingface_hub/utils/_xet.py`; xet-client 1.8.0,
//! `src/cas_types/mod.rs` and `src/cas_client/remote_client.rs`.

mod chunks;
mod parts;

use super::paging::{below_endpoint, related};
use crate::download::{self, Download, ResumeFrom};
use crate::error::HubError;
use crate::politeness::Kind;
use crate::site::{Site, shown};
use crate::transfer;
use crate::transport::Reached;
use crate::{Inner, hugging_face::HuggingFace};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, header};
use paintbox_domain::Hub;
use parts::Parts;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;
use xet_core_structures::merklehash::MerkleHash;

/// Smaller files come by plain HTTP: Xet asks three questions before its first byte.
const WORTH_ASKING_BYTES: u64 = 4 << 20;

/// Files whose bytes did not have the hash they were offered under. They come by plain HTTP from then on, so that one
/// bad object in the store does not make a file unobtainable.
#[derive(Debug, Default)]
pub(super) struct Distrusted(Mutex<HashSet<MerkleHash>>);

impl Distrusted {
    fn add(&self, hash: MerkleHash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash);
    }

    fn holds(&self, hash: &MerkleHash) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(hash)
    }
}

/// What the Hub's own hop says of a file that is to be had by Xet.
#[derive(Debug)]
struct Offer {
    hash: MerkleHash,
    total_bytes: u64,
    /// Path and query below the endpoint at which the store's token is handed out.
    token_path: String,
}

impl Offer {
    fn read(site: &Site, from: &Url, headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        // Without access to a gated repository the hash is masked, and is no hash then.
        let hash = MerkleHash::from_hex(text("x-xet-hash")?.trim()).ok()?;
        let total_bytes = text("x-linked-size")?.trim().parse().ok()?;
        let link = text(header::LINK.as_str()).and_then(|link| related(link, "xet-auth"));
        let token = from.join(link.or_else(|| text("x-xet-refresh-route"))?).ok()?;
        Some(Self { hash, total_bytes, token_path: below_endpoint(site, &token)? })
    }

    /// The validator of the CDN's answer for the same bytes.
    fn validator(&self) -> String {
        format!("\"{}\"", self.hash.hex())
    }
}

/// Opens a file of the Hub. A transfer that is to go on, or a file that is not worth it, takes plain HTTP.
///
/// # Errors
/// As [`crate::Hubs::download`]. What is wrong with Xet alone is no error.
pub(crate) async fn download(
    inner: Arc<Inner>,
    locator: &str,
    from: Option<ResumeFrom>,
    size_hint: Option<u64>,
) -> Result<Download, HubError> {
    let HuggingFace { transport, site, distrusted, .. } = &inner.hugging_face;
    if from.is_some() {
        // A whole can be checked against its Xet hash, a rest cannot; and the CDN serves any range.
        return download::open(transport, site, locator, from, size_hint).await;
    }
    let look = |url: &Url, headers: &HeaderMap| {
        let offer = Offer::read(site, url, headers)?;
        (offer.total_bytes >= WORTH_ASKING_BYTES && !distrusted.holds(&offer.hash)).then_some(offer)
    };
    // Whoever does not offer Xet answers with the file, so this is the first request for it.
    let piece = transfer::first_piece(0, size_hint);
    let headers = piece.as_ref().map_or_else(HeaderMap::new, |bytes| download::piece_headers(bytes, None));
    let offer = match transport.get_unless(Kind::Download, site, site.url(locator)?, &headers, look).await? {
        Reached::Answer(answer) => {
            let Some(bytes) = piece else { return download::whole(transport, *answer, locator).await };
            return match download::in_pieces(transport, site, locator, *answer, bytes).await? {
                Some(download) => Ok(download),
                None => download::open(transport, site, locator, None, None).await,
            };
        }
        Reached::Left(offer) => offer,
    };
    // The first bytes are waited for, so that a store that is not there costs nothing but the question.
    let opened = async {
        let mut parts = Parts::ask(&inner.hugging_face, &offer).await?;
        let first = parts.next(&inner.hugging_face).await?;
        Ok::<_, HubError>((parts, first))
    };
    let (parts, first) = match opened.await {
        Ok(opened) => opened,
        Err(error) => {
            tracing::info!(file = locator, %error, "Xet does not bring it; plain HTTP does");
            return download::open(transport, site, locator, None, Some(offer.total_bytes)).await;
        }
    };
    let (total_bytes, validator) = (offer.total_bytes, offer.validator());
    let given = first.as_ref().map_or(0, length);
    let wanted = Wanted { inner: Arc::clone(&inner), locator: locator.to_owned(), offer };
    let transfer = Transfer { wanted, given, source: Source::Xet(Box::new(parts)) };
    let rest =
        stream::try_unfold(transfer, async |mut transfer| Ok(transfer.next().await?.map(|chunk| (chunk, transfer))));
    let body = stream::iter(first.map(Ok)).chain(rest.into_stream()).boxed();
    Ok(Download { offset: 0, total_bytes: Some(total_bytes), validator: Some(validator), content_type: None, body })
}

/// A body that changes horses when it must.
struct Transfer {
    wanted: Wanted,
    /// Bytes that were passed on.
    given: u64,
    source: Source,
}

/// What is being brought.
struct Wanted {
    inner: Arc<Inner>,
    locator: String,
    offer: Offer,
}

enum Source {
    Xet(Box<Parts>),
    Plain(BoxStream<'static, Result<Bytes, HubError>>),
}

impl Transfer {
    async fn next(&mut self) -> Result<Option<Bytes>, HubError> {
        let chunk = match &mut self.source {
            Source::Plain(body) => body.try_next().await?,
            Source::Xet(parts) => match parts.next(&self.wanted.inner.hugging_face).await {
                Ok(None) => {
                    self.wanted.check_whole(self.given, parts.hash())?;
                    None
                }
                Ok(chunk) => chunk,
                Err(error) => {
                    let (file, at_byte) = (&self.wanted.locator, self.given);
                    tracing::info!(file, at_byte, %error, "Xet broke off; plain HTTP goes on");
                    let mut body = self.wanted.rest(self.given).await?;
                    let chunk = body.try_next().await?;
                    self.source = Source::Plain(body);
                    chunk
                }
            },
        };
        self.given += chunk.as_ref().map_or(0, length);
        Ok(chunk)
    }
}

impl Wanted {
    /// The plain body from the byte on at which Xet stopped.
    async fn rest(&self, given: u64) -> Result<BoxStream<'static, Result<Bytes, HubError>>, HubError> {
        let HuggingFace { transport, site, .. } = &self.inner.hugging_face;
        let validator = Some(self.offer.validator());
        let from = (given > 0).then(|| ResumeFrom { offset: given, validator: validator.clone() });
        let Download { offset, total_bytes, validator: found, body, .. } =
            download::open(transport, site, &self.locator, from, Some(self.offer.total_bytes)).await?;
        let same = total_bytes.is_none_or(|bytes| bytes == self.offer.total_bytes);
        if same && offset == given {
            return Ok(body);
        }
        if same && offset == 0 && found == validator {
            // The same bytes from the start: those that were passed on are left out.
            return Ok(without_beginning(body, given));
        }
        // Bytes of another file. Whoever asks again starts with its first byte.
        Err(HubError::Truncated {
            hub: Hub::HuggingFace,
            url: shown(&site.url(&self.locator)?),
            received_bytes: given,
            expected_bytes: Some(self.offer.total_bytes),
            source: None,
        })
    }

    /// Whether the bytes that came are those that were offered. They are passed on by then; the digest that the Hub
    /// lists catches them once more where it is known, and the next attempt takes another way.
    fn check_whole(&self, given: u64, hash: MerkleHash) -> Result<(), HubError> {
        if given == self.offer.total_bytes && hash == self.offer.hash {
            return Ok(());
        }
        let HuggingFace { site, distrusted, .. } = &self.inner.hugging_face;
        distrusted.add(self.offer.hash);
        Err(HubError::UnexpectedAnswer {
            hub: Hub::HuggingFace,
            url: shown(&site.url(&self.locator)?),
            found: "bytes that do not have the Xet hash they were offered under",
        })
    }
}

/// A body without its first `count` bytes.
fn without_beginning(
    body: BoxStream<'static, Result<Bytes, HubError>>,
    count: u64,
) -> BoxStream<'static, Result<Bytes, HubError>> {
    let mut left = count;
    body.try_filter_map(move |mut chunk| {
        let dropped = left.min(length(&chunk));
        left -= dropped;
        drop(chunk.split_to(usize::try_from(dropped).unwrap_or(chunk.len())));
        std::future::ready(Ok((!chunk.is_empty()).then_some(chunk)))
    })
    .boxed()
}

fn length(chunk: &Bytes) -> u64 {
    u64::try_from(chunk.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::clock::ManualClock;

    const HASH: &str = "63bed808f8d0d8a6e1d8ff8b5a2e3b4c0000000000000000000000000000abcd";

    fn offer(headers: &[(&'static str, &str)]) -> Option<Offer> {
        let site = Site::new(
            Hub::HuggingFace,
            "https://huggingface.co".parse().unwrap(),
            None,
            Arc::new(ManualClock::default()),
        )
        .unwrap();
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Offer::read(&site, &"https://huggingface.co/o/r/resolve/main/a.bin".parse().unwrap(), &headers)
    }

    #[test]
    fn an_offer_is_whole_and_on_the_hub_or_none() {
        let link = "<https://huggingface.co/api/models/o/r/xet-read-token/0a>; rel=\"xet-auth\", \
                    <https://cas-server.xethub.hf.co/v1/reconstructions/x>; rel=\"xet-reconstruction-info\"";
        let (hash, size) = (("x-xet-hash", HASH), ("x-linked-size", "99"));
        let found = offer(&[hash, size, ("link", link)]).unwrap();
        assert_eq!((found.total_bytes, found.token_path.as_str()), (99, "/api/models/o/r/xet-read-token/0a"));
        assert_eq!(found.validator(), format!("\"{HASH}\""));
        assert!(offer(&[hash, size, ("x-xet-refresh-route", "/api/models/o/r/xet-read-token/0a")]).is_some());
        let away = "<https://evil.example/api/token>; rel=\"xet-auth\"";
        for lacking in [
            &[hash, size][..],
            &[hash, ("link", link)],
            &[size, ("link", link)],
            &[hash, size, ("link", away)],
            &[("x-xet-hash", &"*".repeat(64)), size, ("link", link)],
            &[hash, ("x-linked-size", "many"), ("link", link)],
        ] {
            assert!(offer(lacking).is_none(), "{lacking:?}");
        }
    }

    #[tokio::test]
    async fn a_beginning_is_left_out_across_pieces() {
        for count in 0..=6 {
            let pieces = [&b"ab"[..], b"", b"cde", b"f"].map(|piece| Ok(Bytes::from_static(piece)));
            let rest: Vec<Bytes> = without_beginning(stream::iter(pieces).boxed(), count).try_collect().await.unwrap();
            assert_eq!(rest.concat(), b"abcdef"[usize::try_from(count).unwrap()..]);
        }
    }

    #[tokio::test]
    async fn the_stores_token_is_blotted_out_of_what_the_store_says() {
        use paintbox_testkit::{FakeHub, FakeRepository, Fault, Server, XET_TOKEN};
        let hub = FakeHub::start().await;
        hub.publish_repository(FakeRepository::new("o/r", std::collections::BTreeMap::new()));
        let config = crate::HubConfig {
            civitai_mature_endpoint: None,
            clock: Arc::new(ManualClock::default()),
            civitai_endpoint: hub.civitai_endpoint().parse().unwrap(),
            hf_endpoint: hub.hf_endpoint().parse().unwrap(),
            civitai_token: None,
            hf_token: None,
            user_agent: "paintbox/0.1.0".to_owned(),
        };
        let hubs = crate::Hubs::new(config).unwrap();
        let body = format!("{{\"error\": \"{XET_TOKEN} has expired\"}}");
        hub.faults().always(Server::HfStore, "/", Fault::Status { code: 400, body, headers: Vec::new() });
        let offer = Offer {
            hash: MerkleHash::from_hex(HASH).unwrap(),
            total_bytes: 1,
            token_path: "/api/models/o/r/xet-read-token/main".to_owned(),
        };
        let error = Parts::ask(&hubs.inner.hugging_face, &offer).await.unwrap_err();
        assert!(error.to_string().contains("has expired"), "{error}");
        assert!(!format!("{error} {error:?}").contains(XET_TOKEN), "{error:?}");
    }
}
