//! How a network asks for its weights: by canonical name within a scope, with the shape that it expects.

use crate::error::EngineError;
use crate::tensor::interruption;
use candle_core::{Device, Tensor};

/// Where tensors come from.
pub(crate) trait TensorSource {
    /// A tensor by its full canonical name, in f32 on the CPU.
    ///
    /// # Errors
    /// When there is none of that name, its shape is another, or it cannot be read.
    fn read(&self, name: &str, wanted: &[usize]) -> Result<Tensor, EngineError>;
}

/// A scope of names in a source, such as `down_blocks.0.resnets.1`, and the device that the tensors are for.
#[derive(Clone)]
pub(crate) struct Weights<'a> {
    source: &'a dyn TensorSource,
    scope: String,
    device: &'a Device,
}

impl<'a> Weights<'a> {
    pub(crate) fn new(source: &'a dyn TensorSource, device: &'a Device) -> Self {
        Self { source, scope: String::new(), device }
    }

    /// The scope `name` within this one; dots separate levels.
    pub(crate) fn scope(&self, name: &str) -> Self {
        Self { source: self.source, scope: self.full_name(name), device: self.device }
    }

    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    /// A contiguous f32 tensor on the device. Casting happens before the upload: a GPU's memory pool rounds what is
    /// made on it up to powers of two, but takes what is uploaded as it is.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, EngineError> {
        interruption::check().map_err(EngineError::computing("loading the model"))?;
        let tensor = self.source.read(&self.full_name(name), shape)?;
        if self.device.is_cpu() {
            return Ok(tensor);
        }
        tensor.to_device(self.device).map_err(EngineError::computing("uploading a tensor"))
    }

    fn full_name(&self, name: &str) -> String {
        if self.scope.is_empty() { name.to_owned() } else { format!("{}.{name}", self.scope) }
    }
}
