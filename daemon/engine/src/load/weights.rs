//! How a network asks for its weights: by canonical name within a scope, with the shape that it expects.

use crate::device::Precision;
use crate::error::EngineError;
use crate::tensor::interruption;
use candle_core::{DType, Device, Tensor};

/// Where tensors come from.
pub(crate) trait TensorSource {
    /// A tensor by its full canonical name, in f32 on the CPU.
    ///
    /// # Errors
    /// When there is none of that name, its shape is another, or it cannot be read.
    fn read(&self, name: &str, wanted: &[usize]) -> Result<Tensor, EngineError>;
}

/// A scope of names in a source, such as `down_blocks.0.resnets.1`, and the device and type that the tensors are for.
#[derive(Clone)]
pub(crate) struct Weights<'a> {
    source: &'a dyn TensorSource,
    scope: String,
    device: &'a Device,
    dtype: DType,
}

impl<'a> Weights<'a> {
    /// For a network that computes in f32.
    pub(crate) fn new(source: &'a dyn TensorSource, device: &'a Device) -> Self {
        Self { source, scope: String::new(), device, dtype: DType::F32 }
    }

    /// The same for a network that computes as exactly as that.
    pub(crate) fn computing_in(self, precision: Precision) -> Self {
        Self { dtype: precision.dtype(self.device), ..self }
    }

    /// The scope `name` within this one; dots separate levels.
    pub(crate) fn scope(&self, name: &str) -> Self {
        Self { scope: self.full_name(name), ..self.clone() }
    }

    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    pub(crate) const fn dtype(&self) -> DType {
        self.dtype
    }

    /// A contiguous tensor on the device. Casting happens before the upload: a GPU's memory pool rounds what is
    /// made on it up to powers of two, but takes what is uploaded as it is.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, EngineError> {
        interruption::check().map_err(EngineError::computing("loading the model"))?;
        let tensor = self.source.read(&self.full_name(name), shape)?;
        let uploaded = tensor.to_dtype(self.dtype).and_then(|tensor| tensor.to_device(self.device));
        uploaded.map_err(EngineError::computing("uploading a tensor"))
    }

    fn full_name(&self, name: &str) -> String {
        if self.scope.is_empty() { name.to_owned() } else { format!("{}.{name}", self.scope) }
    }
}
