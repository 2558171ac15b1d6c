//! Random bursts of what people do to thousands of files while nobody looks. After each, the catalogue is what it would
//! be if it had been made anew, and nothing was read to its end that had been read before.

use super::super::{Chance, World, weights};
use paintbox_catalogue::{AtRestQuery, Catalogue, LibraryId, SearchQuery};
use paintbox_domain::{FileLook, Sha256, Timestamp};
use paintbox_store::library::look;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// Files in the library, and what is done to them between two looks; `PAINTBOX_BURST=seed` repeats one run.
const FILES: u64 = 10_000;
const BURSTS: u64 = 2;
const DEEDS: u64 = 400;

pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) names: Vec<PathBuf>,
    pub(super) chance: Chance,
    pub(super) made: u64,
    /// Where something happened.
    pub(super) happened: Vec<PathBuf>,
}

impl Tree {
    fn any(&mut self) -> PathBuf {
        let at = self.chance.below(self.names.len() as u64);
        self.names[usize::try_from(at).unwrap()].clone()
    }

    pub(super) fn fresh(&mut self) -> PathBuf {
        self.made += 1;
        let folder = self.root.join(format!("folder {}", self.chance.below(40)));
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(format!("{}.safetensors", self.made))
    }

    /// One of the things that people do.
    pub(super) fn deed(&mut self) {
        let (name, fresh) = (self.any(), self.fresh());
        self.happened.extend([name.clone(), fresh.clone()]);
        match self.chance.below(8) {
            0 | 1 => {
                std::fs::rename(&name, &fresh).unwrap();
                self.names.retain(|known| *known != name);
                self.names.push(fresh);
            }
            2 => {
                std::fs::hard_link(&name, &fresh).unwrap();
                self.names.push(fresh);
            }
            // Over an existing name, or two names of one file, which changes nothing.
            3 => {
                let other = self.any();
                self.happened.push(other.clone());
                std::fs::rename(&name, &other).unwrap();
                self.names.retain(|known| known.exists());
            }
            4 => {
                let content = self.chance.below(FILES * 2);
                std::fs::write(&name, weights(content)).unwrap();
            }
            5 => {
                std::fs::remove_file(&name).unwrap();
                self.names.retain(|known| *known != name);
            }
            6 => {
                let content = self.chance.below(FILES * 2);
                std::fs::write(&fresh, weights(content)).unwrap();
                self.names.push(fresh);
            }
            // Touched.
            _ => std::fs::write(&name, std::fs::read(&name).unwrap()).unwrap(),
        }
        if self.chance.below(50) == 0 {
            self.move_a_folder();
        }
    }

    fn move_a_folder(&mut self) {
        let from = self.root.join(format!("folder {}", self.chance.below(40)));
        self.made += 1;
        let to = self.root.join(format!("moved {}", self.made));
        if !from.exists() {
            return;
        }
        std::fs::rename(&from, &to).unwrap();
        self.happened.extend([from.clone(), to.clone()]);
        for name in &mut self.names {
            if let Ok(rest) = name.strip_prefix(&from) {
                *name = to.join(rest);
            }
        }
    }

    pub(super) fn looks(&self) -> HashSet<FileLook> {
        self.names.iter().map(|name| look(name).unwrap()).collect()
    }
}

/// Every content with its names, and how many pages there are.
pub(super) async fn found(
    catalogue: &Catalogue,
    library: LibraryId,
    root: &Path,
) -> (BTreeMap<Sha256, BTreeSet<PathBuf>>, usize) {
    let mut contents: BTreeMap<Sha256, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for place in catalogue.at_rest(&AtRestQuery::unread_since(Timestamp::from_unix_ms(i64::MAX))).await.unwrap() {
        seen.insert(place.path.clone());
        contents.entry(place.sha256).or_default().insert(place.path);
    }
    let named = catalogue.library_paths(library).await.unwrap().into_iter().map(|path| root.join(path.path));
    assert!(seen == named.collect(), "content is seen at every name, and nowhere else");
    let mut pages = 0;
    let mut query = SearchQuery { page_size: 500, ..SearchQuery::default() };
    loop {
        let page = catalogue.search(&query).await.unwrap();
        pages += page.models.len();
        query.page_token = page.next_page_token;
        if query.page_token.is_none() {
            return (contents, pages);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "the variable asks a test to repeat a run")]
async fn after_any_burst_the_catalogue_is_as_if_made_anew_and_nothing_was_read_twice() {
    let seed = std::env::var("PAINTBOX_BURST").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("PAINTBOX_BURST={seed}");
    let world = World::with(|_, settings| settings.care.identify = false).await;
    let root = world.models();
    let mut tree = Tree { root: root.clone(), names: Vec::new(), chance: Chance(seed), made: 0, happened: Vec::new() };
    for number in 0..FILES {
        let name = tree.fresh();
        // Some are copies.
        std::fs::write(&name, weights(number - number % 3 / 2)).unwrap();
        tree.names.push(name);
    }
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, FILES);
    let mut read = tree.looks();
    for burst in 0..BURSTS {
        let deeds = 1 + tree.chance.below(DEEDS);
        (0..deeds).for_each(|_| tree.deed());
        let looks = tree.looks();
        let unread = looks.difference(&read).count() as u64;
        assert_eq!(world.scan_and_read(library).await, unread, "seed {seed}, burst {burst}");
        read.extend(looks);

        let anew = World::with(|_, settings| settings.care.identify = false).await;
        let again = anew.sync.add_library(&root).await.unwrap().record.id;
        anew.scan_and_read(again).await;
        let (made, kept) = (found(&anew.catalogue, again, &root).await, found(&world.catalogue, library, &root).await);
        assert_eq!(kept.1, made.1, "seed {seed}, burst {burst}");
        assert!(kept.0 == made.0, "seed {seed}, burst {burst}: other contents or names");
        assert_eq!(kept.0.values().map(BTreeSet::len).sum::<usize>(), tree.names.len());
    }
}
