//! What the daemon of one home is called at its supervisor.

use sha2::{Digest as _, Sha256};
use std::path::Path;

/// Of a home that has none of its own. `local.` because the name is nobody's domain.
const LABEL: &str = "local.paintbox.daemon";
const UNIT: &str = "paintbox";
/// Hexadecimal digits of a home's digest: enough for the homes of one person.
const TELLING_DIGITS: usize = 10;

/// The names of one home's daemon; the same whenever they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// launchd's label, and the name of the agent's file without its ending.
    pub(crate) label: String,
    /// systemd's units without their endings, and the name of an autostart entry.
    pub(crate) unit: String,
}

impl Names {
    /// `home` is `PAINTBOX_HOME`, where it is set.
    pub(crate) fn of(home: Option<&Path>) -> Self {
        let Some(home) = home else { return Self { label: LABEL.to_owned(), unit: UNIT.to_owned() } };
        let digest = format!("{:x}", Sha256::digest(home.as_os_str().as_encoded_bytes()));
        let telling = &digest[..TELLING_DIGITS];
        Self { label: format!("{LABEL}.{telling}"), unit: format!("{UNIT}-{telling}") }
    }

    pub(crate) fn service(&self) -> String {
        format!("{}.service", self.unit)
    }

    pub(crate) fn socket(&self) -> String {
        format!("{}.socket", self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_home_has_names_of_its_own_that_stay() {
        let usual = Names::of(None);
        assert_eq!((usual.service().as_str(), usual.label.as_str()), ("paintbox.service", "local.paintbox.daemon"));
        let (one, other) = (Names::of(Some(Path::new("/srv/a"))), Names::of(Some(Path::new("/srv/b"))));
        assert_ne!(one, other);
        assert_eq!(one, Names::of(Some(Path::new("/srv/a"))));
        // By the digest of `/srv/a`, so that another release finds what this one installed.
        assert_eq!(one.unit, "paintbox-b068a6cef8");
    }
}
