//! Pictures that a request brings: read from files, and handed to the daemon in parts.

use crate::client::{Client, UPLOAD_DEADLINE, call};
use crate::error::CliError;
use paintbox_proto::v1;
use std::path::Path;

/// What UploadAssetParts and ReadRecipe take, and what of it in one message.
pub(crate) const LARGEST_PICTURE_BYTES: u64 = 64 << 20;
pub(crate) const PART_BYTES: usize = 900 * 1024;

/// The bytes of a picture's file; `argument` named it.
pub(crate) fn read_image(argument: &'static str, path: &Path) -> Result<Vec<u8>, CliError> {
    let size_bytes = std::fs::metadata(path).map_err(CliError::io("read the picture", path))?.len();
    if size_bytes > LARGEST_PICTURE_BYTES {
        return Err(CliError::Argument {
            argument,
            given: path.display().to_string(),
            problem: format!("it has {} MiB, and at most 64 are taken", size_bytes >> 20),
        });
    }
    std::fs::read(path).map_err(CliError::io("read the picture", path))
}

/// Hands a picture to the daemon; the name that it has there.
pub(crate) async fn upload(client: &Client, image: &[u8], doing: &'static str) -> Result<String, CliError> {
    let part = |part: &[u8]| v1::UploadAssetPartsRequest { part: part.to_vec() };
    let parts: Vec<_> = image.chunks(PART_BYTES).map(part).collect();
    let mut assets = client.assets();
    Ok(call(doing, UPLOAD_DEADLINE, assets.upload_asset_parts(tokio_stream::iter(parts))).await?.name)
}
