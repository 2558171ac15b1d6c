//! What a search knows of one model without asking the tables: a row of fixed length, in memory and in `search_rows`.

use crate::search::filter::{Fact, Number};
use paintbox_domain::ModelKind;
use paintbox_domain::hub::ModelState;

/// Rows of one stored chunk; together they fill a page of the file.
pub(crate) const CHUNK_ROWS: usize = 80;
pub(crate) const ROW_BYTES: usize = 48;

const PRESENT: u32 = 1;
/// The bit of models of which weights are on this machine; see [`fact_bit`].
pub(crate) const DOWNLOADED: u32 = 2;
/// Of texts that no model has.
pub(crate) const NO_LABEL: u32 = 0;
const BYTES_PER_KIB: u64 = 1024;

/// One model. Numbers that the hub may not tell are one more than what it says, and 0 where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub(crate) flags: u32,
    pub(crate) kind: u8,
    pub(crate) hub: u8,
    pub(crate) state: u8,
    /// As [`Number::Nsfw`] counts.
    pub(crate) nsfw: u8,
    pub(crate) downloads: u32,
    pub(crate) likes: u32,
    /// Seconds since 1970.
    pub(crate) created: u32,
    pub(crate) updated: u32,
    /// KiB, rounded up.
    pub(crate) size_kib: u32,
    /// Of `search_label`, as the next four.
    pub(crate) creator: u32,
    pub(crate) base_models: u32,
    pub(crate) architectures: u32,
    pub(crate) formats: u32,
    pub(crate) precisions: u32,
}

impl Row {
    /// The row of a model that there is.
    pub(crate) fn present() -> Self {
        Self { flags: PRESENT, ..Self::default() }
    }

    pub(crate) fn is_present(&self) -> bool {
        self.flags & PRESENT != 0
    }

    /// What is known of a fact: a bit for "it holds" and one for "it does not".
    pub(crate) fn state_fact(&mut self, fact: Fact, known: Option<bool>) {
        if let (Some(holds), Some(bit)) = (known, fact_bit(fact, true)) {
            self.flags |= if holds { bit } else { bit << 1 };
        }
    }

    pub(crate) fn write_to(&self, bytes: &mut [u8; ROW_BYTES]) {
        let small = u32::from_le_bytes([self.kind, self.hub, self.state, self.nsfw]);
        let words = [
            self.flags,
            small,
            self.downloads,
            self.likes,
            self.created,
            self.updated,
            self.size_kib,
            self.creator,
            self.base_models,
            self.architectures,
            self.formats,
            self.precisions,
        ];
        for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
    }

    pub(crate) fn read_from(bytes: &[u8; ROW_BYTES]) -> Self {
        let mut words = [0_u32; ROW_BYTES / 4];
        for (word, place) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*place);
        }
        let [
            flags,
            small,
            downloads,
            likes,
            created,
            updated,
            size_kib,
            creator,
            base_models,
            architectures,
            formats,
            precisions,
        ] = words;
        let [kind, hub, state, nsfw] = small.to_le_bytes();
        Self {
            flags,
            kind,
            hub,
            state,
            nsfw,
            downloads,
            likes,
            created,
            updated,
            size_kib,
            creator,
            base_models,
            architectures,
            formats,
            precisions,
        }
    }
}

/// The bit that says whether a fact holds or does not; none of what rows do not tell.
pub(crate) fn fact_bit(fact: Fact, holds: bool) -> Option<u32> {
    let pair = match fact {
        Fact::Downloaded => 0,
        Fact::Gone => 1,
        Fact::EarlyAccess => 2,
        Fact::Commercial => 3,
        Fact::Derivatives => 4,
        Fact::Credit => 5,
        Fact::Sell => 6,
        Fact::Followed => return None,
    };
    Some(2 << (2 * pair + u32::from(!holds)))
}

/// The bounds of a number as a row holds it.
pub(crate) fn stored_bounds(of: Number, least: u64, most: u64) -> (u64, u64) {
    match of {
        Number::Downloads | Number::Likes => (least.saturating_add(1), most.saturating_add(1)),
        Number::Size => (least.div_ceil(BYTES_PER_KIB), most.div_ceil(BYTES_PER_KIB)),
        Number::Created | Number::Updated | Number::Nsfw => (least, most),
    }
}

/// A count that may not be told. What is beyond 32 bits is not told apart.
pub(crate) fn stored_count(count: Option<i64>) -> u32 {
    count.map_or(0, |count| u32::try_from(count.max(0)).unwrap_or(u32::MAX).saturating_add(1))
}

