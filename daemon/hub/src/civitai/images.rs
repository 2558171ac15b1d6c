//! Pictures that people posted, with the data they were made with.
//!
//! Parameters and shapes: github civitai/civitai @ ebed661630d3, `src/pages/api/v1/images/index.ts`; github
//! civitai/civitai-developer-docs @ 9382513060e5, `site/reference/images.md`.

use super::{Civitai, convert, parse, unexpected};
use crate::Inner;
use crate::error::HubError;
use crate::json;
use crate::refusal::Asked;
use async_stream::try_stream;
use futures::StreamExt;
use futures::stream::BoxStream;
use paintbox_domain::hub::HubPreview;
use paintbox_domain::{Hub, Timestamp};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use url::form_urlencoded::Serializer;

const MOST_PER_PAGE: u32 = 200;

/// What `GET /api/v1/images` is asked for; newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageQuery {
    pub model: Option<u64>,
    pub version: Option<u64>,
    pub username: Option<String>,
    pub post: Option<u64>,
    /// One picture. The site may answer with another one, which is then left out.
    pub image: Option<u64>,
    /// Pictures beyond PG.
    pub nsfw: bool,
    /// Pictures on a page, at most 200; none for 200.
    pub limit: Option<u32>,
}

/// A picture that somebody posted.
#[derive(Debug, Clone, PartialEq)]
pub struct CivitaiImage {
    /// With its generation data, unless the poster hides it.
    pub preview: HubPreview,
    pub username: Option<String>,
    pub base_model: Option<String>,
    /// `external_id` of the versions that it was made with.
    pub versions: Vec<String>,
    pub post: Option<String>,
    pub posted_at: Option<Timestamp>,
}

impl ImageQuery {
    fn path(&self, cursor: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        for (key, number) in
            [("modelId", self.model), ("modelVersionId", self.version), ("postId", self.post), ("imageId", self.image)]
        {
            query.extend_pairs(number.map(|number| (key, number.to_string())));
        }
        query.extend_pairs(self.username.iter().map(|name| ("username", name)));
        // Without `withMeta` the generation data is left out; `flatMeta` keeps it from being wrapped.
        query.extend_pairs([("withMeta", "true"), ("flatMeta", "true"), ("sort", "Newest")]);
        query.extend_pairs(self.nsfw.then_some(("nsfw", "true")));
        query.append_pair("limit", &self.limit.unwrap_or(MOST_PER_PAGE).clamp(1, MOST_PER_PAGE).to_string());
        query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
        format!("/api/v1/images?{}", query.finish())
    }

    fn wants(&self, image: &CivitaiImage) -> bool {
        self.image.is_none_or(|wanted| image.preview.external_id == Some(wanted.to_string()))
    }
}

/// The pages of a query; pictures that come twice are given once.
pub(crate) fn images(inner: Arc<Inner>, query: ImageQuery) -> BoxStream<'static, Result<Vec<CivitaiImage>, HubError>> {
    try_stream! {
        let mut cursors = HashSet::new();
        let mut given = HashSet::new();
        let mut next: Option<String> = None;
        loop {
            let mut page = inner.civitai.page_of_images(&query, next.as_deref()).await?;
            page.images.retain(|image| query.wants(image) && given.insert(image.preview.url.clone()));
            yield page.images;
            let Some(cursor) = page.next else { break };
            if !cursors.insert(cursor.clone()) {
                Err(HubError::EndlessList {
                    hub: Hub::Civitai,
                    creator: "images".to_owned(),
                    repeated: format!("the cursor {}", cursor.chars().take(80).collect::<String>()),
                })?;
            }
            next = Some(cursor);
        }
    }
    .boxed()
}

struct Page {
    images: Vec<CivitaiImage>,
    next: Option<String>,
}

impl Civitai {
    async fn page_of_images(&self, query: &ImageQuery, cursor: Option<&str>) -> Result<Page, HubError> {
        let site = self.sites.lists(query.nsfw);
        let answer = self.transport.json(site, &query.path(cursor), &Asked::List).await?;
        let list = parse(&answer)?;
        if !list.get("items").is_some_and(Value::is_array) {
            return Err(unexpected(&answer, "a list without items"));
        }
        let images = json::list(&list, "items").iter().filter_map(image).collect();
        Ok(Page { images, next: list.get("metadata").and_then(|metadata| json::text(metadata, "nextCursor")) })
    }
}

/// None without an address.
fn image(item: &Value) -> Option<CivitaiImage> {
    let mut preview = convert::preview(item)?;
    // Here `nsfwLevel` is a word, and the bits are called otherwise.
    preview.nsfw_level = json::small(item, "browsingLevel")
        .or_else(|| convert::old_nsfw_level(item.get("nsfwLevel")?.as_str()?))
        .unwrap_or(preview.nsfw_level);
    // Asked for by model alone, the site wraps the data: `{"id": 1, "meta": {…}}`.
    let inner = item.get("meta").and_then(|meta| meta.get("meta"));
    if let Some(inner) = inner {
        preview.generation = inner.is_object().then(|| inner.to_string());
    }
    Some(CivitaiImage {
        preview,
        username: json::text(item, "username"),
        base_model: json::text(item, "baseModel"),
        versions: json::texts(item, "modelVersionIds"),
        post: json::text(item, "postId"),
        posted_at: json::time(item, "createdAt"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::hub::PreviewMedia;
    use serde_json::json;

    #[test]
    fn the_documented_picture_is_read_whole() {
        let path = format!("{}/../../tests/fixtures/hubs/civitai/docs-2026-images.json", env!("CARGO_MANIFEST_DIR"));
        let page: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let image = image(&page["items"][0]).unwrap();
        assert_eq!((image.preview.external_id.as_deref(), image.preview.media), (Some("9173928"), PreviewMedia::Image));
        assert_eq!((image.preview.nsfw_level, image.preview.width), (2, Some(832)));
        assert!(image.preview.generation.unwrap().contains("DPM++ 2M"));
        assert_eq!(image.versions, ["9208", "249861", "258687", "332071", "345685"]);
        assert_eq!((image.username.as_deref(), image.base_model.as_deref()), (Some("Ajuro"), Some("SDXL 1.0")));
        assert!(image.posted_at.is_some());
    }

    #[test]
    fn wrapped_and_hidden_generation_data_is_seen_through() {
        let read = |meta: Value| image(&json!({"url": "https://x/1.jpeg", "meta": meta})).unwrap().preview.generation;
        assert_eq!(read(json!({"id": 5, "meta": {"seed": 1}})).as_deref(), Some("{\"seed\":1}"));
        assert_eq!(read(json!({"id": 5, "meta": null})), None);
        assert_eq!(read(json!({"seed": 1})).as_deref(), Some("{\"seed\":1}"));
        assert_eq!(read(Value::Null), None);
        assert!(image(&json!({"id": 1})).is_none());
    }
}
