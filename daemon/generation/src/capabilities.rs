//! What a model that is here can be asked for, and what else that is here goes with it. It waits for no painting.

use crate::error::GenerationError;
use crate::here::FileHere;
use crate::making::unharmed;
use crate::queue::Generations;
use crate::resolve;
use paintbox_domain::generation::{
    Adapter, Capabilities, ControlImage, ControlNetFile, Inspector, LoraFile, ModelFile,
};
use paintbox_domain::{Architecture, Failure, ModelKind, Sha256};
use std::path::PathBuf;
use std::sync::Arc;

/// Adapters of a kind whose headers are read for one answer.
const MOST_ADAPTERS: usize = 500;

/// A model and what it can be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCapabilities {
    /// What recipes call it.
    pub name: String,
    /// Of its main file.
    pub sha256: Option<Sha256>,
    pub capabilities: Capabilities,
    pub loras: AdaptersHere,
    pub control_nets: AdaptersHere,
}

/// Adapters of a kind that are here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AdaptersHere {
    /// Those that fit the model, by name.
    pub fitting: Vec<FileHere>,
    /// How many do not.
    pub others: usize,
    /// How many were not looked at, because there are too many.
    pub not_looked_at: usize,
}

impl Generations {
    /// What a model can be asked for, from its files' headers.
    ///
    /// # Errors
    /// When the model is not here, or is none that is painted with.
    pub async fn capabilities(&self, reference: &str) -> Result<ModelCapabilities, GenerationError> {
        let model = resolve::model(self.resolver(), reference).await?;
        let capabilities = self.inspected(model.files.clone()).await?;
        let loras = self.adapters(&model.files, capabilities.architecture, ModelKind::Lora).await?;
        let control_nets = self.adapters(&model.files, capabilities.architecture, ModelKind::ControlNet).await?;
        Ok(ModelCapabilities { name: model.name, sha256: model.main, capabilities, loras, control_nets })
    }

    /// What a model is painted with when nothing is said, its sizes and the like; nothing of what goes with it.
    ///
    /// # Errors
    /// When the model is not here, or is none that is painted with.
    pub async fn model_defaults(&self, reference: &str) -> Result<Capabilities, GenerationError> {
        let model = resolve::model(self.resolver(), reference).await?;
        self.inspected(model.files).await
    }

    async fn inspected(&self, files: Vec<ModelFile>) -> Result<Capabilities, GenerationError> {
        let inspector = self.inspector();
        blocking(move || inspector.capabilities(&files)).await
    }

    /// Those that fit. What was detected to be for another architecture needs no second look.
    async fn adapters(
        &self,
        model: &[ModelFile],
        architecture: Architecture,
        kind: ModelKind,
    ) -> Result<AdaptersHere, GenerationError> {
        let files = self.files_here(kind).await?;
        let may_fit = |file: &FileHere| [architecture, Architecture::Unknown].contains(&file.architecture);
        let (mut likely, others): (Vec<_>, Vec<_>) = files.into_iter().partition(may_fit);
        let not_looked_at = likely.len().saturating_sub(MOST_ADAPTERS);
        likely.truncate(MOST_ADAPTERS);
        let adapters: Vec<_> = likely.iter().map(|file| adapter(kind, file)).collect();
        let (inspector, model) = (self.inspector(), model.to_vec());
        let misfits = blocking(move || inspector.misfits(&model, &adapters)).await?;
        let (fitting, unfit): (Vec<_>, Vec<_>) = likely.into_iter().zip(misfits).partition(|(_, why)| why.is_none());
        let fitting = fitting.into_iter().map(|(file, _)| file).collect();
        Ok(AdaptersHere { fitting, others: others.len() + unfit.len(), not_looked_at })
    }

    fn inspector(&self) -> Arc<dyn Inspector> {
        Arc::clone(self.headers())
    }
}

/// A file as if it were to be used at full strength.
fn adapter(kind: ModelKind, file: &FileHere) -> Adapter {
    let (name, path, sha256): (_, PathBuf, _) = (file.file_name.clone(), file.path.clone(), file.sha256);
    if kind == ModelKind::Lora {
        return Adapter::Lora(LoraFile { name, path, sha256, weight: 1.0, text_encoder_weight: 1.0 });
    }
    let image = ControlImage { width: 1, height: 1, rgb: vec![0; 3] };
    let (config, canny, strength, start, end) = (None, None, 1.0, 0.0, 1.0);
    Adapter::ControlNet(ControlNetFile { name, path, sha256, config, image, canny, strength, start, end })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, GenerationError> {
    let done = tokio::task::spawn_blocking(|| unharmed(work)).await;
    done.map_err(|_| GenerationError::Panicked { what: "reading headers".to_owned() })?
}
