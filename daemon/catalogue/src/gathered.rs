//! Questions that come at the same time, answered together. While one statement is under way, the questions that arrive
//! wait for the next, which answers all of them: handing a statement to its connection's thread and waking who asked costs
//! more than reading a model does, and so does beginning to read at all. A question that comes alone waits for nothing.

use crate::error::{CatalogueError, could_not};
use crate::readers::Readers;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use tokio::sync::{mpsc, oneshot};

/// Answers of one statement at most. What came later is not held up for longer by more of them.
const AT_ONCE: usize = 32;

/// How a kind of question is answered.
pub(crate) trait Answer: Send + Sync + 'static {
    /// What is attempted, as errors say it.
    const ATTEMPT: &'static str;
    type Question: Eq + Hash + Send + Sync + 'static;
    type Answer: Clone + Send + 'static;

    /// The answer to each of these different questions, in their order.
    fn answer(
        &self,
        connection: &mut SqliteConnection,
        questions: &[Self::Question],
    ) -> impl Future<Output = Result<Vec<Option<Self::Answer>>, CatalogueError>> + Send;
}

type Reply<A> = oneshot::Sender<Result<Option<<A as Answer>::Answer>, CatalogueError>>;

/// Where such questions are asked.
pub(crate) struct Gathered<A: Answer> {
    questions: mpsc::UnboundedSender<(A::Question, Reply<A>)>,
}

impl<A: Answer> fmt::Debug for Gathered<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered").finish_non_exhaustive()
    }
}

impl<A: Answer> Gathered<A> {
    /// Answers for as long as somebody may ask.
    pub(crate) fn new(readers: Readers, answer: A) -> Self {
        let (questions, mut asked) = mpsc::unbounded_channel();
        drop(tokio::spawn(async move {
            let mut some = Vec::with_capacity(AT_ONCE);
            while asked.recv_many(&mut some, AT_ONCE).await > 0 {
                some.retain(|(_, reply): &(_, Reply<A>)| !reply.is_closed());
                if !some.is_empty() {
                    reply(&readers, &answer, some.drain(..)).await;
                }
            }
        }));
        Self { questions }
    }

    pub(crate) async fn ask(&self, question: A::Question) -> Result<Option<A::Answer>, CatalogueError> {
        let closed = || could_not(A::ATTEMPT)(sqlx::Error::PoolClosed);
        let (reply, answer) = oneshot::channel();
        self.questions.send((question, reply)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

async fn reply<A: Answer>(readers: &Readers, answer: &A, asked: impl Iterator<Item = (A::Question, Reply<A>)>) {
    let mut waiting: HashMap<A::Question, Vec<Reply<A>>> = HashMap::new();
    asked.for_each(|(question, reply)| waiting.entry(question).or_default().push(reply));
    let (questions, replies): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
    match read(readers, answer, &questions).await {
        Ok(answers) => replies.into_iter().zip(answers).for_each(|(replies, answer)| tell::<A>(replies, answer)),
        // What cannot be read is the failure of who asked for it.
        Err(_) => {
            for (question, replies) in questions.iter().zip(replies) {
                for reply in replies {
                    let alone = read(readers, answer, std::slice::from_ref(question)).await;
                    drop(reply.send(alone.map(|answers| answers.into_iter().next().flatten())));
                }
            }
        }
    }
}

async fn read<A: Answer>(
    readers: &Readers,
    answer: &A,
    questions: &[A::Question],
) -> Result<Vec<Option<A::Answer>>, CatalogueError> {
    let mut reader = readers.acquire().await.map_err(could_not(A::ATTEMPT))?;
    answer.answer(&mut reader, questions).await
}

/// Who does not wait any more needs no answer. Mostly one asked, who gets it as it is.
fn tell<A: Answer>(mut replies: Vec<Reply<A>>, answer: Option<A::Answer>) {
    let last = replies.pop();
    replies.into_iter().for_each(|reply| drop(reply.send(Ok(answer.clone()))));
    if let Some(last) = last {
        drop(last.send(Ok(answer)));
    }
}

#[cfg(test)]
mod tests {
    use crate::detail::Pages;
    use crate::gathered::Gathered;
    use crate::testing::{model, opened};
    use crate::{CatalogueError, ModelDetail};
    use futures::future::join_all;
    use paintbox_domain::Hub;

    async fn ask(pages: &Gathered<Pages>, id: u64) -> Result<Option<ModelDetail>, CatalogueError> {
        pages.ask((Some(Hub::Civitai), id.to_string())).await
    }

    #[tokio::test]
    async fn who_asks_at_once_is_told_what_they_asked_for() {
        let (catalogue, _home) = opened().await;
        let models: Vec<_> = (0..100).map(|id| model(&id.to_string(), &format!("Model {id}"))).collect();
        catalogue.record_models(&models, None).await.unwrap();
        // More than are answered at once, some of them twice, and some that there are not.
        let asked: Vec<u64> = (0..150).chain(40..60).collect();
        let answers = join_all(asked.iter().map(|id| ask(&catalogue.pages, *id))).await;
        for (id, answer) in asked.into_iter().zip(answers) {
            let name = answer.unwrap().map(|page| (page.summary.name, page.versions.len()));
            assert_eq!(name, (id < 100).then(|| (format!("Model {id}"), 1)), "{id}");
        }
    }

    #[tokio::test]
    async fn a_page_that_cannot_be_read_spoils_no_other() {
        let (catalogue, _home) = opened().await;
        let models: Vec<_> = (0..10).map(|id| model(&id.to_string(), &format!("Model {id}"))).collect();
        catalogue.record_models(&models, None).await.unwrap();
        let spoil = "UPDATE version SET trained_words = '{' WHERE model_id = (SELECT model_id FROM model WHERE name = 'Model 3')";
        sqlx::query(spoil).execute(&catalogue.writer).await.unwrap();
        let answers = join_all((0..10).map(|id| ask(&catalogue.pages, id))).await;
        let failed: Vec<usize> = (0..10).filter(|at| answers[*at].is_err()).collect();
        assert_eq!(failed, [3]);
    }

    #[tokio::test]
    async fn nobody_waits_for_an_answer_that_cannot_come() {
        let (catalogue, _home) = opened().await;
        catalogue.close().await;
        assert!(ask(&catalogue.pages, 1).await.is_err());
    }
}
