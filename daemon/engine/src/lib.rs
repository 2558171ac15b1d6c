//! The painting engine: text encoders, networks, VAEs, samplers and adapters on candle.
//!
//! Blocking and single-minded: no tokio, no network, no environment, no clock. Everything it needs comes in a
//! [`paintbox_domain::generation::PaintRequest`], everything it says leaves as a painting, progress or a failure.
//! Stable Diffusion 1.x, 2.x, XL and what was cut out of XL are painted; every other architecture is refused by name.
//! Finished pictures are made larger by ESRGAN's networks, Real-ESRGAN's compact ones and SPAN.

mod control;
mod device;
mod engine;
mod error;
#[cfg(test)]
mod golden_tests;
mod guidance;
mod hires;
mod inpaint;
mod inspector;
mod latents;
mod load;
mod model;
mod networks;
mod paint;
mod pass;
mod picture;
mod plan;
mod preview;
mod residence;
mod sample;
mod scene;
mod selfcheck;
mod settings;
mod stopwatch;
mod tensor;
#[cfg(test)]
mod testing;
mod text;
mod upscale;

pub use device::DeviceChoice;
pub use engine::{Engine, EngineOptions};
pub use error::EngineError;
pub use plan::{MemoryPlan, MemoryStage, Residency};
pub use residence::FullPrecision;
