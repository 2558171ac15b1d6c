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
