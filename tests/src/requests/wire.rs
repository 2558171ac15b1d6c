//! Messages on the wire, written field by field, so that they can be wrong in every way that bytes can be
//! (protobuf.dev/programming-guides/encoding).

use super::random::Random;
use super::values::{Values, fixed_bytes};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// Messages within messages.
const DEEPEST: usize = 6;
/// prost refuses deeper ones; a few requests go well beyond.
const ABYSS: usize = 200;

/// Fields without which little can be answered.
const ALWAYS: &[&str] = &["name", "reference", "target", "model", "label", "path", "hub"];

const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// How a request is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// As a careful client sends it, but for a value here and there.
    Careful,
    /// Readable, with values that nobody should send.
    Hostile,
    /// Also with fields that there are not, fields twice, and other wire types than the contract has.
    Odd,
    /// Cut off or changed after it was written.
    Broken,
    /// Any bytes at all.
    Garbage,
}

/// One message of the type, right or wrong.
pub(super) fn message(descriptor: &MessageDescriptor, values: &Values, random: &mut Random) -> Vec<u8> {
    let mood = match random.below(100) {
        0..50 => Mood::Careful,
        50..80 => Mood::Hostile,
        80..90 => Mood::Odd,
        90..95 => Mood::Broken,
        _ => Mood::Garbage,
    };
    if mood == Mood::Garbage {
        return if random.chance(3) { abyss(random) } else { (0..random.below(80)).map(|_| byte(random)).collect() };
    }
    let mut bytes = Vec::new();
    write(descriptor, mood, 0, values, random, &mut bytes);
    if mood == Mood::Broken && !bytes.is_empty() {
        if random.chance(50) {
            bytes.truncate(random.below(bytes.len()));
        } else {
            let at = random.below(bytes.len());
            bytes[at] = byte(random);
        }
    }
    bytes
}

fn byte(random: &mut Random) -> u8 {
    random.next().to_le_bytes()[0]
}

fn write(
    descriptor: &MessageDescriptor,
    mood: Mood,
    depth: usize,
    values: &Values,
    random: &mut Random,
    to: &mut Vec<u8>,
) {
    for field in descriptor.fields() {
        let is_message = matches!(field.kind(), Kind::Message(_));
        let wanted = match () {
            () if is_message && depth == 0 => 85,
            () if is_message => 15,
            () if ALWAYS.contains(&field.name()) => 92,
            () if mood == Mood::Careful && depth == 0 => 35,
            () if mood == Mood::Careful => 8,
            () if depth == 0 => 70,
            () => 25,
        };
        if !random.chance(wanted) {
            continue;
        }
        let times = match (field.is_list(), mood) {
            (true, _) if random.chance(2) => random.below(2_000),
            (true, _) => random.below(4),
            (false, Mood::Odd) => 1 + random.below(3),
            (false, _) => 1,
        };
        for _ in 0..times {
            let is_careful = mood == Mood::Careful && random.chance(96);
            write_field(&field, is_careful, mood, depth, values, random, to);
        }
    }
    if mood == Mood::Odd {
        let number = if random.chance(50) { 1 + random.below(40) } else { random.below(1 << 29) };
        tag(u64::try_from(number).unwrap_or_default(), random.next() % 8, to);
        varint(u64::try_from(random.below(300)).unwrap_or_default(), to);
    }
}

fn write_field(
    field: &FieldDescriptor,
    is_careful: bool,
    mood: Mood,
    depth: usize,
    values: &Values,
    random: &mut Random,
    to: &mut Vec<u8>,
) {
    let number = u64::from(field.number());
    if mood == Mood::Odd && random.chance(20) {
        // Another wire type than the field's own.
        tag(number, random.next() % 6, to);
        varint(random.next() % 50, to);
        return;
    }
    match (field.kind(), fixed_bytes(&field.kind())) {
        (Kind::Message(inner), _) => {
            let mut bytes = Vec::new();
            if depth < DEEPEST {
                write(&inner, mood, depth + 1, values, random, &mut bytes);
            }
            delimited(number, &bytes, to);
        }
        (Kind::String, _) => delimited(number, &values.text(field, is_careful, random), to),
        (Kind::Bytes, _) => delimited(number, &Values::bytes(is_careful, random), to),
        (kind, Some(size)) => {
            let value = match kind {
                Kind::Double => Values::float(is_careful, random).to_le_bytes(),
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "what becomes of a number that is too large is the point"
                )]
                Kind::Float => u64::from((Values::float(is_careful, random) as f32).to_bits()).to_le_bytes(),
                _ => Values::integer(is_careful, random).to_le_bytes(),
            };
            tag(number, if size == 8 { EIGHT_BYTES } else { FOUR_BYTES }, to);
            to.extend_from_slice(&value[..size]);
        }
        (kind, None) => {
            let value = match kind {
                Kind::Bool => u64::from(random.chance(50)),
                Kind::Enum(values) if is_careful => {
                    let number = values.values().nth(random.below(values.values().len())).map(|value| value.number());
                    i64::from(number.unwrap_or_default()).cast_unsigned()
                }
                Kind::Sint32 | Kind::Sint64 => {
                    let value = Values::integer(is_careful, random);
                    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
                }
                _ => Values::integer(is_careful, random).cast_unsigned(),
            };
            tag(number, VARINT, to);
            varint(value, to);
        }
    }
}

/// Messages within messages far beyond what anybody reads, in the field that most types have.
fn abyss(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = u64::try_from(1 + random.below(4)).unwrap_or(1);
    for _ in 0..ABYSS {
        let mut outer = Vec::new();
        delimited(number, &bytes, &mut outer);
        bytes = outer;
    }
    bytes
}

fn tag(number: u64, wire_type: u64, to: &mut Vec<u8>) {
    varint(number << 3 | wire_type, to);
}

fn delimited(number: u64, bytes: &[u8], to: &mut Vec<u8>) {
    tag(number, LENGTH, to);
    varint(u64::try_from(bytes.len()).unwrap_or_default(), to);
    to.extend_from_slice(bytes);
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.push(value.to_le_bytes()[0]);
}
