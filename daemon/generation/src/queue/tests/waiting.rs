//! Turns, pauses, times, and watches that go on.

use super::*;
use paintbox_domain::Timestamp;

/// One that is being painted until it is let go on, so that others wait.
async fn with_one_running(bench: &Bench) -> GenerationRecord {
    let running = bench.create(GenerationSpec { steps: Some(1_000), ..spec() }).await.unwrap();
    let mut events = std::pin::pin!(bench.generations.watch(&running.uid, false, None).await.unwrap());
    bench.permits.as_ref().unwrap().send(()).unwrap();
    while !matches!(events.next().await.unwrap().unwrap().1, GenerationEvent::Progress(_)) {}
    running
}

fn ask(prompt: &str, client: &str, priority: i32) -> Ask {
    let spec = GenerationSpec { prompt: prompt.into(), ..spec() };
    Ask { spec, client: client.into(), priority, ..Ask::default() }
}

impl Bench {
    async fn ask(&self, ask: Ask) -> GenerationRecord {
        self.generations.create(&ask).await.unwrap()
    }

    /// The prompts of what was painted, the first one left out.
    async fn painted(&mut self, running: &str, others: &[GenerationRecord]) -> Vec<String> {
        self.generations.cancel(running).await.unwrap();
        self.permits = None;
        for record in others {
            ended(&self.generations, &record.uid).await;
        }
        self.asked.lock().unwrap().iter().skip(1).map(|request| request.prompt.clone()).collect()
    }
}

#[tokio::test]
async fn clients_take_turns_whatever_each_of_them_asked_for() {
    let mut bench = bench(20).await;
    let running = with_one_running(&bench).await;
    let mut waiting = Vec::new();
    for (prompt, client, priority) in [
        ("a1", "a", 0),
        ("a2", "a", 0),
        ("a3", "a", 0),
        ("b1", "b", 0),
        ("b2", "b", 0),
        ("urgent", "c", 7),
        ("late", "c", -7),
    ] {
        waiting.push(bench.ask(ask(prompt, client, priority)).await);
    }
    let queue = bench.generations.queue().await.unwrap();
    assert_eq!(queue.running.as_ref(), Some(&running.uid));
    let order: Vec<&str> = queue.order.iter().map(|one| one.client.as_str()).collect();
    assert_eq!(order, ["socket/c", "socket/a", "socket/b", "socket/a", "socket/b", "socket/a", "socket/c"]);
    // Moved within its client's, and given another priority.
    bench.generations.reorder(&waiting[2].uid, None).await.unwrap();
    bench.generations.set_priority(&waiting[4].uid, 9).await.unwrap();
    let painted = bench.painted(&running.uid, &waiting).await;
    assert_eq!(painted, ["b2", "urgent", "a3", "b1", "a1", "a2", "late"]);
}

#[tokio::test]
async fn those_that_share_the_model_in_memory_are_painted_together() {
    let mut bench = bench(20).await;
    let running = with_one_running(&bench).await;
    let mut waiting = Vec::new();
    for (prompt, model) in [("x1", "civitai:11"), ("y1", "civitai:1"), ("x2", "civitai:11"), ("y2", "civitai:1")] {
        let mut ask = ask(prompt, "", 0);
        ask.spec.model = model.into();
        waiting.push(bench.ask(ask).await);
    }
    assert_eq!(bench.painted(&running.uid, &waiting).await, ["y1", "y2", "x1", "x2"]);
}

