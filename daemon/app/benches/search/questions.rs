//! The questions that the daemon is asked, by class, and how long it took over them.

use crate::Failure;
use crate::world::{Random, World, base, creator, kind};
use paintbox_proto::v1;
use paintbox_proto::v1::SearchModelsRequest;
use paintbox_proto::v1::catalogue_service_client::CatalogueServiceClient;
use std::time::Instant;
use tonic::transport::Channel;

/// How deep the deep page is.
const DEEP_PAGES: u64 = 200;

/// One class, and the times of its questions.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) times_ms: Vec<f64>,
    found: Vec<i64>,
}

impl Measured {
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let mut times = self.times_ms.clone();
        times.sort_by(f64::total_cmp);
        times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
    }

    /// Models that half of the questions find at most.
    pub(crate) fn found(&self) -> i64 {
        let mut found = self.found.clone();
        found.sort_unstable();
        found.get(found.len() / 2).copied().unwrap_or_default()
    }
}

type Make = fn(&mut Random, &World, u64) -> SearchModelsRequest;

fn prefix(random: &mut Random) -> String {
    random.word().chars().take(3).collect()
}

fn page() -> SearchModelsRequest {
    SearchModelsRequest { page_size: 50, ..Default::default() }
}

const CLASSES: [(&str, Make); 10] = [
    ("3-letter prefix, kind and base, by downloads", |random, _, _| SearchModelsRequest {
        query: prefix(random),
        kind: kind(random).as_str().to_owned(),
        base_model: base(random).to_owned(),
        order_by: "downloads desc".to_owned(),
        ..page()
    }),
    ("3-letter prefix, best first", |random, _, _| SearchModelsRequest { query: prefix(random), ..page() }),
    ("exact name, as a filter", |random, world, models| SearchModelsRequest {
        filter: format!("name=\"{}\"", world.name(random.below(models))),
        ..page()
    }),
    ("exact name, as words", |random, world, models| SearchModelsRequest {
        query: world.name(random.below(models)),
        ..page()
    }),
    ("3-letter prefix, counted by kind and base", |random, _, _| SearchModelsRequest {
        query: prefix(random),
        facets: vec!["kind".to_owned(), "base".to_owned()],
        order_by: "downloads desc".to_owned(),
        ..page()
    }),
    ("everything, counted by kind and base", |_, _, _| SearchModelsRequest {
        facets: vec!["kind".to_owned(), "base".to_owned()],
        ..page()
    }),
    ("kind and base, newest first", |random, _, _| SearchModelsRequest {
        kind: kind(random).as_str().to_owned(),
        base_model: base(random).to_owned(),
        ..page()
    }),
    ("a creator's, by name", |random, _, _| SearchModelsRequest {
        creator: creator(random),
        order_by: "name".to_owned(),
        ..page()
    }),
    ("a tag, rated soft at most, may be sold", |random, _, _| SearchModelsRequest {
        filter: format!("tag:{} nsfw<=soft license.commercial:true", random.word()),
        ..page()
    }),
    ("two words of a name", |random, world, models| SearchModelsRequest {
        query: world.name(random.below(models)).split(' ').take(2).collect::<Vec<_>>().join(" "),
        ..page()
    }),
];

pub(crate) struct Questions {
    catalogue: CatalogueServiceClient<Channel>,
    world: World,
    models: u64,
}

impl Questions {
    pub(crate) fn new(channel: Channel, models: u64) -> Self {
        Self {
            catalogue: CatalogueServiceClient::new(channel).max_decoding_message_size(64 << 20),
            world: World::new(),
            models,
        }
    }

    /// Whether there is an answer to anything: that of a model that there is.
    pub(crate) async fn answered(&mut self) -> Result<(), Failure> {
        self.catalogue
            .get_model(v1::GetModelRequest { name: "models/civitai-1000".to_owned(), ..Default::default() })
            .await?;
        Ok(())
    }

    pub(crate) async fn first(&mut self) -> Result<(), Failure> {
        self.catalogue.search_models(page()).await?;
        Ok(())
    }

    /// Every class `rounds` times, and pages far behind the first.
    pub(crate) async fn ask(&mut self, rounds: u64, seed: u64) -> Result<Vec<Measured>, Failure> {
        let mut left = rounds;
        let mut measured = self
            .ask_until(rounds, seed, || {
                left = left.saturating_sub(1);
                left == 0
            })
            .await?;
        measured.extend(self.deep_pages(rounds).await?);
        Ok(measured)
    }

    /// The classes in turn, until it is over or each had its rounds.
    pub(crate) async fn ask_until(
        &mut self,
        rounds: u64,
        seed: u64,
        mut over: impl FnMut() -> bool,
    ) -> Result<Vec<Measured>, Failure> {
        let mut random = Random::new(seed);
        let mut measured = CLASSES.map(|(name, _)| Measured { name, times_ms: Vec::new(), found: Vec::new() });
        for _ in 0..rounds {
            for ((_, make), class) in CLASSES.iter().zip(&mut measured) {
                let request = make(&mut random, &self.world, self.models);
                let started = Instant::now();
                let answer = self.catalogue.search_models(request).await?.into_inner();
                class.times_ms.push(started.elapsed().as_secs_f64() * 1e3);
                class.found.push(answer.total_size);
            }
            if over() {
                break;
            }
        }
        Ok(measured.into())
    }

    /// The first page of many against one far behind it.
    async fn deep_pages(&mut self, rounds: u64) -> Result<[Measured; 2], Failure> {
        let first = SearchModelsRequest { order_by: "downloads desc".to_owned(), kind: "lora".to_owned(), ..page() };
        let mut deep = first.clone();
        for _ in 0..DEEP_PAGES {
            let answer = self.catalogue.search_models(deep.clone()).await?.into_inner();
            if answer.next_page_token.is_empty() {
                break;
            }
            deep.page_token = answer.next_page_token;
        }
        let mut measured = ["all of a kind by downloads, first page", "the same, page 200"].map(|name| Measured {
            name,
            times_ms: Vec::new(),
            found: Vec::new(),
        });
        for _ in 0..rounds {
            for (request, class) in [&first, &deep].into_iter().zip(&mut measured) {
                let started = Instant::now();
                let answer = self.catalogue.search_models(request.clone()).await?.into_inner();
                class.times_ms.push(started.elapsed().as_secs_f64() * 1e3);
                class.found.push(answer.total_size);
            }
        }
        Ok(measured)
    }
}
