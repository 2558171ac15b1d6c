//! Recording what hubs say: upserts that only ever add, update or date a row.
//!
//! Two rules keep good metadata from being lost. A field that an answer leaves out keeps the value it had, because
//! hubs answer lists with fewer fields than pages and empty a page that they take down. And what an answer no longer
//! lists gets a date, never a deletion.
//!
//! A page of a hub's list is recorded as a whole: what is known of its models is read, a plan of rows is made from that
//! and the answers, and the plan is written, many rows in a statement. A model of which the hub says what it said last
//! costs one row.

mod answer;
pub(crate) mod known;
pub(crate) mod links;
mod plan;
pub(crate) mod rows;
pub(crate) mod tags;
pub(crate) mod write;

use crate::error::{CatalogueError, could_not};
use crate::history::{self, Page, Said, StatePlan};
use crate::ids::{FollowId, ModelId};
use crate::libraries;
use crate::open::Catalogue;
use crate::snapshot::state_digest;
use crate::statements::statements;
use answer::Answer;
use known::{KnownModels, KnownParts, NextIds};
use paintbox_domain::hub::HubModel;
use paintbox_domain::{Hub, Sha256, Timestamp};
use plan::{ModelRow, Plan};
use sqlx::SqliteConnection;
use std::collections::{HashMap, HashSet};
use tags::{Learned, TagIds};
use tokio::task::JoinHandle;

const ATTEMPT: &str = "record what a hub says of a model";

statements! {
    MARK_MODEL_GONE = "
        UPDATE model SET gone_ms = ?3 WHERE hub = ?1 AND external_id = ?2 AND gone_ms IS NULL RETURNING model_id";
}

/// How much of a model's versions an answer lists.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Coverage {
    /// All of them, in the hub's order: what is missing is gone.
    All,
    /// Some of them: nothing is said of the others, nor of the order.
    Some,
}

impl Coverage {
    /// A repository without a listed commit says nothing about those that are known.
    fn of(self, model: &HubModel) -> Self {
        match model.hub {
            Hub::HuggingFace if model.versions.is_empty() => Self::Some,
            Hub::HuggingFace | Hub::Civitai => self,
        }
    }
}

