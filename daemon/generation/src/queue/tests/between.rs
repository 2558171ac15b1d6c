//! What the worker does between generations.

use super::*;
use crate::warnings_from_json;

#[tokio::test]
async fn a_model_that_nobody_asks_for_goes_and_what_was_noticed_is_kept() {
    let mut bench = bench_keeping_warm(10, Some(Duration::ZERO)).await;
    // Before anything was asked for, and again behind each generation.
    bench.evicted.notified().await;
    bench.permits = None;
    let queued = bench.create(spec()).await.unwrap();
    let done = ended(&bench.generations, &queued.uid).await;
    assert_eq!(done.state, JobState::Succeeded, "{:?}", done.failure);
    assert_eq!(warnings_from_json(&done.settings_json.unwrap()), ["all of it is flat"]);
    bench.evicted.notified().await;
}

#[tokio::test]
async fn an_errand_takes_its_turn_and_ends_with_whoever_asked() {
    let mut bench = bench(10).await;
    {
        let asking = bench.generations.check_engine();
        // Polled once, so that it is under way when it is dropped.
        let mut asking = std::pin::pin!(asking);
        assert!(futures::poll!(asking.as_mut()).is_pending());
    }
    bench.evicted.notified().await;
    bench.permits = None;
    assert_eq!(bench.generations.check_engine().await.unwrap(), []);
    // A fault in one ends neither the daemon nor the worker.
    let error = bench.generations.bench_model("civitai:1", Some(64), None, None).await.unwrap_err();
    assert!(error.to_string().contains("asked to"), "{error}");
    assert_eq!(bench.asked.lock().unwrap()[0].steps, Some(5));
    let missing = bench.generations.bench_model("civitai:2", None, None, None).await.unwrap_err();
    assert_eq!(missing.reason(), reason::FILE_NOT_LOCAL);
    let queued = bench.create(spec()).await.unwrap();
    assert_eq!(ended(&bench.generations, &queued.uid).await.state, JobState::Succeeded);
    bench.generations.shut_down().await;
    assert_eq!(bench.generations.check_engine().await.unwrap_err().reason(), reason::SHUTTING_DOWN);
}
