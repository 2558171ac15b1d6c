//! Memory for what callers send: pictures and bodies that come in pieces hold so much of it together, whoever they are of,
//! and no more. A message of the API, which is never over a mebibyte, and what is done with the bytes once they are there, are
//! not counted.

use paintbox_domain::{ErrorClass, Failure, reason};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// More than twice the largest request (`compat::body`), which a daemon on a laptop of 16 GB can spare beside a model.
const ALL_BYTES: usize = 256 << 20;

/// A permit is a byte.
#[derive(Debug, Clone)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self::of(ALL_BYTES)
    }
}

impl Room {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// For something that is still to come.
    pub(crate) fn for_one(&self) -> Taken {
        Taken { room: self.clone(), permit: None }
    }
}

/// What one request has of the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Room,
    permit: Option<OwnedSemaphorePermit>,
}

impl Taken {
    /// Takes as much more. Whoever would wait for it might be waited for by others, so that nobody waits.
    pub(crate) fn more(&mut self, bytes: usize) -> Result<(), Failure> {
        let more = u32::try_from(bytes).ok();
        let more = more.and_then(|bytes| Arc::clone(&self.room.0).try_acquire_many_owned(bytes).ok());
        let more = more.ok_or_else(|| {
            let message = "the daemon is taking in as many bytes as it has memory for";
            let mut failure = Failure::new(ErrorClass::Exhausted, reason::DAEMON_BUSY, message);
            failure.retry_after = Some(Duration::from_secs(1));
            failure
        })?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_hold_so_much_and_leave_it_when_they_go() {
        let room = Room::of(10);
        let (mut one, mut other) = (room.for_one(), room.for_one());
        one.more(4).unwrap();
        other.more(3).unwrap();
        one.more(3).unwrap();
        other.more(0).unwrap();
        let refused = other.more(1).unwrap_err();
        assert_eq!((refused.class, &*refused.reason), (ErrorClass::Exhausted, reason::DAEMON_BUSY));
        assert!(refused.retry_after.is_some());
        drop(one);
        other.more(7).unwrap();
        assert!(room.for_one().more(usize::MAX).is_err());
    }
}
