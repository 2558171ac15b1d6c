//! What a module of an adapter is made of, and whether it fits the weight that it changes.
//!
//! Arithmetic: LoRA (Hu et al. 2021), LoCon, LoHa and LoKr (Yeh et al. 2023, KohakuBlueleaf/LyCORIS `lycoris/modules/` at
//! f49d30d6), DoRA (Liu et al. 2024).

use super::error::AdapterError;
use super::names::{DOWN, Piece, Role, Term};
use crate::safetensors::TensorInfo;
use crate::shapes::for_message;
use std::collections::BTreeMap;

/// A matrix `[rows, columns]` that a file keeps as a product: `left · right`, or with a core `[rank, inner, height, width]`
/// the sum over both ranks of `left[i, r] · core[r, s, h, w] · right[s, j]`, whose columns are `j`, `h` and `w`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// `[rows, rank]`, or `[rank, rows]` where it is turned.
    pub left: String,
    pub left_is_turned: bool,
    /// `[rank, columns]`, or `[inner, inputs]` where there is a core.
    pub right: String,
    /// The convolution in Tucker form.
    pub core: Option<Core>,
    pub rows: usize,
    pub rank: usize,
    pub columns: usize,
}

/// What stands between the factors of a Tucker form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    pub name: String,
    pub inner: usize,
    /// Height times width.
    pub kernel: usize,
}

/// A term of a Kronecker product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Factor {
    /// A tensor as it is, flattened to `[rows, columns]`.
    Whole {
        name: String,
        rows: usize,
        columns: usize,
    },
    Product(Product),
}

impl Factor {
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::Whole { rows, columns, .. } => (*rows, *columns),
            Self::Product(product) => (product.rows, product.columns),
        }
    }
}

/// How the change of a weight `[out, in, …]`, flattened to a matrix, is made of the tensors of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// LoRA and LoCon.
    LowRank(Product),
    /// LoHa: element by element.
    Hadamard(Product, Product),
    /// LoKr.
    Kronecker(Factor, Factor),
    /// The change itself.
    Difference(String),
}

impl Form {
    /// What alpha is divided by; none where there is no alpha (LyCORIS has it only beside a product).
    #[must_use]
    pub fn rank(&self) -> Option<usize> {
        match self {
            Self::LowRank(product) | Self::Hadamard(product, _) => Some(product.rank),
            Self::Kronecker(_, Factor::Product(product)) | Self::Kronecker(Factor::Product(product), _) => {
                Some(product.rank)
            }
            Self::Kronecker(..) | Self::Difference(_) => None,
        }
    }
}

/// What DoRA gives the length of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// All that one output is made of.
    Rows,
    /// All that one input goes to.
    Columns,
}

/// The lengths that the rows or columns of the changed weight are brought to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Magnitude {
    pub name: String,
    pub axis: Axis,
}

/// The change of one parameter: `strength · alpha / rank · form` is added, or with a magnitude `strength` times what it
/// takes to make the sum `W + alpha / rank · form` of these lengths. Without an alpha, alpha is the rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub form: Form,
    /// The name of a scalar.
    pub alpha: Option<String>,
    pub magnitude: Option<Magnitude>,
}

/// The tensors of one layer by what they are to it.
#[derive(Debug, Default)]
pub(super) struct Module<'a> {
    parts: BTreeMap<Role, (&'a str, &'a TensorInfo)>,
}

impl<'a> Module<'a> {
    pub(super) fn take(
        &mut self,
        stem: &str,
        role: Role,
        name: &'a str,
        info: &'a TensorInfo,
    ) -> Result<(), AdapterError> {
        match self.parts.insert(role, (name, info)) {
            None => Ok(()),
            Some((first, _)) => Err(twice(stem, first, name)),
        }
    }

