//! Keeping the machine awake while it paints, by the system's own program for that. It runs `cat`, which ends with our end
//! of its pipe: however this daemon ends, the machine may sleep again.

use paintbox_domain::surroundings::Wakefulness;
use std::any::Any;
use std::process::{Child, Command, Stdio};

/// caffeinate(8): until the utility ends, the system does not idle to sleep.
#[cfg(target_os = "macos")]
const KEEPER: &[&str] = &["/usr/bin/caffeinate", "-i", "cat"];
/// systemd-inhibit(1).
#[cfg(not(target_os = "macos"))]
const KEEPER: &[&str] =
    &["systemd-inhibit", "--what=sleep:idle", "--who=Paintbox", "--why=A picture is being painted", "cat"];

/// How this machine is kept awake.
#[derive(Debug)]
pub(crate) struct KeptAwake {
    keeper: Vec<String>,
}

impl Default for KeptAwake {
    fn default() -> Self {
        Self { keeper: KEEPER.iter().map(|word| (*word).to_owned()).collect() }
    }
}

impl Wakefulness for KeptAwake {
    fn hold(&self) -> Box<dyn Any + Send> {
        let [program, arguments @ ..] = self.keeper.as_slice() else { return Box::new(()) };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => Box::new(Keeper(child)),
            Err(error) => {
                tracing::debug!(%error, program, "nothing keeps this machine awake");
                Box::new(())
            }
        }
    }
}

struct Keeper(Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends with its pipe. One that does not is of no more use, and must be waited for, so that it leaves the system's
        // list of processes.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keeper_lives_for_as_long_as_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = format!("echo held > '{0}'; cat; echo let go >> '{0}'", log.display());
        let keeper = ["sh", "-c", &script].map(str::to_owned).to_vec();
        let held = KeptAwake { keeper }.hold();
        let keeper = held.downcast::<Keeper>().unwrap_or_else(|_| panic!("it was not started"));
        let process = keeper.0.id();
        let is_there = |id: u32| std::path::Path::new(&format!("/proc/{id}")).exists();
        assert!(cfg!(not(target_os = "linux")) || is_there(process));
        drop(keeper);
        assert!(!is_there(process));
    }

    #[test]
    fn a_system_without_a_keeper_paints_all_the_same() {
        let held = KeptAwake { keeper: vec!["/nowhere/such-a-program".to_owned()] }.hold();
        assert!(held.downcast::<Keeper>().is_err());
    }
}
