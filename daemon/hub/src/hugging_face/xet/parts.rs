//! A file as the store describes it: which chunks of which stored objects, one part after the other.

use super::chunks::Chunks;
use super::{Offer, length};
use crate::download::content_range;
use crate::error::HubError;
use crate::hugging_face::HuggingFace;
use crate::refusal::Asked;
use crate::site::{Site, shown};
use crate::transport::{Answer, LARGEST_JSON_BYTES};
use bytes::Bytes;
use http::header::RANGE;
use http::{HeaderMap, HeaderValue, StatusCode};
use paintbox_domain::{Hub, Secret};
use serde::Deserialize;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use url::Url;
use xet_core_structures::merklehash::{MerkleHash, compute_data_hash, file_hash};

/// `{"accessToken": …, "exp": …, "casUrl": …}` of `…/xet-read-token/{revision}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoreAccess {
    access_token: String,
    cas_url: String,
}

/// The answer of `GET {casUrl}/v1/reconstructions/{hash}`.
#[derive(Debug, Deserialize)]
struct Reconstruction {
    /// Zero when the whole file was asked for.
    #[serde(default)]
    offset_into_first_range: u64,
    terms: Vec<Term>,
    /// By the hash of a stored object: where parts of it are to be had.
    fetch_info: HashMap<String, Vec<Fetch>>,
}

/// Consecutive chunks of one stored object.
#[derive(Debug, Deserialize)]
struct Term {
    hash: String,
    unpacked_length: u64,
    range: Ends,
}

#[derive(Debug, Deserialize)]
struct Fetch {
    range: Ends,
    url: String,
    /// In bytes, the last one included. The address is signed for exactly this range.
    url_range: Ends,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Ends {
    start: u64,
    end: u64,
}

/// One request's worth of a file.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    url: Url,
    /// First and last byte.
    bytes: (u64, u64),
    /// Which of the chunks that come are the file's, in ascending order.
    taken: Vec<Range<u64>>,
    /// Length of those together.
    unpacked_bytes: u64,
}

/// The parts of a file that are still to come.
#[derive(Debug)]
pub(super) struct Parts {
    waiting: VecDeque<Part>,
    current: Option<Reading>,
    /// Hash and length of every chunk so far, which the file's hash is made of.
    chunks: Vec<(MerkleHash, u64)>,
}

#[derive(Debug)]
struct Reading {
    part: Part,
    answer: Answer,
    arrived: u64,
    chunks: Chunks,
    /// The chunk that comes next, counted from the part's first.
    at: u64,
    unpacked_bytes: u64,
}

impl Parts {
    /// Asks the Hub for the store's token, and the store for the file.
    pub(super) async fn ask(hub: &HuggingFace, offer: &Offer) -> Result<Self, HubError> {
        let HuggingFace { transport, site, .. } = hub;
        let answer = transport.json(site, &offer.token_path, &Asked::File).await?;
        let malformed = |url: &str| {
            let url = url.to_owned();
            move |source| HubError::Malformed { hub: Hub::HuggingFace, url, source }
        };
        let StoreAccess { access_token, cas_url } =
            serde_json::from_str(&answer.text).map_err(malformed(&answer.from))?;
        let unusable = |found| HubError::UnexpectedAnswer { hub: Hub::HuggingFace, url: answer.from.clone(), found };
        let token = Secret::new(&access_token).ok_or_else(|| unusable("an empty token"))?;
        let address = format!("{}/v1/reconstructions/{}", cas_url.trim_end_matches('/'), offer.hash.hex());
        let url = Url::parse(&address).map_err(|_| unusable("a store without an address"))?;
        let from = shown(&url);
        let answer = transport.get_there(site, url, HeaderMap::new(), Some(token)).await?;
        if answer.response.status() != StatusCode::OK {
            return Err(transport.refusal(answer).await.into_error(&Asked::File));
        }
        let body = transport.whole_body(answer, LARGEST_JSON_BYTES).await?;
        let file: Reconstruction = serde_json::from_slice(&body).map_err(malformed(&from))?;
        let waiting = plan(site, &file, offer.total_bytes).map_err(|found| HubError::UnexpectedAnswer {
            hub: Hub::HuggingFace,
            url: from,
            found,
        })?;
        Ok(Self { waiting, current: None, chunks: Vec::new() })
    }

    /// The file's next chunk; none after the last.
    ///
    /// # Errors
    /// Anything that is not as it was described.
    pub(super) async fn next(&mut self, hub: &HuggingFace) -> Result<Option<Bytes>, HubError> {
        loop {
            let Some(reading) = &mut self.current else {
                match self.waiting.pop_front() {
                    Some(part) => self.current = Some(Reading::open(hub, part).await?),
                    None => return Ok(None),
                }
                continue;
            };
            match reading.next(hub).await? {
                Some(chunk) => {
                    self.chunks.push((compute_data_hash(&chunk), length(&chunk)));
                    return Ok(Some(chunk));
                }
                None => self.current = None,
            }
        }
    }

