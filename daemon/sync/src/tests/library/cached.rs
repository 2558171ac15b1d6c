//! The cache of Hugging Face's own libraries: its folders say what to ask for, and the digests of the page what it is.

use super::*;
use paintbox_testkit::{FakeRepository, Fault, Server};
use std::collections::BTreeMap;

impl World {
    /// Puts a file into the cache, as the hub's libraries do.
    fn cache(&self, repository: &str, commit: &str, path: &str, bytes: &[u8]) {
        let folder = format!("hub/models--{}", repository.replace('/', "--"));
        let blob = format!("{folder}/blobs/{}", digest(bytes).to_hex());
        self.put(&blob, bytes);
        let link = self.models().join(format!("{folder}/snapshots/{commit}/{path}"));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(self.models().join(blob), link).unwrap();
    }
}

#[tokio::test]
async fn a_pipeline_in_the_cache_is_the_page_of_its_repository() {
    let world = World::new().await;
    let files: BTreeMap<_, _> =
        [("unet/diffusion_pytorch_model.safetensors", 1), ("vae/diffusion_pytorch_model.safetensors", 2)]
            .map(|(path, content)| (path.to_owned(), weights(content)))
            .into();
    let commit = world.hub.publish_repository(FakeRepository::new("acme/tiny-pipeline", files));
    for (path, content) in [("unet", 1), ("vae", 2), ("text_encoder", 3)] {
        let path = format!("{path}/diffusion_pytorch_model.safetensors");
        world.cache("acme/tiny-pipeline", &commit, &path, &weights(content));
    }
    world.cache("acme/gone", &"a".repeat(40), "model.safetensors", &weights(4));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 4);
    world.sync.identify_library_files().await.unwrap();

    // What the page does not list stays what it is, and so does what there is no page of.
    let names = world.names().await;
    let part = "acme/tiny-pipeline text_encoder/diffusion_pytorch_model.safetensors";
    assert_eq!(names, ["acme/gone model.safetensors", part, "tiny-pipeline"]);
    let found =
        world.catalogue.search(&SearchQuery { text: "tiny pipeline".into(), ..Default::default() }).await.unwrap();
    let page = found.models.into_iter().find(|model| model.hub.is_some()).unwrap();
    assert_eq!(page.reference.to_string(), "hf:acme/tiny-pipeline");
    let model = world.catalogue.model(page.id).await.unwrap();
    assert!(model.versions[0].files.iter().all(|file| file.state == FileState::Verified), "{model:?}");
    let gone = found_local(&world, "acme/gone model.safetensors").await;
    assert_eq!(
        gone,
        ("claimed".to_owned(), format!("hf:acme/gone@{}", "a".repeat(40)), "models--acme--gone".to_owned())
    );
}

#[tokio::test]
async fn a_hub_that_is_away_is_asked_again_and_the_other_is_asked_meanwhile() {
    let world = World::new().await;
    let published = world.publish("konan", "Ink Wash", 1);
    world.cache("konan/ink", &"a".repeat(40), "unet/model.safetensors", &weights(1));
    let repository = FakeRepository::new("acme/tiny", BTreeMap::from([("model.safetensors".to_owned(), weights(2))]));
    let commit = world.hub.publish_repository(repository);
    world.cache("acme/tiny", &commit, "model.safetensors", &weights(2));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 2);
    world.hub.faults().always(Server::HfEndpoint, "/api/models/acme/tiny", Fault::HangUp);
    world.sync.identify_library_files().await.unwrap_err();
    let part = "acme/tiny model.safetensors";
    assert_eq!(world.names().await, ["Ink Wash", part], "{}", published.id);
    world.hub.faults().clear();
    world.sync.identify_library_files().await.unwrap();
    assert_eq!(world.names().await, ["Ink Wash", "tiny"]);
}

async fn found_local(world: &World, name: &str) -> (String, String, String) {
    let page = world.catalogue.search(&SearchQuery::default()).await.unwrap();
    let id = page.models.into_iter().find(|model| model.name == name).unwrap().id;
    let identity = world.catalogue.model(id).await.unwrap().identity.unwrap();
    let (reference, said_by) = identity.claimed.clone().unwrap();
    (identity.as_str().to_owned(), reference.to_string(), said_by)
}
