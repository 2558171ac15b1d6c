//! What an upscaler's file says of the network in it, by names and shapes alone.

use crate::error::EngineError;
use crate::load::TensorFile;
use paintbox_weights::Header;

/// Blocks of the largest networks that people publish, and then some: a bound on what a header can ask for.
const MAX_BLOCKS: usize = 256;
/// Side by which the largest networks enlarge.
const MAX_SCALE: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RrdbShape {
    pub(super) features: usize,
    /// Channels that each convolution of a dense block adds.
    pub(super) growth: usize,
    pub(super) blocks: usize,
    pub(super) doublings: usize,
    /// Pixels of a side that become channels before the first convolution.
    pub(super) unshuffle: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CompactShape {
    pub(super) features: usize,
    /// Convolutions before the last one.
    pub(super) convolutions: usize,
    pub(super) scale: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanShape {
    pub(super) features: usize,
    pub(super) scale: usize,
    /// Whether inputs are measured from a mean colour.
    pub(super) normed: bool,
    /// Whether the file holds the parts that each convolution is trained as.
    pub(super) in_parts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Design {
    Rrdb(RrdbShape),
    Compact(CompactShape),
    Span(SpanShape),
}

/// The three ages of names that ESRGAN's network is published with (spandrel 0.4.2, `architectures/ESRGAN/__init__.py`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Real-ESRGAN's, and those of every other network.
    Canonical,
    /// BSRGAN's and RealSR's: `RRDB_trunk.0.RDB1.conv1`.
    Trunk,
    /// ESRGAN's first: `model.1.sub.0.RDB1.conv1.0`.
    Sequence,
}

/// An upscaler before its weights are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blueprint {
    pub(super) design: Design,
    pub(super) scale: usize,
    /// What trainers put before every name.
    prefix: &'static str,
    names: Names,
}

fn broken(problem: &'static str) -> EngineError {
    EngineError::Blueprint { component: "upscaler", problem }
}

/// A header within a prefix.
struct Shapes<'a> {
    header: &'a Header,
    prefix: &'static str,
}

impl Shapes<'_> {
    fn of(&self, name: &str) -> Option<&[usize]> {
        self.header.tensors.get(&format!("{}{name}", self.prefix)).map(|info| info.shape.as_slice())
    }

    /// Outputs and inputs of a convolution.
    fn conv(&self, name: &str) -> Option<(usize, usize)> {
        match self.of(&format!("{name}.weight")) {
            Some([outputs, inputs, _, _]) => Some((*outputs, *inputs)),
            _ => None,
        }
    }

    fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..=MAX_BLOCKS).take_while(|number| self.of(&name(*number)).is_some()).count()
    }
}

impl Blueprint {
    /// # Errors
    /// [`EngineError::UnsupportedUpscaler`] for a design that is not built here, [`EngineError::Blueprint`] for shapes that
    /// are no network.
    pub(super) fn of(file: &TensorFile) -> Result<Self, EngineError> {
        for prefix in ["", "params_ema.", "params."] {
            let shapes = Shapes { header: &file.header, prefix };
            let found = rrdb(&shapes).or_else(|| compact(&shapes)).or_else(|| span(&shapes));
            if let Some(found) = found {
                let (design, scale, names) = found?;
                return Ok(Self { design, scale, prefix, names });
            }
        }
        Err(EngineError::UnsupportedUpscaler { file: file.name.clone() })
    }

    /// What the file calls a tensor.
    pub(super) fn name_in_file(&self, canonical: &str) -> String {
        let name = match (self.names, self.design) {
            (Names::Trunk, _) => canonical
                .replace("conv_body", "trunk_conv")
                .replace("body.", "RRDB_trunk.")
                .replace("rdb", "RDB")
                .replace("conv_up", "upconv")
                .replace("conv_hr", "HRconv"),
            (Names::Sequence, Design::Rrdb(shape)) => sequence_name(canonical, shape),
            _ => canonical.to_owned(),
        };
        format!("{}{name}", self.prefix)
    }
}

/// `body.0.rdb1.conv1.weight` in the names of ESRGAN's first age.
fn sequence_name(canonical: &str, shape: RrdbShape) -> String {
    let (module, parameter) = canonical.rsplit_once('.').unwrap_or((canonical, ""));
    let end = 3 * shape.doublings;
    let module = match module {
        "conv_first" => "model.0".to_owned(),
        "conv_body" => format!("model.1.sub.{}", shape.blocks),
        "conv_hr" => format!("model.{}", end + 2),
        "conv_last" => format!("model.{}", end + 4),
        other => match other.strip_prefix("conv_up").and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => format!("model.{}", 3 * number),
            None => format!("{}.0", other.replacen("body.", "model.1.sub.", 1).replace("rdb", "RDB")),
        },
    };
    format!("{module}.{parameter}")
}