    /// The change of the module's weight, `wanted` being its shape; none if it changes only the bias.
    pub(super) fn of_weight(
        &self,
        stem: &str,
        canonical: &str,
        wanted: &[usize],
    ) -> Result<Option<Change>, AdapterError> {
        let fitting = Fitting { module: self, stem };
        let first = |is_one: fn(&Role) -> bool| self.parts.iter().find(|(role, _)| is_one(role));
        let forms = [
            first(|role| matches!(role, Role::Lora(_))),
            first(|role| matches!(role, Role::Loha(..))),
            first(|role| matches!(role, Role::Lokr(..))),
            first(|role| matches!(role, Role::Difference)),
        ];
        let mut forms = forms.into_iter().flatten();
        let Some((role, (name, _))) = forms.next() else {
            // Scales of nothing are a module of which something is missing.
            return match self.parts.contains_key(&Role::BiasDifference) {
                true => Ok(None),
                false => Err(AdapterError::Incomplete { module: for_message(stem), missing: DOWN.as_str() }),
            };
        };
        if let Some((_, (other, _))) = forms.next() {
            return Err(twice(canonical, name, other));
        }
        let (form, rows, columns) = match role {
            Role::Loha(..) => {
                let term = |term| fitting.product(|piece| Role::Loha(term, piece), true);
                let (one, two) = (term(Term::First)?, term(Term::Second)?);
                if (one.rows, one.columns) != (two.rows, two.columns) {
                    return Err(fitting.wrong_shape(canonical, wanted, &[two.rows, two.columns]));
                }
                let (rows, columns) = (one.rows, one.columns);
                (Form::Hadamard(one, two), rows, Some(columns))
            }
            Role::Lokr(..) => {
                let (one, two) = (fitting.factor(Term::First)?, fitting.factor(Term::Second)?);
                let ((rows, columns), (inner_rows, inner_columns)) = (one.shape(), two.shape());
                let columns = columns.checked_mul(inner_columns);
                (Form::Kronecker(one, two), rows.saturating_mul(inner_rows), columns)
            }
            Role::Difference => {
                let (name, info) = fitting.part(Role::Difference)?;
                let rows = info.shape.first().copied().unwrap_or_default();
                (Form::Difference(name.to_owned()), rows, product(info.shape.get(1..).unwrap_or_default()))
            }
            _ => {
                let found = fitting.product(Role::Lora, false)?;
                let (rows, columns) = (found.rows, found.columns);
                (Form::LowRank(found), rows, Some(columns))
            }
        };
        let inputs = product(wanted.get(1..).unwrap_or_default());
        if Some(&rows) != wanted.first() || columns.is_none() || columns != inputs {
            return Err(fitting.wrong_shape(canonical, wanted, &[rows, columns.unwrap_or(usize::MAX)]));
        }
        let alpha = self.parts.get(&Role::Alpha).map(|(name, info)| match info.elements() {
            1 => Ok((*name).to_owned()),
            _ => Err(bad(name, Role::Alpha, &info.shape)),
        });
        let magnitude = fitting.magnitude(wanted)?;
        Ok(Some(Change { form, alpha: alpha.transpose()?, magnitude }))
    }

    /// The change of the module's bias, `wanted` being its shape.
    pub(super) fn of_bias(
        &self,
        stem: &str,
        canonical: &str,
        wanted: &[usize],
    ) -> Result<Option<Change>, AdapterError> {
        let Some((name, info)) = self.parts.get(&Role::BiasDifference) else { return Ok(None) };
        if info.shape != wanted {
            return Err(Fitting { module: self, stem }.wrong_shape(canonical, wanted, &info.shape));
        }
        let form = Form::Difference((*name).to_owned());
        Ok(Some(Change { form, alpha: None, magnitude: None }))
    }
}

/// A module that is being looked at, and how messages call it.
struct Fitting<'m, 'a> {
    module: &'m Module<'a>,
    stem: &'m str,
}

