//! Pictures in requests and answers: base64, with limits on what is decoded.

use super::Compat;
use super::aside::aside;
use super::fields::Fields;
use super::problem::Problem;
use crate::asset::{LARGEST_PICTURE_BYTES, keep_picture};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use paintbox_catalogue::Asset;
use paintbox_domain::{ErrorClass, Failure, Sha256, reason};
use paintbox_generation::{Fit, fitted};
use std::io::Read as _;

/// With or without the signs that fill the last group up, as different programs write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How many times as many pixels as the model is used to a picture may have before it is made smaller.
const MOST_TIMES_AS_LARGE: f64 = 2.0;

pub(super) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The bytes of a picture that a request has in base64, alone or as a data URL, where `pick` finds it.
pub(super) async fn decoded(
    fields: &Fields,
    field: &'static str,
    pick: impl for<'a> FnOnce(&'a Fields) -> Result<Option<&'a str>, Problem> + Send + 'static,
) -> Result<Option<Vec<u8>>, Problem> {
    let fields = fields.clone();
    aside(move || pick(&fields)?.map(|text| from_base64(field, text)).transpose()).await?
}

/// The bytes of a picture in base64, alone or as a data URL. Addresses are not fetched.
pub(super) fn from_base64(field: &str, text: &str) -> Result<Vec<u8>, Problem> {
    let text = text.trim();
    let is_address = ["http:", "https:", "file:", "ftp:"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(scheme)));
    if is_address {
        return Err(Problem::unsupported(field, "addresses are not fetched; send the picture itself in base64"));
    }
    let encoded = match text.strip_prefix("data:") {
        Some(rest) => match rest.split_once(',') {
            Some((kind, encoded)) if kind.ends_with(";base64") => encoded,
            _ => return Err(Problem::invalid(field, "the data URL is not in base64")),
        },
        None => text,
    };
    if encoded.is_empty() {
        return Err(Problem::invalid(field, "there is no picture"));
    }
    if encoded.len() / 4 > LARGEST_PICTURE_BYTES / 3 {
        return Err(Problem::too_large(&format!("`{field}`"), LARGEST_PICTURE_BYTES));
    }
    let decoded = if encoded.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let plain: Vec<u8> = encoded.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        BASE64.decode(plain)
    } else {
        BASE64.decode(encoded)
    };
    decoded.map_err(|error| Problem::invalid(field, format!("it is no base64: {error}")))
}

/// A picture at a size of so many pixels.
pub(super) async fn fit(picture: Vec<u8>, size: (u32, u32), how: Fit) -> Result<Vec<u8>, Problem> {
    Ok(aside(move || fitted(&picture, size, how)).await??)
}

/// The size in a picture's own proportions that a model can paint: its own, or so much smaller that the model knows it.
pub(super) fn close_to(given: (u32, u32), usual: (u32, u32), multiple: u32) -> (u32, u32) {
    let pixels = |(width, height): (u32, u32)| f64::from(width) * f64::from(height);
    let most = pixels(usual) * MOST_TIMES_AS_LARGE;
    let factor = if pixels(given) > most { (pixels(usual) / pixels(given)).sqrt() } else { 1.0 };
    let multiple = multiple.max(1);
    let side = |side: u32| {
        let side = (f64::from(side) * factor).round() as u32;
        (side / multiple).max(1) * multiple
    };
    (side(given.0), side(given.1))
}

impl Compat {
    /// Keeps a picture as an asset, if it is one that can be decoded.
    pub(super) async fn keep(&self, field: &str, bytes: Vec<u8>) -> Result<Asset, Problem> {
        keep_picture(&self.store, &self.catalogue, bytes).await.map_err(|failure| {
            let failure = Failure { message: format!("`{field}`: {}", failure.message), ..failure };
            failure.with("field", field).into()
        })
    }

    /// A picture that is kept, in base64.
    pub(super) async fn base64_of(&self, sha256: Sha256) -> Result<String, Problem> {
        let store = self.store.clone();
        let read = aside(move || {
            let mut bytes = Vec::new();
            let mut blob = store.open_blob(&sha256).map_err(|error| Failure::of(&error))?;
            match blob.read_to_end(&mut bytes) {
                Ok(_) => Ok(to_base64(&bytes)),
                Err(error) => {
                    let message = format!("the image asset {sha256} cannot be read: {error}");
                    Err(Failure::new(ErrorClass::Internal, reason::STORE_FAILED, message))
                }
            }
        });
        Ok(read.await??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_bare_and_as_data_urls_with_or_without_padding() {
        for text in ["iVBORw==", "iVBORw", " iVBORw==\n", "iVB\nORw==", "data:image/png;base64,iVBORw=="] {
            assert_eq!(from_base64("image", text).unwrap(), b"\x89PNG", "{text}");
        }
    }

    #[test]
    fn what_is_no_picture_in_base64_is_refused() {
        for (text, wanted) in [
            ("", reason::INVALID_ARGUMENT),
            ("%%%", reason::INVALID_ARGUMENT),
            ("data:image/png,abc", reason::INVALID_ARGUMENT),
            ("data:image/png;base64,", reason::INVALID_ARGUMENT),
            ("https://example.org/x.png", reason::UNSUPPORTED_SETTING),
            ("FILE:///etc/passwd", reason::UNSUPPORTED_SETTING),
        ] {
            let problem = from_base64("image", text).unwrap_err();
            assert_eq!((problem.failure.reason.as_str(), problem.field()), (wanted, Some("image")), "{text}");
        }
        let long = "A".repeat(LARGEST_PICTURE_BYTES / 3 * 4 + 8);
        let problem = from_base64("image", &long).unwrap_err();
        assert_eq!((problem.failure.reason.as_str(), problem.status().as_u16()), (reason::BODY_TOO_LARGE, 413));
    }

    #[test]
    fn a_picture_is_edited_at_its_own_size_or_at_one_that_the_model_knows() {
        let usual = (512, 512);
        assert_eq!(close_to((512, 512), usual, 8), (512, 512));
        assert_eq!(close_to((600, 401), usual, 8), (600, 400));
        assert_eq!(close_to((2048, 1024), usual, 8), (720, 360));
        assert_eq!(close_to((3, 5), usual, 8), (8, 8));
    }
}
