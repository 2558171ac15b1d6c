//! Which bytes of a file are being brought, and what may be handed on: plain bookkeeping that asks nobody for anything.
//!
//! A file is claimed piece by piece from its beginning to its end, and handed on in the same order. No byte further
//! than [`Sizes::window_bytes`] behind the last one that was handed on is claimed, so no more than that is ever kept.

use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// How a file is cut up, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// What one connection is asked for at a time.
    pub(super) piece_bytes: u64,
    /// What is claimed and not yet handed on, at most.
    pub(super) window_bytes: u64,
    /// A rest that is not longer than this is left to the connection that brings it.
    pub(super) least_halved_bytes: u64,
}

/// A piece is slow when it takes this many times as long as the others did.
const SLOW_FACTOR: u32 = 3;

/// Names a piece for as long as the window exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PieceId(u64);

/// The pieces between the first byte that was not handed on and the first that was not claimed.
///
/// `now` is any clock that does not run backwards; the window only compares what it is told.
#[derive(Debug)]
pub(super) struct Window {
    sizes: Sizes,
    /// First byte that was not handed on.
    given: u64,
    /// First byte that no piece holds.
    unclaimed: u64,
    /// Length of the file.
    end: u64,
    next_id: u64,
    /// Without gaps, in the order of the file.
    pieces: VecDeque<Piece>,
    pace: Pace,
}

#[derive(Debug)]
struct Piece {
    id: PieceId,
    /// Bytes that have come and were not handed on.
    kept: VecDeque<Bytes>,
    /// First byte that has not come.
    reached: u64,
    end: u64,
    /// Whether a connection is bringing it.
    is_asked: bool,
    /// When it was first asked for, or cut short.
    since: Duration,
    /// Whether it is as long as it was when it was claimed.
    is_whole: bool,
}

/// How long pieces took that nothing was cut off from.
#[derive(Debug, Default)]
struct Pace {
    pieces: u32,
    taken: Duration,
}

/// What is left of a piece after bytes of it have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    More,
    Nothing,
}

impl Window {
    /// The bytes from `from` to the end of a file of `end` bytes.
    pub(super) fn new(from: u64, end: u64, sizes: Sizes) -> Self {
        let pieces = VecDeque::new();
        Self { sizes, given: from, unclaimed: from.min(end), end, next_id: 0, pieces, pace: Pace::default() }
    }

    /// The earliest piece that nobody brings and the bytes that are missing of it, which the caller is to ask for now.
    /// None if all are being brought that may be.
    pub(super) fn claim(&mut self, now: Duration) -> Option<(PieceId, Range<u64>)> {
        if let Some(piece) = self.pieces.iter_mut().find(|piece| !piece.is_asked && piece.reached < piece.end) {
            piece.is_asked = true;
            return Some((piece.id, piece.reached..piece.end));
        }
        let end = self.end.min(self.unclaimed.saturating_add(self.sizes.piece_bytes));
        if self.unclaimed == self.end || end - self.given > self.sizes.window_bytes {
            return None;
        }
        let bytes = self.unclaimed..end;
        let id = self.new_id();
        self.pieces.push_back(Piece {
            id,
            kept: VecDeque::new(),
            reached: bytes.start,
            end,
            is_asked: true,
            since: now,
            is_whole: true,
        });
        self.unclaimed = end;
        Some((id, bytes))
    }

    /// Takes in what a connection brought. What lies beyond the end of its piece is somebody else's and is left out.
    pub(super) fn arrived(&mut self, id: PieceId, mut bytes: Bytes, now: Duration) -> Left {
        let Some(piece) = self.pieces.iter_mut().find(|piece| piece.id == id) else {
            return Left::Nothing;
        };
        let missing = piece.end - piece.reached;
        bytes.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
        piece.reached += length(&bytes);
        if !bytes.is_empty() {
            piece.kept.push_back(bytes);
        }
        if piece.reached < piece.end {
            return Left::More;
        }
        if piece.is_whole && missing > 0 {
            self.pace.pieces += 1;
            self.pace.taken += now.saturating_sub(piece.since);
        }
        Left::Nothing
    }

