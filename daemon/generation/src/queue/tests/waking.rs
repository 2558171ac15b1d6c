//! The machine is kept awake while there is something to paint, and no longer.

use super::*;
use paintbox_domain::surroundings::Wakefulness;
use std::any::Any;

/// Whether somebody keeps the machine awake, and how often they began to.
#[derive(Debug, Clone, Default)]
pub(super) struct Awake(watch::Sender<(bool, u32)>);

struct Held(Awake);

impl Wakefulness for Awake {
    fn hold(&self) -> Box<dyn Any + Send> {
        self.0.send_modify(|(held, times)| (*held, *times) = (true, *times + 1));
        Box::new(Held(self.clone()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.send_modify(|(held, _)| *held = false);
    }
}

#[tokio::test]
async fn a_machine_may_sleep_again_when_the_queue_is_empty() {
    let mut bench = bench(10).await;
    let mut awake = bench.awake.0.subscribe();
    assert_eq!(*awake.borrow(), (false, 0));
    let first = bench.create(spec()).await.unwrap();
    let second = bench.create(spec()).await.unwrap();
    assert_eq!(*awake.wait_for(|(held, _)| *held).await.unwrap(), (true, 1));
    bench.permits = None;
    for record in [first, second] {
        ended(&bench.generations, &record.uid).await;
    }
    // Once for both.
    assert_eq!(*awake.wait_for(|(held, _)| !*held).await.unwrap(), (false, 1));
    let third = bench.create(spec()).await.unwrap();
    ended(&bench.generations, &third.uid).await;
    assert_eq!(*awake.wait_for(|(held, times)| !*held && *times == 2).await.unwrap(), (false, 2));
}
