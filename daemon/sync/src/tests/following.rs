//! What following does, target by target and event by event.

mod events;
mod hugging_face;
mod pickles;
mod policies;
mod previews;
mod targets;
mod wrong_bytes;

use super::World;
use paintbox_catalogue::{FileRecord, ModelDetail, VersionRecord};
use paintbox_domain::{Hub, Secret};
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeRepository};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longer than the interval with its jitter, so that every follow has been looked at since.
const A_ROUND: Duration = Duration::from_secs(2 * 3600);
/// Between two things that somebody does.
const A_MOMENT: Duration = Duration::from_secs(60);

impl World {
    /// Lets a moment pass on both sides without a look at anything.
    pub(super) fn moment(&self) {
        self.clock.advance(A_MOMENT);
        self.tell_the_hub_the_time();
    }

    fn log_in(&self, hub: Hub, token: &str) {
        self.sync.set_token(hub, Secret::new(token));
    }

    async fn detail(&self, id: u64) -> ModelDetail {
        self.catalogue.model(self.model(id).await).await.unwrap()
    }

    async fn repository(&self, id: &str) -> ModelDetail {
        let model = self.catalogue.find_model(Hub::HuggingFace, id).await.unwrap().expect("the repository is known");
        self.catalogue.model(model).await.unwrap()
    }

    /// Runs of this world's sync, the automatic ones included.
    async fn runs(&self) -> usize {
        self.sync
            .list_runs(&paintbox_catalogue::SyncRunQuery { page_size: 100, ..Default::default() })
            .await
            .unwrap()
            .sync_runs
            .len()
    }
}

/// A repository with one file of weights.
fn repository(id: &str, content: u64) -> FakeRepository {
    let files = BTreeMap::from([("model.safetensors".to_owned(), super::weights(content))]);
    FakeRepository { pipeline_tag: Some("text-to-image".to_owned()), ..FakeRepository::new(id, files) }
}

/// The file of weights that a version lists at present.
fn file_of(version: &VersionRecord) -> &FileRecord {
    version.files.iter().find(|file| file.gone_at.is_none() && file.replaced_at.is_none()).expect("it lists a file")
}

/// A model of one version with these files.
fn with_files(world: &World, creator: &str, name: &str, files: Vec<FakeFile>) -> FakeCivitaiModel {
    let mut version = world.version(name, 0);
    version.files = files;
    FakeCivitaiModel::new(creator, "LORA", name).version(version)
}
