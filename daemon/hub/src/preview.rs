//! Example images, in the size that the hub keeps ready for lists.
//!
//! CivitAI's picture addresses name the wanted size in their third part (github civitai/civitai commit 00a1fae7a78f,
//! `src/client-utils/edge-url.ts`), and the API gives the original, which may be a video of a hundred megabytes. What
//! asks for a still of a video is how CivitAI's own pages ask for one (`useEdgeUrl` in `cf-images-utils.ts` there: a
//! video that is to be shown as an image gets `transcode=true` and `anim=false`, and a name that ends in `.jpeg`).

use crate::error::HubError;
use crate::politeness::Kind;
use crate::refusal::Asked;
use crate::retry;
use crate::site::{Site, shown};
use crate::transport::{Transport, content_type};
use http::HeaderMap;
use paintbox_domain::Hub;
use paintbox_domain::hub::PreviewMedia;
use url::Url;

const PICTURES: &str = "image.civitai.com";
/// Where old answers point to: the same paths, but nobody answers any more.
const FORMER_PICTURES: &str = "imagecache.civitai.com";
/// 450 is on the ladder of widths that are kept ready; anything else is rounded up to it.
const STILL_PICTURE: &str = "width=450,optimized=true";
const STILL_OF_VIDEO: &str = "anim=false,transcode=true,width=450";

pub(crate) async fn fetch(
    transport: &Transport,
    site: &Site,
    url: &str,
    media: PreviewMedia,
    max_bytes: u64,
) -> Result<Vec<u8>, HubError> {
    let refuse = |url: String, problem| HubError::PreviewRefused { hub: site.hub, url, problem };
    let Ok(parsed) = Url::parse(url) else {
        let shown = url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect();
        return Err(refuse(shown, "it is not an address"));
    };
    let is_video = media == PreviewMedia::Video || ends_like_video(&parsed);
    let attempts = match site.hub {
        Hub::Civitai => {
            let sized = |params| with_params(&parsed, params, site.is_on_this_machine());
            // Neither says no for sure: answers of 2025 give videos the ending of a picture, and older ones no media.
            if is_video { vec![sized(STILL_OF_VIDEO)] } else { vec![sized(STILL_PICTURE), sized(STILL_OF_VIDEO)] }
        }
        Hub::HuggingFace => vec![parsed],
    };
    for wanted in attempts {
        site.may_visit(&wanted).map_err(|problem| refuse(shown(&wanted), problem))?;
        if let Some(bytes) =
            retry::patiently(transport.timeouts.first_retry, || fetch_once(transport, site, wanted.clone(), max_bytes))
                .await?
        {
            return Ok(bytes);
        }
    }
    Err(refuse(url.split(['?', '#']).next().unwrap_or_default().to_owned(), "a video came instead of a picture"))
}

/// The bytes of a picture, or none if they are a video's, which are not read.
async fn fetch_once(transport: &Transport, site: &Site, url: Url, max_bytes: u64) -> Result<Option<Vec<u8>>, HubError> {
    let mut answer = transport.get_for(Kind::Preview, site, url, &HeaderMap::new()).await?;
    if !answer.response.status().is_success() {
        return Err(transport.refusal(answer).await.into_error(&Asked::Preview));
    }
    let refuse = |url: &Url, problem| HubError::PreviewRefused { hub: site.hub, url: shown(url), problem };
    let content_type = content_type(answer.response.headers()).unwrap_or_default();
    if content_type.starts_with("video/") {
        return Ok(None);
    }
    if content_type.starts_with("text/") || content_type.starts_with("application/json") {
        return Err(refuse(&answer.url, "text came instead of a picture"));
    }
    let expected = answer.response.content_length();
    if expected.is_some_and(|bytes| bytes > max_bytes) {
        return Err(refuse(&answer.url, "it is larger than allowed"));
    }
    let mut bytes = Vec::new();
    let mut received = 0_u64;
    while let Some(chunk) = transport.chunk(site.hub, &answer.url, &mut answer.response, received, expected).await? {
        received += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if received > max_bytes {
            return Err(refuse(&answer.url, "it is larger than allowed"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// The same picture in the size that `params` name; an address that is not shaped like CivitAI's comes back as it was.
///
/// `hub_on_this_machine` lets a hub on this machine serve such addresses from any of its ports.
fn with_params(url: &Url, params: &str, hub_on_this_machine: bool) -> Url {
    let known_host = matches!(url.host_str(), Some(PICTURES | FORMER_PICTURES)) || hub_on_this_machine;
    let segments: Vec<&str> = url.path_segments().map(Iterator::collect).unwrap_or_default();
    let [account, uuid, former_params, name] = segments[..] else {
        return url.clone();
    };
    if !known_host || !is_uuid(uuid) || !former_params.contains('=') || name.is_empty() {
        return url.clone();
    }
    let name = match name.rsplit_once('.') {
        Some((stem, _)) if ends_like_video(url) => format!("{stem}.jpeg"),
        _ => name.to_owned(),
    };
    let mut wanted = url.clone();
    wanted.set_path(&format!("/{account}/{uuid}/{params}/{name}"));
    if url.host_str() == Some(FORMER_PICTURES) {
        wanted.set_host(Some(PICTURES)).expect("a constant host name fits an address that has a host");
    }
    wanted
}

fn ends_like_video(url: &Url) -> bool {
    let path = url.path().to_ascii_lowercase();
    path.ends_with(".mp4") || path.ends_with(".webm")
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &str = "/xG1nkqKTMzGDvpLrqFT7WA/a49ce65f-bee7-4f67-859a-9fd1f8381c3e";

    fn sized(url: &str) -> String {
        let url = url.parse().unwrap();
        let params = if ends_like_video(&url) { STILL_OF_VIDEO } else { STILL_PICTURE };
        with_params(&url, params, false).to_string()
    }

    #[test]
    fn pictures_and_stills_of_videos_are_asked_for_in_list_size() {
        assert_eq!(
            sized(&format!("https://image.civitai.com{PICTURE}/original=true/139439234.jpeg")),
            format!("https://image.civitai.com{PICTURE}/width=450,optimized=true/139439234.jpeg")
        );
        assert_eq!(
            sized(&format!("https://image.civitai.com{PICTURE}/original=true/47.mp4")),
            format!("https://image.civitai.com{PICTURE}/anim=false,transcode=true,width=450/47.jpeg")
        );
        assert_eq!(
            sized(&format!("https://imagecache.civitai.com{PICTURE}/width=450/1")),
            format!("https://image.civitai.com{PICTURE}/width=450,optimized=true/1")
        );
    }

    #[test]
    fn other_addresses_are_left_alone() {
        for url in [
            format!("https://example.org{PICTURE}/original=true/1.jpeg"),
            "https://image.civitai.com/a/b/original=true/1.jpeg".to_owned(),
            format!("https://image.civitai.com{PICTURE}/1.jpeg"),
            "https://image.civitai.com/".to_owned(),
        ] {
            assert_eq!(sized(&url), url);
        }
    }
}
