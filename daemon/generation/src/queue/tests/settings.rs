//! Settings that change while something is queued, painted, or kept warm.

use super::*;

fn limited(settings: Settings, all: u32) -> Settings {
    Settings { limits: QueueLimits { all, of_one_client: all }, ..settings }
}

#[tokio::test]
async fn a_queue_that_may_be_longer_takes_more_and_one_that_may_not_keeps_what_it_has() {
    let mut bench = bench(2).await;
    let settings = bench.generations.inner.settings();
    let first = bench.create(spec()).await.unwrap();
    bench.steps.subscribe().wait_for(|seen| seen.begun > 0).await.unwrap();
    let mut queued = vec![first, bench.create(spec()).await.unwrap(), bench.create(spec()).await.unwrap()];
    assert_eq!(bench.create(spec()).await.unwrap_err().reason(), reason::QUEUE_FULL);
    bench.generations.adopt(limited(settings, 3));
    queued.push(bench.create(spec()).await.unwrap());
    bench.generations.adopt(limited(settings, 1));
    assert_eq!(bench.create(spec()).await.unwrap_err().reason(), reason::QUEUE_FULL);
    let queue = bench.generations.queue().await.unwrap();
    assert_eq!((queue.order.len(), queue.limits.all), (3, 1));
    bench.permits = None;
    for record in queued {
        assert_eq!(ended(&bench.generations, &record.uid).await.state, JobState::Succeeded);
    }
}

#[tokio::test]
async fn a_model_that_is_kept_for_ever_goes_when_that_is_taken_back() {
    let mut bench = bench_keeping_warm(10, None).await;
    bench.permits = None;
    let record = bench.create(spec()).await.unwrap();
    ended(&bench.generations, &record.uid).await;
    let settings = bench.generations.inner.settings();
    bench.generations.adopt(Settings { keep_warm: Some(Duration::from_millis(1)), ..settings });
    bench.evicted.notified().await;
}
