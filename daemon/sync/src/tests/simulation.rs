//! Three weeks in the life of two hundred followed creators, who publish, edit, hide, rename, delete and are moderated,
//! against a record that is kept independently of everything that is tested.
//!
//! After each day, what was fetched must be exactly what that record says should have been; at the end, every model
//! must be readable as it was on every day, and nothing that was known may have been overwritten by an absence.
//!
//! The seed is printed; `PAINTBOX_SIMULATION_SEED=n cargo test -p paintbox-sync simulation` repeats a run.

use super::{Chance, DAY, World, contents, date, weights};
use paintbox_domain::{Sha256, Timestamp};
use paintbox_testkit::FakeCivitaiModel;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const CREATORS: u64 = 200;
const DAYS: u64 = 21;
const EVENTS_A_DAY: u64 = 60;

/// What is true of a version, as its creator knows it.
#[derive(Debug, Clone)]
struct Version {
    id: u64,
    file: u64,
    content: u64,
    hidden: bool,
    free_at: Timestamp,
    /// It was there when the following began, and to be seen.
    back_catalogue: bool,
}

/// What is true of a model.
#[derive(Debug, Clone)]
struct Model {
    id: u64,
    creator: u64,
    /// Newest first.
    versions: Vec<Version>,
    said: Said,
    hidden: bool,
    deleted: bool,
    /// Archived or taken down.
    closed: bool,
    /// Archived, and so on no list.
    archived: bool,
    /// Whether the list showed it at the end of the day before: only then is it looked for when it is missing.
    on_the_list: bool,
    was_archived: bool,
    /// Every description that it ever had.
    words: Vec<String>,
    /// Whether any look at the list has shown it.
    listed: bool,
}

/// What its page says.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    name: String,
    description: String,
    tags: Vec<String>,
}

struct Truth {
    models: BTreeMap<u64, Model>,
    /// Present names; none for an account that was deleted.
    names: BTreeMap<u64, Option<String>>,
    next_content: u64,
    renames: u64,
}

impl Truth {
    fn content(&mut self) -> u64 {
        self.next_content += 1;
        self.next_content
    }

    fn is_listed(&self, model: &Model) -> bool {
        !model.hidden && !model.deleted && self.names[&model.creator].is_some()
    }

    /// What a look during this day fetches: the newest and later versions of what may be seen.
    fn wanted(&self, now: Timestamp) -> BTreeSet<u64> {
        let mut wanted = BTreeSet::new();
        for model in self.models.values().filter(|model| self.is_listed(model) && !model.closed) {
            for version in model.versions.iter().filter(|version| !version.hidden && !version.back_catalogue) {
                if version.free_at <= now {
                    wanted.insert(version.content);
                }
            }
        }
        wanted
    }

    /// Whose content that is, for a failure.
    fn describe(&self, digest: &Sha256) -> String {
        let of = |version: &&Version| contents([version.content]).contains(digest);
        let found = self.models.values().find_map(|model| Some((model, model.versions.iter().find(of)?)));
        match found {
            Some((model, version)) => format!("{:?} {model:?} {version:?}", self.names[&model.creator]),
            None => format!("{digest}, which no version has now"),
        }
    }

