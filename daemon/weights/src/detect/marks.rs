//! Facts as data: what a family's listing has that no other family's has.
//!
//! Every signature must hold on what is there, not on what is missing, so that a file that lost tensors becomes unknown
//! and never another family. `lacks` is for descendants that kept all of an ancestor's names and added to them.

use super::Scope;

/// Any size, in a shape.
pub(super) const ANY: usize = 0;

/// Something that a listing has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    /// A tensor of this name, whatever its shape.
    Name(&'static str),
    /// Some tensor whose name begins so.
    Prefix(&'static str),
    /// A tensor of this name and shape; [`ANY`] stands for any size.
    Shape(&'static str, &'static [usize]),
    /// A tensor whose size along an axis is one of these.
    Size(&'static str, usize, &'static [usize]),
    /// One of these is there.
    Either(&'static [Mark]),
}

impl Mark {
    pub(super) fn is_in(&self, scope: &Scope<'_>) -> bool {
        match self {
            Self::Name(name) => scope.has(name),
            Self::Prefix(prefix) => scope.any(prefix),
            Self::Shape(name, wanted) => scope.shape(name).is_some_and(|shape| {
                shape.len() == wanted.len()
                    && shape.iter().zip(*wanted).all(|(size, wanted)| *wanted == ANY || size == wanted)
            }),
            Self::Size(name, axis, sizes) => scope.dim(name, *axis).is_some_and(|size| sizes.contains(&size)),
            Self::Either(marks) => marks.iter().any(|mark| mark.is_in(scope)),
        }
    }
}

/// A family by its marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signature<T: 'static> {
    pub(super) answer: T,
    pub(super) has: &'static [Mark],
    /// Beginnings of names that only a descendant has.
    pub(super) lacks: &'static [&'static str],
}

impl<T> Signature<T> {
    pub(super) fn fits(&self, scope: &Scope<'_>) -> bool {
        self.has.iter().all(|mark| mark.is_in(scope)) && !self.lacks.iter().any(|prefix| scope.any(prefix))
    }
}
