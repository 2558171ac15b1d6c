//! Generations: checked, resolved to files, queued as rows, painted one after another by one worker thread, kept as
//! pictures that carry their recipe.
//!
//! The engine is behind the [`Generator`](paintbox_domain::generation::Generator) port, so that everything here runs
//! in tests without one.

mod capabilities;
mod check;
mod errands;
mod error;
mod fit;
mod given;
mod here;
mod history;
mod like;
mod live;
mod making;
mod on_disk;
mod queue;
mod recipe;
mod resolve;
mod spec_json;
mod tags;
mod turns;
mod worker;

pub use capabilities::{AdaptersHere, ModelCapabilities};
pub use check::{LARGEST_COUNT, LARGEST_SIDE_PIXELS, LARGEST_STEPS, LONGEST_PROMPT_BYTES};
pub use errands::ModelBench;
pub use error::GenerationError;
pub use fit::{Fit, fitted, has_transparency};
pub use here::{FileHere, ModelHere};
pub use history::{HistoryCondition, HistoryFilter, HistoryNumber, HistoryText};
pub use like::{FoundBy, LikeModel, LikePlan, LikeState, Role};
pub use live::GenerationEvent;
pub use queue::{Ask, GenerationParts, Generations, QueueState, Retention, Settings};
pub use recipe::{
    ControlResource, LoraResource, Recipe, RecipeError, Remark, Resource, names as a1111_names, parameters,
    parameters_of, preview_as, preview_jpeg,
};
pub use spec_json::{settings_from_json, spec_from_json, warnings_from_json};
