//! How weights were made smaller, by the tensors that each method leaves beside them.
//!
//! Names: ComfyUI's scaled fp8 (`scaled_fp8`, `.scale_weight`: Comfy-Org/ComfyUI `comfy/ops.py` and
//! `comfy/model_detection.py` at a125cd84; `.weight_scale` and `.comfy_quant` since then), bitsandbytes (`.absmax`,
//! `.quant_state.bitsandbytes__nf4`), nunchaku's SVDQuant (`.qweight`, `.wscales`, `.smooth_factor`: diffusers
//! `src/diffusers/quantizers/nunchaku/utils.py` at 58eb52c0), GPTQ (`.qzeros`).

use super::Listing;
use crate::shapes::split_last;

/// The method, if one left its mark; plain fp8, fp4 and integers are told by the precision alone.
pub(crate) fn find(listing: &Listing<'_>) -> Option<&'static str> {
    if listing.is_gguf() {
        return Some("gguf");
    }
    // A file has one method, and its mark stands in the first block at the latest, so most names are never looked at.
    let mut is_svdquant = false;
    for name in listing.names() {
        let leaf = split_last(name).map_or(name, |(_, leaf)| leaf);
        let method = match leaf {
            "scaled_fp8" | "scale_weight" => Some("scaled_fp8"),
            "weight_scale" | "comfy_quant" => Some("scaled"),
            "bitsandbytes__nf4" => Some("nf4"),
            "bitsandbytes__fp4" => Some("fp4"),
            "qzeros" => Some("gptq"),
            "wscales" | "smooth_factor" if is_svdquant => Some("svdquant"),
            _ => None,
        };
        is_svdquant |= leaf == "qweight" || leaf == "proj_down";
        if method.is_some() {
            return method;
        }
    }
    None
}
