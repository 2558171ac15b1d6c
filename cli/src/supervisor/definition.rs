//! What a supervisor is given: which program, for which home, behind which socket.
//!
//! **The program's path** is the one under which people call it, with no link resolved: `/opt/homebrew/bin/paintboxd` and not
//! the file in Homebrew's Cellar, whose folder goes with its version. So the definition outlives an upgrade of the program.
//!
//! **The environment** is only what decides where the home is. A supervisor does not hand on what a shell exports, and what
//! decides anything else belongs into the configuration file.

use super::{Kind, Names};
use crate::paths::Paths;
use std::path::{Path, PathBuf};

/// A definition as a value; `launchd` and `systemd` write it in their own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) names: Names,
    pub(crate) program: PathBuf,
    /// The Unix socket that the supervisor holds.
    pub(crate) socket: PathBuf,
    /// Where launchd writes what the daemon says outside its log: the words of a panic.
    pub(crate) errors: PathBuf,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Definition {
    pub(crate) fn new(paths: &Paths, environment: Vec<(&'static str, String)>, program: PathBuf) -> Self {
        Self {
            names: Names::of(paths.home.as_deref()),
            program,
            socket: paths.socket(),
            errors: paths.start_log(),
            environment,
        }
    }

    /// The first path or value that no definition can hold, and why: control characters end a line, a supervisor reads UTF-8,
    /// and systemd starts no program with quotes or backslashes in its path, however they are escaped (`string_is_safe` in
    /// systemd's `src/basic/string-util.c`).
    pub(crate) fn unspeakable(&self, kind: Kind) -> Option<(String, &'static str)> {
        let paths = [&self.program, &self.socket, &self.errors].map(|path| path.display().to_string());
        let mut values = paths.into_iter().chain(self.environment.iter().map(|(_, value)| value.clone()));
        let unreadable = |text: &String| text.contains(|letter: char| letter.is_control() || letter == '\u{fffd}');
        if let Some(bad) = values.find(unreadable) {
            return Some((bad, "a supervisor's definition cannot hold control characters, nor what is not UTF-8"));
        }
        let program = self.program.display().to_string();
        let is_refused = kind == Kind::Systemd && program.contains(['"', '\'', '\\']);
        is_refused.then_some((program, "systemd starts no program with quotes or backslashes in its path"))
    }
}

/// The path under which an upgrade will put the next program, of one that Homebrew keeps: its Cellar has a folder for each
/// version (`…/Cellar/paintbox/0.1.0/bin/paintboxd`), and `…/opt/paintbox` always is a link to the one in use (Homebrew/brew
/// `Library/Homebrew/keg.rb`). Any other path stays as it is.
pub(crate) fn lasting(program: &Path, is_there: impl Fn(&Path) -> bool) -> PathBuf {
    let parts: Vec<_> = program.components().collect();
    let Some(at) = parts.iter().position(|part| part.as_os_str() == "Cellar") else { return program.to_owned() };
    let (before, behind) = (&parts[..at], &parts[at + 1..]);
    let [name, _version, rest @ ..] = behind else { return program.to_owned() };
    let linked: PathBuf =
        before.iter().collect::<PathBuf>().join("opt").join(name).join(rest.iter().collect::<PathBuf>());
    if is_there(&linked) { linked } else { program.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_homebrew_is_named_by_the_path_that_stays() {
        let versioned = Path::new("/opt/homebrew/Cellar/paintbox/0.1.0/bin/paintboxd");
        assert_eq!(lasting(versioned, |_| true), Path::new("/opt/homebrew/opt/paintbox/bin/paintboxd"));
        assert_eq!(lasting(versioned, |_| false), versioned);
        let linked = Path::new("/opt/homebrew/bin/paintboxd");
        assert_eq!(lasting(linked, |_| true), linked);
        assert_eq!(lasting(Path::new("/Cellar/x"), |_| true), Path::new("/Cellar/x"));
    }

    #[test]
    fn a_path_that_would_end_a_line_is_named() {
        let paths = Paths::under(Path::new("/srv/paint"));
        let good =
            Definition::new(&paths, vec![("PAINTBOX_HOME", "/srv/paint".to_owned())], "/usr/bin/paintboxd".into());
        for kind in Kind::ALL {
            assert_eq!(good.unspeakable(kind), None);
            let bad = Definition { program: "/srv/a\nb".into(), ..good.clone() };
            assert_eq!(bad.unspeakable(kind).unwrap().0, "/srv/a\nb");
            let quoted = Definition { program: "/srv/it's/paintboxd".into(), ..good.clone() };
            assert_eq!(quoted.unspeakable(kind).is_some(), kind == Kind::Systemd);
        }
    }
}
