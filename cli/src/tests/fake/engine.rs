//! An engine that says what the test wants.

use super::{Answer, Fake};
use paintbox_proto::v1;
use tonic::{Request, Response};

#[tonic::async_trait]
impl v1::engine_service_server::EngineService for Fake {
    async fn check_engine(&self, _: Request<v1::CheckEngineRequest>) -> Answer<v1::CheckEngineResponse> {
        let checks = self.world().engine_checks.clone();
        Ok(Response::new(v1::CheckEngineResponse { device: "metal".into(), checks }))
    }

    async fn bench_model(&self, request: Request<v1::BenchModelRequest>) -> Answer<v1::BenchModelResponse> {
        let request = request.into_inner();
        self.world().asked.push(format!("{request:?}"));
        Ok(Response::new(v1::BenchModelResponse {
            device: "metal".into(),
            processor: "Apple M4".into(),
            threads: 4,
            build: "0.1.0 release aarch64 macos".into(),
            model: "lighthouse".into(),
            sha256: "0123456789abcdef".repeat(4),
            architecture: "sd1".into(),
            width: request.width.unwrap_or(512),
            height: request.height.unwrap_or(512),
            sampler: "euler".into(),
            guidance_scale: 7.0,
            load_seconds: 1.5,
            encode_seconds: 0.25,
            step_seconds: vec![2.0, 1.0, 3.0],
            decode_seconds: 4.125,
            peak_bytes: None,
            planned_bytes: 5_000_000_000,
        }))
    }
}

/// A model that edits pictures, and what goes with it.
pub(super) fn capabilities() -> v1::ModelCapabilities {
    let file = |name: &str| v1::UsableFile {
        reference: "0123456789abcdef".repeat(4),
        name: name.into(),
        file_name: format!("{name}.safetensors"),
        architecture: "sd1".into(),
    };
    let error = v1::Error {
        reason: "UNSUPPORTED_SETTING".into(),
        message: "it edits \x1b[31mpictures".into(),
        ..Default::default()
    };
    v1::ModelCapabilities {
        model: "lighthouse".into(),
        sha256: "0123456789abcdef".repeat(4),
        architecture: "sd1".into(),
        prediction_type: "epsilon".into(),
        inputs: "editing".into(),
        defaults: Some(v1::GenerationDefaults {
            steps: 25,
            guidance_scale: 7.5,
            image_guidance_scale: Some(1.5),
            sampler: "dpmpp_2m".into(),
            schedule: "normal".into(),
            width: 512,
            height: 512,
            clip_skip: 1,
        }),
        samplers: vec!["euler".into(), "dpmpp_2m".into()],
        schedules: vec!["normal".into(), "sgm_uniform".into()],
        features: vec!["image_to_image".into(), "control_nets".into()],
        size_multiple: 8,
        largest_side: 16_384,
        largest_clip_skip: 12,
        planned_bytes: 3_000_000_000,
        memory_limit_bytes: 8_000_000_000,
        refused: vec![v1::CapabilityRefusal { what: "text_to_image".into(), error: Some(error) }],
        loras: Some(v1::FittingAdapters { fitting: vec![file("grey")], unfit_count: 1200, unread_count: 3 }),
        control_nets: Some(v1::FittingAdapters::default()),
        upscalers: vec![file("RealESRGAN_x4plus")],
        ..Default::default()
    }
}
