//! URLs that carry their own permission, as object storages and CDNs hand them out: no header proves anything there.

use paintbox_domain::digest::to_hex;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};

/// Signs paths and tells good signatures from forged and outdated ones.
#[derive(Debug, Default)]
pub(super) struct Signer {
    /// Raised to outdate everything signed before.
    epoch: AtomicU64,
}

/// What a signature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Forged,
    Expired,
}

impl Signer {
    /// A signature over `path` for the present epoch.
    pub(super) fn sign(&self, path: &str) -> String {
        signature(path, self.epoch.load(Ordering::SeqCst))
    }

    pub(super) fn check(&self, path: &str, given: Option<&str>) -> Verdict {
        let now = self.epoch.load(Ordering::SeqCst);
        let Some(given) = given else { return Verdict::Forged };
        if given == signature(path, now) {
            Verdict::Good
        } else if (0..now).any(|epoch| given == signature(path, epoch)) {
            Verdict::Expired
        } else {
            Verdict::Forged
        }
    }

    pub(super) fn expire(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }
}

fn signature(path: &str, epoch: u64) -> String {
    to_hex(&Sha256::digest(format!("{epoch} {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_path_and_one_time() {
        let signer = Signer::default();
        let signature = signer.sign("/a");
        assert_eq!(signer.check("/a", Some(&signature)), Verdict::Good);
        assert_eq!(signer.check("/b", Some(&signature)), Verdict::Forged);
        assert_eq!(signer.check("/a", None), Verdict::Forged);
        signer.expire();
        assert_eq!(signer.check("/a", Some(&signature)), Verdict::Expired);
        assert_eq!(signer.check("/a", Some(&signer.sign("/a"))), Verdict::Good);
    }
}
