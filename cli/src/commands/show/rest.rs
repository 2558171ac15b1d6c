//! What a model has beside what fits into one message: a page with thousands of versions, files or pictures comes in parts.

use crate::client::{ALL, Client, LARGEST_PAGE, LOCAL_DEADLINE, call, entries};
use crate::error::CliError;
use paintbox_proto::v1;

/// Completes a model as it was told.
pub(super) async fn ask(
    client: &Client,
    model: &mut v1::Model,
    read_time: Option<prost_types::Timestamp>,
) -> Result<(), CliError> {
    let has_all = |told: usize, count: u32| told >= count as usize;
    if !has_all(model.versions.len(), model.version_count) {
        let name = &model.name;
        model.versions = entries(ALL, async |page_token| {
            let request =
                v1::ListModelVersionsRequest { name: name.clone(), page_size: LARGEST_PAGE, page_token, read_time };
            let mut catalogue = client.catalogue();
            let page = call("list the versions", LOCAL_DEADLINE, catalogue.list_model_versions(request)).await?;
            Ok((page.versions, page.next_page_token))
        })
        .await?;
    }
    for version in &mut model.versions {
        let name = &version.name;
        if !has_all(version.files.len(), version.file_count) {
            version.files = entries(ALL, async |page_token| {
                let request =
                    v1::ListModelFilesRequest { name: name.clone(), page_size: LARGEST_PAGE, page_token, read_time };
                let mut catalogue = client.catalogue();
                let page = call("list the files", LOCAL_DEADLINE, catalogue.list_model_files(request)).await?;
                Ok((page.files, page.next_page_token))
            })
            .await?;
        }
        if !has_all(version.previews.len(), version.preview_count) {
            version.previews = entries(ALL, async |page_token| {
                let request =
                    v1::ListPreviewsRequest { name: name.clone(), page_size: LARGEST_PAGE, page_token, read_time };
                let mut catalogue = client.catalogue();
                let page = call("list the pictures", LOCAL_DEADLINE, catalogue.list_previews(request)).await?;
                Ok((page.previews, page.next_page_token))
            })
            .await?;
        }
    }
    Ok(())
}