#[tokio::test]
async fn a_paused_queue_begins_nothing_and_goes_on_when_it_may() {
    let mut bench = bench(10).await;
    bench.permits = None;
    bench.generations.pause(true).await.unwrap();
    let waiting = bench.create(spec()).await.unwrap();
    assert!(bench.generations.queue().await.unwrap().is_paused);
    // An errand is no generation: once it is done, the worker has looked at the queue.
    bench.generations.check_engine().await.unwrap();
    assert_eq!(bench.generations.get(&waiting.uid).await.unwrap().state, JobState::Queued);
    bench.generations.pause(false).await.unwrap();
    assert_eq!(ended(&bench.generations, &waiting.uid).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn what_is_not_done_by_its_time_fails_whether_it_waits_or_is_painted() {
    let bench = bench(10).await;
    let at = |seconds: i64| Some(Timestamp::from_unix_ms(seconds * 1_000));
    let now = bench.catalogue.now().unix_ms() / 1_000;
    let spec_of_many = GenerationSpec { steps: Some(1_000), ..spec() };
    let running = Ask { spec: spec_of_many, expires_at: at(now + 60), ..Ask::default() };
    let running = bench.ask(running).await;
    let mut events = std::pin::pin!(bench.generations.watch(&running.uid, false, None).await.unwrap());
    bench.permits.as_ref().unwrap().send(()).unwrap();
    while !matches!(events.next().await.unwrap().unwrap().1, GenerationEvent::Progress(_)) {}
    let queued = bench.ask(Ask { expires_at: at(now + 90), ..ask("b", "", 0) }).await;
    bench.clock.advance(Duration::from_secs(100));
    // Whatever else comes with a time has the clock looked at.
    let later = bench.ask(Ask { expires_at: at(now + 900), ..ask("c", "", 0) }).await;
    for uid in [&running.uid, &queued.uid] {
        let failed = ended(&bench.generations, uid).await;
        assert_eq!(failed.state, JobState::Failed);
        assert_eq!(failed.failure.unwrap().reason, reason::DEADLINE_EXCEEDED);
    }
    bench.generations.cancel(&later.uid).await.unwrap();
}

#[tokio::test]
async fn what_was_being_painted_waits_again_when_the_daemon_ends_in_order() {
    let requeue = Interruption::Requeue { most_attempts: 2 };
    let bench = bench_with(10, None, requeue).await;
    let running = with_one_running(&bench).await;
    bench.generations.shut_down().await;
    let record = bench.catalogue.generation(&running.uid).await.unwrap();
    assert_eq!((record.state, record.attempts), (JobState::Queued, 0));
    assert_eq!(record.spec_json, running.spec_json, "its seed is kept");

    let bench = bench_with(10, None, requeue).await;
    let tied = bench.ask(Ask { is_tied: true, ..ask("tied", "", 0) }).await;
    let mut events = std::pin::pin!(bench.generations.watch(&tied.uid, false, None).await.unwrap());
    bench.permits.as_ref().unwrap().send(()).unwrap();
    while !matches!(events.next().await.unwrap().unwrap().1, GenerationEvent::Progress(_)) {}
    bench.generations.shut_down().await;
    let record = bench.catalogue.generation(&tied.uid).await.unwrap();
    assert_eq!(record.failure.unwrap().reason, reason::INTERRUPTED, "its caller is gone");
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_left() {
    let mut bench = bench(10).await;
    let first = with_one_running(&bench).await;
    let record = bench.create(spec()).await.unwrap();
    let mut events = std::pin::pin!(bench.generations.watch(&record.uid, false, None).await.unwrap());
    let Some(Ok((left_at, GenerationEvent::State(queued)))) = events.next().await else { panic!("it is there") };
    assert_eq!(queued.state, JobState::Queued);
    bench.permits = None;
    ended(&bench.generations, &first.uid).await;
    ended(&bench.generations, &record.uid).await;
    let states = async |after| {
        let events = bench.generations.watch(&record.uid, false, Some(after)).await.unwrap();
        let states = events.filter_map(async |event| match event.unwrap() {
            (sequence, GenerationEvent::State(record)) => Some((sequence, record.state)),
            _ => None,
        });
        states.collect::<Vec<_>>().await
    };
    let seen = states(left_at).await;
    assert_eq!(seen.iter().map(|(_, state)| *state).collect::<Vec<_>>(), [JobState::Running, JobState::Succeeded]);
    assert!(seen[0].0 > left_at && seen[1].0 > seen[0].0);
    // Nothing is left out either for one who saw the beginning of it, and one who saw the end is told of it once more.
    assert_eq!(states(seen[0].0).await, seen[1..]);
    assert_eq!(states(seen[1].0).await, [(seen[1].0, JobState::Succeeded)]);
}

#[tokio::test]
async fn whoever_asks_wrongly_is_told_what_is_wrong() {
    let bench = bench(10).await;
    for wrong in [ask("x", "", 101), ask("x", "", -101), ask("x", &"n".repeat(65), 0), ask("x", "a\nb", 0)] {
        let refused = bench.generations.create(&wrong).await.unwrap_err();
        assert_eq!((refused.reason(), refused.class()), (reason::INVALID_ARGUMENT, ErrorClass::InvalidInput));
    }
    assert_eq!(bench.generations.set_priority("x", 200).await.unwrap_err().reason(), reason::INVALID_ARGUMENT);
    let named = bench.ask(Ask { caller: "token-7".into(), ..ask("x", "Krita", 0) }).await;
    assert_eq!(named.client, "token-7/Krita");
}

#[tokio::test]
async fn the_history_is_looked_through() {
    let mut bench = bench(20).await;
    bench.permits = None;
    let mut records = Vec::new();
    for (prompt, client) in [("a red Fox", "a"), ("a blue fox", "b"), ("panic", "b")] {
        records.push(bench.ask(ask(prompt, client, 3)).await);
        ended(&bench.generations, &records.last().unwrap().uid).await;
    }
    let found = async |text: &str| {
        let filter = HistoryFilter::parse(text).unwrap();
        let query = GenerationQuery { filter: text.to_owned(), ..GenerationQuery::default() };
        let page = bench.generations.list(&query, &filter).await.unwrap();
        page.generations.into_iter().map(|record| record.prompt).collect::<Vec<_>>().join(", ")
    };
    for (filter, wanted) in [
        ("", "panic, a blue fox, a red Fox"),
        ("fox", "a blue fox, a red Fox"),
        ("prompt:\"red fox\"", "a red Fox"),
        ("state:failed", "panic"),
        ("reason:ENGINE_FAILED", "panic"),
        ("-state:failed client:socket/b", "a blue fox"),
        ("client:socket/* AND (red OR blue)", "a blue fox, a red Fox"),
        ("model:civitai:1 seed:5", "panic, a blue fox, a red Fox"),
        ("seed>5", ""),
        ("priority>=3 priority<4 ended<1971", "panic, a blue fox, a red Fox"),
        ("created<1970", ""),
    ] {
        assert_eq!(found(filter).await, wanted, "{filter}");
    }
    for (wrong, position) in [("colour:red", 1), ("state:done", 7), ("prompt<a", 1), ("seed:many", 6), ("(fox", 1)] {
        let problem = HistoryFilter::parse(wrong).unwrap_err();
        assert_eq!((problem.reason(), problem.position), (reason::FILTER_INVALID, position), "{wrong}");
        assert!(problem.hint().unwrap().contains("prompt, model, client"), "{problem:?}");
    }
}
