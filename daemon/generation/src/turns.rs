//! Whose turn it is: a pure function of what waits, which model is in memory, and how often that decided already.
//!
//! The highest priority comes first, whoever asked. Among equals clients take turns: next is the one whose last turn is the
//! longest ago, with what it asked for first, unless it was reordered. Reading a model takes longer than many paintings,
//! so up to [`MOST_JUMPS`] that need the model which is in memory go before others of the same priority; then it is the
//! others' turn, however many such there still are.

use paintbox_catalogue::{ModelId, Waiting};

/// How many may go before others, one after another, because their model is in memory.
const MOST_JUMPS: u32 = 8;

/// What turns depend on beside what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Turns {
    /// The model that is in memory.
    warm: Option<ModelId>,
    /// How many went before others in a row.
    jumps: u32,
}

impl Turns {
    /// The index of whose turn it is, and what turns depend on once it has had it.
    pub(crate) fn next(self, waiting: &[Waiting]) -> Option<(usize, Self)> {
        let top = waiting.iter().map(|one| one.priority).max()?;
        let first = |eligible: &dyn Fn(&Waiting) -> bool| {
            let candidates = waiting.iter().enumerate().filter(|(_, one)| one.priority == top && eligible(one));
            candidates.min_by_key(|(_, one)| (one.client_begun, first_turn(waiting, one, top), one.turn))
        };
        let (fair, fair_one) = first(&|_| true)?;
        let warm = self.warm.filter(|warm| fair_one.model != Some(*warm) && self.jumps < MOST_JUMPS);
        let jumper = warm.and_then(|warm| first(&|one| one.model == Some(warm)));
        Some(match jumper {
            Some((index, one)) => (index, Self { warm: one.model, jumps: self.jumps + 1 }),
            None => (fair, Self { warm: fair_one.model, jumps: 0 }),
        })
    }

    /// Everything that waits in the order in which it has its turn, if nothing changes.
    pub(crate) fn order(mut self, mut waiting: Vec<Waiting>) -> Vec<Waiting> {
        let mut order = Vec::with_capacity(waiting.len());
        let mut begun = waiting.iter().filter_map(|one| one.client_begun).max().unwrap_or(0);
        while let Some((index, then)) = self.next(&waiting) {
            self = then;
            let one = waiting.remove(index);
            begun += 1;
            for other in waiting.iter_mut().filter(|other| other.client == one.client) {
                other.client_begun = Some(begun);
            }
            order.push(one);
        }
        order
    }
}

/// Of clients that had no turn yet, whoever asked first comes first.
fn first_turn(waiting: &[Waiting], of: &Waiting, priority: i32) -> i64 {
    let same = waiting.iter().filter(|one| one.client == of.client && one.priority == priority);
    same.map(|one| one.turn).min().unwrap_or(of.turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(uid: &str, client: &str, priority: i32, turn: i64, model: i64) -> Waiting {
        Waiting {
            uid: uid.to_owned(),
            client: client.to_owned(),
            priority,
            turn,
            model: Some(ModelId::new(model)),
            expires_at: None,
            client_begun: None,
        }
    }

    fn order(waiting: &[Waiting], turns: Turns) -> String {
        turns.order(waiting.to_vec()).into_iter().map(|one| one.uid).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn clients_take_turns_and_priorities_come_first() {
        let waiting = [
            one("a1", "a", 0, 1, 1),
            one("a2", "a", 0, 2, 2),
            one("a3", "a", 0, 3, 3),
            one("b1", "b", 0, 4, 4),
            one("c1", "c", 0, 5, 5),
            one("b2", "b", 0, 6, 6),
            one("c9", "c", 9, 7, 7),
            one("a0", "a", -1, 0, 8),
        ];
        // c has had its turn by its urgent one.
        assert_eq!(order(&waiting, Turns::default()), "c9 a1 b1 c1 a2 b2 a3 a0");
    }

    #[test]
    fn who_waited_longest_for_a_turn_is_next() {
        let mut waiting = [one("a", "a", 0, 1, 1), one("b", "b", 0, 2, 2), one("c", "c", 0, 3, 3)];
        for (one, at) in waiting.iter_mut().zip([30, 10, 20]) {
            one.client_begun = Some(at);
        }
        assert_eq!(order(&waiting, Turns::default()), "b c a");
    }

    #[test]
    fn the_model_in_memory_goes_before_others_but_not_for_ever_nor_before_what_is_urgent() {
        let warm = Turns { warm: Some(ModelId::new(1)), jumps: 0 };
        let mut waiting: Vec<Waiting> = (0..20).map(|n| one(&format!("m{n}"), "a", 0, n + 10, 1)).collect();
        waiting.push(one("other", "a", 0, 1, 2));
        let order_of = |waiting: &[Waiting]| warm.order(waiting.to_vec());
        let position = |order: &[Waiting], uid: &str| order.iter().position(|one| one.uid == uid).unwrap();
        assert_eq!(position(&order_of(&waiting), "other"), MOST_JUMPS as usize);
        waiting.push(one("urgent", "a", 1, 99, 3));
        assert_eq!(position(&order_of(&waiting), "urgent"), 0);
        // With nothing in memory the order is that of arrival.
        assert_eq!(Turns::default().order(waiting.clone())[1].uid, "other");
    }

    #[test]
    fn nobody_starves_and_everything_has_its_turn_once() {
        use proptest::prelude::*;
        let strategy = prop::collection::vec((0..4_u8, -1..2_i32, 0..3_i64), 0..40);
        proptest!(|(jobs in strategy)| {
            let waiting: Vec<Waiting> = jobs
                .iter()
                .zip(0..)
                .map(|((client, priority, model), turn)| {
                    one(&turn.to_string(), &client.to_string(), *priority, turn, *model)
                })
                .collect();
            let order = Turns::default().order(waiting.clone());
            let mut uids: Vec<&str> = order.iter().map(|one| one.uid.as_str()).collect();
            uids.sort_unstable();
            uids.dedup();
            prop_assert_eq!(uids.len(), waiting.len());
            prop_assert!(order.windows(2).all(|pair| pair[0].priority >= pair[1].priority));
            for priority in -1..2 {
                let same: Vec<&Waiting> = order.iter().filter(|one| one.priority == priority).collect();
                let clients = same.iter().map(|one| &one.client).collect::<std::collections::BTreeSet<_>>().len();
                // A client's first comes within one round of the others, each of which may be followed by jumps.
                let mut seen = std::collections::BTreeSet::new();
                for (place, one) in same.iter().enumerate() {
                    if seen.insert(&one.client) {
                        prop_assert!(place <= clients * (1 + MOST_JUMPS as usize));
                    }
                }
            }
        });
    }
}
