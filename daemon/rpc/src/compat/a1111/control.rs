//! `alwayson_scripts`: of all scripts that A1111's extensions bring, ControlNet's units are understood, where they lead by a
//! picture as it is or by its edges.
//!
//! Names and defaults: Mikubill/sd-webui-controlnet, `internal_controlnet/external_code.py` and `args.py`
//! (`ControlNetUnit`); its API takes units by these names.

use crate::compat::Compat;
use crate::compat::fields::Fields;
use crate::compat::picture::{decoded, fit};
use crate::compat::problem::Problem;
use paintbox_domain::ModelKind;
use paintbox_domain::generation::{Canny, ControlNetUse, GenerationSpec};
use paintbox_generation::Fit;
use serde_json::Value;

const FIELD: &str = "alwayson_scripts";

/// The ControlNets that a request's scripts ask for.
pub(super) async fn read(
    compat: &Compat,
    fields: &Fields,
    spec: &GenerationSpec,
) -> Result<Vec<ControlNetUse>, Problem> {
    let Some(scripts) = fields.object(FIELD)? else { return Ok(Vec::new()) };
    let mut controls = Vec::new();
    for name in scripts.names() {
        let arguments = scripts.object(name)?.unwrap_or_default();
        // Extensions write them under other names, too.
        let units = match arguments.list("args")? {
            [] => arguments.list("units")?,
            units => units,
        };
        if !name.eq_ignore_ascii_case("controlnet") {
            if units.is_empty() {
                // Without arguments a script is as it is anyway.
                continue;
            }
            return Err(Problem::unprocessable(FIELD, format!("always on script {name} not found")));
        }
        for unit in units {
            let Value::Object(unit) = unit else {
                return Err(Problem::invalid(FIELD, "a unit of ControlNet is an object"));
            };
            controls.extend(control(compat, &Fields::from(unit.clone()), spec).await?);
        }
    }
    Ok(controls)
}

/// A unit; none if it is switched off.
async fn control(compat: &Compat, unit: &Fields, spec: &GenerationSpec) -> Result<Option<ControlNetUse>, Problem> {
    let is_on = unit.flag("enabled")?.unwrap_or(true);
    let model = unit.word("model")?.filter(|model| !model.eq_ignore_ascii_case("none"));
    let Some(model) = model.filter(|_| is_on) else { return Ok(None) };
    let canny = match unit.word("module")?.map(str::to_ascii_lowercase).as_deref() {
        None | Some("none") => None,
        Some("canny") => {
            Some(Canny { low: threshold(unit, "threshold_a", 100)?, high: threshold(unit, "threshold_b", 200)? })
        }
        Some(other) => {
            let problem = format!("`{other}` is not none or canny; send what it makes of the picture");
            return Err(Problem::unsupported("module", problem));
        }
    };
    if !matches!(unit.value("control_mode"), None | Some(Value::Number(_)) | Some(Value::String(_)))
        || unit.value("control_mode").is_some_and(|mode| mode != "Balanced" && mode != 0)
    {
        return Err(Problem::unsupported("control_mode", "it is not Balanced"));
    }
    let picture = decoded(unit, "image", |unit| image(unit).map(Some)).await?.unwrap_or_default();
    let picture = match unit.value("resize_mode") {
        None => picture,
        Some(mode) if mode == "Crop and Resize" || mode == 1 => picture,
        Some(mode) if mode == "Just Resize" || mode == 0 => match (spec.width, spec.height) {
            (Some(width), Some(height)) => fit(picture, (width, height), Fit::Stretched).await?,
            _ => return Err(Problem::unsupported("resize_mode", "say width and height to have it stretched to them")),
        },
        Some(_) => return Err(Problem::unsupported("resize_mode", "it is not Crop and Resize or Just Resize")),
    };
    let image = compat.keep("image", picture).await?.sha256;
    // `name [0123abcd]`, as its own list of models has them.
    let name = model.split_once(" [").map_or(model, |(name, _)| name);
    let file = compat.generations.file_called(ModelKind::ControlNet, name).await?;
    Ok(Some(ControlNetUse {
        model: file.unwrap_or_else(|| model.to_owned()),
        image,
        canny,
        strength: unit.number("weight")?,
        start: unit.number("guidance_start")?,
        end: unit.number("guidance_end")?,
    }))
}

fn threshold(unit: &Fields, name: &str, usual: u32) -> Result<u32, Problem> {
    // What is not set comes as -1.
    match unit.number(name)?.filter(|value| *value >= 0.0) {
        None => Ok(usual),
        Some(value) if value <= 255.0 => Ok(value.round() as u32),
        Some(value) => Err(Problem::invalid(name, format!("{value} is more than 255"))),
    }
}

/// The picture, which comes bare or in an object with its mask.
fn image(unit: &Fields) -> Result<&str, Problem> {
    let missing = || Problem::invalid("image", "a unit of ControlNet that is on has a picture in base64");
    if unit.word("mask").is_ok_and(|mask| mask.is_some()) || unit.word("mask_image").is_ok_and(|mask| mask.is_some()) {
        return Err(Problem::unsupported("mask", "a ControlNet leads all of the picture"));
    }
    for name in ["image", "input_image"] {
        match unit.value(name) {
            Some(Value::String(text)) => return Ok(text),
            Some(Value::Object(both)) => return both.get("image").and_then(Value::as_str).ok_or_else(missing),
            _ => {}
        }
    }
    Err(missing())
}
