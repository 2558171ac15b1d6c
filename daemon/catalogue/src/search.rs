//! Finding models by words and filters, page by page, with counts of what was found.
//!
//! Words are the full-text index's to tell, which gives a set of models. Everything else that is filtered, sorted or
//! counted by stands in a packed row for each model, in the file as well as in memory ([`row`], [`index`], [`columns`]),
//! so that a search is one look at the rows of that set. What a page shows of its models stands in a table of its own
//! ([`card`]).
//!
//! Hits are not ranked by bm25: its scores shift with every row that is added, so pages would repeat and miss
//! models, and over a large catalogue it has to score every hit. Instead hits whose name alone holds all the words
//! come first, and among equals the more downloaded ones.

mod bits;
pub(crate) mod by_name;
pub(crate) mod card;
pub(crate) mod columns;
mod facets;
pub(crate) mod facts;
mod filter;
pub(crate) mod index;
mod licence;
mod memory;
mod order;
mod row;
mod segment;
pub(crate) mod spelling;
pub(crate) mod tag_names;
mod test;
pub(crate) mod texts;

#[cfg(test)]
mod naive_tests;
#[cfg(test)]
mod tests;

pub use facets::{Facet, FacetCounts};
pub use filter::{Condition, Fact, Filter, Label, Number, Place};
pub(crate) use index::Rest;
pub(crate) use memory::Memory;
pub use order::{SearchOrder, SortKey};

use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::page;
use crate::records::ModelSummary;
use bits::Bits;
use columns::{Columns, TableState};
use facets::Counter;
use order::First;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::sync::Arc;
use test::{Sets, Source, Test};

pub(crate) const ATTEMPT: &str = "search models";
/// Models that are looked at at once, without asking another thread to do it.
const FEW: usize = 32_768;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchQuery {
    /// Words, all of which must occur in the name, creator, tags or trained words; the last may be the beginning of
    /// a word. White space alone lists everything.
    pub text: String,
    /// Where words of the text occur nowhere, nothing is found; otherwise nearly the same ones are looked for.
    pub as_written: bool,
    /// What else must be true of a model.
    pub filter: Filter,
    /// By default the best when there is text, and the newest when there is none.
    pub order: Option<SearchOrder>,
    /// What to count all that is found by.
    pub facets: Vec<Facet>,
    /// Values of each facet; 0 means 10, more than 500 means 500.
    pub facet_values: u32,
    /// 0 means 50; more than 500 means 500.
    pub page_size: u32,
    /// `next_page_token` of the page before, with the text, filter and order unchanged.
    pub page_token: Option<String>,
}

/// One page of models.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    pub models: Vec<ModelSummary>,
    /// None on the last page.
    pub next_page_token: Option<String>,
    /// Models on all pages.
    pub total: u64,
    /// In the order asked for.
    pub facets: Vec<FacetCounts>,
    /// Some models are still being made ready, such as after an upgrade, and are not found yet or as they were.
    pub partial: bool,
    /// What was looked for instead of the text, whose words occur nowhere.
    pub corrected: Option<String>,
}

impl SearchQuery {
    /// Equal exactly for queries that list the same models in the same order.
    fn identity(&self) -> String {
        let Self { text, as_written, filter, order, facets: _, facet_values: _, page_size: _, page_token: _ } = self;
        format!("search {:?}", (text, as_written, filter, order))
    }
}

/// A question that is ready to be asked of every row.
struct Question {
    columns: Arc<Columns>,
    test: Test,
    /// The models that hold the words of the text in their names.
    in_name: Option<Arc<Bits>>,
    order: SearchOrder,
    facets: Vec<Facet>,
    facet_values: u32,
    wanted: usize,
    after: Option<order::Place>,
}

/// What some of the rows answer.
struct Part {
    first: First,
    /// Every model that was found, where their names are to be sorted.
    all: Option<Bits>,
    total: u64,
    counters: Vec<Counter>,
}

struct Answer {
    places: Vec<order::Place>,
    all: Option<Bits>,
    total: u64,
    facets: Vec<FacetCounts>,
}

impl Question {
    /// Looks at all rows that can be meant, which takes a millisecond or some. Unless there are few, that is done away
    /// from the threads that serve requests, by two at once.
    async fn answer(self) -> Result<Answer, CatalogueError> {
        if self.test.most().min(self.columns.rows()) <= FEW {
            return Ok(self.sum(self.part(0, 1)));
        }
        let question = Arc::new(self);
        let part = |number| {
            let question = Arc::clone(&question);
            tokio::task::spawn_blocking(move || question.part(number, 2))
        };
        let lost = |lost: tokio::task::JoinError| could_not(ATTEMPT)(sqlx::Error::Io(lost.into()));
        let (one, other) = tokio::join!(part(0), part(1));
        Ok(question.sum(one.map_err(lost)?.with(other.map_err(lost)?)))
    }

    /// Looks at the rows of every `of`th segment.
    fn part(&self, number: usize, of: usize) -> Part {
        let mut part = Part {
            first: First::new(self.wanted, self.after),
            all: (self.order.by == SortKey::Name).then(Bits::default),
            total: 0,
            counters: self.facets.iter().map(|facet| Counter::new(*facet, &self.columns)).collect(),
        };
        // The latest first, which are most often the first.
        for (number, segment) in self.columns.segments().iter().enumerate().rev().skip(number).step_by(of) {
            let mut models = segment.present;
            self.test.narrow(number, segment, &mut models);
            if models.is_empty() {
                continue;
            }
            part.total += models.len();
            part.counters.iter_mut().for_each(|counter| counter.count(segment, &models));
            match &mut part.all {
                Some(all) => models.for_each(|at| all.insert(number * segment::SEGMENT_ROWS + at)),
                None => part.first.offer_all(self.order, number, segment, &models, self.in_name.as_deref()),
            }
        }
        part
    }