    /// The Xet hash of what came so far.
    pub(super) fn hash(&self) -> MerkleHash {
        file_hash(&self.chunks)
    }
}

impl Reading {
    async fn open(hub: &HuggingFace, part: Part) -> Result<Self, HubError> {
        let (first, last) = part.bytes;
        let mut headers = HeaderMap::new();
        let range = HeaderValue::from_str(&format!("bytes={first}-{last}"));
        headers.insert(RANGE, range.expect("digits and ASCII signs fit a header"));
        let answer = hub.transport.get_there(&hub.site, part.url.clone(), headers, None).await?;
        let found = match answer.response.status() {
            StatusCode::PARTIAL_CONTENT => content_range(answer.response.headers()).and_then(|(range, _)| range),
            status if status.is_success() => None,
            _ => return Err(hub.transport.refusal(answer).await.into_error(&Asked::File)),
        };
        let reading = Self { part, answer, arrived: 0, chunks: Chunks::default(), at: 0, unpacked_bytes: 0 };
        if found == Some((first, last)) {
            Ok(reading)
        } else {
            Err(reading.unexpected("another part of a stored object than was asked for"))
        }
    }

    /// The next chunk that is the file's; none after the last.
    async fn next(&mut self, hub: &HuggingFace) -> Result<Option<Bytes>, HubError> {
        while self.part.taken.last().is_some_and(|last| self.at < last.end) {
            let Some(chunk) = self.chunks.next().map_err(|found| self.unexpected(found))? else {
                let Answer { response, url, .. } = &mut self.answer;
                let expected = self.part.bytes.1 - self.part.bytes.0 + 1;
                match hub.transport.file_chunk(Hub::HuggingFace, url, response, self.arrived, Some(expected)).await? {
                    Some(bytes) => {
                        self.arrived += length(&bytes);
                        self.chunks.push(&bytes);
                    }
                    None => return Err(self.unexpected("fewer chunks than it said")),
                }
                continue;
            };
            let is_taken = self.part.taken.iter().any(|range| range.contains(&self.at));
            self.at += 1;
            if is_taken {
                self.unpacked_bytes += length(&chunk);
                return Ok(Some(chunk));
            }
        }
        if self.unpacked_bytes == self.part.unpacked_bytes {
            Ok(None)
        } else {
            Err(self.unexpected("chunks that are not as long together as it said"))
        }
    }

    fn unexpected(&self, found: &'static str) -> HubError {
        HubError::UnexpectedAnswer { hub: Hub::HuggingFace, url: shown(&self.answer.url), found }
    }
}

