//! What a file of weights is, read from its header alone: safetensors and GGUF headers, pickle refusal, the kind
//! and architecture that tensor names and shapes prove, and the names one family uses in its different layouts.
//!
//! Nothing here computes with a tensor, so nothing here needs candle: the engine asks where a tensor lies and what
//! it is called, and reads it itself. Every byte that comes in is treated as hostile.

pub mod adapter;
pub mod detect;
pub mod gguf;
mod inspect;
mod pickle;
pub mod safetensors;
mod scales;

mod shapes;
mod sniff;
pub mod stable_diffusion;
#[cfg(test)]
mod test_files;
mod torch;
mod training;

pub use adapter::{Adapter, AdapterError};
pub use detect::{Detected, Listing, LoraFacts, Prediction, detect};
pub use inspect::{InspectError, Inspection, inspect, inspect_kept};
pub use safetensors::{Dtype, Header, HeaderError, TensorInfo, read_header};
pub use scales::{Scale, ScaleError, Scales};
pub use shapes::TensorShapes;
pub use sniff::{Sniffed, sniff};
pub use torch::{TorchError, read_textual_inversion};
pub use training::TrainingMetadata;