type Found = Option<Result<(Design, usize, Names), EngineError>>;

fn rrdb(shapes: &Shapes<'_>) -> Found {
    let (names, first, growth) = [
        (Names::Canonical, "conv_first", "body.0.rdb1.conv1"),
        (Names::Trunk, "conv_first", "RRDB_trunk.0.RDB1.conv1"),
        (Names::Sequence, "model.0", "model.1.sub.0.RDB1.conv1.0"),
    ]
    .into_iter()
    .find_map(|(names, first, dense)| Some((names, shapes.conv(first)?, shapes.conv(dense)?.0)))?;
    let (features, inputs) = first;
    let blocks = shapes.count(|block| match names {
        Names::Canonical => format!("body.{block}.rdb1.conv1.weight"),
        Names::Trunk => format!("RRDB_trunk.{block}.RDB1.conv1.weight"),
        Names::Sequence => format!("model.1.sub.{block}.RDB1.conv1.0.weight"),
    });
    let doublings = shapes.count(|number| match names {
        Names::Canonical => format!("conv_up{}.weight", number + 1),
        Names::Trunk => format!("upconv{}.weight", number + 1),
        Names::Sequence => format!("model.{}.weight", 3 * (number + 1)),
    });
    // Whoever has a 1×1 convolution in its dense blocks is ESRGAN+, which adds noise as it runs.
    let plus = ["body.0.rdb1.conv1x1.weight", "RRDB_trunk.0.RDB1.conv1x1.weight", "model.1.sub.0.RDB1.conv1x1.weight"];
    if plus.iter().any(|name| shapes.of(name).is_some()) {
        return Some(Err(broken("it is ESRGAN+, which is not built")));
    }
    let unshuffle = match inputs {
        3 => 1,
        12 => 2,
        48 => 4,
        _ => return Some(Err(broken("its pictures have other channels than red, green and blue"))),
    };
    let scale = if doublings <= 4 { (1 << doublings) / unshuffle } else { 0 };
    Some(checked(blocks, scale, || {
        let shape = RrdbShape { features, growth, blocks, doublings, unshuffle };
        (Design::Rrdb(shape), scale, names)
    }))
}

fn compact(shapes: &Shapes<'_>) -> Found {
    let (features, inputs) = shapes.conv("body.0")?;
    let [_] = shapes.of("body.1.weight")? else { return None };
    let convolutions = shapes.count(|number| format!("body.{}.weight", 2 * number)).saturating_sub(1);
    let (outputs, _) = shapes.conv(&format!("body.{}", 2 * convolutions))?;
    if inputs != 3 {
        return Some(Err(broken("its pictures have other channels than red, green and blue")));
    }
    let scale = shuffled_scale(outputs);
    Some(checked(convolutions, scale, || {
        (Design::Compact(CompactShape { features, convolutions, scale }), scale, Names::Canonical)
    }))
}

fn span(shapes: &Shapes<'_>) -> Found {
    shapes.conv("block_1.c1_r.eval_conv").or_else(|| shapes.conv("block_1.c1_r.sk"))?;
    let in_parts = shapes.conv("conv_1.sk").is_some();
    let (features, inputs) = shapes.conv(if in_parts { "conv_1.sk" } else { "conv_1.eval_conv" })?;
    let (outputs, _) = shapes.conv("upsampler.0")?;
    if inputs != 3 {
        return Some(Err(broken("its pictures have other channels than red, green and blue")));
    }
    let (scale, normed) = (shuffled_scale(outputs), shapes.of("no_norm").is_none());
    Some(checked(1, scale, || (Design::Span(SpanShape { features, scale, normed, in_parts }), scale, Names::Canonical)))
}

/// By how much a shuffle of so many channels into three enlarges; 0 when it cannot be.
fn shuffled_scale(channels: usize) -> usize {
    (1..=MAX_SCALE).find(|scale| 3 * scale * scale == channels).unwrap_or(0)
}

fn checked<T>(blocks: usize, scale: usize, found: impl FnOnce() -> T) -> Result<T, EngineError> {
    if blocks == 0 || blocks > MAX_BLOCKS {
        return Err(broken("it has no blocks, or more than any upscaler"));
    }
    if scale == 0 || scale > MAX_SCALE {
        return Err(broken("it enlarges by no whole number up to 16"));
    }
    Ok(found())
}
