//! What the machine is short of, as a port: libraries are told, so tests can say it.

use crate::kind::closed_names;
use std::any::Any;
use std::fmt;

closed_names! {
    /// Something that there is little of now, so that what nobody waits for had better wait.
    Shortage {
        /// It runs on its battery.
        Battery = "battery",
        /// Its owner asked it to save power: Low Power Mode on a Mac, the power-saver profile elsewhere.
        LowPower = "low_power",
        /// It is hot, and has begun to slow down.
        Heat = "heat",
        /// Little memory is left for what people use.
        Memory = "memory",
        /// The network counts, or costs, what goes through it.
        MeteredNetwork = "metered_network",
        /// A picture is being painted.
        Painting = "painting",
    }
}

closed_names! {
    /// Something that the daemon does by itself, and that can wait.
    Chore {
        /// Asking hubs whether a follow has something new.
        Looks = "looks",
        /// Fetching what follows want. What somebody asked for is no chore.
        Downloads = "downloads",
        /// Reading files of libraries to their end for the first time.
        Reading = "reading",
        /// Reading files again, checking the catalogue's own file and backing it up.
        Care = "care",
    }
}

impl Chore {
    /// Whether this waits while there is little of that. A look is a few kilobytes. Files that were never read cannot be
    /// painted with, so a battery does not keep them from being read, nor does whoever saves power.
    #[must_use]
    pub const fn waits_for(self, shortage: Shortage) -> bool {
        match (self, shortage) {
            (Self::Looks, shortage) => matches!(shortage, Shortage::LowPower),
            (Self::Downloads, shortage) => !matches!(shortage, Shortage::Memory | Shortage::Painting),
            (Self::Reading, shortage) => matches!(shortage, Shortage::Heat | Shortage::Memory | Shortage::Painting),
            (Self::Care, shortage) => !matches!(shortage, Shortage::MeteredNetwork),
        }
    }
}

/// Looks around. Asked only while there is something to do, so that a machine at rest is not woken by it.
pub trait Surroundings: Send + Sync + fmt::Debug {
    /// What the machine is short of now. Takes a moment: it is not to be asked by a thread that others wait for.
    fn shortages(&self) -> Vec<Shortage>;
}

/// Keeps the machine from falling asleep.
pub trait Wakefulness: Send + Sync + fmt::Debug {
    /// For as long as what is returned lives; nothing happens where a system cannot be asked to.
    fn hold(&self) -> Box<dyn Any + Send>;
}

/// A machine that has what the last who [`said`](Said::say) so told.
#[derive(Debug, Default)]
pub struct Said(std::sync::Mutex<Vec<Shortage>>);

impl Said {
    pub fn say(&self, shortages: &[Shortage]) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = shortages.to_vec();
    }
}

impl Surroundings for Said {
    fn shortages(&self) -> Vec<Shortage> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
