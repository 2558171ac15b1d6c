//! How a picture that somebody posted on a hub was made.

use crate::error::SyncError;
use crate::service::Sync;
use futures::StreamExt as _;
use paintbox_hub::ImageQuery;

impl Sync {
    /// The generation data of a picture on CivitAI, the JSON object that the site gives.
    ///
    /// # Errors
    /// `IMAGE_NOT_FOUND`; `RECIPE_NOT_FOUND` when the site has no such data or hides it; whatever keeps the hub from
    /// answering.
    pub async fn civitai_generation_data(&self, image: u64) -> Result<String, SyncError> {
        // By number, ratings do not matter; without `nsfw` the site would leave most pictures out.
        let query = ImageQuery { image: Some(image), nsfw: true, limit: Some(1), ..ImageQuery::default() };
        let mut pages = self.inner.parts.hubs.civitai_images(query);
        // One page: the site answers with the picture, with another, or with none.
        let page = pages.next().await.transpose()?.unwrap_or_default();
        let found = page.into_iter().next().ok_or(SyncError::NoSuchImage { image })?;
        found.preview.generation.ok_or(SyncError::NoGenerationData { image })
    }
}
