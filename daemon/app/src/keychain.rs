//! The system's keychain, where there is one that needs no service of its own: on a Mac.
//!
//! Elsewhere, and with `PAINTBOX_HOME`, which keeps everything under one folder, tokens lie in files of mode 0600.

use keyring_core::{CredentialStore, Entry, Error};
use paintbox_domain::{ErrorClass, Failure, Hub, Secret, reason};
use std::sync::Arc;

const SERVICE: &str = "paintbox";

/// Tokens in the keychain, one entry a hub.
#[derive(Clone)]
pub(crate) struct Keychain {
    store: Arc<CredentialStore>,
}

impl std::fmt::Debug for Keychain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keychain")
    }
}

impl Keychain {
    /// The login keychain; none where the system has no such thing.
    #[cfg(target_os = "macos")]
    pub(crate) fn of_platform() -> Option<Self> {
        match apple_native_keyring_store::keychain::Store::new() {
            Ok(store) => Some(Self { store }),
            Err(error) => {
                tracing::warn!(%error, "the keychain cannot be used; tokens are kept in files");
                None
            }
        }
    }

    /// The login keychain; none where the system has no such thing.
    #[cfg(not(target_os = "macos"))]
    pub(crate) fn of_platform() -> Option<Self> {
        None
    }

    pub(crate) fn load(&self, hub: Hub) -> Option<Secret> {
        match self.entry(hub).and_then(|entry| entry.get_password()) {
            Ok(token) => Secret::new(&token),
            Err(Error::NoEntry) => None,
            Err(error) => {
                // A keychain that is locked is not an empty one, but there is no token either way.
                tracing::warn!(%hub, %error, "the keychain gives no token");
                None
            }
        }
    }

    pub(crate) fn save(&self, hub: Hub, token: &Secret) -> Result<(), Failure> {
        let saved = self.entry(hub).and_then(|entry| entry.set_password(token.expose()));
        saved.map_err(|error| failure("keep", hub, &error))
    }

    pub(crate) fn remove(&self, hub: Hub) -> Result<(), Failure> {
        match self.entry(hub).and_then(|entry| entry.delete_credential()) {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(failure("forget", hub, &error)),
        }
    }

    fn entry(&self, hub: Hub) -> keyring_core::Result<Entry> {
        Entry::new_in_store(&self.store, SERVICE, hub.as_str())
    }
}

/// The library's errors speak of the entry, never of what is in it.
fn failure(action: &str, hub: Hub, error: &Error) -> Failure {
    let message = format!("cannot {action} the token for {hub} in the keychain: {error}");
    Failure::new(ErrorClass::Internal, reason::STORE_FAILED, message).with("hub", hub.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_replaced_and_forgotten() {
        let keychain = Keychain { store: keyring_core::mock::Store::new().unwrap() };
        assert_eq!(keychain.load(Hub::Civitai), None);
        keychain.remove(Hub::Civitai).unwrap();
        for token in ["one", "two"] {
            keychain.save(Hub::Civitai, &Secret::new(token).unwrap()).unwrap();
            assert_eq!(keychain.load(Hub::Civitai), Secret::new(token));
        }
        assert_eq!(keychain.load(Hub::HuggingFace), None);
        keychain.remove(Hub::Civitai).unwrap();
        assert_eq!(keychain.load(Hub::Civitai), None);
    }
}
