//! SIGTERM while a hundred streams are open and a picture is painted.

use crate::{grpc, installation, ok};
use paintbox_proto::v1;
use paintbox_proto::v1::generation_service_client::GenerationServiceClient;
use paintbox_testkit::wait_for;
use std::process::Stdio;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::{Code, Streaming};

/// Half of these never read.
const STREAMS: usize = 100;
/// What a connection may have at least (RFC 9113, section 6.5.2), and less.
const STREAMS_PER_CONNECTION: usize = 25;
/// What service managers are told that it takes at most.
const ENDING: Duration = Duration::from_secs(15);
const A_WHILE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_hundred_streams_and_a_picture_keep_no_daemon_from_ending() {
    let (_hub, installed) = installation().await;
    let mut daemon = installed
        .command("paintboxd")
        .arg("run")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the daemon to listen", A_WHILE, async || installed.socket().exists()).await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
    ok(&installed, &["sync", "--wait"]);
    let model = ok(&installed, &["search", "emoji", "--kind", "checkpoint"])[0]["ref"].as_str().unwrap().to_owned();

    let mut client = GenerationServiceClient::new(grpc::channel(&installed).await);
    let mut create = async |prompt: &str, seed: u64| {
        let spec = v1::GenerationSpec {
            model: model.clone(),
            prompt: prompt.into(),
            seed: Some(seed),
            steps: Some(1_000),
            width: Some(64),
            height: Some(64),
            ..Default::default()
        };
        let request = v1::CreateGenerationRequest { spec: Some(spec), ..Default::default() };
        client.create_generation(request).await.unwrap().into_inner()
    };
    let painted = create("tree", 11).await;
    let waiting = create("banana", 12).await;

    let (mut reading, mut standing_still) = (JoinSet::new(), Vec::new());
    let mut channel = grpc::channel(&installed).await;
    for number in 0..STREAMS {
        if number % STREAMS_PER_CONNECTION == 0 {
            channel = grpc::channel(&installed).await;
        }
        let name = if number % 4 < 2 { &painted.name } else { &waiting.name }.clone();
        let request = v1::WatchGenerationRequest { name, ..Default::default() };
        let stream =
            GenerationServiceClient::new(channel.clone()).watch_generation(request).await.unwrap().into_inner();
        match number % 2 {
            0 => drop(reading.spawn(read(stream))),
            _ => standing_still.push(stream),
        }
    }
    let state = async || {
        let mut client = GenerationServiceClient::new(grpc::channel(&installed).await);
        let request = v1::GetGenerationRequest { name: painted.name.clone() };
        client.get_generation(request).await.unwrap().into_inner()
    };
    wait_for("it to be painted", A_WHILE, async || state().await.state() == v1::generation::State::Running).await;

    let process = daemon.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    let ended = tokio::time::timeout(ENDING, tokio::task::spawn_blocking(move || daemon.wait()));
    let ended = ended.await.expect("the daemon ends").unwrap().unwrap();
    assert!(ended.success(), "{ended}");
    assert!(!installed.socket().exists());
    // Whoever reads is told that the daemon ends, and nobody that the generation has.
    while let Some(end) = reading.join_next().await {
        assert_eq!(end.unwrap(), Code::Unavailable);
    }
    drop(standing_still);

    // The next daemon has both, with their seeds, in their order.
    let jobs = ok(&installed, &["jobs"]);
    let state_of =
        |name: &str| jobs.iter().find(|job| job["name"] == name).unwrap()["state"].as_str().unwrap().to_owned();
    assert!(["queued", "running"].contains(&state_of(&painted.name).as_str()), "{jobs:#?}");
    assert_eq!(state_of(&waiting.name), "queued", "{jobs:#?}");
    wait_for("it to be painted again", A_WHILE, async || state().await.state() == v1::generation::State::Running).await;
    assert_eq!(state().await.spec.unwrap().seed, Some(11));
}

/// How a stream that is read ends.
async fn read(mut stream: Streaming<v1::GenerationEvent>) -> Code {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Code::Ok,
            Err(status) => return status.code(),
        }
    }
}