/// The count behind a number; none when it is too high to be told.
pub(crate) fn counted(stored: u32) -> Option<Option<i64>> {
    (stored < u32::MAX).then(|| stored.checked_sub(1).map(i64::from))
}

pub(crate) fn stored_time(unix_ms: i64) -> u32 {
    let seconds = unix_ms.div_euclid(1_000).max(0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

pub(crate) fn stored_size(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_PER_KIB)).unwrap_or(u32::MAX)
}

/// A kind's number in rows. Numbers are stored: they are never given to another kind.
pub(crate) fn kind_number(kind: ModelKind) -> u8 {
    match kind {
        ModelKind::Unknown => 0,
        ModelKind::Checkpoint => 1,
        ModelKind::Lora => 2,
        ModelKind::TextualInversion => 3,
        ModelKind::Vae => 4,
        ModelKind::ControlNet => 5,
        ModelKind::Upscaler => 6,
        ModelKind::TextEncoder => 7,
        ModelKind::Network => 8,
        ModelKind::Other => 9,
    }
}

/// The same for states.
pub(crate) fn state_number(state: ModelState) -> u8 {
    match state {
        ModelState::Published => 1,
        ModelState::Archived => 2,
        ModelState::TakenDown => 3,
        ModelState::Gated => 4,
        ModelState::Disabled => 5,
    }
}

/// The hubs that rows tell apart, by their number less one.
pub(crate) const HUBS: [&str; 3] = ["civitai", "hf", "local"];

/// The same for hubs; 0 for one that this release does not know.
pub(crate) fn hub_number(hub: &str) -> u8 {
    HUBS.iter().zip(1..).find(|(known, _)| **known == hub).map_or(0, |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_comes_back_as_it_was_written(bytes in prop::collection::vec(any::<u8>(), ROW_BYTES)) {
            let bytes: [u8; ROW_BYTES] = bytes.try_into().unwrap();
            let mut written = [0; ROW_BYTES];
            Row::read_from(&bytes).write_to(&mut written);
            prop_assert_eq!(written, bytes);
        }
    }

    #[test]
    fn facts_have_bits_of_their_own() {
        let facts = [
            Fact::Downloaded,
            Fact::Gone,
            Fact::EarlyAccess,
            Fact::Commercial,
            Fact::Derivatives,
            Fact::Credit,
            Fact::Sell,
        ];
        assert_eq!(fact_bit(Fact::Downloaded, true), Some(DOWNLOADED));
        let mut seen = PRESENT;
        for fact in facts {
            for holds in [true, false] {
                let bit = fact_bit(fact, holds).unwrap();
                assert_eq!(seen & bit, 0, "{fact:?} {holds}");
                seen |= bit;
                let mut row = Row::present();
                row.state_fact(fact, Some(holds));
                assert_eq!(row.flags, PRESENT | bit);
            }
        }
        let mut row = Row::present();
        row.state_fact(Fact::Credit, None);
        assert_eq!(row, Row::present());
    }

    #[test]
    fn what_is_not_told_is_within_no_bounds() {
        let (least, most) = stored_bounds(Number::Downloads, 0, u64::MAX);
        assert!(!(least..=most).contains(&u64::from(stored_count(None))));
        assert!((least..=most).contains(&u64::from(stored_count(Some(0)))));
        assert!((least..=most).contains(&u64::from(stored_count(Some(i64::MAX)))));
        for count in [None, Some(0), Some(i64::from(u32::MAX) - 2)] {
            assert_eq!(counted(stored_count(count)), Some(count));
        }
        assert_eq!(counted(stored_count(Some(i64::from(u32::MAX)))), None);
        assert_eq!((stored_size(0), stored_size(1), stored_size(1_025)), (0, 1, 2));
        assert_eq!((stored_time(-1), stored_time(1_999), stored_time(i64::MAX)), (0, 1, u32::MAX));
    }

    #[test]
    fn kinds_states_and_hubs_have_numbers_of_their_own() {
        let mut kinds: Vec<u8> = ModelKind::ALL.iter().map(|kind| kind_number(*kind)).collect();
        kinds.sort_unstable();
        assert!(kinds.is_sorted_by(|a, b| a < b));
        let states: Vec<u8> = ModelState::ALL.iter().map(|state| state_number(*state)).collect();
        assert!(states.is_sorted_by(|a, b| a < b) && !states.contains(&0));
        assert_eq!(["civitai", "hf", "local", "other"].map(hub_number), [1, 2, 3, 0]);
    }
}
