//! Model cards: a repository's `README.md`, kept as its author wrote it.
//!
//! The front matter between two lines of `---` is YAML that people write by hand, and a good part of it is broken. The
//! Hub's own reading, `cardData`, comes first; ours is for answers without one. A card that cannot be read is still a
//! text worth keeping.

use crate::download;
use crate::error::HubError;
use crate::retry;
use crate::site::Site;
use crate::transport::Transport;
use futures::TryStreamExt;
use paintbox_domain::Hub;
use paintbox_domain::hub::{FileSize, HubFile};
use serde_json::Value;
use std::sync::Arc;

/// The Hub shows no other file as the card.
const CARD: &str = "README.md";
/// Longer ones are not read by anybody; the longest recorded card has 17 kB.
const LARGEST_CARD_BYTES: u64 = 1 << 20;

/// The card among a commit's files; one that is too large to keep counts as none.
pub(super) fn find(files: &[HubFile]) -> Option<&HubFile> {
    let card = files.iter().find(|file| file.external_id == CARD)?;
    let size = card.size.map_or(0, FileSize::bytes);
    if size > LARGEST_CARD_BYTES {
        tracing::info!(card = card.locator, size_bytes = size, "the model card is too large to keep");
        return None;
    }
    Some(card)
}

/// The card's whole text. Bytes that are no UTF-8 are replaced: one bad byte must not cost the text around it.
///
/// # Errors
/// Whatever keeps the file from coming.
pub(super) async fn fetch(transport: &Transport, site: &Arc<Site>, card: &HubFile) -> Result<String, HubError> {
    let bytes = retry::patiently(transport.timeouts.first_retry, || async {
        let mut body = download::open(transport, site, &card.locator, None, None).await?.body;
        let mut bytes: Vec<u8> = Vec::new();
        while let Some(chunk) = body.try_next().await? {
            bytes.extend_from_slice(&chunk);
            if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST_CARD_BYTES) {
                let url = card.locator.clone();
                return Err(HubError::UnexpectedAnswer {
                    hub: Hub::HuggingFace,
                    url,
                    found: "a far larger model card",
                });
            }
        }
        Ok(bytes)
    })
    .await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The front matter as the Hub would give it in `cardData`; none if there is none that can be read.
pub(super) fn front_matter(card: &str) -> Option<Value> {
    let yaml = between_dashes(card)?;
    // `language: no` is Norwegian, and the last of two equal keys counts, as in most parsers.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
    };
    match serde_saphyr::from_str_with_options::<Value>(&yaml, options) {
        Ok(data @ Value::Object(_)) => Some(data),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "the front matter of a model card cannot be read");
            None
        }
    }
}

/// What stands between the first line, `---`, and the next one. Blank lines may come first, and line ends are those of
/// any system.
fn between_dashes(card: &str) -> Option<String> {
    let is_fence = |line: &str| line.trim_end() == "---";
    let mut lines = card.trim_start_matches('\u{feff}').trim_start().lines();
    if !is_fence(lines.next()?) {
        return None;
    }
    let mut yaml = String::new();
    for line in lines {
        if is_fence(line) {
            return Some(yaml);
        }
        yaml.push_str(line);
        yaml.push('\n');
    }
    // Never closed: then it is a rule above a text.
    None
}

/// What is kept of a page and its card: both as they came, so that a card's past is kept with its page's.
pub(super) fn kept_with(page: &str, card: &str) -> String {
    format!("{{\"page\":{page},\"card\":{}}}", Value::from(card))
}

/// The page and the card of what was kept; a page that was kept alone has no card.
pub(super) fn parted(kept: &Value) -> (&Value, Option<&str>) {
    match (kept.get("page"), kept.get("card").and_then(Value::as_str)) {
        (Some(page), Some(card)) if page.is_object() => (page, Some(card)),
        _ => (kept, None),
    }
}

/// The page with what its card's front matter says, where the Hub's own reading of the card is missing.
pub(super) fn completed(page: &Value, card: &str) -> Option<Value> {
    if page.get("cardData").is_some_and(Value::is_object) {
        return None;
    }
    let mut page = page.clone();
    page["cardData"] = front_matter(card)?;
    Some(page)
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
