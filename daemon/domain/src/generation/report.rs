//! What an engine says of itself: whether its device computes right, and how fast.

/// One kind of network on the engine's device, held against the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineCheck {
    pub component: String,
    /// What it computed in: f32 or f16.
    pub precision: String,
    /// The largest difference of a value from the reference.
    pub difference: f64,
    /// The largest value of the reference.
    pub magnitude: f64,
    /// The largest difference that passes.
    pub tolerance: f64,
    /// Why nothing was computed, where that failed.
    pub failure: Option<String>,
}

impl EngineCheck {
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failure.is_none() && self.difference <= self.tolerance
    }
}

/// How long the parts of a painting took, in seconds, and what it took of memory.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineBench {
    /// `cpu`, `metal` or `cuda`.
    pub device: String,
    pub threads: u32,
    pub load_seconds: f64,
    pub encode_seconds: f64,
    /// Of each step but the first, which warms caches up.
    pub step_seconds: Vec<f64>,
    pub decode_seconds: f64,
    /// The most that the process held while it painted; `None` where the system does not say.
    pub peak_bytes: Option<u64>,
    pub planned_bytes: u64,
    pub settings: super::PaintSettings,
}
