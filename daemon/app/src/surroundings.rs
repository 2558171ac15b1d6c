//! What this machine is short of, and how it is kept from falling asleep. What a system tells in files or in the words of
//! its own commands is read here by plain functions, each tested with what such systems say.

mod awake;
// Tested everywhere, whichever is asked.
#[cfg(any(test, target_os = "linux"))]
mod linux;
#[cfg(any(test, target_os = "macos"))]
mod macos;

pub(crate) use awake::KeptAwake;

use paintbox_domain::{Shortage, Surroundings};
use paintbox_generation::Generations;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What was seen holds for so long: some of it other programs are asked for.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// This machine.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    generations: OnceLock<Generations>,
    seen: Mutex<Option<(Instant, Vec<Shortage>)>>,
}

impl Machine {
    /// Who knows whether something is being painted.
    pub(crate) fn paints(&self, generations: Generations) {
        // There is one queue in the life of a daemon.
        drop(self.generations.set(generations));
    }

    fn seen(&self) -> Vec<Shortage> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, shortages)) = seen.as_ref()
            && at.elapsed() < GOOD_FOR
        {
            return shortages.clone();
        }
        let shortages = look();
        *seen = Some((Instant::now(), shortages.clone()));
        shortages
    }
}

impl Surroundings for Machine {
    fn shortages(&self) -> Vec<Shortage> {
        let mut shortages = self.seen();
        if self.generations.get().is_some_and(Generations::is_painting) {
            shortages.push(Shortage::Painting);
        }
        shortages
    }
}

fn look() -> Vec<Shortage> {
    #[cfg(target_os = "linux")]
    return linux::look();
    #[cfg(target_os = "macos")]
    return macos::look();
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    return Vec::new();
}

/// What a command of the system prints; none where there is no such command or it fails.
pub(crate) fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Those that hold.
fn those(found: [(Shortage, bool); 5]) -> Vec<Shortage> {
    found.into_iter().filter(|(_, is_so)| *is_so).map(|(shortage, _)| shortage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_holds_for_a_while() {
        let machine = Machine::default();
        *machine.seen.lock().unwrap() = Some((Instant::now(), vec![Shortage::Battery, Shortage::Heat]));
        assert_eq!(machine.shortages(), [Shortage::Battery, Shortage::Heat]);
    }

    #[test]
    fn this_machine_can_be_asked() {
        // Whatever it is short of, asking ends.
        drop(look());
        assert_eq!(said("/nowhere/such-a-program", &[]), None);
    }
}
