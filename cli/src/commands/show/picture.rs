//! An example image of a model, where the terminal shows pictures.

use crate::client::{Client, LOCAL_DEADLINE};
use crate::commands::generate::fetch;
use crate::session::Session;
use paintbox_proto::v1;

/// As wide as is comfortable above text.
const COLUMNS: usize = 32;
/// R, X, XXX and blocked: not what everybody wants to see because somebody looked at a page.
const NOT_SHOWN: u32 = 4 | 8 | 16 | 32;

/// What draws the first example image that is here. None where the terminal shows no pictures, when there is none, and
/// when it cannot be had: a page is as good without.
pub(super) async fn drawn(client: &Client, model: &v1::Model, selected: &str, session: &Session) -> Option<String> {
    let protocol = session.terminal.pictures?;
    let chosen = model.versions.iter().filter(|version| selected.is_empty() || version.name == selected);
    let mut previews = chosen.flat_map(|version| &version.previews);
    let is_shown = |preview: &&v1::Preview| !preview.small_thumbnail.is_empty() && preview.nsfw_level & NOT_SHOWN == 0;
    let thumbnail = &previews.find(is_shown)?.small_thumbnail;
    let bytes = tokio::time::timeout(LOCAL_DEADLINE, fetch(client, thumbnail)).await.ok()?.ok()?;
    let columns = session.terminal.columns.map_or(COLUMNS, |columns| columns.min(COLUMNS));
    protocol.draw(&bytes, u32::try_from(columns).unwrap_or(1))
}
