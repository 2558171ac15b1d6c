//! How canonical tensors are made of those in a file.

use super::Component;
use std::collections::BTreeMap;

/// How a canonical tensor is made of the tensor in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Take {
    /// As it is.
    Whole,
    /// `[out, in, 1, 1]` → `[out, in]`: a 1×1 convolution is a linear layer.
    Squeeze,
    /// `[out, in]` → `[out, in, 1, 1]`.
    Unsqueeze,
    /// `[in, out]` → `[out, in]`: OpenCLIP multiplies by its projection from the other side.
    Transpose,
    /// One of several equal blocks of rows, counted from 0: OpenCLIP keeps query, key and value as one matrix.
    Rows { part: usize, of: usize },
}

impl Take {
    /// The canonical shape made of a shape in the file; `None` when the shape is not one this can be applied to.
    #[must_use]
    pub fn applied_to(self, shape: &[usize]) -> Option<Vec<usize>> {
        match (self, shape) {
            (Self::Whole, shape) => Some(shape.to_vec()),
            (Self::Squeeze, &[outputs, inputs, 1, 1]) => Some(vec![outputs, inputs]),
            (Self::Unsqueeze, &[outputs, inputs]) => Some(vec![outputs, inputs, 1, 1]),
            (Self::Transpose, &[inputs, outputs]) => Some(vec![outputs, inputs]),
            (Self::Rows { part, of }, [rows, rest @ ..]) if part < of && rows.is_multiple_of(of) => {
                Some(std::iter::once(rows / of).chain(rest.iter().copied()).collect())
            }
            (Self::Squeeze | Self::Unsqueeze | Self::Transpose | Self::Rows { .. }, _) => None,
        }
    }
}

/// Where a canonical tensor comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The tensor's name in the file.
    pub source: String,
    pub take: Take,
}

/// Recipes by component and canonical name.
pub type Recipes = BTreeMap<(Component, String), Recipe>;
