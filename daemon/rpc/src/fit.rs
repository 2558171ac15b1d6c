//! Answers that fit into a message. No message of the API is larger than a mebibyte, whatever hubs, files and folders put on
//! record: texts are cut, lists within a resource end where there is no more room and say how long they are, and pages end
//! early (AIP-158 lets them).

use prost::Message;

/// What the entries of an answer may take; the rest of the mebibyte is for what stands around them.
pub(crate) const ROOM: usize = 960 << 10;
/// Of names, labels, tags and words. Hubs take none that is nearly as long.
pub(crate) const LONGEST_NAME: usize = 1 << 10;
/// Of the words of one thing: its tags, its trigger words.
const LARGEST_WORDS: usize = 48 << 10;
/// What an entry takes in its list beside its own bytes: a tag and a length.
const AROUND: usize = 8;

/// The beginning of a text, as much of it as may be told.
pub(crate) fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// A name or label that somebody else gave.
pub(crate) fn name(text: &str) -> String {
    cut(text, LONGEST_NAME)
}

/// As many words as there is room for.
pub(crate) fn words(texts: &[String]) -> Vec<String> {
    let mut room = LARGEST_WORDS;
    let mut told = Vec::with_capacity(texts.len());
    for text in texts {
        let text = name(text);
        match room.checked_sub(text.len() + AROUND) {
            Some(left) => room = left,
            None => break,
        }
        told.push(text);
    }
    told
}

pub(crate) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The first entries, at most `most` of them, as messages for which there is `room`; and where it is not among them the one at
/// the place `named`, as the last.
pub(crate) fn entries<T, M: Message>(
    all: &[T],
    room: usize,
    most: usize,
    named: Option<usize>,
    message: impl Fn(&T) -> M,
) -> Vec<M> {
    let mut apart = named.and_then(|at| Some((at, message(all.get(at)?))));
    let mut room = room.saturating_sub(apart.as_ref().map_or(0, |(_, message)| size(message)));
    let mut told = Vec::new();
    for (at, entry) in all.iter().enumerate() {
        if apart.as_ref().is_some_and(|(named, _)| *named == at) {
            told.extend(apart.take().map(|(_, message)| message));
            continue;
        }
        if told.len() + usize::from(apart.is_some()) >= most {
            break;
        }
        let message = message(entry);
        match room.checked_sub(size(&message)) {
            Some(left) => room = left,
            None => break,
        }
        told.push(message);
    }
    told.extend(apart.map(|(_, message)| message));
    told
}

/// The first entries for which there is `room`.
pub(crate) fn first<T, M: Message>(all: &[T], room: usize, message: impl Fn(&T) -> M) -> Vec<M> {
    entries(all, room, usize::MAX, None, message)
}

/// What a message takes in a list.
pub(crate) fn size(message: &impl Message) -> usize {
    message.encoded_len() + AROUND
}

/// How many entries a page is asked for: fewer, when those of the one before were too large for a message.
#[derive(Debug)]
pub(crate) struct PageSize(u32);

impl PageSize {
    pub(crate) fn new(entries: u32) -> Self {
        Self(entries)
    }

    pub(crate) fn entries(&self) -> u32 {
        self.0
    }

    /// Whether the answer can be sent as it is. If not, half as many entries are to be asked for.
    pub(crate) fn fits(&mut self, answer: &impl Message) -> bool {
        let fits = self.0 <= 1 || answer.encoded_len() <= ROOM;
        if !fits {
            self.0 /= 2;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_proto::v1::{FacetValue, ListBackupsResponse};

    fn value(entry: &&str) -> FacetValue {
        FacetValue { value: (*entry).to_owned(), models: 1 }
    }

    fn told(room: usize, most: usize, named: Option<usize>) -> String {
        let told = entries(&["aaaa", "bbbb", "cccc", "dddd"], room, most, named, value);
        told.iter().map(|value| &value.value[..1]).collect()
    }

    #[test]
    fn a_list_ends_where_there_is_no_more_room_and_has_what_was_named() {
        let one = size(&value(&"aaaa"));
        assert_eq!(told(4 * one, 9, None), "abcd");
        assert_eq!(told(4 * one - 1, 9, None), "abc");
        assert_eq!(told(4 * one, 2, None), "ab");
        assert_eq!(told(2 * one, 9, Some(3)), "ad");
        assert_eq!(told(4 * one, 2, Some(3)), "ad");
        assert_eq!(told(4 * one, 9, Some(1)), "abcd");
        assert_eq!(told(4 * one, 2, Some(1)), "ab");
        assert_eq!(told(0, 9, Some(2)), "c", "whoever names one gets it");
        assert_eq!(told(0, 9, None), "");
        assert_eq!(told(0, 9, Some(4)), "", "there is none at that place");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!((cut("größe", 3).as_str(), cut("größe", 99).as_str()), ("gr", "größe"));
        assert_eq!(words(&["a".repeat(9 << 10), "b".into()]), ["a".repeat(LONGEST_NAME), "b".into()]);
        let many = vec!["x".repeat(LONGEST_NAME); 1_000];
        assert_eq!(words(&many).len(), LARGEST_WORDS / (LONGEST_NAME + AROUND));
    }

    #[test]
    fn a_page_that_is_too_large_is_asked_for_again_and_smaller() {
        let answer = |entries: u32, each: usize| ListBackupsResponse {
            folder: "x".repeat(entries as usize * each),
            ..Default::default()
        };
        let asked = |entries: u32, each: usize| {
            let mut size = PageSize::new(entries);
            let mut asked = vec![size.entries()];
            while !size.fits(&answer(size.entries(), each)) {
                asked.push(size.entries());
            }
            asked
        };
        assert_eq!(asked(100, 30_000), [100, 50, 25]);
        assert_eq!(asked(500, 20), [500]);
        assert_eq!(asked(4, 1 << 20), [4, 2, 1], "one entry is as small as it gets");
    }
}
