//! Folders of models that people already have, which other tools made: read where they lie, never written to.

pub mod beside;
pub mod layout;
pub mod medium;