    /// The connection that brought a piece is gone; somebody else has to be asked for the rest.
    pub(super) fn lost(&mut self, id: PieceId) {
        if let Some(piece) = self.pieces.iter_mut().find(|piece| piece.id == id) {
            piece.is_asked = false;
        }
    }

    /// The next bytes of the file, if they have come.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let head = self.pieces.front_mut()?;
        let bytes = head.kept.pop_front()?;
        self.given += length(&bytes);
        if head.kept.is_empty() && head.reached == head.end {
            self.pieces.pop_front();
        }
        Some(bytes)
    }

    /// Whether every byte was handed on.
    pub(super) fn is_done(&self) -> bool {
        self.given >= self.end
    }

    /// The moment from which on the piece that everything waits for is slow. None if nothing tells, or if its rest is
    /// too short to be worth a second connection. A piece is never slow before `least` has passed.
    pub(super) fn slow_from(&self, least: Duration) -> Option<Duration> {
        let head = self.pieces.front().filter(|head| head.is_asked)?;
        let mean = self.pace.taken.checked_div(self.pace.pieces)?;
        let is_long = head.end - head.reached > self.sizes.least_halved_bytes;
        is_long.then(|| head.since + least.max(mean * SLOW_FACTOR))
    }

    /// Takes the later half of what is missing of the first piece from the connection that brings it, for another to be
    /// asked for.
    pub(super) fn halve_head(&mut self, now: Duration) {
        let id = self.new_id();
        let Some(head) = self.pieces.front_mut().filter(|head| head.end - head.reached > 1) else {
            return;
        };
        let (middle, end) = (head.reached + (head.end - head.reached) / 2, head.end);
        (head.end, head.since, head.is_whole) = (middle, now, false);
        let half =
            Piece { id, kept: VecDeque::new(), reached: middle, end, is_asked: false, since: now, is_whole: false };
        self.pieces.insert(1, half);
    }

    fn new_id(&mut self) -> PieceId {
        self.next_id += 1;
        PieceId(self.next_id)
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZES: Sizes = Sizes { piece_bytes: 8, window_bytes: 32, least_halved_bytes: 2 };

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    /// Bytes of a file in which every byte says where it is.
    fn bytes(range: Range<u64>) -> Bytes {
        range.map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    fn kept_bytes(window: &Window) -> u64 {
        window.pieces.iter().flat_map(|piece| &piece.kept).map(length).sum()
    }

    #[test]
    fn pieces_are_claimed_in_order_and_no_further_than_the_window() {
        let mut window = Window::new(3, 100, SIZES);
        let asked: Vec<_> = std::iter::from_fn(|| window.claim(at(0))).collect();
        assert_eq!(asked.iter().map(|(_, range)| range.clone()).collect::<Vec<_>>(), [3..11, 11..19, 19..27, 27..35]);
        // Everything but the first piece is there: it is kept, and nothing more is claimed.
        for (id, range) in &asked[1..] {
            assert_eq!(window.arrived(*id, bytes(range.clone()), at(1)), Left::Nothing);
        }
        assert_eq!((kept_bytes(&window), window.take(), window.claim(at(1))), (24, None, None));
        let first = asked[0].0;
        assert_eq!(window.arrived(first, bytes(3..10), at(1)), Left::More);
        assert_eq!(window.take(), Some(bytes(3..10)), "the first piece is handed on as it comes");
        assert_eq!(window.claim(at(1)), None);
        assert_eq!(window.arrived(first, bytes(10..11), at(1)), Left::Nothing);
        assert_eq!(window.take(), Some(bytes(10..11)));
        assert_eq!(window.claim(at(1)).unwrap().1, 35..43);
    }

    #[test]
    fn a_lost_piece_is_asked_for_from_the_byte_it_had_reached_and_before_any_other() {
        let mut window = Window::new(0, 100, SIZES);
        let (first, _) = window.claim(at(0)).unwrap();
        window.arrived(first, bytes(0..5), at(0));
        window.lost(first);
        assert_eq!(window.claim(at(0)), Some((first, 5..8)));
        assert_eq!(window.claim(at(0)).unwrap().1, 8..16);
    }

    #[test]
    fn the_first_piece_is_slow_once_it_takes_three_times_as_long_as_the_others() {
        let mut window = Window::new(0, 100, SIZES);
        let (first, _) = window.claim(at(0)).unwrap();
        let (second, range) = window.claim(at(0)).unwrap();
        assert_eq!(window.slow_from(at(2)), None, "nothing to compare with");
        window.arrived(second, bytes(range), at(5));
        assert_eq!(window.slow_from(at(2)), Some(at(15)));
        assert_eq!(window.slow_from(at(20)), Some(at(20)));
        window.arrived(first, bytes(0..2), at(15));
        window.halve_head(at(15));
        assert_eq!(window.slow_from(at(2)), Some(at(30)), "what was cut short gets time anew");
        let (half, range) = window.claim(at(15)).unwrap();
        assert_eq!(range, 5..8);
        // The slow connection does not know that its end has moved.
        assert_eq!(window.arrived(first, bytes(2..7), at(16)), Left::Nothing);
        assert_eq!(window.arrived(half, bytes(5..8), at(16)), Left::Nothing);
        let taken: Vec<u8> = std::iter::from_fn(|| window.take()).flatten().collect();
        assert_eq!(taken, bytes(0..16));
    }

    #[test]
    fn a_short_rest_stays_where_it_is() {
        let mut window = Window::new(0, 100, SIZES);
        let (first, _) = window.claim(at(0)).unwrap();
        let (second, range) = window.claim(at(0)).unwrap();
        window.arrived(second, bytes(range), at(1));
        window.arrived(first, bytes(0..6), at(1));
        assert_eq!(window.slow_from(at(0)), None);
    }

    #[test]
    fn nothing_is_left_of_a_file_that_is_all_here() {
        let mut window = Window::new(5, 5, SIZES);
        assert_eq!((window.is_done(), window.claim(at(0)), window.take()), (true, None, None));
    }

    /// What happens next, to which of the pieces that are being brought.
    #[derive(Debug, Clone)]
    enum Turn {
        Ask,
        /// So many bytes come, some of them perhaps beyond the end of the piece.
        Bring(usize, u64),
        Lose(usize),
        Halve,
        Take,
    }

    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        let turn = prop_oneof![
            4 => Just(Turn::Ask),
            6 => (0..4_usize, 1..12_u64).prop_map(|(which, count)| Turn::Bring(which, count)),
            1 => (0..4_usize).prop_map(Turn::Lose),
            1 => Just(Turn::Halve),
            4 => Just(Turn::Take),
        ];
        prop::collection::vec(turn, 0..400)
    }

    proptest! {
        #[test]
        fn whatever_happens_every_byte_is_handed_on_once_and_in_order(
            from in 0..40_u64,
            rest in 0..200_u64,
            turns in turns(),
        ) {
            let end = from + rest;
            let mut window = Window::new(from, end, SIZES);
            // The pieces that are being brought, with the next byte that comes and the end that was asked for.
            let mut connections: Vec<(PieceId, Range<u64>)> = Vec::new();
            let mut taken: Vec<u8> = Vec::new();
            // After the scripted turns everything is brought to its end.
            let orderly = (0..400).flat_map(|_| [Turn::Ask, Turn::Bring(0, 5), Turn::Take]);
            for turn in turns.into_iter().chain(orderly) {
                match turn {
                    Turn::Ask if connections.len() < 4 => connections.extend(window.claim(at(0))),
                    Turn::Ask => {}
                    Turn::Bring(which, count) => {
                        if let Some((id, range)) = connections.get_mut(which) {
                            let to = range.end.min(range.start + count);
                            let left = window.arrived(*id, bytes(range.start..to), at(0));
                            range.start = to;
                            if left == Left::Nothing {
                                connections.remove(which);
                            }
                        }
                    }
                    Turn::Lose(which) if which < connections.len() => window.lost(connections.remove(which).0),
                    Turn::Lose(_) => {}
                    Turn::Halve => window.halve_head(at(0)),
                    Turn::Take => taken.extend(window.take().into_iter().flatten()),
                }
                prop_assert!(kept_bytes(&window) <= SIZES.window_bytes);
                prop_assert!(window.unclaimed - window.given <= SIZES.window_bytes);
            }
            prop_assert!(window.is_done());
            prop_assert_eq!(taken, bytes(from..end));
        }
    }
}