impl<'a> Fitting<'_, 'a> {
    fn part(&self, role: Role) -> Result<(&'a str, &'a TensorInfo), AdapterError> {
        let found = self.module.parts.get(&role).copied();
        found.ok_or_else(|| AdapterError::Incomplete { module: for_message(self.stem), missing: role.as_str() })
    }

    /// The product of the pieces that `role` names. LyCORIS turns the left factor of its Tucker forms around.
    fn product(&self, role: impl Fn(Piece) -> Role, turns: bool) -> Result<Product, AdapterError> {
        let (right, right_info) = self.part(role(Piece::Right))?;
        let (left, left_info) = self.part(role(Piece::Left))?;
        let core = self.module.parts.get(&role(Piece::Core)).copied();
        let refuse_left = || bad(left, role(Piece::Left), &left_info.shape);
        let refuse_right = || bad(right, role(Piece::Right), &right_info.shape);

        let [one, two, ref rest @ ..] = left_info.shape[..] else { return Err(refuse_left()) };
        let left_is_turned = turns && core.is_some();
        let (rows, rank) = if left_is_turned { (two, one) } else { (one, two) };
        if rank == 0 || rest.iter().any(|size| *size != 1) {
            return Err(refuse_left());
        }
        let Some((&inner, inputs)) = right_info.shape.split_first() else { return Err(refuse_right()) };
        let inputs = product(inputs).ok_or_else(refuse_right)?;
        let core = core.map(|(name, info)| {
            match info.shape[..] {
                [core_rank, core_inner, ref kernel @ ..] if core_rank == rank && core_inner == inner => {
                    let kernel = product(kernel).filter(|kernel| *kernel > 0);
                    kernel.map(|kernel| Core { name: name.to_owned(), inner, kernel })
                }
                _ => None,
            }
            .ok_or_else(|| bad(name, role(Piece::Core), &info.shape))
        });
        let core = core.transpose()?;
        if core.is_none() && inner != rank {
            return Err(refuse_right());
        }
        let columns = inputs.checked_mul(core.as_ref().map_or(1, |core| core.kernel)).ok_or_else(refuse_right)?;
        Ok(Product { left: left.to_owned(), left_is_turned, right: right.to_owned(), core, rows, rank, columns })
    }

    /// A term of a Kronecker product, whole or in factors.
    fn factor(&self, term: Term) -> Result<Factor, AdapterError> {
        let whole = Role::Lokr(term, Piece::Whole);
        let Some((name, info)) = self.module.parts.get(&whole) else {
            return self.product(|piece| Role::Lokr(term, piece), true).map(Factor::Product);
        };
        if let Some((other, _)) = self.module.parts.get(&Role::Lokr(term, Piece::Right)) {
            return Err(twice(self.stem, name, other));
        }
        let (rows, columns) = match info.shape[..] {
            [rows, ref columns @ ..] if !columns.is_empty() => (rows, product(columns)),
            _ => (0, None),
        };
        let columns = columns.ok_or_else(|| bad(name, whole, &info.shape))?;
        Ok(Factor::Whole { name: (*name).to_owned(), rows, columns })
    }

    /// The lengths of rows have the shape `[out, 1, …]` or are a vector, those of columns `[1, in, 1, …]`. What peft calls a
    /// vector is of rows in any shape.
    fn magnitude(&self, wanted: &[usize]) -> Result<Option<Magnitude>, AdapterError> {
        let outputs = wanted.first().copied().unwrap_or_default();
        let found = [Role::Magnitude, Role::RowMagnitude]
            .into_iter()
            .find_map(|role| self.module.parts.get(&role).map(|(name, info)| (role, *name, *info)));
        let Some((role, name, info)) = found else { return Ok(None) };
        let elements = product(&info.shape);
        let of_rows = role == Role::RowMagnitude || info.shape.first() == Some(&outputs);
        let (axis, length) = match of_rows {
            true => (Axis::Rows, Some(outputs)),
            false => (Axis::Columns, wanted.get(1).copied()),
        };
        if length.is_none() || elements != length {
            return Err(bad(name, role, &info.shape));
        }
        Ok(Some(Magnitude { name: name.to_owned(), axis }))
    }

    fn wrong_shape(&self, canonical: &str, wanted: &[usize], given: &[usize]) -> AdapterError {
        let (module, canonical) = (for_message(self.stem), canonical.to_owned());
        AdapterError::WrongShape { module, canonical, wanted: wanted.to_vec(), given: given.to_vec() }
    }
}

fn bad(tensor: &str, role: Role, shape: &[usize]) -> AdapterError {
    AdapterError::BadTensor { tensor: for_message(tensor), role: role.as_str(), shape: shape.to_vec() }
}

fn twice(canonical: &str, first: &str, second: &str) -> AdapterError {
    AdapterError::Twice { canonical: for_message(canonical), first: for_message(first), second: for_message(second) }
}

/// None when it is more than a number can say.
fn product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size))
}
