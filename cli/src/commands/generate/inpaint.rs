//! `--mask FILE` and how it is painted.

use paintbox_proto::v1;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct InpaintArguments {
    /// Paint only what this picture says: its opaque parts, or its light ones if all of it is opaque
    #[arg(long, value_name = "FILE", requires = "init_image")]
    pub(crate) mask: Option<PathBuf>,
    /// Paint what the mask leaves out
    #[arg(long, requires = "mask")]
    mask_invert: bool,
    /// How far to soften the mask's edge, in pixels; at most 64 [default: 4]
    #[arg(long, value_name = "N", requires = "mask")]
    mask_blur: Option<u32>,
    /// What stands under the mask before it is painted over: original, fill, noise or nothing [default: original]
    #[arg(long, value_name = "WHAT", requires = "mask")]
    mask_content: Option<String>,
    /// Cut the masked part out, paint it at --width × --height, and put it back: more detail for small parts
    #[arg(long, requires = "mask")]
    only_masked: bool,
    /// Pixels to keep around the masked part when it is cut out [default: 32]
    #[arg(long, value_name = "N", requires = "only_masked")]
    mask_padding: Option<u32>,
}

impl InpaintArguments {
    /// What is asked of the daemon, which calls the mask `asset`.
    pub(crate) fn message(&self, asset: String) -> Option<v1::Inpaint> {
        self.mask.as_ref().map(|_| v1::Inpaint {
            mask: asset,
            invert: self.mask_invert,
            blur: self.mask_blur,
            content: self.mask_content.clone().unwrap_or_default(),
            only_masked: self.only_masked,
            padding: self.mask_padding,
        })
    }
}
