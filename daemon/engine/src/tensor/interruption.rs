//! How a computation notices that nobody wants it any more.
//!
//! Every layer, every band of a convolution and of attention, and every tensor that is loaded asks [`check`] first. What it
//! asks belongs to the thread: a painting happens on one thread, whose networks thus need not be handed a line to whoever
//! wants the picture through each of their parts, and cannot forget to hand it on. Threads that help with a piece of work
//! finish that piece.

use candle_core::Result;
use paintbox_domain::generation::Cancellation;
use std::cell::{Cell, RefCell};

thread_local! {
    static LISTENING_TO: RefCell<Option<Cancellation>> = const { RefCell::new(None) };
    static NOTICED: Cell<bool> = const { Cell::new(false) };
}

/// As long as this lives, computations of this thread stop when they are told to.
#[derive(Debug)]
pub(crate) struct Listening {
    before: Option<Cancellation>,
}

impl Listening {
    pub(crate) fn to(cancellation: Cancellation) -> Self {
        NOTICED.set(false);
        Self { before: LISTENING_TO.replace(Some(cancellation)) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING_TO.replace(self.before.take());
        NOTICED.set(false);
    }
}

/// To be asked between two pieces of work.
///
/// # Errors
/// When the work is not wanted any more. candle's errors cannot tell what they wrap, so that [`is_noticed`] tells this
/// one from others.
pub(crate) fn check() -> Result<()> {
    if LISTENING_TO.with_borrow(|to| to.as_ref().is_some_and(Cancellation::is_wanted)) {
        NOTICED.set(true);
        candle_core::bail!("the work is not wanted any more");
    }
    Ok(())
}

/// Whether [`check`] has stopped this thread's computation.
pub(crate) fn is_noticed() -> bool {
    NOTICED.get()
}

/// Multiplications that are worth asking again for: some hundredths of a second on one core.
pub(crate) const PIECE: usize = 1 << 30;

/// Notes that so many multiplications are about to be done, for tests of how much is done between two checks.
#[inline]
pub(in crate::tensor) fn working(multiplications: usize) {
    #[cfg(test)]
    WORK.set(WORK.get() + multiplications as u64);
    #[cfg(not(test))]
    let _ = multiplications;
}

#[cfg(test)]
thread_local! {
    static WORK: Cell<u64> = const { Cell::new(0) };
}

/// The multiplications of this thread's computations since this was asked last.
#[cfg(test)]
pub(crate) fn work_since() -> u64 {
    WORK.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_told_and_who_listened_before_listens_again() {
        assert!(check().is_ok());
        let outer = Listening::to(Cancellation::never());
        {
            let _inner = Listening::to(Cancellation::when(|| true));
            assert!(check().is_err() && is_noticed());
        }
        assert!(check().is_ok() && !is_noticed());
        drop(outer);
        assert!(check().is_ok());
    }

    #[test]
    fn large_layers_ask_again_and_again() {
        use super::super::attention::attention;
        use super::super::testing::values;
        use super::super::{conv, cpu};
        use std::sync::{Arc, Mutex};

        let picture = values((1, 8, 256, 256)).unwrap();
        let (kernel, bias) = (values((8, 8, 3, 3)).unwrap(), values(8).unwrap());
        let (rows, weight) = (values((2048, 1024)).unwrap(), values((1024, 1024)).unwrap());
        let tokens = values((4, 2048, 64)).unwrap();
        let convolution = || conv::conv2d(&picture, &kernel, &bias, 1, 1);
        let linear = || cpu::linear(&rows, &weight, None);
        let attending = || attention(&tokens, &tokens, &tokens, 1);
        let layers: [(&str, &dyn Fn() -> Result<candle_core::Tensor>); 3] =
            [("convolution", &convolution), ("linear layer", &linear), ("attention", &attending)];
        for (name, layer) in layers {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let noted = heard.clone();
            let listening = Listening::to(Cancellation::when(move || {
                noted.lock().unwrap().push(work_since());
                false
            }));
            work_since();
            layer().unwrap();
            drop(listening);
            let all = heard.lock().unwrap().iter().sum::<u64>() + work_since();
            let most = heard.lock().unwrap().iter().max().copied().unwrap();
            assert!(heard.lock().unwrap().len() >= 2, "{name} is done in one go");
            assert!(most <= PIECE as u64 && most < all, "{name}: {most} of {all}");
            let _stop = Listening::to(Cancellation::when(|| true));
            assert!(layer().is_err(), "{name} goes on");
        }
    }

    #[test]
    fn other_threads_are_not_stopped() {
        let _listening = Listening::to(Cancellation::when(|| true));
        assert!(std::thread::spawn(|| check().is_ok()).join().unwrap());
        assert!(check().is_err());
    }
}
