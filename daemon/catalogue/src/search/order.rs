//! What comes first.

use super::filter::Number;
use super::row::Row;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// By what, and which end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SearchOrder {
    pub by: SortKey,
    /// The largest, newest or last first.
    pub descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// Models with all the words in their name, then the most downloaded; always the best first.
    Best,
    Downloads,
    Likes,
    /// By publication, or where the hub does not tell it, by when the model was first seen here.
    Created,
    Updated,
    /// Of the weights that are on this machine.
    Size,
    Name,
}

impl SearchOrder {
    pub const BEST: Self = Self { by: SortKey::Best, descending: true };
    pub const NEWEST: Self = Self { by: SortKey::Created, descending: true };

    /// Reads AIP-132's form: a field, with `desc` behind it for the other end first.
    #[must_use]
    pub fn from_name(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let by = SortKey::from_name(words.next()?)?;
        let descending = match (words.next(), words.next()) {
            (None, None) => by == SortKey::Best,
            (Some(word), None) if word.eq_ignore_ascii_case("desc") => true,
            (Some(word), None) if word.eq_ignore_ascii_case("asc") => by == SortKey::Best,
            _ => return None,
        };
        Some(Self { by, descending })
    }
}

impl SortKey {
    pub const ALL: [Self; 7] =
        [Self::Best, Self::Downloads, Self::Likes, Self::Created, Self::Updated, Self::Size, Self::Name];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Downloads => "downloads",
            Self::Likes => "likes",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Size => "size",
            Self::Name => "name",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str().eq_ignore_ascii_case(name))
    }
}

/// Where a model stands: the larger comes first.
pub(crate) type Place = (i64, i64);

/// Turns an order round; larger than any key.
const TURN: i64 = 1 << 40;
/// What a name that holds all the words is worth; larger than any number of downloads.
const IN_NAME: i64 = 1 << 33;

/// The place of a row. Among equals the one that is known for longer comes last, or first when turned round.
pub(crate) fn place(order: SearchOrder, id: usize, row: &Row, in_name: bool) -> Place {
    let key = match order.by {
        SortKey::Best => i64::from(row.number(Number::Downloads)) + if in_name { IN_NAME } else { 0 },
        SortKey::Downloads => i64::from(row.number(Number::Downloads)),
        SortKey::Likes => i64::from(row.number(Number::Likes)),
        SortKey::Created => i64::from(row.number(Number::Created)),
        SortKey::Updated => i64::from(row.number(Number::Updated)),
        SortKey::Size => i64::from(row.number(Number::Size)),
        // The tables tell; see `by_name`.
        SortKey::Name => 0,
    };
    let id = i64::try_from(id).unwrap_or(TURN);
    if order.descending { (key, id) } else { (TURN - key, TURN - id) }
}

/// The model that stands at a place.
pub(crate) fn model_at(order: SearchOrder, place: Place) -> i64 {
    if order.descending { place.1 } else { TURN - place.1 }
}

/// The first few of many places.
pub(crate) struct First {
    wanted: usize,
    after: Option<Place>,
    /// The last of them on top.
    found: BinaryHeap<Reverse<Place>>,
}

impl First {
    /// The `wanted` places behind `after`.
    pub(crate) fn new(wanted: usize, after: Option<Place>) -> Self {
        Self { wanted, after, found: BinaryHeap::with_capacity(wanted + 1) }
    }

    pub(crate) fn offer(&mut self, place: Place) {
        if self.after.is_some_and(|after| place >= after) {
            return;
        }
        if self.found.len() == self.wanted {
            if self.found.peek().is_none_or(|Reverse(last)| place <= *last) {
                return;
            }
            self.found.pop();
        }
        self.found.push(Reverse(place));
    }

    pub(crate) fn finish(self) -> Vec<Place> {
        self.found.into_sorted_vec().into_iter().map(|Reverse(place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_are_those_of_a_sorted_list(
            places in prop::collection::btree_set((0_i64..9, 0_i64..99), 0..60),
            wanted in 1_usize..9,
            after in prop::option::of((0_i64..9, 0_i64..99)),
        ) {
            let mut first = First::new(wanted, after);
            places.iter().for_each(|place| first.offer(*place));
            let behind = places.into_iter().rev().filter(|place| after.is_none_or(|after| *place < after));
            prop_assert_eq!(first.finish(), behind.take(wanted).collect::<Vec<_>>());
        }
    }

    #[test]
    fn orders_are_read_as_aip_132_writes_them() {
        let order = |by, descending| Some(SearchOrder { by, descending });
        for (text, wanted) in [
            ("downloads desc", order(SortKey::Downloads, true)),
            (" Created  DESC ", order(SortKey::Created, true)),
            ("name", order(SortKey::Name, false)),
            ("likes asc", order(SortKey::Likes, false)),
            ("best", Some(SearchOrder::BEST)),
            ("", None),
            ("colour", None),
            ("name up", None),
            ("name desc x", None),
        ] {
            assert_eq!(SearchOrder::from_name(text), wanted, "{text}");
        }
    }
}
