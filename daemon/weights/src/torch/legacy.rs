//! What `torch.save` wrote before version 1.6: a magic number, a version, a few words on the system, the object, and the keys
//! of the storages, a pickle each, and then the storages one after another.

use super::machine::{Node, Pickle};
use super::{Places, TorchError};

/// `MAGIC_NUMBER` as a pickle of protocol 2 has it, from its length on.
const MAGIC_NUMBER: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";
const PROTOCOL_VERSION: i64 = 1001;

fn broken(problem: &'static str) -> TorchError {
    TorchError::Broken { what: "beginning", problem }
}

/// The object, and where the storages lie that it speaks of.
pub(super) fn read(bytes: &[u8]) -> Result<(Pickle, Places), TorchError> {
    let Some(mut rest) = bytes.strip_prefix(MAGIC_NUMBER) else {
        // Whatever else it is: what it would run is more telling than that it is not torch's.
        Pickle::read(bytes)?;
        return Err(broken("it is not torch's"));
    };
    let mut next = || -> Result<Pickle, TorchError> {
        let (pickle, read) = Pickle::read(rest)?;
        rest = rest.get(read..).unwrap_or_default();
        Ok(pickle)
    };
    let version = next()?;
    if !matches!(version.node(version.root), Node::Integer(PROTOCOL_VERSION)) {
        return Err(broken("it is of a version that is not known"));
    }
    let system = next()?;
    let Node::Dictionary(said) = system.node(system.root) else { return Err(broken("it says nothing of its system")) };
    let order = said.iter().find(|(key, _)| system.text(*key) == Some("little_endian"));
    if !order.is_some_and(|(_, value)| matches!(system.node(*value), Node::Flag(true))) {
        return Err(broken("its numbers are not little-endian"));
    }
    let object = next()?;
    let keys = next()?;
    let Node::List(keys_of) = keys.node(keys.root) else { return Err(broken("it has no list of storages")) };
    let widths = object.widths();
    let mut places = Places::new();
    let mut at = bytes.len() - rest.len();
    for key in keys_of {
        let key = keys.text(*key).ok_or(broken("the name of a storage is no text"))?;
        let width = widths.get(key).copied().ok_or(broken("it has a storage that nothing speaks of"))?;
        let count: Option<u64> = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map(u64::from_le_bytes);
        let size = count.and_then(|count| usize::try_from(count.checked_mul(width)?).ok());
        let start = at + 8;
        let end = size.and_then(|size| start.checked_add(size)).filter(|end| *end <= bytes.len());
        at = end.ok_or(broken("a storage ends beyond the file"))?;
        places.insert(key.to_owned(), (start, at));
    }
    Ok((object, places))
}
