//! Lists of the Hub: bare JSON arrays whose next page is named by a `Link` header, read to their end.
//!
//! The header's address is an opaque cursor that is passed on as it came (huggingface_hub @ ee0a4510f4bc,
//! `src/huggingface_hub/utils/_pagination.py`), but never to another origin: the token would go with it.

use super::marks::Mark;
use crate::error::HubError;
use crate::refusal::Asked;
use crate::site::{Site, shown};
use crate::transport::{Conditional, JsonText, Transport};
use paintbox_domain::Hub;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;
use url::Url;

/// A list of so many pages has no end: a thousand entries fit on one.
const MOST_PAGES: usize = 1000;

/// One entry of a list.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    /// The Hub's own text.
    pub(super) raw: String,
}

/// A list that was read to its end, or need not be.
#[derive(Debug)]
pub(super) enum Listing {
    /// Its first page says what it said when the mark was made. The mark is the one for the next look.
    Unchanged(Mark),
    Read {
        entries: Vec<Entry>,
        mark: Mark,
        pages: usize,
    },
}

/// A list to be read.
#[derive(Debug)]
pub(super) struct ListQuery<'a> {
    /// Path and query below the endpoint.
    pub(super) first: &'a str,
    pub(super) asked: Asked<'a>,
    /// Whose list it is, for errors.
    pub(super) of: &'a str,
    pub(super) known: Option<&'a Mark>,
    /// What an entry is known by. One that comes again is given once: a list that changes while it is read shifts.
    pub(super) id: fn(&Value) -> Option<String>,
}

/// Reads every page before anything else is asked, because a list that is read slowly shifts under the reader.
///
/// # Errors
/// [`HubError::EndlessList`] when an address comes twice, [`HubError::RedirectRefused`] when one leads elsewhere, and
/// whatever keeps the Hub from answering.
pub(super) async fn read(transport: &Transport, site: &Site, query: ListQuery<'_>) -> Result<Listing, HubError> {
    let validator = query.known.and_then(Mark::etag);
    let first = match transport.json_if_changed(site, query.first, &query.asked, validator).await? {
        Conditional::Unchanged => {
            let url = shown(&site.url(query.first)?);
            let found = "“unchanged” where nothing is known";
            let unasked = HubError::UnexpectedAnswer { hub: site.hub, url, found };
            return query.known.cloned().map(Listing::Unchanged).ok_or(unasked);
        }
        Conditional::Changed(text) => text,
    };
    let whole: Value = serde_json::from_str(&first.text).map_err(malformed(&first))?;
    let mark = Mark::of(&whole, first.validator.clone());
    if query.known.is_some_and(|known| known.says_the_same(&mark)) {
        return Ok(Listing::Unchanged(mark));
    }
    drop(whole);

    let mut seen = HashSet::new();
    let mut entries = Vec::new();
    let mut visited = HashSet::from([query.first.to_owned()]);
    let mut page = first;
    loop {
        gather(&page, query.id, &mut seen, &mut entries)?;
        let Some(next) = next_page(site, &page)? else {
            return Ok(Listing::Read { entries, mark, pages: visited.len() });
        };
        if !visited.insert(next.clone()) || visited.len() > MOST_PAGES {
            let repeated = shown(&site.url(&next)?);
            return Err(HubError::EndlessList { hub: site.hub, creator: query.of.to_owned(), repeated });
        }
        page = transport.json(site, &next, &query.asked).await?;
    }
}

fn gather(
    page: &JsonText,
    id: fn(&Value) -> Option<String>,
    seen: &mut HashSet<String>,
    entries: &mut Vec<Entry>,
) -> Result<(), HubError> {
    // Kept as text beside what is understood of it: a hub's words are evidence.
    let texts: Vec<Box<RawValue>> = serde_json::from_str(&page.text).map_err(malformed(page))?;
    for text in texts {
        let raw = text.get().to_owned();
        let value: Value = serde_json::from_str(&raw).map_err(malformed(page))?;
        match id(&value) {
            Some(id) if seen.insert(id.clone()) => entries.push(Entry { value, raw }),
            Some(_) => {}
            None => tracing::warn!(list = page.from, "an entry without a usable name is left out"),
        }
    }
    Ok(())
}

