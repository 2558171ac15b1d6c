//! Page tokens: where a listing stopped, and of which listing. They name the last row that was handed out, not an
//! offset, so that rows which come or go meanwhile neither repeat nor hide others.

use crate::error::CatalogueError;
use crate::snapshot::sha256;
use paintbox_domain::digest::to_hex;

const DEFAULT_SIZE: u32 = 50;
const LARGEST_SIZE: u32 = 500;
/// Enough of a digest to tell one query from another; nothing secret hangs on it.
const FINGERPRINT_BYTES: usize = 8;

/// Rows on a page: the default for 0, and never more than the largest.
pub(crate) fn size(wanted: u32) -> usize {
    let size = if wanted == 0 { DEFAULT_SIZE } else { wanted.min(LARGEST_SIZE) };
    size as usize
}

/// `query` is anything that is equal exactly when the listing is the same.
fn fingerprint(query: &str) -> String {
    to_hex(&sha256(query.as_bytes()).as_bytes()[..FINGERPRINT_BYTES])
}

/// A token for the rows after the one with these sort keys.
pub(crate) fn token<const KEYS: usize>(query: &str, keys: [i64; KEYS]) -> String {
    let keys: Vec<String> = keys.iter().map(i64::to_string).collect();
    to_hex(format!("{}:{}", fingerprint(query), keys.join(":")).as_bytes())
}

/// The sort keys of a token that [`token`] made for the same query; an absent or empty one starts from the top.
pub(crate) fn keys<const KEYS: usize>(query: &str, token: Option<&str>) -> Result<Option<[i64; KEYS]>, CatalogueError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    read(query, token).map(Some).ok_or(CatalogueError::PageTokenInvalid)
}

fn read<const KEYS: usize>(query: &str, token: &str) -> Option<[i64; KEYS]> {
    if token.len() > 512 {
        return None;
    }
    let digits: Vec<u8> =
        token.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let text = String::from_utf8(pairs.iter().map(|[high, low]| high << 4 | low).collect()).ok()?;
    let keys = text.strip_prefix(&fingerprint(query))?.strip_prefix(':')?;
    let keys: Vec<i64> = keys.split(':').map(|key| key.parse().ok()).collect::<Option<_>>()?;
    keys.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_bounded() {
        assert_eq!((size(0), size(7), size(u32::MAX)), (50, 7, 500));
    }

    proptest! {
        #[test]
        fn a_token_continues_its_own_query_only(query in ".{0,20}", other in ".{0,20}", a: i64, b: i64) {
            let made = token(&query, [a, b]);
            prop_assert_eq!(keys(&query, Some(&made)).unwrap(), Some([a, b]));
            if other != query {
                prop_assert!(keys::<2>(&other, Some(&made)).is_err());
            }
            prop_assert!(keys::<3>(&query, Some(&made)).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let _read: Result<Option<[i64; 2]>, _> = keys("", Some(&text));
        }
    }
}
