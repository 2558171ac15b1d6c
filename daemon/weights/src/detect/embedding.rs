//! Textual inversions: a few vectors for the token table of a text encoder; their width says which.

use super::{Finding, Listing};
use paintbox_domain::{Architecture, ModelKind};

const MOST_VECTORS: usize = 1_000;

pub(super) fn find(listing: &Listing<'_>) -> Option<Finding> {
    // Two tensors at most in every form that exists; metadata such as `step` or `name` is no tensor.
    if listing.len() > 4 {
        return None;
    }
    let width = |name: &str| match *listing.shape(name)? {
        [width] => Some(width),
        [vectors, width] if vectors <= MOST_VECTORS => Some(width),
        _ => None,
    };
    let found = |architecture| Some(Finding::new(ModelKind::TextualInversion, architecture));
    // XL has two text encoders, so two tensors; nobody names a single vector `clip_g`.
    if width("clip_g") == Some(1280) {
        return found(if width("clip_l") == Some(768) { Architecture::Sdxl } else { Architecture::Unknown });
    }
    let of_width = |width| match width {
        768 => Architecture::Sd1,
        1024 => Architecture::Sd2,
        _ => Architecture::Unknown,
    };
    if let Some(width) = width("emb_params").or_else(|| width("string_to_param.*")) {
        return found(of_width(width));
    }
    // diffusers writes one tensor under the token's own name.
    let mut names = listing.names();
    let (Some(name), None) = (names.next(), names.next()) else { return None };
    match width(name)? {
        // CLIP-L is one of the two encoders of XL and of FLUX.1; alone it is what is left of such a file.
        _ if matches!(name, "clip_l" | "clip_g") => found(Architecture::Unknown),
        width @ (768 | 1024) => found(of_width(width)),
        _ if name.starts_with('<') && name.ends_with('>') => found(Architecture::Unknown),
        _ => None,
    }
}