/// The requests that bring the file, in order. All of it is checked before anything is fetched.
fn plan(site: &Site, file: &Reconstruction, total_bytes: u64) -> Result<VecDeque<Part>, &'static str> {
    if file.offset_into_first_range != 0 {
        return Err("a file that begins in the middle");
    }
    let mut parts: VecDeque<Part> = VecDeque::new();
    let mut planned_bytes: u64 = 0;
    let mut asked_bytes: u64 = 0;
    for term in &file.terms {
        let holds = |fetch: &&Fetch| fetch.range.start <= term.range.start && term.range.end <= fetch.range.end;
        let fetch = file.fetch_info.get(&term.hash).and_then(|all| all.iter().find(holds));
        let fetch = fetch.ok_or("a part of a file without an address")?;
        if term.range.start >= term.range.end || fetch.url_range.start > fetch.url_range.end {
            return Err("a part of a file that is empty");
        }
        let url = Url::parse(&fetch.url).map_err(|_| "a part of a file without an address")?;
        // The store's words do not widen what may be contacted any more than the Hub's do.
        site.may_visit(&url)?;
        planned_bytes = planned_bytes.saturating_add(term.unpacked_length);
        let bytes = (fetch.url_range.start, fetch.url_range.end);
        let taken = term.range.start - fetch.range.start..term.range.end - fetch.range.start;
        let goes_on = |part: &&mut Part| {
            part.url == url && part.bytes == bytes && part.taken.last().is_some_and(|last| last.end <= taken.start)
        };
        if let Some(part) = parts.back_mut().filter(goes_on) {
            // The same answer brings this term, too.
            part.taken.push(taken);
            part.unpacked_bytes = part.unpacked_bytes.saturating_add(term.unpacked_length);
        } else {
            asked_bytes = asked_bytes.saturating_add(bytes.1 - bytes.0).saturating_add(1);
            parts.push_back(Part { url, bytes, taken: vec![taken], unpacked_bytes: term.unpacked_length });
        }
    }
    if planned_bytes != total_bytes {
        return Err("parts that are not as long together as the file");
    }
    // A file that repeats itself is asked for piece by piece from the same places; the file itself is then shorter.
    if asked_bytes / 2 > total_bytes { Err("a file that is shorter than its parts") } else { Ok(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(file: Value, total_bytes: u64) -> Result<VecDeque<Part>, &'static str> {
        let site = Site::new(
            Hub::HuggingFace,
            "https://huggingface.co".parse().unwrap(),
            None,
            std::sync::Arc::new(paintbox_domain::clock::ManualClock::default()),
        )
        .unwrap();
        plan(&site, &serde_json::from_value(file).unwrap(), total_bytes)
    }

    /// Two terms of two objects; the first is the middle of what its address brings.
    fn file() -> Value {
        json!({
            "offset_into_first_range": 0,
            "terms": [
                {"hash": "aa", "unpacked_length": 100, "range": {"start": 3, "end": 5}},
                {"hash": "bb", "unpacked_length": 50, "range": {"start": 0, "end": 1}},
            ],
            "fetch_info": {
                "aa": [
                    {"range": {"start": 0, "end": 4}, "url": "https://transfer.xethub.hf.co/a?s=1",
                     "url_range": {"start": 0, "end": 9}},
                    {"range": {"start": 2, "end": 6}, "url": "https://transfer.xethub.hf.co/a?s=2",
                     "url_range": {"start": 10, "end": 99}},
                ],
                "bb": [{"range": {"start": 0, "end": 1}, "url": "https://transfer.xethub.hf.co/b",
                        "url_range": {"start": 0, "end": 60}}],
            },
        })
    }

    #[test]
    fn each_term_has_the_request_that_brings_all_of_it() {
        let parts = planned(file(), 150).unwrap();
        assert_eq!(parts[0].url.as_str(), "https://transfer.xethub.hf.co/a?s=2");
        assert_eq!((parts[0].bytes, ends(&parts[0]), parts[0].unpacked_bytes), ((10, 99), vec![(1, 3)], 100));
        assert_eq!((parts[1].bytes, ends(&parts[1]), parts.len()), ((0, 60), vec![(0, 1)], 2));
        assert_eq!(planned(json!({"terms": [], "fetch_info": {}}), 0).unwrap(), []);
    }

    fn ends(part: &Part) -> Vec<(u64, u64)> {
        part.taken.iter().map(|range| (range.start, range.end)).collect()
    }

    /// Terms of the object `aa`, of which chunks 2 to 6 are to be had in 90 bytes; each `length` bytes long.
    fn terms_of_one_object(ranges: &[(u64, u64)], length: u64) -> Result<VecDeque<Part>, &'static str> {
        let mut file = file();
        let term =
            |(start, end)| json!({"hash": "aa", "unpacked_length": length, "range": {"start": start, "end": end}});
        file["fetch_info"]["aa"].as_array_mut().unwrap().remove(0);
        file["terms"] = ranges.iter().copied().map(term).collect();
        planned(file, length * ranges.len() as u64)
    }

    #[test]
    fn one_answer_brings_every_term_that_follows_in_it() {
        let parts = terms_of_one_object(&[(2, 3), (5, 6)], 50).unwrap();
        assert_eq!((parts.len(), ends(&parts[0]), parts[0].unpacked_bytes), (1, vec![(0, 1), (3, 4)], 100));
        let parts = terms_of_one_object(&[(5, 6), (3, 5)], 50).unwrap();
        assert_eq!(parts.iter().map(ends).collect::<Vec<_>>(), [[(3, 4)], [(1, 3)]]);
        assert!(terms_of_one_object(&[(4, 6), (4, 6), (4, 6)], 40).is_err(), "three times 90 bytes for 120");
    }

    #[test]
    fn descriptions_that_do_not_add_up_are_refused() {
        let changed = |pointer: &str, value: Value| {
            let mut file = file();
            *file.pointer_mut(pointer).unwrap() = value;
            planned(file, 150).unwrap_err()
        };
        assert!(planned(file(), 151).is_err());
        for (pointer, value) in [
            ("/offset_into_first_range", json!(1)),
            ("/terms/0/hash", json!("cc")),
            ("/terms/0/range/end", json!(7)),
            ("/terms/0/range/end", json!(3)),
            ("/terms/0/unpacked_length", json!(u64::MAX)),
            ("/fetch_info/aa/1/url", json!("https://evil.example/a")),
            ("/fetch_info/aa/1/url", json!("http://transfer.xethub.hf.co/a")),
            ("/fetch_info/aa/1/url", json!("a")),
            ("/fetch_info/bb/0/url_range", json!({"start": 2, "end": 1})),
        ] {
            changed(pointer, value);
        }
    }
}
