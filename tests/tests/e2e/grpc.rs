//! The API as a client sees it that has nothing but the proto.

use crate::{installation, ok};
use hyper_util::rt::TokioIo;
use paintbox_proto::v1;
use paintbox_proto::v1::asset_service_client::AssetServiceClient;
use paintbox_proto::v1::generation_service_client::GenerationServiceClient;
use paintbox_tests::Installation;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

pub(crate) async fn channel(installed: &Installation) -> Channel {
    let socket = installed.socket();
    Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(tokio::net::UnixStream::connect(socket).await?)) }
        }))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn generates_watches_and_reads_the_picture() {
    let (_hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
    ok(&installed, &["sync", "--wait"]);
    let model = ok(&installed, &["search", "emoji", "--kind", "checkpoint"])[0]["ref"].as_str().unwrap().to_owned();
    let channel = channel(&installed).await;
    let mut generations = GenerationServiceClient::new(channel.clone());
    let spec = v1::GenerationSpec {
        model,
        prompt: "banana".into(),
        seed: Some(1),
        steps: Some(6),
        width: Some(64),
        height: Some(64),
        count: 2,
        ..Default::default()
    };
    let request_id = "3f1c1c5e-1f43-4a53-9a86-0a7d5a1f3b11".to_owned();
    let request =
        v1::CreateGenerationRequest { spec: Some(spec.clone()), request_id: request_id.clone(), ..Default::default() };
    let created = generations.create_generation(request.clone()).await.unwrap().into_inner();
    // The same request id gives the same generation; with another body it is refused.
    let again = generations.create_generation(request).await.unwrap().into_inner();
    assert_eq!(created.name, again.name);
    let other = v1::GenerationSpec { prompt: "lemon".into(), ..spec.clone() };
    let status = generations
        .create_generation(v1::CreateGenerationRequest { spec: Some(other), request_id, ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "REQUEST_ID_REUSED");

    let watch = v1::WatchGenerationRequest { name: created.name.clone(), ..Default::default() };
    let mut events = generations.watch_generation(watch).await.unwrap().into_inner();
    let mut last_sequence = None;
    let mut ended = None;
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        assert!(last_sequence.is_none_or(|last| event.sequence >= last), "the sequence never gets smaller");
        last_sequence = Some(event.sequence);
        if let Some(v1::generation_event::Event::Generation(generation)) = event.event {
            ended = Some(generation);
        }
    }
    let ended = ended.unwrap();
    assert_eq!(ended.state(), v1::generation::State::Succeeded, "{ended:?}");
    assert_eq!(ended.images.iter().map(|image| image.seed).collect::<Vec<_>>(), [1, 2]);

    let mut assets = AssetServiceClient::new(channel.clone());
    let image = &ended.images[0];
    let request = v1::ReadAssetRequest { name: image.asset.clone(), offset: 0 };
    let mut chunks = assets.read_asset(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.unwrap();
        assert!(chunk.data.len() <= 64 * 1024);
        bytes.extend(chunk.data);
    }
    let digest = format!("{:x}", <sha2::Sha256 as sha2::Digest>::digest(&bytes));
    assert_eq!(image.asset, format!("assets/{digest}"));
    assert_eq!(image.size_bytes, bytes.len() as u64);

    for (spec, reason) in [
        (v1::GenerationSpec { steps: Some(0), ..spec.clone() }, "INVALID_ARGUMENT"),
        (v1::GenerationSpec { sampler: "dream".into(), ..spec.clone() }, "UNSUPPORTED_SETTING"),
        (v1::GenerationSpec { model: "civitai:424242".into(), ..spec.clone() }, "MODEL_NOT_FOUND"),
        (v1::GenerationSpec { guidance_scale: Some(f32::NAN), ..spec.clone() }, "INVALID_ARGUMENT"),
        (v1::GenerationSpec { count: 1000, ..spec.clone() }, "INVALID_ARGUMENT"),
    ] {
        let request = v1::CreateGenerationRequest { spec: Some(spec), ..Default::default() };
        let status = generations.create_generation(request).await.unwrap_err();
        assert_eq!(status.get_details_error_info().unwrap().reason, reason, "{status:?}");
    }
    let request = v1::GetGenerationRequest { name: "generations/none".into() };
    let status = generations.get_generation(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
}