    /// A model that the list shows for the first time: what is behind its newest version is back catalogue, unless it
    /// came out after the following began.
    fn look(&mut self, began: Timestamp, created: &BTreeMap<u64, Timestamp>) {
        let names = self.names.clone();
        for model in self.models.values_mut() {
            let listed = !model.hidden && !model.deleted && !model.archived && names[&model.creator].is_some();
            if !listed || model.listed {
                continue;
            }
            model.listed = true;
            let mut is_newest = true;
            for version in model.versions.iter_mut().filter(|version| !version.hidden) {
                version.back_catalogue = created[&version.id] < began && !is_newest;
                is_newest = false;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the variable repeats a run of this test")]
fn seed() -> u64 {
    std::env::var("PAINTBOX_SIMULATION_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_260_901)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_weeks_of_two_hundred_creators_lose_nothing() {
    let seed = seed();
    println!("PAINTBOX_SIMULATION_SEED={seed}");
    let mut chance = Chance(seed);
    let world = World::with(|_, settings| settings.sync_interval = Some(Duration::from_secs(20 * 3600))).await;
    world.hub.count_visits(true);
    let mut truth = Truth { models: BTreeMap::new(), names: BTreeMap::new(), next_content: 0, renames: 0 };
    let mut created: BTreeMap<u64, Timestamp> = BTreeMap::new();

    // What was there before anybody followed; some of it hidden.
    for creator in 0..CREATORS {
        truth.names.insert(creator, Some(format!("creator_{creator}")));
        for _ in 0..1 + chance.below(3) {
            let id = publish(&world, &mut truth, &mut created, creator, 1 + chance.below(3));
            if chance.below(8) == 0 {
                assert!(world.hub.unpublish(id));
                truth.models.get_mut(&id).unwrap().hidden = true;
            }
        }
    }
    world.clock.advance(Duration::from_secs(3600));
    world.tell_the_hub_the_time();
    let mut follows = Vec::new();
    for creator in 0..CREATORS {
        follows.push(world.follow(&format!("civitai:creator_{creator}")).await);
    }
    let began = world.now();
    for model in truth.models.values_mut().filter(|model| !model.hidden) {
        model.listed = true;
        model.versions.iter_mut().for_each(|version| version.back_catalogue = !version.hidden);
    }

    let mut expected: BTreeSet<u64> = BTreeSet::new();
    let first = truth.models.values().filter(|model| model.listed).map(|model| (model.id, model.said.clone()));
    let mut past: Vec<(Timestamp, BTreeMap<u64, Said>)> = vec![(began, first.collect())];
    for day in 0..DAYS {
        world.clock.advance(Duration::from_secs(1));
        world.tell_the_hub_the_time();
        for _ in 0..EVENTS_A_DAY {
            happen(&world, &mut truth, &mut created, &mut chance);
        }
        truth.look(began, &created);
        expected.extend(truth.wanted(world.now()));
        world.pass(DAY).await;
        let fetched = world.fetched().await;
        let wanted = contents(expected.iter().copied());
        let missing: Vec<String> = wanted.difference(&fetched).map(|digest| truth.describe(digest)).collect();
        let too_much: Vec<String> = fetched.difference(&wanted).map(|digest| truth.describe(digest)).collect();
        assert!(
            missing.is_empty() && too_much.is_empty(),
            "day {day}, seed {seed}\nmissing: {missing:#?}\ntoo much: {too_much:#?}"
        );
        let shown = |model: &&Model| truth.is_listed(model) && (!model.archived || model.on_the_list);
        let said = truth.models.values().filter(shown).map(|model| (model.id, model.said.clone()));
        past.push((world.now(), said.collect()));
        let listed: BTreeSet<u64> =
            truth.models.values().filter(|model| truth.is_listed(model)).map(|model| model.id).collect();
        for model in truth.models.values_mut() {
            model.on_the_list = !model.archived && listed.contains(&model.id);
        }
    }
    assert!(expected.len() > 300, "only {} versions were to be fetched", expected.len());

    // Every past state is there by its date.
    let mut looked_at = 0;
    for (at, said) in &past {
        for (id, said) in said.iter().filter(|(id, _)| **id % 7 == at.unix_ms().unsigned_abs() / 86_400_000 % 7) {
            let model = world.model(*id).await;
            let then = world.sync.model_at(model, *at).await.unwrap();
            let found = Said {
                name: then.summary.name,
                description: then.description.unwrap_or_default(),
                tags: then.summary.tags,
            };
            assert_eq!((found, then.gone_at), (said.clone(), None), "model {id} at {}, seed {seed}", date(*at));
            looked_at += 1;
        }
    }
    assert!(looked_at > 1_000, "{looked_at}");

    // And what is gone now is still known as it was last.
    let mut gone = 0;
    for model in truth.models.values().filter(|model| model.listed) {
        let known = world.catalogue.model(world.model(model.id).await).await.unwrap();
        let last = last_seen(&past, model);
        let known_words = known.description.as_deref().unwrap_or_default();
        // What was edited while it was archived may have been seen by a weekly look, or not yet.
        let is_right = known_words == last || (model.was_archived && model.words.iter().any(|was| was == known_words));
        assert!(is_right, "seed {seed}: {model:?} is known as {known_words:?}, was last seen as {last:?}");
        let is_gone = model.hidden || model.deleted;
        // What was archived left its list, and until it is listed again it is asked for by name once a week only.
        assert!(
            known.gone_at.is_some() == is_gone || model.was_archived || truth.names[&model.creator].is_none(),
            "seed {seed}: {model:?} is known as gone {:?}, and {:?} stands so: {:?}",
            known.gone_at,
            truth.names[&model.creator],
            world.state(&follows[usize::try_from(model.creator).unwrap()]).await
        );
        gone += u32::from(is_gone);
    }
    assert!(gone > 20, "{gone}");
    for (creator, follow) in follows.iter().enumerate() {
        let now = world.state(follow).await;
        match &truth.names[&(creator as u64)] {
            Some(name) => assert_eq!(now.target.to_string(), format!("civitai:{name}"), "seed {seed}"),
            None => assert_eq!(now.failure.unwrap().reason, paintbox_domain::reason::CREATOR_NOT_FOUND),
        }
    }
}

/// The description on the last day on which the model was listed.
fn last_seen<'a>(past: &'a [(Timestamp, BTreeMap<u64, Said>)], model: &Model) -> &'a str {
    past.iter().rev().find_map(|(_, said)| said.get(&model.id)).map_or("", |said| &said.description)
}

/// A new model with so many versions, all out now.
fn publish(
    world: &World,
    truth: &mut Truth,
    created: &mut BTreeMap<u64, Timestamp>,
    creator: u64,
    versions: u64,
) -> u64 {
    let name = truth.names[&creator].clone().expect("the account exists");
    let contents: Vec<u64> = (0..versions).map(|_| truth.content()).collect();
    let title = format!("Work {}", contents[0]);
    let mut model = FakeCivitaiModel::new(&name, "LORA", &title);
    let said = Said { name: title.clone(), description: format!("<p>{title}</p>"), tags: vec!["style".to_owned()] };
    model.description = Some(said.description.clone());
    model.tags.clone_from(&said.tags);
    for content in &contents {
        model = model.version(world.version(&format!("v{content}"), *content));
    }
    let published = world.hub.publish(model);
    let mut list: Vec<Version> = published
        .versions
        .iter()
        .zip(&contents)
        .map(|(version, content)| {
            created.insert(version.id, world.now());
            Version {
                id: version.id,
                file: version.files[0],
                content: *content,
                hidden: false,
                free_at: world.now(),
                back_catalogue: false,
            }
        })
        .collect();
    list.reverse();
    let id = published.id;
    let words = vec![said.description.clone()];
    let model = Model {
        id,
        creator,
        versions: list,
        said,
        hidden: false,
        deleted: false,
        closed: false,
        archived: false,
        on_the_list: false,
        was_archived: false,
        words,
        listed: false,
    };
    truth.models.insert(id, model);
    id
}

/// One thing that somebody does, to the site and to the record of it.
fn happen(world: &World, truth: &mut Truth, created: &mut BTreeMap<u64, Timestamp>, chance: &mut Chance) {
    let hub = &world.hub;
    let ids: Vec<u64> = truth.models.values().filter(|model| !model.deleted).map(|model| model.id).collect();
    let id = chance.pick(&ids);
    let live: Vec<u64> = truth.names.iter().filter(|(_, name)| name.is_some()).map(|(creator, _)| *creator).collect();
    let creator = chance.pick(&live);
    let fresh = truth.content();
    let model = truth.models.get_mut(&id).expect("it was picked from them");
    match chance.below(100) {
        0..=24 => drop(publish(world, truth, created, creator, 1 + chance.below(2))),
        25..=39 => {
            let mut version = world.version(&format!("v{fresh}"), fresh);
            let waits = chance.below(3) == 0;
            let free_at = if waits { world.now().plus(DAY * 2) } else { world.now() };
            version.paid_access = waits.then(|| Some(date(free_at)));
            let made = hub.add_version(id, version).expect("the model exists");
            created.insert(made.id, world.now());
            let (id, file) = (made.id, made.files[0]);
            let version = Version { id, file, content: fresh, hidden: false, free_at, back_catalogue: false };
            model.versions.insert(0, version);
        }
        40..=54 => {
            model.said.description = format!("<p>said anew {fresh}</p>");
            model.words.push(model.said.description.clone());
            assert!(hub.edit_description(id, Some(&model.said.description)));
        }
        55..=59 => {
            model.said.name = format!("Renamed {fresh}");
            assert!(hub.rename_model(id, &model.said.name));
        }
        60..=64 => {
            model.said.tags = vec![format!("tag {}", fresh % 9), "style".to_owned()];
            let tags: Vec<&str> = model.said.tags.iter().map(String::as_str).collect();
            assert!(hub.edit_tags(id, &tags));
        }
        65..=71 => {
            model.hidden = true;
            assert!(hub.unpublish(id));
        }
        72..=78 => {
            let hidden: Vec<u64> =
                truth.models.values().filter(|model| model.hidden && !model.deleted).map(|model| model.id).collect();
            if !hidden.is_empty() {
                let id = chance.pick(&hidden);
                assert!(hub.republish(id));
                truth.models.get_mut(&id).expect("it was picked from them").hidden = false;
            }
        }
        79..=81 => {
            model.deleted = true;
            assert!(hub.remove(id));
        }
        82..=85 if model.listed => {
            (model.closed, model.archived) = (true, fresh.is_multiple_of(2));
            model.was_archived |= model.archived;
            assert!(if model.archived { hub.archive(id) } else { hub.take_down(id) });
        }
        86..=89 => {
            (model.closed, model.archived) = (false, false);
            assert!(hub.restore(id));
        }
        90..=92 => {
            let version = &mut model.versions[0];
            version.content = fresh;
            assert!(hub.replace_file(version.file, weights(fresh)));
        }
        93..=94 if model.versions.len() > 1 => {
            let version = &mut model.versions[1];
            version.hidden = !version.hidden;
            assert!(if version.hidden { hub.unpublish_version(version.id) } else { hub.republish_version(version.id) });
        }
        95..=97 => {
            truth.renames += 1;
            let name = format!("creator_{creator}_{}", truth.renames);
            assert!(hub.rename_creator(truth.names[&creator].as_deref().expect("the account exists"), &name));
            truth.names.insert(creator, Some(name));
        }
        98 if live.len() > 190 => {
            hub.remove_creator(truth.names[&creator].as_deref().expect("the account exists"));
            truth.names.insert(creator, None);
        }
        _ => assert!(hub.set_nsfw_level(id, chance.pick(&[1, 3, 7, 28]))),
    }
}
