//! `downloads`.

use super::ErrorJson;
use crate::render::units::rfc3339;
use crate::render::words;
use paintbox_proto::v1;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct DownloadJson<'a> {
    name: &'a str,
    version: &'a str,
    model: &'a str,
    file: &'a str,
    state: String,
    bytes_done: u64,
    size_bytes: u64,
    received_bytes: u64,
    priority: i32,
    failures: u32,
    error: Option<ErrorJson>,
    due_time: Option<String>,
    automatic: bool,
    create_time: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
}

impl<'a> From<&'a v1::Download> for DownloadJson<'a> {
    fn from(download: &'a v1::Download) -> Self {
        Self {
            name: &download.name,
            version: &download.version,
            model: &download.model_name,
            file: &download.file,
            state: words::state(download.state().as_str_name()),
            bytes_done: download.bytes_done,
            size_bytes: download.size_bytes,
            received_bytes: download.received_bytes,
            priority: download.priority,
            failures: download.failures,
            error: download.failure.as_ref().map(ErrorJson::from),
            due_time: rfc3339(download.due_time.as_ref()),
            automatic: download.automatic,
            create_time: rfc3339(download.create_time.as_ref()),
            start_time: rfc3339(download.start_time.as_ref()),
            end_time: rfc3339(download.end_time.as_ref()),
        }
    }
}