impl Catalogue {
    /// Records model pages with all their versions, in one transaction: all are recorded or none. Versions, files and
    /// previews that are no longer listed are marked gone; a file whose digest changed keeps its old row, marked
    /// replaced, beside a new one. `follow` says whose work the models are (one that was deleted meanwhile is passed
    /// over). Content that is already on this machine is linked to new file rows at once. Returns the ids in the order
    /// given. One call for a whole page of a list is many times faster than one for each of its models.
    ///
    /// A Hugging Face commit never changes, so its files are never marked gone, and a repository without a listed
    /// commit says nothing about those that are known.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_models(
        &self,
        models: &[HubModel],
        follow: Option<FollowId>,
    ) -> Result<Vec<ModelId>, CatalogueError> {
        self.record_answers(models, follow, Coverage::All).await
    }

    /// Records a model of which only some versions were asked for, such as one pinned commit: other versions are
    /// neither marked gone nor moved.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_model_in_part(&self, model: &HubModel) -> Result<ModelId, CatalogueError> {
        let ids = self.record_answers(std::slice::from_ref(model), None, Coverage::Some).await?;
        Ok(ids[0])
    }

    /// Records that the hub no longer has this model. What was known of it stays. True if it was known and not yet
    /// marked.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_model_gone(&self, hub: Hub, external_id: &str) -> Result<bool, CatalogueError> {
        let attempt = "record that a model is gone";
        let mut tx = self.write(attempt).await?;
        let now = self.now();
        let marked: Option<i64> = sqlx::query_scalar(MARK_MODEL_GONE)
            .bind(hub.as_str())
            .bind(external_id)
            .bind(now.unix_ms())
            .fetch_optional(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        if let Some(model) = marked {
            history::record_gone(&mut tx, model, now).await.map_err(could_not(attempt))?;
        }
        self.commit(tx, attempt).await?;
        Ok(marked.is_some())
    }

    async fn record_answers(
        &self,
        models: &[HubModel],
        follow: Option<FollowId>,
        coverage: Coverage,
    ) -> Result<Vec<ModelId>, CatalogueError> {
        let pages: Vec<Page> = models.iter().map(|model| Page::from(model.raw.as_str())).collect();
        // Away from the threads that serve requests: a page of a list is a megabyte of JSON.
        let halves: Vec<_> = pages
            .chunks(pages.len().div_ceil(2).max(1))
            .map(<[Page]>::to_vec)
            .map(|half| tokio::task::spawn_blocking(move || half.iter().map(|page| state_digest(page)).collect()))
            .collect();
        let said: Vec<Sha256> = models.iter().map(|model| answer::digest(model, coverage.of(model))).collect();
        let mut tx = self.write_evidence(ATTEMPT).await?;
        let mut states: Vec<Sha256> = Vec::with_capacity(models.len());
        for half in halves {
            states.append(&mut finished(half).await?);
        }
        let answers: Vec<Answer<'_>> = (models.iter().zip(pages))
            .zip(states.into_iter().zip(said))
            .map(|((model, page), (state, said))| Answer::new(model, coverage.of(model), page, state, &said))
            .collect();
        let now = self.now();
        let mut ids = Vec::with_capacity(answers.len());
        let mut learned = Learned::default();
        for answers in without_repetition(&answers) {
            ids.extend(self.record(&mut tx, answers, follow, now, &mut learned).await?.into_iter().map(ModelId));
        }
        self.commit(tx, ATTEMPT).await?;
        self.tags.remember(learned);
        self.written(models.len());
        Ok(ids)
    }

    /// Records answers about different models; returns the models' ids in the same order.
    async fn record(
        &self,
        connection: &mut SqliteConnection,
        answers: &[Answer<'_>],
        follow: Option<FollowId>,
        now: Timestamp,
        learned: &mut Learned,
    ) -> Result<Vec<i64>, CatalogueError> {
        let failed = could_not(ATTEMPT);
        let models = KnownModels::read(connection, answers).await.map_err(&failed)?;
        let (unchanged, changed): (Vec<&Answer<'_>>, Vec<_>) =
            answers.iter().partition(|answer| models.of(answer).is_some_and(|known| known.said(answer)));
        let unchanged: Vec<ModelRow<'_>> = unchanged
            .into_iter()
            .filter_map(|answer| Some(ModelRow { id: models.of(answer)?.model_id, answer }))
            .collect();
        rows::run(connection, write::unchanged(&unchanged, now)).await.map_err(&failed)?;

        let known: Vec<i64> = changed.iter().filter_map(|answer| Some(models.of(answer)?.model_id)).collect();
        let parts = KnownParts::read(connection, &known).await.map_err(&failed)?;
        let next = NextIds::read(connection).await.map_err(&failed)?;
        let plan = Plan::new(&changed, &models, &parts, next.clone());
        write_plan(connection, &plan, &known, next.state, now, &self.tags, learned).await?;

        let ids: HashMap<_, i64> =
            plan.all_models().chain(&unchanged).map(|written| (written.answer.key(), written.id)).collect();
        let ids: Vec<i64> = answers.iter().map(|answer| ids[&answer.key()]).collect();
        let repositories = answers.iter().zip(&ids).filter(|(answer, _)| answer.model.hub == Hub::HuggingFace);
        let repositories: Vec<i64> = repositories.map(|(_, id)| *id).collect();
        links::to_git_blobs(connection, &repositories, now).await.map_err(&failed)?;
        if let Some(follow) = follow {
            links::to_follow(connection, follow, &ids, now).await.map_err(&failed)?;
        }
        Ok(ids)
    }
}

/// What a thread that may take its time has made.
async fn finished<T>(work: JoinHandle<T>) -> Result<T, CatalogueError> {
    work.await.map_err(|lost| could_not(ATTEMPT)(sqlx::Error::Io(lost.into())))
}

/// Splits answers where a model comes a second time: what is recorded of it first is what is known the next time.
fn without_repetition<'a, 'b>(answers: &'b [Answer<'a>]) -> Vec<&'b [Answer<'a>]> {
    let mut parts = Vec::new();
    let mut begin = 0;
    let mut seen = HashSet::new();
    for (index, answer) in answers.iter().enumerate() {
        if !seen.insert(answer.key()) {
            parts.push(&answers[begin..index]);
            begin = index;
            seen.clear();
            seen.insert(answer.key());
        }
    }
    parts.push(&answers[begin..]);
    parts
}

async fn write_plan(
    connection: &mut SqliteConnection,
    plan: &Plan<'_>,
    known: &[i64],
    next_state: i64,
    now: Timestamp,
    remembered: &TagIds,
    learned: &mut Learned,
) -> Result<(), CatalogueError> {
    let failed = could_not(ATTEMPT);
    let written: Vec<i64> = plan.all_models().map(|written| written.id).collect();
    if written.is_empty() {
        return Ok(());
    }
    let said = plan.all_models().map(|written| Said {
        model: written.id,
        digest: written.answer.state,
        page: Page::clone(&written.answer.page),
    });
    let states = StatePlan::read(connection, known, next_state, said.collect()).await?;
    // While SQLite writes the other rows, another thread compresses the pages.
    let pages = states.pages();
    let bodies = tokio::task::spawn_blocking(move || history::bodies(&pages));
    rows::run(connection, write::plan(plan, now)).await.map_err(&failed)?;
    tags::write(connection, plan, remembered, learned).await.map_err(&failed)?;
    states.write(connection, finished(bodies).await?, now).await.map_err(&failed)?;
    links::to_content(connection, &written, now).await.map_err(&failed)?;
    let known: Vec<i64> = plan.models.known.iter().map(|written| written.id).collect();
    links::index_again(connection, &known).await.map_err(&failed)?;
    rows::run(connection, links::index_new(&plan.models.new, links::bind_answer)).await.map_err(&failed)?;
    libraries::content::give_way(connection, remembered, &written, now).await
}

#[cfg(test)]
mod tests;