fn malformed(page: &JsonText) -> impl Fn(serde_json::Error) -> HubError {
    let url = page.from.clone();
    move |source| HubError::Malformed { hub: Hub::HuggingFace, url: url.clone(), source }
}

/// Path and query of the page that `Link: <…>; rel="next"` names, below the endpoint.
fn next_page(site: &Site, page: &JsonText) -> Result<Option<String>, HubError> {
    let Some(address) = page.link.as_deref().and_then(|link| related(link, "next")) else {
        return Ok(None);
    };
    let elsewhere = |to: String| HubError::RedirectRefused {
        hub: site.hub,
        from: page.from.clone(),
        to,
        problem: "the next page of a list is on the hub itself",
    };
    let base = site.url("/")?;
    let next: Url = base.join(address).map_err(|_| elsewhere("an address that cannot be read".to_owned()))?;
    below_endpoint(site, &next).map(Some).ok_or_else(|| elsewhere(shown(&next)))
}

/// Path and query of an address below the endpoint; none for any other.
pub(super) fn below_endpoint(site: &Site, url: &Url) -> Option<String> {
    let rest = site.is_own_origin(url).then(|| url.as_str().strip_prefix(site.endpoint_text()))??;
    rest.starts_with('/').then(|| rest.to_owned())
}

/// The address that a `Link` header gives the relation `wanted` (RFC 8288). Commas and semicolons may stand inside an
/// address, so the brackets lead the way.
pub(super) fn related<'a>(link: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = link;
    while let Some((_, from_address)) = rest.split_once('<') {
        let (address, after) = from_address.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_wanted = parameters.split(';').any(|parameter| {
            parameter.trim().split_once('=').is_some_and(|(name, value)| {
                let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("rel")
                    && value.split(' ').any(|word| word.eq_ignore_ascii_case(wanted))
            })
        });
        if is_wanted {
            return Some(address);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_address_is_found_among_others() {
        for (link, wanted) in [
            (r#"<https://h/api/models?cursor=a%3D>; rel="next""#, Some("https://h/api/models?cursor=a%3D")),
            (r#"<https://h/a,b;c>; title="x"; rel=next"#, Some("https://h/a,b;c")),
            (r#"<https://h/1>; rel="prev", <https://h/2>; rel="next last""#, Some("https://h/2")),
            (r#"<https://h/1>; rel="prev""#, None),
            (r#"<https://h/x>; rel="xet-auth", <https://h/y>; rel="nextish""#, None),
            ("<https://h/x", None),
            ("", None),
        ] {
            assert_eq!(related(link, "next"), wanted, "{link}");
        }
        assert_eq!(
            related(r#"<https://h/x>; rel="xet-auth", <https://h/y>; rel="z""#, "xet-auth"),
            Some("https://h/x")
        );
    }

    #[test]
    fn a_next_page_stays_below_the_endpoint() {
        let next = |endpoint: &str, address: &str| {
            let site = Site::new(
                Hub::HuggingFace,
                endpoint.parse().unwrap(),
                None,
                std::sync::Arc::new(paintbox_domain::clock::ManualClock::default()),
            )
            .unwrap();
            let link = Some(format!("<{address}>; rel=\"next\""));
            let page = JsonText { text: String::new(), from: endpoint.to_owned(), validator: None, link };
            next_page(&site, &page)
        };
        let hub = "https://huggingface.co";
        assert_eq!(next(hub, "https://huggingface.co/api/models?a=1").unwrap().as_deref(), Some("/api/models?a=1"));
        assert_eq!(next(hub, "/api/models?a=1").unwrap().as_deref(), Some("/api/models?a=1"));
        let below = next("https://mirror.example/hf/", "https://mirror.example/hf/api/models?a=1");
        assert_eq!(below.unwrap().as_deref(), Some("/api/models?a=1"));
        for (endpoint, bad) in [
            (hub, "https://evil.example/api/models?token=s3cret"),
            (hub, "http://huggingface.co/api/models"),
            (hub, "//evil.example/api"),
            ("https://mirror.example/hf/", "https://mirror.example/secrets"),
            ("https://mirror.example/hf", "https://mirror.example/hfx/secrets"),
        ] {
            let error = next(endpoint, bad).unwrap_err();
            assert!(matches!(error, HubError::RedirectRefused { .. }), "{bad}: {error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
