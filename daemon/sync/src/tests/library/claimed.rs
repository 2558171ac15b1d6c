//! What notes beside files say that they are: a hint, which the hub's page confirms or not, and which no digest heeds.

use super::*;
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeVersion, PublishedModel};

impl World {
    /// A model whose one file the hub has not scanned yet, so that it lists no digest.
    fn publish_unscanned(&self, name: &str, file: &str, content: u64) -> PublishedModel {
        let file = FakeFile { scan_pending: true, ..FakeFile::model(file, weights(content)) };
        self.hub.publish(
            FakeCivitaiModel::new("konan", "LORA", name).version(FakeVersion::new("v1", "SDXL 1.0").file(file)),
        )
    }

    /// StabilityMatrix's note beside `model`.
    fn note(&self, model: &str, of: &PublishedModel) {
        let note = format!(r#"{{"ModelId":{},"VersionId":{},"ModelName":"Noted"}}"#, of.id, of.versions[0].id);
        self.put(&format!("{model}.cm-info.json"), note.as_bytes());
    }

    /// What is known of the file behind `local:N`.
    async fn identity(&self, local: u64) -> (String, Option<String>) {
        let id = self.catalogue.find_model(None, &local.to_string()).await.unwrap().expect("it has a page");
        let identity = self.catalogue.model(id).await.unwrap().identity.unwrap();
        (identity.as_str().to_owned(), identity.claimed.map(|(reference, _)| reference.to_string()))
    }
}

#[tokio::test]
async fn a_claim_counts_where_name_and_length_agree_and_no_digest_is_listed() {
    let world = World::new().await;
    let right = world.publish_unscanned("Right", "right.safetensors", 1);
    let renamed = world.publish_unscanned("Renamed", "other name.safetensors", 2);
    let scanned = world.publish("konan", "Scanned", 3);
    for (name, content, claimed) in
        [("right", 1, Some(&right)), ("renamed", 2, Some(&renamed)), ("Scanned", 7, Some(&scanned)), ("mine", 8, None)]
    {
        world.put(&format!("loras/{name}.safetensors"), &weights(content));
        if let Some(claimed) = claimed {
            world.note(&format!("loras/{name}"), claimed);
        }
    }
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 4);
    let local = async |name: &str| {
        let path = ModelRef::Path(world.models().join(format!("loras/{name}.safetensors")));
        let model = world.catalogue.resolve(&path).await.unwrap().model;
        world.catalogue.model(model).await.unwrap()
    };
    assert_eq!(local("mine").await.identity.unwrap().as_str(), "pending");
    world.sync.identify_library_files().await.unwrap();

    let found = local("right").await;
    assert_eq!(found.summary.reference.to_string(), format!("civitai:{}", right.id));
    assert!(found.summary.downloaded && found.identity.is_none());
    assert_eq!(found.versions[0].files[0].state, FileState::Unverified);
    // Another name, and a digest that speaks against it: the claim stays a claim.
    for (name, claimed) in [("renamed", &renamed), ("Scanned", &scanned)] {
        let page = local(name).await;
        assert_eq!(page.summary.hub, None, "{name}");
        let identity = page.identity.unwrap();
        let wanted = format!("civitai:{}@{}", claimed.id, claimed.versions[0].id);
        let (reference, said_by) = identity.claimed.clone().unwrap();
        assert_eq!((identity.as_str(), reference.to_string()), ("claimed", wanted), "{name}");
        assert_eq!(said_by, format!("{name}.cm-info.json"));
        assert!(identity.asked_at.is_some());
        let hubs = world.catalogue.model(world.model(claimed.id).await).await.unwrap();
        assert!(!hubs.summary.downloaded, "{name}: the page is known, and nothing of it is here");
    }
    assert_eq!(local("mine").await.identity.unwrap().as_str(), "unknown");
}

#[tokio::test]
async fn a_digest_that_the_hub_lists_later_overrules_a_claim() {
    let world = World::new().await;
    let published = world.publish_unscanned("Ink", "ink.safetensors", 1);
    world.put("ink.safetensors", &weights(2));
    world.note("ink", &published);
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 1);
    world.sync.identify_library_files().await.unwrap();
    let state = async || {
        let model = world.catalogue.model(world.model(published.id).await).await.unwrap();
        model.versions[0].files[0].state
    };
    assert_eq!((state().await, world.names().await), (FileState::Unverified, vec!["Ink".to_owned()]));
    assert!(world.hub.replace_file(published.versions[0].files[0], weights(1)), "the hub has scanned it by now");
    let page = world
        .sync
        .inner
        .parts
        .hubs
        .model(paintbox_domain::Hub::Civitai, &published.id.to_string(), None)
        .await
        .unwrap();
    world.catalogue.record_models(&[page], None).await.unwrap();
    assert_eq!(state().await, FileState::Absent, "neither here nor mismatched");
    assert_eq!(
        world.identity(1).await,
        ("claimed".to_owned(), Some(format!("civitai:{}@{}", published.id, published.versions[0].id)))
    );
}

#[tokio::test]
async fn a_claim_of_what_the_hub_took_down_or_never_had_stays_one() {
    let world = World::new().await;
    let published = world.publish("konan", "Gone", 1);
    assert!(world.hub.unpublish(published.id));
    world.put("a.safetensors", &weights(1));
    world.note("a", &published);
    // A note about bytes that lay here before.
    let unscanned = world.publish_unscanned("Before", "c.safetensors", 3);
    let about = format!(
        r#"{{"ModelId":{},"VersionId":{},"Hashes":{{"SHA256":"{}"}}}}"#,
        unscanned.id,
        unscanned.versions[0].id,
        "ab".repeat(32)
    );
    world.put("c.safetensors", &weights(4));
    world.put("c.cm-info.json", about.as_bytes());
    world.put("b.safetensors", &weights(2));
    world.put("b.cm-info.json", br#"{"VersionId":999999}"#);
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 3);
    world.sync.identify_library_files().await.unwrap();
    let asked = world.hub.requests().len();
    for local in [1, 2, 3] {
        assert_eq!(world.identity(local).await.0, "claimed", "{local}");
    }
    world.sync.identify_library_files().await.unwrap();
    assert_eq!(world.hub.requests().len(), asked, "asked about again after a month only");
}
