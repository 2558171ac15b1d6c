//! A search against the plainest way to do the same: every model with everything known of it, asked one by one. In
//! between, models come, change, go, and are fetched and removed.

use super::*;
use crate::testing::{clock_at, file, model, new_artifact, opened_with, version};
use crate::{ModelDetail, ModelId};
use paintbox_domain::hub::HubModel;
use paintbox_domain::{Architecture, Hub, ModelKind, Sha256, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const WORDS: [&str; 6] = ["ink", "wash", "heart", "anime", "style", "konan"];
const BASES: [&str; 3] = ["SDXL 1.0", "SD 1.5", "Pony"];
const KINDS: [ModelKind; 3] = [ModelKind::Lora, ModelKind::Checkpoint, ModelKind::Vae];
const LICENCES: [Option<&str>; 4] = [
    None,
    Some("mit"),
    Some(r#"{"allowCommercialUse":[],"allowNoCredit":true}"#),
    Some(r#"{"allowCommercialUse":["Image"],"allowDerivatives":false}"#),
];
const MODELS: u64 = 12;

/// Choices that follow from a seed.
struct Choices(u64);

impl Choices {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 0
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    fn words(&mut self, count: u64) -> Vec<String> {
        (0..count).map(|_| self.one(&WORDS).to_owned()).collect()
    }

    fn model(&mut self) -> HubModel {
        let number = self.below(MODELS) + 1;
        let mut model = model(&number.to_string(), &self.words(2).join(" "));
        if number.is_multiple_of(3) {
            model.hub = Hub::HuggingFace;
        }
        model.kind = self.one(&KINDS);
        model.creator = self.one(&[None, Some("Konan".to_owned()), Some("other".to_owned())]);
        model.tags = self.words(self.0 % 3);
        model.licence = self.one(&LICENCES).map(str::to_owned);
        model.nsfw_level = self.one(&[0, 1, 3, 4, 9, 31]);
        model.downloads = self.yes().then(|| self.below(4));
        model.likes = self.yes().then(|| self.below(3));
        model.published_at = self.yes().then(|| Timestamp::from_unix_ms(self.below(4) as i64 * 400_000_000_000));
        model.updated_at = self.yes().then(|| Timestamp::from_unix_ms(self.below(4) as i64 * 1_000));
        model.versions = (0..1 + self.below(2))
            .map(|at| {
                let mut version = version(&(number * 10 + at).to_string());
                version.base_model = self.yes().then(|| self.one(&BASES).to_owned());
                version.trained_words = self.words(1);
                version.files = vec![file(&format!("{number}{at}"), 0)];
                version.files[0].sha256 = self.yes().then(|| digest(self.below(6)));
                version
            })
            .collect();
        model.raw = format!("{{\"id\":{number},\"was\":{}}}", self.0);
        model
    }

    fn filter(&mut self, depth: u64) -> Filter {
        match self.below(if depth == 0 { 7 } else { 10 }) {
            0 => Filter::kind(self.one(&KINDS)),
            1 => Filter::hub(self.one(&[Hub::Civitai, Hub::HuggingFace])),
            2 => Filter::label(Label::BaseModel, self.one(&BASES)),
            3 => Filter::label(Label::Creator, self.one(&["KONAN", "nobody"])),
            4 => {
                let facts = [Fact::Downloaded, Fact::Gone, Fact::Commercial, Fact::Derivatives, Fact::Credit];
                Filter::fact(self.one(&facts), self.yes())
            }
            5 => {
                let of = self.one(&[Number::Downloads, Number::Likes, Number::Nsfw, Number::Updated]);
                let least = self.below(3);
                Condition::Number { of, least, most: least + self.below(3) }.into()
            }
            6 => {
                let place = self.one(&[Place::Anywhere, Place::Name, Place::Tags, Place::TrainedWords]);
                Condition::Words { place, text: self.one(&WORDS).to_owned() }.into()
            }
            7 => Filter::All((0..self.below(3)).map(|_| self.filter(depth - 1)).collect()),
            8 => Filter::Any((0..self.below(3)).map(|_| self.filter(depth - 1)).collect()),
            _ => Filter::Not(Box::new(self.filter(depth - 1))),
        }
    }
}

fn digest(number: u64) -> Sha256 {
    Sha256::from_bytes([number as u8 + 1; 32])
}

fn passes(filter: &Filter, model: &ModelDetail) -> bool {
    match filter {
        Filter::All(parts) => parts.iter().all(|part| passes(part, model)),
        Filter::Any(parts) => parts.iter().any(|part| passes(part, model)),
        Filter::Not(part) => !passes(part, model),
        Filter::Is(condition) => is(condition, model),
    }
}

fn is(condition: &Condition, model: &ModelDetail) -> bool {
    let summary = &model.summary;
    match condition {
        Condition::Kind(kind) => summary.kind == *kind,
        Condition::Hub(hub) => summary.hub.map_or("local", Hub::as_str) == hub,
        Condition::Label { of: Label::BaseModel, text, .. } => bases(model).contains(text.as_str()),
        Condition::Label { text, .. } => summary.creator.as_ref().is_some_and(|c| c.eq_ignore_ascii_case(text)),
        Condition::Fact { fact: Fact::Downloaded, holds } => summary.downloaded == *holds,
        Condition::Fact { fact: Fact::Gone, holds } => model.gone_at.is_some() == *holds,
        Condition::Fact { fact, holds } => {
            let told: [Option<bool>; 3] = match model.licence.as_deref() {
                None => [None; 3],
                Some("mit") => [Some(true); 3],
                Some(civitai) if civitai.contains("Image") => [Some(true), Some(false), None],
                Some(_) => [Some(false), None, Some(false)],
            };
            let at = [Fact::Commercial, Fact::Derivatives, Fact::Credit].iter().position(|known| known == fact);
            told[at.unwrap()] == Some(*holds)
        }
        Condition::Number { of, least, most } => {
            let number = match of {
                Number::Downloads => summary.downloads,
                Number::Likes => model.likes,
                Number::Nsfw => Some(u64::from(32 - summary.nsfw_level.leading_zeros())),
                _ => Some(updated(model)),
            };
            number.is_some_and(|number| (*least..=*most).contains(&number))
        }
        Condition::Words { place, text } => {
            let trained = || model.versions.iter().flat_map(|version| version.trained_words.iter());
            let name = || summary.name.split(' ').any(|word| word == text);
            let tags = || summary.tags.contains(text);
            let trained = || trained().any(|word| word == text);
            let creator = || summary.creator.as_ref().is_some_and(|creator| creator.to_lowercase() == *text);
            match place {
                Place::Anywhere => name() || tags() || trained() || creator(),
                Place::Name => name(),
                Place::Tags => tags(),
                Place::TrainedWords => trained(),
            }
        }
        Condition::Named(_) | Condition::State(_) => unreachable!("not among the choices"),
    }
}

fn bases(model: &ModelDetail) -> BTreeSet<&str> {
    model.versions.iter().filter_map(|version| version.base_model.as_deref()).collect()
}

fn created(model: &ModelDetail) -> u64 {
    (model.summary.published_at.unwrap_or(model.first_seen_at).unix_ms() / 1_000) as u64
}

fn updated(model: &ModelDetail) -> u64 {
    model.updated_at.map_or_else(|| created(model), |at| (at.unix_ms() / 1_000) as u64)
}

/// What a model is sorted by; the larger comes first when descending. Unknown is less than nothing.
fn key(order: SortKey, model: &ModelDetail) -> (u64, String) {
    let number = match order {
        SortKey::Best | SortKey::Downloads => model.summary.downloads.map_or(0, |count| count + 1),
        SortKey::Likes => model.likes.map_or(0, |count| count + 1),
        SortKey::Created => created(model),
        SortKey::Updated => updated(model),
        SortKey::Size => {
            let files = model.versions.iter().flat_map(|version| &version.files);
            let here = files.filter_map(|file| {
                file.artifact.as_ref().filter(|content| {
                    !content.paths.is_empty() && file.sha256.is_none_or(|listed| listed == content.sha256)
                })
            });
            let here: BTreeMap<Sha256, u64> = here.map(|content| (content.sha256, content.size_bytes)).collect();
            here.values().sum::<u64>().div_ceil(1_024)
        }
        SortKey::Name => return (0, crate::words::name_key(&model.summary.name)),
    };
    (number, String::new())
}

async fn all(catalogue: &Catalogue) -> Vec<ModelDetail> {
    let mut found = Vec::new();
    for id in 1.. {
        match catalogue.model(ModelId(id)).await {
            Ok(model) => found.push(model),
            Err(_) => return found,
        }
    }
    found
}

async fn compare(catalogue: &Catalogue, choices: &mut Choices) {
    let everything = all(catalogue).await;
    for _ in 0..4 {
        let order = SearchOrder { by: choices.one(&SortKey::ALL), descending: choices.yes() };
        let order = if order.by == SortKey::Best { SearchOrder::BEST } else { order };
        let mut query = SearchQuery {
            filter: choices.filter(3),
            order: Some(order),
            facets: vec![Facet::Kind, Facet::Label(Label::BaseModel)],
            page_size: choices.below(5) as u32 + 1,
            ..SearchQuery::default()
        };
        let mut wanted: Vec<&ModelDetail> = everything.iter().filter(|model| passes(&query.filter, model)).collect();
        wanted.sort_by_key(|model| (key(order.by, model), model.summary.id.0));
        if order.descending {
            wanted.reverse();
        }
        let ids: Vec<ModelId> = wanted.iter().map(|model| model.summary.id).collect();
        let mut found = Vec::new();
        loop {
            let page = catalogue.search(&query).await.unwrap();
            assert_eq!((page.total, page.partial), (wanted.len() as u64, false), "{query:?}");
            for facet in &page.facets {
                let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
                for model in &wanted {
                    let values = match facet.facet {
                        Facet::Kind => BTreeSet::from([model.summary.kind.as_str()]),
                        _ => bases(model),
                    };
                    values.into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
                }
                let told: BTreeMap<&str, u64> =
                    facet.values.iter().map(|(value, count)| (value.as_str(), *count)).collect();
                assert_eq!(told, counts, "{query:?}");
            }
            found.extend(page.models);
            match page.next_page_token {
                Some(token) => query.page_token = Some(token),
                None => break,
            }
        }
        assert_eq!(found.iter().map(|model| model.id).collect::<Vec<_>>(), ids, "{query:?}");
        for (line, model) in found.iter().zip(&wanted) {
            assert_eq!(*line, model.summary, "{query:?}");
        }
    }
}

async fn live(seed: u64) {
    let mut choices = Choices(seed);
    let clock = clock_at(1_000);
    let (catalogue, home) = opened_with(clock.clone()).await;
    for step in 0..20 {
        clock.advance(Duration::from_millis(700));
        match choices.below(6) {
            0..=2 => {
                let models: Vec<HubModel> = (0..1 + choices.below(3)).map(|_| choices.model()).collect();
                catalogue.record_models(&models, None).await.unwrap();
            }
            3 => {
                let number = (choices.below(MODELS) + 1).to_string();
                catalogue.record_model_gone(choices.one(&[Hub::Civitai, Hub::HuggingFace]), &number).await.unwrap();
            }
            4 => {
                let everything = all(&catalogue).await;
                let files: Vec<_> =
                    everything.iter().flat_map(|model| &model.versions).flat_map(|version| &version.files).collect();
                if !files.is_empty() {
                    let number = choices.below(6);
                    let path = home.path().join(number.to_string());
                    let mut content = new_artifact(digest(number), path);
                    content.size_bytes = number * 3_000;
                    content.architecture = choices.one(&[Architecture::Sd1, Architecture::Sdxl]);
                    catalogue.record_file(choices.one(&files).id, &content, true).await.unwrap();
                }
            }
            _ => {
                let path = home.path().join(choices.below(6).to_string());
                catalogue.record_path_gone(&path).await.unwrap();
            }
        }
        if step % 3 == 2 {
            compare(&catalogue, &mut choices).await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn a_search_finds_what_asking_every_model_finds(seed: u64) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(live(seed));
    }
}
