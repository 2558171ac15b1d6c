//! From files to tensors: which file holds which weight, what the model looks like, and the reading itself.

mod blueprint;
mod config;
mod control;
mod delta;
mod embedding;
mod encoders;
mod family;
mod file;
mod fp8;
mod index;
mod lora;
mod text;
mod weights;

pub(crate) use blueprint::{Blueprint, Inputs, blueprint};
pub(crate) use control::ControlNetPlan;
pub(crate) use embedding::{Embedding, embeddings};
pub(crate) use family::{AddedSizes, painted};
pub(crate) use file::TensorFile;
pub(crate) use index::{Index, index};
pub(crate) use lora::{Merges, merges};
pub(crate) use paintbox_weights::stable_diffusion::{Component, Parameters};
pub(crate) use text::TextTower;
pub(crate) use weights::{TensorSource, Weights};
