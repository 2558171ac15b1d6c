//! The JSON of a header as written, duplicates and all, so that the rules can be checked with errors of our own.
//!
//! Nothing is copied that need not be: names without escapes stay where they are in the text, and all shapes share one
//! list. A header has thousands of tensors, and a library thousands of headers.

use super::{Dtype, MAX_RANK, MAX_TENSORS};
use crate::shapes::for_message;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

pub(super) const METADATA_KEY: &str = "__metadata__";

#[derive(Debug, Default, PartialEq)]
pub(super) struct RawHeader<'t> {
    pub(super) tensors: Vec<RawEntry<'t>>,
    /// The shapes of all tensors, one behind the other.
    pub(super) dimensions: Vec<usize>,
    pub(super) too_many_tensors: bool,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) metadata_twice: bool,
}

/// What stands under one name.
#[derive(Debug, PartialEq)]
pub(super) struct RawEntry<'t> {
    pub(super) name: Cow<'t, str>,
    pub(super) dtype: RawDtype,
    /// Where its shape is in the list of all.
    pub(super) shape: Range<usize>,
    pub(super) has_too_many_dimensions: bool,
    pub(super) has_too_large_dimension: bool,
    pub(super) data_offsets: (u64, u64),
}

impl<'t> RawHeader<'t> {
    fn push(&mut self, name: Cow<'t, str>, tensor: RawTensor) {
        let RawTensor { dtype, shape, data_offsets } = tensor;
        let first = self.dimensions.len();
        self.dimensions.extend_from_slice(shape.dimensions());
        self.tensors.push(RawEntry {
            name,
            dtype,
            shape: first..self.dimensions.len(),
            has_too_many_dimensions: shape.too_long,
            has_too_large_dimension: shape.too_large,
            data_offsets,
        });
    }
}

impl<'de> Deserialize<'de> for RawHeader<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader<'de>, A::Error> {
                let mut header = RawHeader::default();
                let mut metadata_seen = false;
                while let Some(Name(name)) = map.next_key()? {
                    if name == METADATA_KEY {
                        header.metadata_twice |= metadata_seen;
                        metadata_seen = true;
                        header.metadata = map.next_value::<Option<Pairs>>()?.map_or_else(Vec::new, |pairs| pairs.0);
                    } else if header.tensors.len() < MAX_TENSORS {
                        header.push(name, map.next_value()?);
                    } else {
                        header.too_many_tensors = true;
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}

/// A name as it stands in the text; a copy only of one with escapes.
struct Name<'t>(Cow<'t, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: RawDtype,
    shape: RawShape,
    data_offsets: (u64, u64),
}

/// A type by name, without a copy of the names that are known.
#[derive(Debug, PartialEq)]
pub(super) enum RawDtype {
    Known(Dtype),
    Unknown(Box<str>),
}

impl<'de> Deserialize<'de> for RawDtype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DtypeVisitor;
        impl Visitor<'_> for DtypeVisitor {
            type Value = RawDtype;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a type")
            }

            fn visit_str<E>(self, name: &str) -> Result<RawDtype, E> {
                let unknown = || RawDtype::Unknown(for_message(name).into_boxed_str());
                Ok(Dtype::from_name(name).map_or_else(unknown, RawDtype::Known))
            }
        }
        deserializer.deserialize_str(DtypeVisitor)
    }
}

/// At most [`MAX_RANK`] dimensions are kept, however long the list is.
struct RawShape {
    dimensions: [usize; MAX_RANK],
    rank: usize,
    too_long: bool,
    /// A dimension that this machine cannot count to.
    too_large: bool,
}

impl RawShape {
    fn dimensions(&self) -> &[usize] {
        self.dimensions.get(..self.rank).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for RawShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;
        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = RawShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawShape, A::Error> {
                let mut shape = RawShape { dimensions: [0; MAX_RANK], rank: 0, too_long: false, too_large: false };
                while let Some(dimension) = list.next_element::<u64>()? {
                    let Some(place) = shape.dimensions.get_mut(shape.rank) else {
                        shape.too_long = true;
                        continue;
                    };
                    if let Ok(dimension) = usize::try_from(dimension) {
                        *place = dimension;
                        shape.rank += 1;
                    } else {
                        shape.too_large = true;
                    }
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

/// A JSON object of texts in the order and number they were written.
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}
