//! Pictures in OpenAI's form (`types/images_response.py`).

use super::wanted::Quality;
use crate::compat::Compat;
use crate::compat::problem::Problem;
use paintbox_catalogue::{GenerationImage, GenerationRecord};
use paintbox_domain::generation::PictureFormat;
use serde_json::{Value, json};

/// What of a request its answers repeat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) format: PictureFormat,
    pub(super) quality: Option<Quality>,
    pub(super) size: Option<(u32, u32)>,
    pub(super) is_edit: bool,
}

impl Answer {
    /// All pictures of a generation that has succeeded.
    pub(super) async fn whole(&self, compat: &Compat, record: &GenerationRecord) -> Result<Value, Problem> {
        let mut data = Vec::with_capacity(record.images.len());
        for image in &record.images {
            // The seed is not OpenAI's, and what nobody knows nobody reads.
            data.push(json!({ "b64_json": compat.base64_of(image.asset).await?, "seed": image.seed }));
        }
        Ok(json!({
            "created": seconds(record),
            "background": "opaque",
            "data": data,
            "output_format": self.format.as_str(),
            "quality": self.quality.map(Quality::as_str),
            "size": record.images.first().map(size_of),
            "usage": usage(),
        }))
    }

    /// What an event says beside its picture in base64 (`types/image_gen_*_event.py`, `types/image_edit_*_event.py`).
    pub(super) fn event(&self, what: &str, record: &GenerationRecord, picture: &str) -> (String, Value) {
        let kind = format!("{}.{what}", if self.is_edit { "image_edit" } else { "image_generation" });
        let size = self.size.map_or_else(|| "auto".to_owned(), |(width, height)| format!("{width}x{height}"));
        let event = json!({
            "type": kind,
            "b64_json": picture,
            "background": "opaque",
            "created_at": seconds(record),
            "output_format": self.format.as_str(),
            "quality": self.quality.map_or("auto", Quality::as_str),
            "size": size,
        });
        (kind, event)
    }
}

pub(super) fn size_of(image: &GenerationImage) -> String {
    format!("{}x{}", image.width, image.height)
}

/// Nothing is counted in tokens here, and clients insist on numbers.
pub(super) fn usage() -> Value {
    json!({
        "input_tokens": 0,
        "input_tokens_details": { "image_tokens": 0, "text_tokens": 0 },
        "output_tokens": 0,
        "total_tokens": 0,
    })
}

/// When it was asked for, in seconds since 1970.
fn seconds(record: &GenerationRecord) -> i64 {
    record.created_at.unix_ms().div_euclid(1000)
}