    fn sum(&self, part: Part) -> Answer {
        let finish = |counter: Counter| counter.finish(&self.columns, self.facet_values);
        Answer {
            places: part.first.finish(),
            all: part.all,
            total: part.total,
            facets: part.counters.into_iter().map(finish).collect(),
        }
    }
}

impl Part {
    fn with(mut self, other: Self) -> Self {
        self.first.add(other.first);
        if let (Some(all), Some(other)) = (&mut self.all, &other.all) {
            all.unite(other);
        }
        self.counters.iter_mut().zip(&other.counters).for_each(|(counter, other)| counter.add(other));
        Self { total: self.total + other.total, ..self }
    }
}

impl Catalogue {
    /// The models that a query finds.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID` when the token is not from this query; when the catalogue cannot be read.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchPage, CatalogueError> {
        let identity = query.identity();
        let after = page::keys::<2>(&identity, query.page_token.as_deref())?.map(|[key, id]| (key, id));
        let size = page::size(query.page_size);
        let browsing = query.text.trim().is_empty();
        let order = query.order.unwrap_or(if browsing { SearchOrder::NEWEST } else { SearchOrder::BEST });

        let mut connection = self.searcher(ATTEMPT).await?;
        let (state, columns) = self.search_memory.columns(&mut connection).await?;
        let (mut filter, mut in_name, mut sets) =
            self.ready(&mut connection, query, &query.text, order, state, &columns).await?;
        let mut corrected = None;
        if !browsing && !query.as_written && Test::new(&of_text(&query.text), &columns, &sets).finds_nothing() {
            corrected = spelling::corrected(&mut connection, &query.text).await?;
            if let Some(text) = &corrected {
                (filter, in_name, sets) = self.ready(&mut connection, query, text, order, state, &columns).await?;
            }
        }
        let answer = Question {
            test: Test::new(&filter, &columns, &sets),
            in_name: all_of(&in_name, &sets),
            columns: Arc::clone(&columns),
            order,
            facets: query.facets.clone(),
            facet_values: query.facet_values,
            // One model more than the page holds tells whether there is another page.
            wanted: size + 1,
            after,
        }
        .answer()
        .await?;

        let mut places = match &answer.all {
            None => answer.places,
            Some(all) => {
                let after = after.map(|place| order::model_at(SearchOrder::NEWEST, place));
                by_name::first(&mut connection, all, answer.total, order.descending, after, size + 1)
                    .await
                    .map_err(could_not(ATTEMPT))?
                    .into_iter()
                    .map(|id| (0, id))
                    .collect()
            }
        };
        let more = places.len() > size;
        places.truncate(size);
        let next_page_token = places.last().filter(|_| more).map(|(key, id)| page::token(&identity, [*key, *id]));
        // In the order of names a place is the model itself.
        let of_place = if answer.all.is_some() { SearchOrder::NEWEST } else { order };
        let ids: Vec<i64> = places.into_iter().map(|place| order::model_at(of_place, place)).collect();
        let models = card::lines(&mut connection, &ids, &columns, &self.search_memory.tag_names).await?;
        if state.partial {
            self.take_in_rest();
        }
        Ok(SearchPage {
            models,
            next_page_token,
            total: answer.total,
            facets: answer.facets,
            partial: state.partial,
            corrected,
        })
    }

    /// The words and filter of a query as one filter, which sets hold the models with the words in their names, where
    /// the order wants to know it, and all sets that it takes.
    async fn ready(
        &self,
        connection: &mut SqliteConnection,
        query: &SearchQuery,
        text: &str,
        order: SearchOrder,
        state: TableState,
        columns: &Columns,
    ) -> Result<(Filter, Vec<Source>, Sets), CatalogueError> {
        let filter = Filter::all([of_text(text), query.filter.clone()]);
        let wanted = order.by == SortKey::Best;
        let in_name = if wanted { test::of_words(Place::Name, &open(text)) } else { Vec::new() };
        let mut sources = in_name.clone();
        test::sources(&filter, &mut sources);
        let sets = self.sets(connection, sources, state, columns).await?;
        Ok((filter, in_name, sets))
    }

    /// Reads sets of models, of which those of texts are kept for the next search.
    async fn sets(
        &self,
        connection: &mut SqliteConnection,
        sources: Vec<Source>,
        state: TableState,
        columns: &Columns,
    ) -> Result<Sets, CatalogueError> {
        let mut sets: Sets = HashMap::with_capacity(sources.len());
        for source in sources {
            if sets.contains_key(&source) {
                continue;
            }
            let kept = self.search_memory.text(&source).await;
            let read = texts::read(connection, &source, kept, columns).await.map_err(could_not(ATTEMPT))?;
            if let Some(kept) = read.kept {
                self.search_memory.keep_text(&source, state.changed, kept).await;
            }
            sets.insert(source, read.models);
        }
        Ok(sets)
    }
}

/// A query's words as a filter. Its last word may go on; in a filter an asterisk says so.
fn of_text(text: &str) -> Filter {
    match text.trim_end() {
        "" => Filter::default(),
        text => Condition::Words { place: Place::Anywhere, text: open(text) }.into(),
    }
}

fn open(text: &str) -> String {
    format!("{}*", text.trim_end())
}

/// The models that are in all of these sets, if there are any.
fn all_of(sources: &[Source], sets: &Sets) -> Option<Arc<Bits>> {
    let mut sets = sources.iter().filter_map(|source| sets.get(source));
    let mut all = Arc::clone(sets.next()?);
    sets.for_each(|set| Arc::make_mut(&mut all).intersect(set));
    Some(all)
}
