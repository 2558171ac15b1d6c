//! Painting with the tiny model, and how long its steps take.

use crate::Failure;
use crate::reading::{Reading, Reads, Told};
use paintbox_proto::v1;
use paintbox_proto::v1::generation_service_client::GenerationServiceClient;
use paintbox_proto::v1::library_service_client::LibraryServiceClient;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// Large enough that a step is work for every processor that paints.
const SIDE: u32 = 128;
/// Steps of the generation that tells how many are needed for a measurement.
const TRIAL_STEPS: u32 = 10;
const MOST_STEPS: u32 = 1_000;
/// How long reading the model's files may take.
const READING: Duration = Duration::from_secs(60);

/// A model that can be painted with, and the connection to paint over.
pub(crate) struct Painting {
    channel: Channel,
    model: String,
    /// Milliseconds of one step while nothing else goes on.
    step_ms: f64,
}

impl Painting {
    /// Adopts the folder of the tests' model where it lies.
    pub(crate) async fn with_tiny_model(channel: Channel) -> Result<Self, Failure> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model").canonicalize()?;
        let path = folder.display().to_string();
        let mut libraries = LibraryServiceClient::new(channel.clone());
        match libraries.create_library(v1::CreateLibraryRequest { path: path.clone(), ..Default::default() }).await {
            Err(status) if status.code() != tonic::Code::AlreadyExists => return Err(status.into()),
            _ => {}
        }
        let mut looks = libraries.scan_libraries(v1::ScanLibrariesRequest::default()).await?.into_inner();
        while looks.message().await?.is_some() {}
        until_read(&mut libraries, &path).await?;
        let model = format!("path:{}", folder.join("tiny-emoji.safetensors").display());
        let mut painting = Self { channel, model, step_ms: f64::NAN };
        // The first loads the model.
        painting.step_ms = painting.paint(TRIAL_STEPS).await?;
        painting.step_ms = painting.paint(TRIAL_STEPS).await?;
        println!("{SIDE}×{SIDE}, {:.2} ms a step", painting.step_ms);
        Ok(painting)
    }

    pub(crate) fn client(&self) -> GenerationServiceClient<Channel> {
        GenerationServiceClient::new(self.channel.clone())
    }

    pub(crate) fn spec(&self, steps: u32) -> v1::GenerationSpec {
        v1::GenerationSpec {
            model: self.model.clone(),
            prompt: "red heart".to_owned(),
            seed: Some(7),
            steps: Some(steps),
            sampler: "euler".to_owned(),
            width: Some(SIDE),
            height: Some(SIDE),
            ..Default::default()
        }
    }

    /// Milliseconds of a step while nobody reads.
    pub(crate) async fn steps_alone(&self, length: Duration) -> Result<f64, Failure> {
        self.paint(self.steps_in(length)).await
    }

    /// The same while somebody reads, and what they saw.
    pub(crate) async fn steps_beside(&self, reading: &mut Reading, reads: &Reads) -> Result<(f64, Told), Failure> {
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = {
            let ended = Arc::clone(&ended);
            move || ended.load(Ordering::Relaxed)
        };
        // Read for as long as is painted, however much longer that takes.
        let reads = Reads { length: reads.length * 20, ..*reads };
        let painted = async {
            let step = self.paint(self.steps_in(reads.length / 20)).await;
            ended.store(true, Ordering::Relaxed);
            step
        };
        let (step, told) = tokio::join!(painted, reading.run(&reads, is_over));
        Ok((step?, told?))
    }

    fn steps_in(&self, length: Duration) -> u32 {
        ((length.as_secs_f64() * 1e3 / self.step_ms) as u32).clamp(TRIAL_STEPS, MOST_STEPS)
    }

    /// Milliseconds of a step of one generation, by the daemon's own clock from its begin to its end. What is no step,
    /// such as reading the prompt, is in it, and the less of it the more steps there are.
    async fn paint(&self, steps: u32) -> Result<f64, Failure> {
        let mut client = self.client();
        let request = v1::CreateGenerationRequest { spec: Some(self.spec(steps)), ..Default::default() };
        let created = client.create_generation(request).await?.into_inner();
        let request = v1::WatchGenerationRequest { name: created.name.clone(), ..Default::default() };
        let mut events = client.watch_generation(request).await?.into_inner();
        while events.message().await?.is_some() {}
        let ended = client.get_generation(v1::GetGenerationRequest { name: created.name }).await?.into_inner();
        if let Some(failure) = ended.failure {
            return Err(format!("it could not be painted: {}", failure.message).into());
        }
        let (Some(start), Some(end)) = (ended.start_time, ended.end_time) else {
            return Err("the generation has no times".into());
        };
        let ms = (end.seconds - start.seconds) as f64 * 1e3 + f64::from(end.nanos - start.nanos) / 1e6;
        Ok(ms / f64::from(steps))
    }
}

/// Waits until every file of a library was read: by its digest alone a file can be painted with.
async fn until_read(libraries: &mut LibraryServiceClient<Channel>, path: &str) -> Result<(), Failure> {
    let asked = Instant::now();
    loop {
        let listed = libraries.list_libraries(v1::ListLibrariesRequest::default()).await?.into_inner().libraries;
        let library = listed.iter().find(|library| library.path == path).ok_or("the library is not listed")?;
        if library.files > 0 && library.read_files + library.refused_files >= library.files {
            return Ok(());
        }
        if asked.elapsed() > READING {
            return Err("the files of the library are not read".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
