//! `EngineService`.

use crate::server::Api;
use crate::status::status;
use paintbox_domain::generation::EngineCheck;
use paintbox_generation::ModelBench;
use paintbox_proto::v1;
use paintbox_proto::v1::engine_service_server::EngineService;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl EngineService for Api {
    async fn check_engine(
        &self,
        _request: Request<v1::CheckEngineRequest>,
    ) -> Result<Response<v1::CheckEngineResponse>, Status> {
        let checks = self.generations.check_engine().await.map_err(|error| status(&error))?;
        let checks = checks.into_iter().map(check).collect();
        Ok(Response::new(v1::CheckEngineResponse { device: self.facts.device.clone(), checks }))
    }

    async fn bench_model(
        &self,
        request: Request<v1::BenchModelRequest>,
    ) -> Result<Response<v1::BenchModelResponse>, Status> {
        let v1::BenchModelRequest { model, width, height, steps } = request.into_inner();
        let bench = self.generations.bench_model(&model, width, height, steps).await;
        let ModelBench { model, sha256, bench } = bench.map_err(|error| status(&error))?;
        Ok(Response::new(v1::BenchModelResponse {
            device: bench.device,
            processor: self.facts.processor.clone(),
            threads: bench.threads,
            build: self.facts.build.clone(),
            model,
            sha256: sha256.map(|sha256| sha256.to_string()).unwrap_or_default(),
            architecture: bench.settings.architecture.to_string(),
            width: bench.settings.width,
            height: bench.settings.height,
            sampler: bench.settings.sampler.to_string(),
            guidance_scale: bench.settings.guidance_scale.into(),
            load_seconds: bench.load_seconds,
            encode_seconds: bench.encode_seconds,
            step_seconds: bench.step_seconds,
            decode_seconds: bench.decode_seconds,
            peak_bytes: bench.peak_bytes,
            planned_bytes: bench.planned_bytes,
        }))
    }
}

fn check(check: EngineCheck) -> v1::EngineCheck {
    let passed = check.passed();
    let EngineCheck { component, precision, difference, magnitude, tolerance, failure } = check;
    let problem = failure.unwrap_or_default();
    v1::EngineCheck { component, precision, difference, magnitude, tolerance, passed, problem }
}
