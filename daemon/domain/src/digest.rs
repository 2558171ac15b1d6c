//! Digests as types. A SHA-256 is the identity of a file's content; everything shorter is a lookup.

use std::fmt;
use std::str::FromStr;

/// A text is not a digest of the wanted length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestParseError {
    pub given: String,
    pub wanted_hex_digits: usize,
}

impl fmt::Display for DigestParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a digest of {} hexadecimal digits", self.given, self.wanted_hex_digits)
    }
}

impl std::error::Error for DigestParseError {}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Lower-case hexadecimal.
            #[must_use]
            pub fn to_hex(&self) -> String {
                to_hex(&self.0)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = std::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                Ok(Self(bytes.try_into()?))
            }
        }

        impl FromStr for $name {
            type Err = DigestParseError;

            /// Hexadecimal in either case, as hubs write it.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $bytes];
                if from_hex(text, &mut bytes) {
                    Ok(Self(bytes))
                } else {
                    Err(DigestParseError { given: text.chars().take(80).collect(), wanted_hex_digits: 2 * $bytes })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.to_hex())
            }
        }
    };
}

digest! {
    /// SHA-256 of a whole file: the key of an artifact.
    Sha256, 32
}
digest! {
    /// BLAKE3 of a whole file, as CivitAI lists it beside SHA-256.
    Blake3, 32
}
digest! {
    /// Git's object id of a blob, `sha1("blob " + length + "\0" + bytes)`: what Hugging Face gives for small files.
    GitSha1, 20
}

impl Sha256 {
    /// CivitAI's AutoV2: the first ten hexadecimal digits of the SHA-256, upper case as the site prints it.
    #[must_use]
    pub fn auto_v2(&self) -> String {
        self.to_hex()[..10].to_ascii_uppercase()
    }
}

/// Lower-case hexadecimal of any bytes.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads hexadecimal digits of either case, two for each of `bytes`. False when it is something else; `bytes` are not to be
/// used then.
pub fn from_hex(text: &str, bytes: &mut [u8]) -> bool {
    let text = text.as_bytes();
    if text.len() != 2 * bytes.len() {
        return false;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let (Some(high), Some(low)) = (char::from(pair[0]).to_digit(16), char::from(pair[1]).to_digit(16)) else {
            return false;
        };
        *byte = u8::try_from(high << 4 | low).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_upper_case_and_prints_lower_case() {
        let text = "96A7FB4ABC026B628EC2C28FB91086A5F5557AA14244EC329581B27CB53096CD";
        let digest: Sha256 = text.parse().unwrap();
        assert_eq!(digest.to_string(), text.to_ascii_lowercase());
        assert_eq!(digest.auto_v2(), "96A7FB4ABC");
    }

    #[test]
    fn refuses_wrong_lengths_and_other_letters() {
        assert!("".parse::<Sha256>().is_err());
        assert!("g".repeat(64).parse::<Sha256>().is_err());
        assert!("é".repeat(32).parse::<Sha256>().is_err());
    }
}
