//! Pages (AIP-158) of lists that are short enough to be read as a whole, such as volumes, or of which the keys are, such as a
//! model's versions. Lists of any length are paged by the catalogue.

use crate::fit;
use crate::server::page_size;
use crate::status::status;
use paintbox_catalogue::CatalogueError;
use paintbox_domain::digest::to_hex;
use prost::Message;
use std::ops::Range;
use tonic::Status;

/// Longer tokens were not made here.
const LONGEST_TOKEN: usize = 4096;

/// Which page of a list is asked for.
#[derive(Debug)]
pub(crate) struct Page {
    listing: String,
    size: usize,
    /// The place and key of the last entry of the page before.
    after: Option<(usize, String)>,
}

impl Page {
    /// `listing` names the list, so that a token is good for no other.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a negative size, `PAGE_TOKEN_INVALID` for a token that is not of this list.
    pub(crate) fn read(listing: &str, size: i32, token: &str) -> Result<Self, Status> {
        let size = page_size(size)? as usize;
        let after = match token {
            "" => None,
            token => {
                let read = read(listing, token);
                Some(read.ok_or_else(|| status(&CatalogueError::PageTokenInvalid))?)
            }
        };
        Ok(Self { listing: listing.to_owned(), size, after })
    }

    /// The entries of the page as messages, and the token of the next one. An entry that came or went meanwhile makes no other
    /// one come twice or be left out. A page has one entry at least, and no more than fit into an answer.
    pub(crate) fn of<T, M: Message>(
        &self,
        entries: &[T],
        key: impl Fn(&T) -> String,
        message: impl Fn(&T) -> M,
    ) -> (Vec<M>, String) {
        let places = self.places(entries, &key);
        self.read_ones(entries, &entries[places.clone()], places.start, key, message)
    }

    /// Where the entries of the page stand among all, of which more than their keys need not be read.
    pub(crate) fn places<T>(&self, all: &[T], key: impl Fn(&T) -> String) -> Range<usize> {
        let start = match &self.after {
            None => 0,
            Some((place, last)) => match all.iter().position(|entry| key(entry) == *last) {
                Some(found) => found + 1,
                // It is gone, and the next one stands in its place.
                None => (*place).min(all.len()),
            },
        };
        start..start.saturating_add(self.size).min(all.len())
    }

    /// [`Self::of`] for entries that were read because they stand at [`Self::places`], which begin at `start`.
    pub(crate) fn read_ones<T, E, M: Message>(
        &self,
        all: &[T],
        read: &[E],
        start: usize,
        key: impl Fn(&T) -> String,
        message: impl Fn(&E) -> M,
    ) -> (Vec<M>, String) {
        let messages = fit::entries(read, fit::ROOM, self.size, Some(0), message);
        let end = start + messages.len();
        let next = match all[start..end].last() {
            Some(last) if end < all.len() => to_hex(format!("{}\n{}\n{}", self.listing, end - 1, key(last)).as_bytes()),
            _ => String::new(),
        };
        (messages, next)
    }
}

fn read(listing: &str, token: &str) -> Option<(usize, String)> {
    if token.len() > LONGEST_TOKEN || !token.is_ascii() || !token.len().is_multiple_of(2) {
        return None;
    }
    let bytes = (0..token.len()).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16).ok());
    let text = String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()?;
    let (place, key) = text.strip_prefix(listing)?.strip_prefix('\n')?.split_once('\n')?;
    Some((place.parse().ok()?, key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_proto::v1::FacetValue;
    use tonic_types::StatusExt as _;

    fn page(entries: &[&str], size: i32, token: &str) -> (String, String) {
        let value = |entry: &&str| FacetValue { value: (*entry).to_owned(), models: 1 };
        let (messages, next) =
            Page::read("letters", size, token).unwrap().of(entries, |entry| entry[..1].to_owned(), value);
        (messages.into_iter().map(|message| message.value).collect(), next)
    }

    #[test]
    fn pages_follow_each_other_whatever_comes_and_goes() {
        let (first, token) = page(&["a", "b", "c", "d", "e"], 2, "");
        assert_eq!(first, "ab");
        let (second, _) = page(&["a", "b", "c", "d", "e"], 2, &token);
        assert_eq!(second, "cd");
        let (came, _) = page(&["x", "a", "b", "c"], 2, &token);
        assert_eq!(came, "c");
        let (gone, last) = page(&["a", "c", "d"], 2, &token);
        assert_eq!((gone.as_str(), last.as_str()), ("cd", ""));
        let (nothing, last) = page(&[], 2, &token);
        assert_eq!((nothing.as_str(), last.as_str()), ("", ""));
    }

    #[test]
    fn a_page_ends_where_a_message_has_no_more_room() {
        let long = ["a", "b", "c"].map(|letter| letter.repeat(500 << 10));
        let entries: Vec<&str> = long.iter().map(String::as_str).collect();
        let (first, token) = page(&entries, 3, "");
        assert_eq!(first.len(), 500 << 10);
        let (second, token) = page(&entries, 3, &token);
        assert!(second.starts_with('b') && !token.is_empty());
        let (third, last) = page(&entries, 3, &token);
        assert_eq!((third.as_bytes()[0], last.as_str()), (b'c', ""));
    }

    #[test]
    fn a_token_is_good_for_its_own_list_alone() {
        let (_, token) = page(&["a", "b"], 1, "");
        let refused =
            [("numbers", token.as_str()), ("letters", "00"), ("letters", "é"), ("letters", "zz"), ("letters", "1")];
        for (listing, token) in refused {
            let status = Page::read(listing, 1, token).unwrap_err();
            assert_eq!(status.get_details_error_info().unwrap().reason, "PAGE_TOKEN_INVALID", "{listing} {token}");
        }
        assert!(Page::read("letters", -1, "").is_err());
    }
}
