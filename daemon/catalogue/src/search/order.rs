//! What comes first.

use super::bits::Bits;
use super::filter::Number;
use super::segment::{Mask, SEGMENT_ROWS, Segment};

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

/// The place of a model. Among equals the one that is known for longer comes last, or first when turned round.
fn place(order: SearchOrder, id: usize, number: u32, in_name: bool) -> Place {
    let key = i64::from(number) + if in_name { IN_NAME } else { 0 };
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
    /// What is not larger does not belong to them.
    floor: Option<Place>,
    /// Those that may; now and then only the largest of them stay. A heap would move its entries for every place that
    /// is offered where they come in rising order, as new models do.
    found: Vec<Place>,
}

/// Places between two reductions, beside those that are wanted: together less than 64 KiB, since the allocator of glibc
/// goes through all that is free whenever as much is given back (`FASTBIN_CONSOLIDATION_THRESHOLD`, malloc.c).
const SPARE: usize = 2_048;

impl First {
    /// The `wanted` places behind `after`.
    pub(crate) fn new(wanted: usize, after: Option<Place>) -> Self {
        Self { wanted, after, floor: None, found: Vec::with_capacity(wanted + SPARE) }
    }

    /// Offers these models of a segment, the one of this number. `in_name` holds the models whose names hold the text.
    pub(crate) fn offer_all(
        &mut self,
        order: SearchOrder,
        number: usize,
        segment: &Segment,
        models: &Mask,
        in_name: Option<&Bits>,
    ) {
        let of = match order.by {
            SortKey::Best | SortKey::Downloads => Number::Downloads,
            SortKey::Likes => Number::Likes,
            SortKey::Created => Number::Created,
            SortKey::Updated => Number::Updated,
            SortKey::Size => Number::Size,
            // The tables tell; see `by_name`.
            SortKey::Name => return,
        };
        let Some(keys) = segment.numbers(of) else { return };
        let mut models = *models;
        if let (Some((floor, _)), None) = (self.floor, in_name) {
            // Most fall here, many at a time.
            let floor = u32::try_from(if order.descending { floor } else { TURN - floor }).unwrap_or_default();
            models.narrow(keys, |key| if order.descending { key >= floor } else { key <= floor });
        }
        models.for_each(|at| {
            let id = number * SEGMENT_ROWS + at;
            self.offer(place(order, id, keys[at], in_name.is_some_and(|models| models.contains(id))));
        });
    }

    fn offer(&mut self, place: Place) {
        if self.floor.is_some_and(|floor| place <= floor) || self.after.is_some_and(|after| place >= after) {
            return;
        }
        self.found.push(place);
        if self.found.len() == self.wanted + SPARE {
            self.reduce();
        }
    }

    /// Takes over the places that another one found.
    pub(crate) fn add(&mut self, other: Self) {
        other.found.into_iter().for_each(|place| self.offer(place));
    }

    /// Lets go of all but those that are wanted.
    fn reduce(&mut self) {
        let Some(last) = self.wanted.checked_sub(1).filter(|last| *last < self.found.len()) else { return };
        let (_, floor, _) = self.found.select_nth_unstable_by(last, |one, other| other.cmp(one));
        self.floor = Some(*floor);
        self.found.truncate(self.wanted);
    }

    pub(crate) fn finish(mut self) -> Vec<Place> {
        self.reduce();
        self.found.sort_unstable_by(|one, other| other.cmp(one));
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_are_those_of_a_sorted_list(
            places in prop::collection::btree_set((0_i64..9, 0_i64..9_999), 0..6_000),
            wanted in 1_usize..9,
            after in prop::option::of((0_i64..9, 0_i64..99)),
        ) {
            let (mut first, mut other) = (First::new(wanted, after), First::new(wanted, after));
            for (at, place) in places.iter().enumerate() {
                if at % 3 == 0 { other.offer(*place) } else { first.offer(*place) }
            }
            first.add(other);
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
