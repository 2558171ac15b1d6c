//! From a prompt to rows of token ids: which texts it is at which step, how much each word weighs, and how it is cut.

mod chunks;
mod composition;
mod dictionary;
mod editing;
mod emphasis;
#[cfg(test)]
mod golden_tests;
mod vocabulary;
mod words;

pub(crate) use chunks::{Chunk, chunks, empty_chunk};
pub(crate) use composition::compose;
pub(crate) use dictionary::Dictionary;
pub(crate) use editing::{Evaluations, schedule};
pub(crate) use vocabulary::Vocabulary;
