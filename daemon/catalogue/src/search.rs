//! Finding models by words and filters, page by page, with counts of what was found.
//!
//! Words are the full-text index's to tell, which gives a set of models. Everything else that is filtered, sorted or
//! counted by stands in a packed row for each model, in the file as well as in memory ([`row`], [`index`], [`columns`]),
//! so that a search is one look at the rows of that set; only the models of one page are read from the tables.
//!
//! Hits are not ranked by bm25: its scores shift with every row that is added, so pages would repeat and miss
//! models, and over a large catalogue it has to score every hit. Instead hits whose name alone holds all the words
//! come first, and among equals the more downloaded ones.

mod bits;
pub(crate) mod by_name;
pub(crate) mod columns;
mod facets;
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
pub use filter::{Condition, Fact, Filter, FilterProblem, Label, Number, Place};
pub(crate) use index::Rest;
pub(crate) use memory::Memory;
pub use order::{SearchOrder, SortKey};

use crate::detail::{SummaryRow, summary_columns};
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::records::ModelSummary;
use crate::statements::statements;
use crate::{codec, page};
use bits::Bits;
use columns::{Columns, TableState};
use facets::Counter;
use order::First;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::sync::Arc;
use tag_names::TagNames;
use test::{Sets, Source, Test};

pub(crate) const ATTEMPT: &str = "search models";

statements! {
    // In one answer, because handing over a row costs as much as looking it up.
    FOUND = concat!(
        "SELECT json_group_array(json_array(json_array(model_id, hub, external_id, name, kind, kind_label, creator, \
            nsfw_level, downloads, state, published_ms, gone_ms, base_model, architecture, downloaded), tags)) \
         FROM (SELECT ",
        summary_columns!(if "wanted.value ->> 1", "wanted.value ->> 2"),
        ", (SELECT group_concat(mt.position || ':' || mt.tag_id) FROM model_tag mt WHERE mt.model_id = m.model_id) AS tags \
         FROM json_each(?1) wanted JOIN model m ON m.model_id = wanted.value ->> 0 ORDER BY wanted.key)"
    );
}

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

struct Answer {
    places: Vec<order::Place>,
    /// Every model that was found, where their names are to be sorted.
    all: Option<Bits>,
    total: u64,
    facets: Vec<FacetCounts>,
}

impl Question {
    /// Looks at all rows that can be meant; takes milliseconds.
    fn answer(self) -> Answer {
        let mut counters: Vec<Counter> = self.facets.iter().map(|facet| Counter::new(*facet, &self.columns)).collect();
        let mut first = First::new(self.wanted, self.after);
        let mut all = (self.order.by == SortKey::Name).then(Bits::default);
        let mut total = 0;
        // The latest first, which are most often the first.
        for (number, segment) in self.columns.segments().iter().enumerate().rev() {
            let mut models = segment.present;
            self.test.narrow(number, segment, &mut models);
            if models.is_empty() {
                continue;
            }
            total += models.len();
            counters.iter_mut().for_each(|counter| counter.count(segment, &models));
            match &mut all {
                Some(all) => models.iter().for_each(|at| all.insert(number * segment::SEGMENT_ROWS + at)),
                None => first.offer_all(self.order, number, segment, &models, self.in_name.as_deref()),
            }
        }
        let facets = counters.into_iter().map(|counter| counter.finish(&self.columns, self.facet_values)).collect();
        Answer { places: first.finish(), all, total, facets }
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

        let mut tx = self.read_for_search(ATTEMPT).await?;
        let (state, columns) = self.search_memory.columns(&mut tx).await?;
        let (mut filter, mut in_name, mut sets) =
            self.ready(&mut tx, query, &query.text, order, state, &columns).await?;
        let mut corrected = None;
        if !browsing && !query.as_written && Test::new(&of_text(&query.text), &columns, &sets).finds_nothing() {
            corrected = spelling::corrected(&mut tx, &query.text).await?;
            if let Some(text) = &corrected {
                (filter, in_name, sets) = self.ready(&mut tx, query, text, order, state, &columns).await?;
            }
        }
        let question = Question {
            test: Test::new(&filter, &columns, &sets),
            in_name: all_of(&in_name, &sets),
            columns: Arc::clone(&columns),
            order,
            facets: query.facets.clone(),
            facet_values: query.facet_values,
            // One model more than the page holds tells whether there is another page.
            wanted: size + 1,
            after,
        };
        // Away from the threads that serve requests.
        let answer = tokio::task::spawn_blocking(move || question.answer())
            .await
            .map_err(|lost| could_not(ATTEMPT)(sqlx::Error::Io(lost.into())))?;

        let mut places = match &answer.all {
            None => answer.places,
            Some(all) => {
                let after = after.map(|place| order::model_at(SearchOrder::NEWEST, place));
                by_name::first(&mut tx, all, answer.total, order.descending, after, size + 1)
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
        let ids = places.into_iter().map(|place| order::model_at(of_place, place));
        let models = found(&mut tx, ids, &columns, state.partial, &self.search_memory.tag_names).await?;
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

/// The lines of models, in this order. What the rows tell is not looked for again, unless they may be behind.
async fn found(
    connection: &mut SqliteConnection,
    ids: impl Iterator<Item = i64>,
    columns: &Columns,
    partial: bool,
    names: &TagNames,
) -> Result<Vec<ModelSummary>, CatalogueError> {
    let known = |id: i64| usize::try_from(id).ok().filter(|_| !partial);
    let downloaded = |id: i64| known(id).is_none_or(|id| columns.is_downloaded(id));
    let only_base_model = |id: i64| known(id).and_then(|id| columns.only_base_model(id));
    let wanted: Vec<(i64, bool, bool)> = ids.map(|id| (id, downloaded(id), only_base_model(id).is_none())).collect();
    let rows: String = sqlx::query_scalar(FOUND)
        .bind(serde_json::json!(wanted).to_string())
        .fetch_one(&mut *connection)
        .await
        .map_err(could_not(ATTEMPT))?;
    let rows: Vec<(SummaryRow, Option<String>)> = codec::list("models that were found", &rows)?;
    let tags: Vec<Vec<i64>> = rows.iter().map(|(_, tags)| tag_ids(tags.as_deref())).collect();
    let names = names.of(connection, tags.iter().flatten().copied()).await?;
    let complete = |(row, tags): (SummaryRow, Vec<i64>)| {
        let row = match only_base_model(row.model_id()) {
            Some(base_model) => row.with_base_model(base_model.to_owned()),
            None => row,
        };
        row.summary(tags.iter().filter_map(|id| names.get(id)).map(ToString::to_string).collect())
    };
    rows.into_iter().map(|(row, _)| row).zip(tags).map(complete).collect()
}

/// Of places and tags as [`FOUND`] lists them, the tags in their order.
fn tag_ids(list: Option<&str>) -> Vec<i64> {
    let tag = |text: &str| {
        let (place, id) = text.split_once(':')?;
        Some((place.parse().ok()?, id.parse().ok()?))
    };
    let mut tags: Vec<(i64, i64)> = list.into_iter().flat_map(|list| list.split(',')).filter_map(tag).collect();
    tags.sort_unstable();
    tags.into_iter().map(|(_, id)| id).collect()
}
