//! The random numbers that pictures are made of.

mod brownian;
mod philox;
mod picture;
mod seed_sequence;
mod torch;

pub(crate) use brownian::BrownianTree;
pub(crate) use picture::PictureNoise;
