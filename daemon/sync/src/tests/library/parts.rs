//! Looks at the folders in which something happened: they find there what a look at everything would, and look nowhere
//! else.

use super::super::Chance;
use super::bursts::{Tree, found};
use super::*;
use paintbox_store::library::Parts;

/// Files in the library, how often something is done to some of them, and after how many of these everything is compared.
const FILES: u64 = 200;
const BURSTS: u64 = 40;
const COMPARED: u64 = 8;

impl World {
    /// Looks where something happened, below the library.
    async fn scan_where(&self, library: LibraryId, happened: &[PathBuf]) -> Scanned {
        let mut parts = Parts::default();
        happened.iter().for_each(|path| parts.add(&self.models(), path));
        self.sync.scan_parts(&self.record(library).await, parts, &|_| {}).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn only_the_folder_in_which_something_happened_is_looked_at() {
    let world = World::new().await;
    world.put("a/one.safetensors", &weights(1));
    world.put("b/two.safetensors", &weights(2));
    let library = world.adopt().await;
    world.put("a/early.safetensors", &weights(3));
    let first = world.scan_where(library, &["a/one.safetensors".into()]).await;
    assert_eq!(first.seen, 3, "where nothing was looked at before, everything is");
    assert!(world.record(library).await.walked_at.is_some());

    world.put("a/three.safetensors", &weights(4));
    world.put("b/four.safetensors", &weights(5));
    std::fs::remove_file(world.models().join("b/two.safetensors")).unwrap();
    let scanned = world.scan_where(library, &["a/three.safetensors".into()]).await;
    assert_eq!((scanned.seen, scanned.arrived, scanned.gone), (3, 1, 0));
    assert_eq!(world.names().await, ["early", "one", "three", "two"]);
    let scanned = world.scan_where(library, &["b/two.safetensors".into(), "b/four.safetensors".into()]).await;
    assert_eq!((scanned.seen, scanned.arrived, scanned.gone), (1, 1, 1));
    assert_eq!(world.names().await, ["early", "four", "one", "three"]);

    // A folder that moved, of which only its names are told.
    world.rename("a", "moved");
    let scanned = world.scan_where(library, &["a".into(), "moved".into()]).await;
    assert_eq!((scanned.seen, scanned.known_again, scanned.gone), (3, 3, 3));
    // A file that is written to under one of two names is another one under both.
    std::fs::hard_link(world.models().join("b/four.safetensors"), world.models().join("moved/four.safetensors"))
        .unwrap();
    assert_eq!(world.scan_where(library, &["moved/four.safetensors".into()]).await.known_again, 1);
    world.put("b/four.safetensors", &weights(6));
    assert_eq!(world.scan_where(library, &["b/four.safetensors".into()]).await.arrived, 2);
    // What happens behind a link is told where it leads to.
    std::os::unix::fs::symlink(world.home.path().join("elsewhere"), world.models().join("moved/link")).unwrap();
    assert_eq!(world.scan_where(library, &["moved/link".into()]).await.seen, 5, "everything");
    assert_eq!(world.scan_where(library, &["b/four.safetensors".into()]).await.seen, 5, "from now on");
}

#[tokio::test]
async fn a_library_that_went_or_became_another_tools_is_looked_at_whole() {
    let world = World::new().await;
    world.put("models/loras/one.safetensors", &weights(1));
    world.put("output/two.safetensors", &weights(2));
    let library = world.adopt().await;
    assert_eq!(world.scan(library).await.unwrap().seen, 2);
    world.put("folder_paths.py", b"# where models are");
    let scanned = world.scan_where(library, &["folder_paths.py".into()]).await;
    assert_eq!((scanned.seen, scanned.gone), (1, 1), "what a program painted is no model");
    let elsewhere = world.home.path().join("elsewhere");
    std::fs::rename(world.models(), &elsewhere).unwrap();
    let parts = || Parts { folders: ["models/loras".into()].into(), trees: ["models/loras".into()].into() };
    assert_eq!(world.sync.scan_parts(&world.record(library).await, parts(), &|_| {}).await.unwrap(), None);
    assert!(world.record(library).await.away_since.is_some());
    std::fs::rename(&elsewhere, world.models()).unwrap();
    let back = world.sync.scan_parts(&world.record(library).await, parts(), &|_| {}).await.unwrap();
    assert_eq!(back.map(|scanned| (scanned.seen, scanned.arrived, scanned.gone)), Some((1, 0, 0)));
    assert!(world.record(library).await.away_since.is_none());
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the variable asks a test to repeat a run")]
async fn looks_where_something_happened_add_up_to_a_look_at_everything() {
    let seed = std::env::var("PAINTBOX_BURST").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("PAINTBOX_BURST={seed}");
    let world = World::with(|_, settings| settings.care.identify = false).await;
    let root = world.models();
    let chance = Chance(seed);
    let mut tree = Tree { root: root.clone(), names: Vec::new(), chance, made: 0, happened: Vec::new() };
    for number in 0..FILES {
        let name = tree.fresh();
        std::fs::write(&name, weights(number)).unwrap();
        tree.names.push(name);
    }
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, FILES);
    let mut read = tree.looks();
    let mut in_parts = 0;
    for burst in 1..=BURSTS {
        tree.happened.clear();
        (0..1 + tree.chance.below(6)).for_each(|_| tree.deed());
        let happened: Vec<PathBuf> =
            tree.happened.iter().map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect();
        let scanned = world.scan_where(library, &happened).await;
        in_parts += u64::from(scanned.seen < tree.names.len() as u64);
        let before = world.sync.library_files_read();
        assert_eq!(world.sync.read_library_files().await.unwrap(), ReadTo::TheEnd);
        let looks = tree.looks();
        let unread = looks.difference(&read).count() as u64;
        assert_eq!(world.sync.library_files_read() - before, unread, "seed {seed}, burst {burst}");
        read.extend(looks);
        if burst % COMPARED == 0 {
            let anew = World::with(|_, settings| settings.care.identify = false).await;
            let again = anew.sync.add_library(&root).await.unwrap().record.id;
            anew.scan_and_read(again).await;
            let made = found(&anew.catalogue, again, &root).await;
            assert!(found(&world.catalogue, library, &root).await == made, "seed {seed}, burst {burst}");
        }
    }
    assert!(in_parts > BURSTS / 4, "seed {seed}: only {in_parts} looks were at less than everything");
}
