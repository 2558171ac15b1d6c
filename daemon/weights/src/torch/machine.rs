//! A pickle followed as what it says, never as what it would do.
//!
//! Instructions are CPython's (`Lib/pickletools.py`), of them those that `torch.save` writes dictionaries of tensors with.
//! Values lie in a list and are spoken of by their places in it, so that one that contains itself is no more than two
//! numbers that are the same. Everything is bounded by the length of the pickle, and that by [`MAX_PICKLE_BYTES`].

use super::TorchError;
use crate::safetensors::{Dtype, MAX_RANK};
use crate::shapes::for_message;
use std::collections::HashMap;

/// A textual inversion's has about a thousand.
const MAX_PICKLE_BYTES: usize = 1 << 20;
/// Values; a short instruction makes one.
const MAX_VALUES: usize = 20_000;
/// The name of a storage, a number in digits; every tensor has a copy of its storage's.
const MAX_KEY_BYTES: usize = 64;

/// A value's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(usize);

/// Names of Python's that files of vectors have in them. None of them is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    OrderedDict,
    Set,
    RebuildTensor,
    RebuildParameter,
    /// What the first textual inversions kept their vectors in: a module of torch, of which its dictionary is read.
    ParameterDict,
    /// The type of a storage's numbers; none for types that vectors never have, which stand beside them (token numbers).
    Storage(Option<Dtype>, u64),
}

/// `module name`, as the instruction has them.
const KNOWN: [(&str, &str, Known); 13] = [
    ("collections", "OrderedDict", Known::OrderedDict),
    ("__builtin__", "set", Known::Set),
    ("builtins", "set", Known::Set),
    ("torch._utils", "_rebuild_tensor_v2", Known::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Known::RebuildParameter),
    ("torch.nn.modules.container", "ParameterDict", Known::ParameterDict),
    ("torch", "FloatStorage", Known::Storage(Some(Dtype::F32), 4)),
    ("torch", "HalfStorage", Known::Storage(Some(Dtype::F16), 2)),
    ("torch", "BFloat16Storage", Known::Storage(Some(Dtype::BF16), 2)),
    ("torch", "DoubleStorage", Known::Storage(None, 8)),
    ("torch", "LongStorage", Known::Storage(None, 8)),
    ("torch", "IntStorage", Known::Storage(None, 4)),
    ("torch", "BoolStorage", Known::Storage(None, 1)),
];

/// Where numbers are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) dtype: Option<Dtype>,
    pub(super) key: String,
    /// Bytes of a number.
    width: u64,
}

/// Numbers in a storage; sizes in numbers, not bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// None, a fraction, or a number too long to matter.
    Aside,
    Flag(bool),
    Integer(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    Known(Known),
    Storage(Storage),
    Tensor(Tensor),
    /// A module, and what it is made of once that is said.
    Module(Option<Id>),
}

/// What a pickle says.
#[derive(Debug)]
pub(super) struct Pickle {
    nodes: Vec<Node>,
    pub(super) root: Id,
}

