//! What a gate lets through, and what it remembers.

use super::super::circuit::FAILURES_THAT_OPEN;
use super::super::limits::Pace;
use super::*;
use paintbox_domain::clock::ManualClock;
use paintbox_domain::{Classify, ErrorClass, reason};

fn gate(limits: &Limits) -> (Arc<Gate>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (Gate::new(Hub::HuggingFace, Arc::<ManualClock>::clone(&clock), limits), clock)
}

fn unpaced() -> Limits {
    Limits::of(Hub::HuggingFace, true)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

async fn fail(gate: &Arc<Gate>) {
    gate.admit(Kind::Question).await.unwrap().report(Outcome::Failed("silence".to_owned()));
}

async fn open(gate: &Arc<Gate>) {
    for _ in 0..FAILURES_THAT_OPEN {
        fail(gate).await;
    }
}

#[tokio::test(start_paused = true)]
async fn slots_are_counted_by_kind() {
    let limits = Limits { questions_at_once: 2, ..unpaced() };
    let (gate, _) = gate(&limits);
    let pass = gate.enter(Kind::Question).unwrap();
    let first = pass.slot().await.unwrap();
    let _second = pass.slot().await.unwrap();
    let third = tokio::time::timeout(Duration::from_secs(1), pass.slot()).await;
    assert!(third.is_err(), "two are under way");
    gate.admit(Kind::Download).await.unwrap().report(Outcome::Answered);
    drop(first);
    pass.slot().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn questions_are_paced_and_downloads_are_not() {
    let pace = Some(Pace { burst: 2, refill: Duration::from_secs(1) });
    let (gate, _) = gate(&Limits { pace, ..unpaced() });
    let took = async |kind| {
        let start = Instant::now();
        for _ in 0..5 {
            gate.admit(kind).await.unwrap().report(Outcome::Answered);
        }
        start.elapsed().as_secs()
    };
    assert_eq!(took(Kind::Question).await, 3);
    assert_eq!(took(Kind::Download).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_short_pause_is_waited_for_and_a_long_one_is_remembered() {
    let (gate, clock) = gate(&unpaced());
    let told = |kind, seconds: &str| {
        let limit = headers(&[("retry-after", seconds)]);
        gate.enter(kind).unwrap().heard(true, "https://huggingface.co/x", StatusCode::TOO_MANY_REQUESTS, &limit);
    };
    told(Kind::Question, "7");
    let start = Instant::now();
    gate.admit(Kind::Question).await.unwrap().report(Outcome::Answered);
    assert_eq!(start.elapsed().as_secs(), 7);

    told(Kind::Question, "100");
    clock.advance(Duration::from_secs(40));
    let error = gate.enter(Kind::Question).unwrap_err();
    assert_eq!((error.reason(), error.retry_after()), (reason::HUB_RATE_LIMITED, Some(Duration::from_secs(60))));
    gate.admit(Kind::Download).await.unwrap().report(Outcome::Answered);
    let health = gate.health();
    assert_eq!((health.state, health.since), (HubState::Limited, Some(Timestamp::from_unix_ms(0))));
    assert_eq!(health.retry_at, Some(Timestamp::from_unix_ms(100_000)));
    assert!(health.problem.unwrap().contains("questions"));
    assert_eq!(health.requests, 2);
    clock.advance(Duration::from_secs(60));
    gate.admit(Kind::Question).await.unwrap().report(Outcome::Answered);
    assert_eq!(gate.health().state, HubState::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_pause_does_not_outlive_its_length_when_the_clock_is_set_back() {
    let (gate, clock) = gate(&unpaced());
    clock.advance(Duration::from_secs(1_000_000));
    let limit = headers(&[("retry-after", "100")]);
    gate.enter(Kind::Question).unwrap().heard(true, "", StatusCode::TOO_MANY_REQUESTS, &limit);
    assert!(gate.enter(Kind::Question).is_err());
    let earlier = ManualClock::at(Timestamp::from_unix_ms(0));
    assert!(gate.questions.pause_at(earlier.now()).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_pace_comes_from_the_sites_own_numbers() {
    let (gate, _) = gate(&unpaced());
    let window = headers(&[("ratelimit", "\"api\";r=10;t=100"), ("ratelimit-policy", "\"api\";q=500;w=300")]);
    gate.enter(Kind::Question).unwrap().heard(true, "", StatusCode::OK, &window);
    let start = Instant::now();
    for _ in 0..3 {
        gate.admit(Kind::Question).await.unwrap().report(Outcome::Answered);
    }
    assert_eq!(start.elapsed().as_secs(), 20, "a hundred seconds for ten requests");
    let spent = headers(&[("ratelimit", "\"api\";r=0;t=200")]);
    gate.enter(Kind::Question).unwrap().heard(true, "", StatusCode::OK, &spent);
    let error = gate.admit(Kind::Question).await.unwrap_err();
    assert_eq!((error.reason(), error.retry_after()), (reason::HUB_RATE_LIMITED, Some(Duration::from_secs(201))));
    assert_eq!(gate.health().state, HubState::Limited);
}

#[tokio::test(start_paused = true)]
async fn each_window_paces_what_is_counted_in_it() {
    let (gate, _) = gate(&unpaced());
    let spent = headers(&[("ratelimit", "\"resolvers\";r=0;t=200")]);
    gate.enter(Kind::Question).unwrap().heard(true, "", StatusCode::OK, &spent);
    gate.admit(Kind::Question).await.unwrap().report(Outcome::Answered);
    assert_eq!(gate.admit(Kind::Download).await.unwrap_err().reason(), reason::HUB_RATE_LIMITED);
}

#[tokio::test(start_paused = true)]
async fn a_site_that_is_down_is_left_alone_until_one_call_finds_it_back() {
    let (gate, clock) = gate(&unpaced());
    open(&gate).await;
    let error = gate.enter(Kind::Question).unwrap_err();
    assert_eq!((error.reason(), error.class()), (reason::HUB_DOWN, ErrorClass::Unavailable));
    let left = error.retry_after().unwrap().as_secs();
    assert!((47..=60).contains(&left), "{left}");
    assert!(error.to_string().contains("silence"), "{error}");
    let health = gate.health();
    assert_eq!((health.state, health.problem.as_deref()), (HubState::Down, Some("silence")));
    assert_eq!(health.requests, u64::from(FAILURES_THAT_OPEN), "no request went out since");

    clock.advance(Duration::from_secs(60));
    assert!(gate.enter(Kind::Preview).is_err(), "a picture tells nothing of the hub");
    let probe = gate.enter(Kind::Download).unwrap();
    assert!(probe.is_probe());
    assert_eq!(gate.enter(Kind::Question).unwrap_err().reason(), reason::HUB_DOWN);
    drop(probe);
    let probe = gate.admit(Kind::Question).await.unwrap();
    probe.report(Outcome::Failed("silence".to_owned()));
    clock.advance(Duration::from_secs(90));
    assert!(gate.enter(Kind::Question).is_err(), "the second pause is longer");
    clock.advance(Duration::from_secs(30));
    gate.admit(Kind::Question).await.unwrap().report(Outcome::Answered);
    assert!(gate.enter(Kind::Preview).is_ok());
    assert_eq!(gate.health().state, HubState::Ok);
    assert_eq!(gate.health().problem, None);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_a_sign_of_life_and_the_storages_troubles_are_not_the_hubs() {
    let (gate, _) = gate(&unpaced());
    for _ in 0..FAILURES_THAT_OPEN {
        fail(&gate).await;
        gate.enter(Kind::Question).unwrap().heard(true, "", StatusCode::NOT_FOUND, &HeaderMap::new());
        gate.enter(Kind::Download).unwrap().heard(false, "", StatusCode::BAD_GATEWAY, &HeaderMap::new());
    }
    assert_eq!(gate.health().state, HubState::Ok);
    for _ in 0..FAILURES_THAT_OPEN {
        gate.enter(Kind::Question).unwrap().heard(true, "", StatusCode::BAD_GATEWAY, &HeaderMap::new());
    }
    assert_eq!(gate.health().state, HubState::Down);
}
