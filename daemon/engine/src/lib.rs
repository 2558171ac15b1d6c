//! The painting engine: text encoders, networks, VAEs, samplers and adapters on candle.
//!
//! Blocking and single-minded: no tokio, no network, no environment, no clock. Everything it needs comes in a
//! [`paintbox_domain::generation::PaintRequest`], everything it says leaves as a painting, progress or a failure.
//! Stable Diffusion 1.x, 2.x, XL and what was cut out of XL are painted; every other architecture is refused by name.

mod control;
mod device;
mod engine;
mod error;
#[cfg(test)]
mod golden_tests;
mod guidance;
mod inpaint;
mod load;
mod model;
mod networks;
mod paint;
mod picture;
mod sample;
mod scene;
mod settings;
mod tensor;
#[cfg(test)]
mod testing;
mod text;

pub use device::DeviceChoice;
pub use engine::{Engine, EngineOptions};
pub use error::EngineError;