impl Pickle {
    /// Follows a pickle to its end; also how many bytes it has.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), TorchError> {
        let program = &bytes[..bytes.len().min(MAX_PICKLE_BYTES)];
        let mut machine =
            Machine { program, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        loop {
            let opcode = machine.take(1).map_err(|cut| match bytes.len() > MAX_PICKLE_BYTES {
                true => {
                    TorchError::TooLarge { what: "program", size: bytes.len() as u64, limit: MAX_PICKLE_BYTES as u64 }
                }
                false => cut,
            })?[0];
            if opcode == b'.' {
                let root = machine.pop()?;
                return Ok((Self { nodes: machine.nodes, root }, machine.at));
            }
            machine.step(opcode)?;
        }
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        // Places come from the list itself, and nothing is ever taken out of it.
        self.nodes.get(id.0).unwrap_or(&Node::Aside)
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a dictionary, or of the parameters of a module.
    pub(super) fn parameters(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.node(id) {
            Node::Dictionary(entries) => Some(entries),
            Node::Module(Some(state)) => {
                let Node::Dictionary(state) = self.node(*state) else { return None };
                let (_, parameters) = state.iter().find(|(key, _)| self.text(*key) == Some("_parameters"))?;
                match self.node(*parameters) {
                    Node::Dictionary(entries) => Some(entries),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Bytes of a number in each storage, by its key.
    pub(super) fn widths(&self) -> HashMap<&str, u64> {
        let of_storage = |node| match node {
            &Node::Storage(Storage { ref key, width, .. }) => Some((key.as_str(), width)),
            _ => None,
        };
        self.nodes.iter().filter_map(of_storage).collect()
    }
}

/// A pickle on its way.
struct Machine<'a> {
    program: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

fn broken(problem: &'static str) -> TorchError {
    TorchError::Broken { what: "program", problem }
}

/// The name that an instruction asks for, if it is one of those that vectors need.
fn known(module: &str, name: &str) -> Result<Known, TorchError> {
    match KNOWN.iter().find(|(of, known, _)| (*of, *known) == (module, name)) {
        Some((.., known)) => Ok(*known),
        None => {
            let (module, name) = (for_message(module), for_message(name));
            Err(TorchError::Forbidden { name: format!("{module}.{name}") })
        }
    }
}

impl<'a> Machine<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], TorchError> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.program.get(self.at..end)).ok_or(broken("it is cut off"))?;
        self.at += count;
        Ok(taken)
    }

    /// A little-endian number of up to eight bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, TorchError> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&'a str, TorchError> {
        let length = self.program[self.at..].iter().position(|byte| *byte == b'\n').ok_or(broken("it is cut off"))?;
        let line = self.take(length)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| broken("a name is no text"))
    }

    fn push(&mut self, node: Node) -> Result<(), TorchError> {
        if self.nodes.len() == MAX_VALUES || self.stack.len() == MAX_VALUES {
            let (size, limit) = (MAX_VALUES as u64 + 1, MAX_VALUES as u64);
            return Err(TorchError::TooLarge { what: "number of values", size, limit });
        }
        self.stack.push(Id(self.nodes.len()));
        self.nodes.push(node);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, TorchError> {
        // What lies under a mark is taken with the mark.
        match self.stack.len() > self.marks.last().copied().unwrap_or_default() {
            true => self.stack.pop().ok_or(broken("it takes more than there is")),
            false => Err(broken("it takes more than there is")),
        }
    }

    fn top(&self) -> Result<Id, TorchError> {
        self.stack.last().copied().ok_or(broken("it takes more than there is"))
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, TorchError> {
        let height = self.marks.pop().ok_or(broken("it has no mark"))?;
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn popped<const COUNT: usize>(&mut self) -> Result<Vec<Id>, TorchError> {
        let mut values = (0..COUNT).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        values.reverse();
        Ok(values)
    }

    fn node(&self, id: Id) -> &Node {
        self.nodes.get(id.0).unwrap_or(&Node::Aside)
    }

    fn tuple(&self, id: Id) -> Result<&[Id], TorchError> {
        match self.node(id) {
            Node::Tuple(values) => Ok(values),
            _ => Err(broken("arguments are no tuple")),
        }
    }

    fn text(&mut self, length: usize) -> Result<(), TorchError> {
        let text = self.take(length)?;
        self.push(Node::Text(String::from_utf8_lossy(text).into_owned()))
    }

    fn step(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
            // PROTO and FRAME say nothing that matters.
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                // Marks are bounded as values are.
                if self.marks.len() > MAX_VALUES { Err(broken("it has too many marks")) } else { Ok(()) }
            }
            b'N' => self.push(Node::Aside),
            0x88 => self.push(Node::Flag(true)),
            0x89 => self.push(Node::Flag(false)),
            // BININT, BININT1, BININT2; LONG1, of which eight bytes are enough; BINFLOAT.
            b'J' => {
                let number = self.number(4)? as u32;
                self.push(Node::Integer(i64::from(number.cast_signed())))
            }
            b'K' => self.integer(1),
            b'M' => self.integer(2),
            0x8a => self.long(),
            b'G' => {
                self.take(8)?;
                self.push(Node::Aside)
            }
            // BINUNICODE and SHORT_BINUNICODE; BINSTRING and SHORT_BINSTRING, as Python 2 wrote texts.
            b'X' | b'T' => {
                let length = self.number(4)? as usize;
                self.text(length)
            }
            0x8c | b'U' => {
                let length = self.number(1)? as usize;
                self.text(length)
            }
            b'}' => self.push(Node::Dictionary(Vec::new())),
            b']' => self.push(Node::List(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            b't' => {
                let values = self.since_mark()?;
                self.push(Node::Tuple(values))
            }
            0x85 => self.popped::<1>().and_then(|values| self.push(Node::Tuple(values))),
            0x86 => self.popped::<2>().and_then(|values| self.push(Node::Tuple(values))),
            0x87 => self.popped::<3>().and_then(|values| self.push(Node::Tuple(values))),
            b's' => self.popped::<2>().and_then(|entry| self.set_items(&entry)),
            b'u' => self.since_mark().and_then(|entries| self.set_items(&entries)),
            b'a' => self.popped::<1>().and_then(|values| self.append(&values)),
            b'e' => self.since_mark().and_then(|values| self.append(&values)),
            // BINPUT, LONG_BINPUT, MEMOIZE and what takes back.
            b'q' => self.number(1).and_then(|name| self.remember(name)),
            b'r' => self.number(4).and_then(|name| self.remember(name)),
            0x94 => self.remember(self.memo.len() as u64),
            b'h' => self.number(1).and_then(|name| self.recall(name)),
            b'j' => self.number(4).and_then(|name| self.recall(name)),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Known(known(module, name)?))
            }
            0x93 => {
                let names = self.popped::<2>()?;
                match (self.node(names[0]), self.node(names[1])) {
                    (Node::Text(module), Node::Text(name)) => {
                        let known = known(module, name)?;
                        self.push(Node::Known(known))
                    }
                    _ => Err(broken("a name is no text")),
                }
            }
            b'Q' => self.storage(),
            b'R' => self.reduce(),
            0x81 => self.new_object(),
            b'b' => self.build(),
            _ => Err(TorchError::Instruction { opcode }),
        }
    }

    fn integer(&mut self, bytes: usize) -> Result<(), TorchError> {
        let number = self.number(bytes)?;
        self.push(Node::Integer(number.cast_signed()))
    }

    fn long(&mut self) -> Result<(), TorchError> {
        let length = self.number(1)? as usize;
        let bytes = self.take(length)?;
        let sign = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
        let mut eight = [sign; 8];
        match eight.get_mut(..length) {
            Some(start) => {
                start.copy_from_slice(bytes);
                self.push(Node::Integer(i64::from_le_bytes(eight)))
            }
            None => self.push(Node::Aside),
        }
    }

    fn set_items(&mut self, values: &[Id]) -> Result<(), TorchError> {
        let target = self.top()?;
        match self.nodes.get_mut(target.0) {
            Some(Node::Dictionary(entries)) if values.len().is_multiple_of(2) => {
                entries.extend(values.chunks_exact(2).map(|entry| (entry[0], entry[1])));
                Ok(())
            }
            _ => Err(broken("entries are set of no dictionary")),
        }
    }

    fn append(&mut self, values: &[Id]) -> Result<(), TorchError> {
        let target = self.top()?;
        match self.nodes.get_mut(target.0) {
            Some(Node::List(list)) => {
                list.extend(values);
                Ok(())
            }
            _ => Err(broken("values are appended to no list")),
        }
    }

    fn remember(&mut self, name: u64) -> Result<(), TorchError> {
        let top = self.top()?;
        self.memo.insert(name as u32, top);
        Ok(())
    }

    fn recall(&mut self, name: u64) -> Result<(), TorchError> {
        let known = self.memo.get(&(name as u32)).copied().ok_or(broken("it recalls what it never kept"))?;
        if self.stack.len() == MAX_VALUES {
            return Err(broken("it recalls too much"));
        }
        self.stack.push(known);
        Ok(())
    }

    /// `('storage', type, key, device, count)`, behind which older files have a view.
    fn storage(&mut self) -> Result<(), TorchError> {
        let id = self.pop()?;
        let [_, dtype, key, ..] = *self.tuple(id)? else { return Err(broken("a storage lacks its type or key")) };
        let (Node::Known(Known::Storage(dtype, width)), Node::Text(key)) = (self.node(dtype), self.node(key)) else {
            return Err(broken("a storage lacks its type or key"));
        };
        if key.len() > MAX_KEY_BYTES {
            let (size, limit) = (key.len() as u64, MAX_KEY_BYTES as u64);
            return Err(TorchError::TooLarge { what: "name of a storage", size, limit });
        }
        let storage = Storage { dtype: *dtype, key: key.clone(), width: *width };
        self.push(Node::Storage(storage))
    }

    /// What a name would make of its arguments.
    fn reduce(&mut self) -> Result<(), TorchError> {
        let (arguments, name) = (self.pop()?, self.pop()?);
        let Node::Known(known) = self.node(name) else { return Err(broken("it calls what is no name")) };
        let arguments = self.tuple(arguments)?;
        match (known, arguments) {
            (Known::OrderedDict, []) => self.push(Node::Dictionary(Vec::new())),
            (Known::Set, [_]) => self.push(Node::Aside),
            (Known::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let Node::Storage(storage) = self.node(*storage) else { return Err(broken("a tensor has no storage")) };
                let (storage, offset) = (storage.clone(), self.size(*offset)?);
                let (shape, strides) = (self.sizes(*shape)?, self.sizes(*strides)?);
                if shape.len() != strides.len() || shape.len() > MAX_RANK {
                    return Err(broken("a tensor's sizes are not as many as its strides"));
                }
                self.push(Node::Tensor(Tensor { storage, offset, shape, strides }))
            }
            (Known::RebuildParameter, [tensor, ..]) => {
                let tensor = *tensor;
                self.stack.push(tensor);
                Ok(())
            }
            _ => Err(broken("it calls a name with other arguments than it takes")),
        }
    }

    fn size(&self, id: Id) -> Result<u64, TorchError> {
        match self.node(id) {
            Node::Integer(number) => u64::try_from(*number).map_err(|_| broken("a size is negative")),
            _ => Err(broken("a size is no number")),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<u64>, TorchError> {
        self.tuple(id)?.iter().map(|size| self.size(*size)).collect()
    }

    fn new_object(&mut self) -> Result<(), TorchError> {
        let (arguments, name) = (self.pop()?, self.pop()?);
        match (self.node(name), self.tuple(arguments)?) {
            (Node::Known(Known::ParameterDict), []) => self.push(Node::Module(None)),
            (Node::Known(Known::OrderedDict), []) => self.push(Node::Dictionary(Vec::new())),
            _ => Err(broken("it makes an object of something else than a dictionary")),
        }
    }

    /// What an object is made of. Of a dictionary it is something beside its entries.
    fn build(&mut self) -> Result<(), TorchError> {
        let state = self.pop()?;
        let target = self.top()?;
        match self.nodes.get_mut(target.0) {
            Some(Node::Module(made_of)) => {
                *made_of = Some(state);
                Ok(())
            }
            Some(Node::Dictionary(_)) => Ok(()),
            _ => Err(broken("it gives parts to what has none")),
        }
    }
}
