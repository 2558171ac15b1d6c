//! How many connections a server bears beside each other.

/// After so many pieces without a refusal one more connection is tried: a line that was gone for a moment should not
/// slow down the hour that follows, and a server that bears no more is asked in vain once in 64 MiB.
const PIECES_BEFORE_ONE_MORE: u32 = 16;

/// The number of connections of one transfer: fewer after a refusal, and more again after a while.
#[derive(Debug)]
pub(super) struct Breadth {
    now: usize,
    most: usize,
    /// Pieces that were finished since it last changed.
    pieces: u32,
}

impl Breadth {
    pub(super) fn new(most: usize) -> Self {
        Self { now: most, most, pieces: 0 }
    }

    /// Connections that there may be.
    pub(super) fn connections(&self) -> usize {
        self.now
    }

    /// A connection was refused, or brought nothing, beside `others`.
    pub(super) fn refused(&mut self, others: usize) {
        self.now = others.clamp(1, self.now);
        self.pieces = 0;
    }

    /// A piece came to its end.
    pub(super) fn finished(&mut self) {
        self.pieces += 1;
        if self.pieces >= PIECES_BEFORE_ONE_MORE {
            self.now = self.most.min(self.now + 1);
            self.pieces = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_leave_those_that_were_not_refused_and_at_least_one() {
        let mut breadth = Breadth::new(4);
        let after = |breadth: &mut Breadth, others| {
            breadth.refused(others);
            breadth.connections()
        };
        assert_eq!([3, 3, 1, 0, 2].map(|others| after(&mut breadth, others)), [3, 3, 1, 1, 1]);
    }

    #[test]
    fn one_more_is_tried_after_a_while_and_never_more_than_at_first() {
        let mut breadth = Breadth::new(4);
        breadth.refused(1);
        let mut seen = Vec::new();
        for _ in 0..5 {
            for _ in 0..PIECES_BEFORE_ONE_MORE {
                breadth.finished();
            }
            seen.push(breadth.connections());
        }
        assert_eq!(seen, [2, 3, 4, 4, 4]);
    }
}
