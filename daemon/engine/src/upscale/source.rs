//! The tensors of an upscaler's file by canonical name.

use super::blueprint::Blueprint;
use crate::error::EngineError;
use crate::load::{TensorFile, TensorSource};
use candle_core::Tensor;

pub(super) struct UpscalerSource<'a> {
    pub(super) file: &'a TensorFile,
    pub(super) blueprint: &'a Blueprint,
}

impl TensorSource for UpscalerSource<'_> {
    fn read(&self, name: &str, wanted: &[usize]) -> Result<Tensor, EngineError> {
        self.file.tensor("upscaler", &self.blueprint.name_in_file(name), wanted)
    }
}
