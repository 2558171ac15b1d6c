//! The queue through the real programs: callers that leave at every step, a daemon that is killed, and who watches.

use crate::grpc::channel;
use crate::{installation, ok};
use paintbox_proto::v1;
use paintbox_proto::v1::event::Event as Any;
use paintbox_proto::v1::event_service_client::EventServiceClient;
use paintbox_proto::v1::generation::State;
use paintbox_proto::v1::generation_event::Event;
use paintbox_proto::v1::generation_service_client::GenerationServiceClient;
use paintbox_testkit::wait_for;
use paintbox_tests::Installation;
use std::time::Duration;
use tonic::Streaming;
use tonic::transport::Channel;

type Generations = GenerationServiceClient<Channel>;

/// Sampler steps of what is left.
const STEPS: u32 = 4;

async fn ready(installed: &Installation) -> (Channel, v1::GenerationSpec) {
    ok(installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
    ok(installed, &["sync", "--wait"]);
    let model = ok(installed, &["search", "emoji", "--kind", "checkpoint"])[0]["ref"].as_str().unwrap().to_owned();
    let spec = v1::GenerationSpec {
        model,
        prompt: "banana".into(),
        steps: Some(STEPS),
        width: Some(192),
        height: Some(192),
        ..Default::default()
    };
    (channel(installed).await, spec)
}

/// The next event that is no sign of life.
async fn next(events: &mut Streaming<v1::GenerationEvent>) -> Option<Event> {
    loop {
        match events.message().await.unwrap()?.event {
            Some(Event::Heartbeat(_)) | None => {}
            Some(event) => return Some(event),
        }
    }
}

/// Reads until a step is done, or the painting has begun for step 0; the generation's name, and which step it was.
async fn until(events: &mut Streaming<v1::GenerationEvent>, step: u32) -> (String, u32) {
    let mut name = None;
    loop {
        match next(events).await.expect("it has not ended") {
            Event::Generation(generation) => {
                let is_running = generation.state() == State::Running;
                name = Some(generation.name);
                if step == 0 && is_running {
                    return (name.unwrap(), 0);
                }
            }
            // Where steps are quick, not each is told.
            Event::Progress(progress) if progress.step >= step && step > 0 => return (name.unwrap(), progress.step),
            _ => {}
        }
    }
}

/// How a generation ended, and the last step that anybody was told of.
async fn end_of(generations: &mut Generations, name: &str) -> (v1::Generation, u32) {
    let request = v1::WatchGenerationRequest { name: name.to_owned(), ..Default::default() };
    let mut events = generations.watch_generation(request).await.unwrap().into_inner();
    let (mut last, mut step) = (None, 0);
    while let Some(event) = next(&mut events).await {
        match event {
            Event::Generation(generation) => last = Some(generation),
            Event::Progress(progress) => step = progress.step,
            _ => {}
        }
    }
    (last.unwrap(), step)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Disconnects,
    Cancels,
    StopsReading,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whoever_leaves_at_any_step_leaves_the_device_free() {
    let (_hub, installed) = installation().await;
    let (channel, spec) = ready(&installed).await;
    let mut generations = GenerationServiceClient::new(channel.clone());
    for leaving in [Leaving::Disconnects, Leaving::Cancels, Leaving::StopsReading] {
        for step in 0..STEPS {
            let request = v1::GenerateImagesRequest {
                spec: Some(spec.clone()),
                cancel_on_disconnect: leaving != Leaving::StopsReading,
                ..Default::default()
            };
            let mut events = generations.generate_images(request).await.unwrap().into_inner();
            let (name, step) = until(&mut events, step).await;
            let kept = match leaving {
                Leaving::Disconnects => {
                    drop(events);
                    None
                }
                Leaving::Cancels => {
                    let request = v1::CancelGenerationRequest { name: name.clone() };
                    let cancelled = generations.cancel_generation(request).await.unwrap().into_inner();
                    assert_eq!(cancelled.state(), State::Cancelled, "at step {step}");
                    let queue = generations.get_generation_queue(v1::GetGenerationQueueRequest {}).await.unwrap();
                    assert_eq!(queue.into_inner().running, "", "the answer comes when the device is free");
                    None
                }
                // It stays open, and nobody reads it any more.
                Leaving::StopsReading => Some(events),
            };
            let (ended, last_step) = end_of(&mut generations, &name).await;
            match leaving {
                Leaving::StopsReading => assert_eq!(ended.state(), State::Succeeded, "{ended:?}"),
                _ => {
                    assert_eq!(ended.state(), State::Cancelled, "{leaving:?} at step {step}");
                    assert!(last_step <= step + 1, "{leaving:?} at step {step}: went on to {last_step}");
                }
            }
            drop(kept);
        }
    }
    // The next one is painted as if nothing had been.
    let small = v1::GenerationSpec { width: Some(64), height: Some(64), ..spec };
    let request = v1::GenerateImagesRequest { spec: Some(small), ..Default::default() };
    let mut events = generations.generate_images(request).await.unwrap().into_inner();
    let mut last = None;
    while let Some(event) = next(&mut events).await {
        if let Event::Generation(generation) = event {
            last = Some(generation);
        }
    }
    assert_eq!(last.unwrap().state(), State::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_was_being_painted_when_the_daemon_was_killed_is_painted_with_its_seed() {
    let (_hub, installed) = installation().await;
    let (channel, spec) = ready(&installed).await;
    let mut generations = GenerationServiceClient::new(channel.clone());
    let mut names = Vec::new();
    for _ in 0..2 {
        let request = v1::CreateGenerationRequest { spec: Some(spec.clone()), ..Default::default() };
        names.push(generations.create_generation(request).await.unwrap().into_inner());
    }
    let request = v1::WatchGenerationRequest { name: names[0].name.clone(), ..Default::default() };
    let mut events = generations.watch_generation(request).await.unwrap().into_inner();
    until(&mut events, 1).await;
    let pid = installed.daemon_pid().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    // The command line starts the daemon again.
    wait_for("both to be painted", Duration::from_secs(120), async || {
        ok(&installed, &["jobs"])
            .iter()
            .filter(|job| job["state"] == "succeeded" && job["kind"] == "generation")
            .count()
            == 2
    })
    .await;
    let jobs = ok(&installed, &["jobs"]);
    for asked in &names {
        let job = jobs.iter().find(|job| job["name"] == asked.name.as_str()).unwrap();
        let seed = asked.spec.as_ref().unwrap().seed.unwrap();
        assert_eq!(job["images"][0]["seed"], seed, "{job}");
        assert_eq!(job["attempts"], if asked.name == names[0].name { 2 } else { 1 });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_stream_tells_of_everything_and_goes_on_where_it_was_left() {
    let (_hub, installed) = installation().await;
    let (channel, spec) = ready(&installed).await;
    let mut service = EventServiceClient::new(channel.clone());
    let mut stream = service.watch_events(v1::WatchEventsRequest::default()).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(matches!(first.event, Some(Any::Snapshot(_))), "{first:?}");

    let mut generations = GenerationServiceClient::new(channel.clone());
    let small = v1::GenerationSpec { width: Some(64), height: Some(64), ..spec };
    let request = v1::CreateGenerationRequest { spec: Some(small), client: "a gallery".into(), ..Default::default() };
    let created = generations.create_generation(request).await.unwrap().into_inner();
    assert_eq!(created.client, "socket/a gallery");
    let states = async |stream: &mut Streaming<v1::Event>| {
        let mut states = Vec::new();
        let mut last = 0;
        while states.last() != Some(&State::Succeeded) {
            let event = stream.message().await.unwrap().unwrap();
            assert!(event.sequence >= last && event.epoch == first.epoch);
            last = event.sequence;
            if let Some(Any::Generation(generation)) = event.event
                && generation.name == created.name
            {
                states.push(generation.state());
            }
        }
        states
    };
    let all = [State::Queued, State::Running, State::Succeeded];
    assert_eq!(states(&mut stream).await, all);
    // Another reader that knows only the first event misses nothing.
    let request = v1::WatchEventsRequest {
        topics: vec![v1::EventTopic::Generations.into()],
        after_sequence: first.sequence,
        epoch: first.epoch.clone(),
    };
    let mut again = service.watch_events(request.clone()).await.unwrap().into_inner();
    assert_eq!(states(&mut again).await, all);
    // One that comes from another life of the daemon begins anew.
    let stranger = v1::WatchEventsRequest { epoch: "before".into(), ..request };
    let mut anew = service.watch_events(stranger).await.unwrap().into_inner();
    assert!(matches!(anew.message().await.unwrap().unwrap().event, Some(Any::Snapshot(_))));
    // What is deleted and followed is told too.
    let request = v1::DeleteGenerationRequest { name: created.name.clone() };
    let deleted = generations.delete_generation(request).await.unwrap().into_inner();
    assert!(deleted.purge_time.unwrap().seconds > deleted.delete_time.unwrap().seconds);
    ok(&installed, &["unfollow", "civitai:tiny_emoji"]);
    let mut seen = (false, false);
    while seen != (true, true) {
        match stream.message().await.unwrap().unwrap().event {
            Some(Any::Generation(generation)) => seen.0 |= generation.delete_time.is_some(),
            Some(Any::DeletedFollow(name)) => seen.1 |= name.starts_with("follows/"),
            _ => {}
        }
    }
}
