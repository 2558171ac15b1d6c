//! Tensor names and shapes as detection asks for them, whatever the container; nothing is copied out of the header.

use crate::gguf;
use crate::safetensors::{Dtype, Header, Table, TensorInfo};
use crate::shapes::TensorShapes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A header seen as names and shapes.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    tensors: Tensors<'a>,
    metadata: &'a BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy)]
enum Tensors<'a> {
    /// A header that was read to be looked at.
    Table(&'a Table<'a>),
    /// A header that somebody keeps.
    Safetensors(&'a BTreeMap<String, TensorInfo>),
    Gguf(&'a BTreeMap<String, gguf::TensorInfo>),
}

/// The first name from `prefix` on.
fn first_from<'a, T>(tensors: &'a BTreeMap<String, T>, prefix: &str) -> Option<&'a str> {
    tensors.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)).next().map(|(name, _)| name.as_str())
}

impl TensorShapes for Listing<'_> {
    fn shape_of(&self, name: &str) -> Option<&[usize]> {
        self.shape(name)
    }
}

impl<'a> Listing<'a> {
    #[must_use]
    pub fn of_safetensors(header: &'a Header) -> Self {
        Self { tensors: Tensors::Safetensors(&header.tensors), metadata: &header.metadata }
    }

    pub(crate) fn of_table(table: &'a Table<'a>) -> Self {
        Self { tensors: Tensors::Table(table), metadata: table.metadata() }
    }

    #[must_use]
    pub fn of_gguf(header: &'a gguf::Header) -> Self {
        Self { tensors: Tensors::Gguf(&header.tensors), metadata: &header.metadata }
    }

    pub(super) fn metadata(&self) -> &'a BTreeMap<String, String> {
        self.metadata
    }

    pub(super) fn is_gguf(&self) -> bool {
        matches!(self.tensors, Tensors::Gguf(_))
    }

    pub(super) fn len(&self) -> usize {
        match self.tensors {
            Tensors::Table(table) => table.len(),
            Tensors::Safetensors(tensors) => tensors.len(),
            Tensors::Gguf(tensors) => tensors.len(),
        }
    }

    pub(super) fn shape(&self, name: &str) -> Option<&'a [usize]> {
        match self.tensors {
            Tensors::Table(table) => table.shape(name),
            Tensors::Safetensors(tensors) => tensors.get(name).map(|info| info.shape.as_slice()),
            Tensors::Gguf(tensors) => tensors.get(name).map(|info| info.shape.as_slice()),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    pub(super) fn any(&self, prefix: &str) -> bool {
        let first = match self.tensors {
            Tensors::Table(table) => table.first_from(prefix),
            Tensors::Safetensors(tensors) => first_from(tensors, prefix),
            Tensors::Gguf(tensors) => first_from(tensors, prefix),
        };
        first.is_some_and(|name| name.starts_with(prefix))
    }

    /// Every name with its shape, in the order of names.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&'a str, &'a [usize])> + use<'a> {
        let (table, safetensors, gguf) = match self.tensors {
            Tensors::Table(table) => (Some(table), None, None),
            Tensors::Safetensors(tensors) => (None, Some(tensors), None),
            Tensors::Gguf(tensors) => (None, None, Some(tensors)),
        };
        let table = table.into_iter().flat_map(Table::tensors).map(|(name, _, shape)| (name, shape));
        let safetensors = safetensors.into_iter().flatten().map(|(name, info)| (name.as_str(), info.shape.as_slice()));
        let gguf = gguf.into_iter().flatten().map(|(name, info)| (name.as_str(), info.shape.as_slice()));
        table.chain(safetensors).chain(gguf)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.tensors().map(|(name, _)| name)
    }

    pub(super) fn scope(&self, prefix: &'static str) -> Scope<'a> {
        Scope { listing: *self, prefix }
    }

    /// The element type that most weights have, and how many weights there are. Counts and packed integers are no
    /// weights, but bytes and small integers may hold them and so may be the precision.
    pub(super) fn measure(&self) -> (Option<&'static str>, u64) {
        // A dozen types at the very most, so a list is searched faster than a map.
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        let mut parameters = 0_u64;
        let mut see = |precision: Option<&'static str>, is_weight: bool, elements: u64| {
            if is_weight {
                parameters = parameters.saturating_add(elements);
            }
            let Some(precision) = precision else { return };
            match sums.iter_mut().find(|(name, _)| *name == precision) {
                Some((_, sum)) => *sum = sum.saturating_add(elements),
                None => sums.push((precision, elements)),
            }
        };
        match self.tensors {
            Tensors::Table(table) => {
                for (_, dtype, shape) in table.tensors() {
                    see(precision_name(dtype), dtype.is_float(), elements(shape));
                }
            }
            Tensors::Safetensors(tensors) => {
                for info in tensors.values() {
                    see(precision_name(info.dtype), info.dtype.is_float(), info.elements());
                }
            }
            Tensors::Gguf(tensors) => {
                for info in tensors.values() {
                    see(Some(info.ggml_type.as_str()), true, elements(&info.shape));
                }
            }
        }
        // The name decides between types of equal share, so that the order of tensors never does.
        (sums.iter().max_by_key(|(name, sum)| (*sum, *name)).map(|(name, _)| *name), parameters)
    }
}

fn elements(shape: &[usize]) -> u64 {
    shape.iter().fold(1_u64, |product, &dimension| product.saturating_mul(dimension as u64))
}

/// Types that hold weights; counts such as `position_ids` say nothing about precision.
fn precision_name(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::F64 => Some("fp64"),
        Dtype::F32 => Some("fp32"),
        Dtype::F16 => Some("fp16"),
        Dtype::BF16 => Some("bf16"),
        Dtype::F8E4M3 | Dtype::F8E4M3Fnuz => Some("fp8_e4m3"),
        Dtype::F8E5M2 | Dtype::F8E5M2Fnuz => Some("fp8_e5m2"),
        Dtype::F6E2M3 | Dtype::F6E3M2 => Some("fp6"),
        Dtype::F4 => Some("fp4"),
        Dtype::I8 => Some("int8"),
        Dtype::U8 => Some("uint8"),
        Dtype::Bool
        | Dtype::F8E8M0
        | Dtype::I16
        | Dtype::U16
        | Dtype::I32
        | Dtype::U32
        | Dtype::C64
        | Dtype::I64
        | Dtype::U64 => None,
    }
}

/// A listing seen from behind a prefix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) listing: Listing<'a>,
    prefix: &'static str,
}

impl<'a> Scope<'a> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    pub(super) fn any(&self, prefix: &str) -> bool {
        self.listing.any(&self.full(prefix))
    }

    pub(super) fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.listing.shape(&self.full(name))
    }

    /// One dimension of a tensor, if the tensor is there and has it.
    pub(super) fn dim(&self, name: &str, axis: usize) -> Option<usize> {
        self.shape(name)?.get(axis).copied()
    }

    fn full<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if self.prefix.is_empty() { Cow::Borrowed(name) } else { Cow::Owned([self.prefix, name].concat()) }
    }
}
