//! Secrets that are made here: 32 random bytes as text, of which the digest is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use paintbox_domain::{ErrorClass, Failure, Sha256, reason};
use sha2::Digest as _;
use subtle::ConstantTimeEq as _;

/// In front of every client token, so that people and secret scanners know one when they see it.
pub(super) const TOKEN_PREFIX: &str = "paintbox_";

/// A fresh secret behind a prefix.
///
/// # Errors
/// When the system has no randomness to give.
pub(super) fn fresh(prefix: &str) -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        let message = format!("the system gives no random bytes: {error}");
        Failure::new(ErrorClass::Internal, reason::INTERNAL, message)
    })?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

pub(super) fn digest(text: &str) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(text).into())
}

/// Takes the same time wherever two digests differ.
pub(super) fn same(one: &Sha256, other: &Sha256) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Whether a client token stands somewhere in a text, percent-encoded or not: its characters need no encoding.
pub(crate) fn looks_like_a_token(text: &str) -> bool {
    text.contains(TOKEN_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_random_bits_and_its_prefix() {
        let (one, other) = (fresh(TOKEN_PREFIX).unwrap(), fresh(TOKEN_PREFIX).unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), TOKEN_PREFIX.len() + 43);
        assert!(looks_like_a_token(&format!("/v1/models?x={one}")) && !looks_like_a_token("/v1/models?x=paintbox"));
        assert!(same(&digest(&one), &digest(&one)) && !same(&digest(&one), &digest(&other)));
    }
}
