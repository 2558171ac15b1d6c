//! From a prompt to rows of token ids.

mod chunks;
mod vocabulary;

pub(crate) use chunks::chunks;
pub(crate) use vocabulary::Vocabulary;
