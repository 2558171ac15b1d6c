//! `--like`: a recipe read by the daemon, what of it is here, and what would bring the rest.

use super::Arguments;
use crate::client::{Client, HUB_DEADLINE, call};
use crate::commands::images::{LARGEST_PICTURE_BYTES, PART_BYTES};
use crate::commands::pull;
use crate::error::CliError;
use crate::render::json::RecipeLine;
use crate::render::sanitize;
use crate::session::Session;
use paintbox_proto::v1;
use paintbox_proto::v1::read_recipe_request::Source as Part;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a recipe comes from: a number or an address is a picture on CivitAI, and all else is a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    File(PathBuf),
    CivitaiImage(u64),
}

impl FromStr for Source {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse().map_err(|_| "no picture has such a number")).transpose()
        };
        if let Some(image) = number(text)? {
            return Ok(Self::CivitaiImage(image));
        }
        let lower = text.to_ascii_lowercase();
        let Some(address) = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) else {
            return if text.is_empty() { Err("it names no file") } else { Ok(Self::File(PathBuf::from(text))) };
        };
        let address = address.strip_prefix("www.").unwrap_or(address);
        let path = ["civitai.com/images/", "civitai.red/images/", "civitai.green/images/"]
            .iter()
            .find_map(|site| address.strip_prefix(site))
            .ok_or(
                "of addresses only those of pictures on CivitAI are understood: https://civitai.com/images/NUMBER",
            )?;
        let digits = path.split(['/', '?', '#']).next().unwrap_or_default();
        number(digits)?.map(Self::CivitaiImage).ok_or("it names no picture by its number")
    }
}

impl Source {
    /// The messages that ask for it. What can be refused is refused before a daemon is asked.
    pub(crate) fn read(&self) -> Result<Vec<v1::ReadRecipeRequest>, CliError> {
        let message = |source| v1::ReadRecipeRequest { source: Some(source) };
        let path = match self {
            Self::CivitaiImage(image) => return Ok(vec![message(Part::CivitaiImage(*image))]),
            Self::File(path) => path,
        };
        let size_bytes = std::fs::metadata(path).map_err(CliError::io("read the recipe in", path))?.len();
        if size_bytes > LARGEST_PICTURE_BYTES {
            return Err(CliError::Argument {
                argument: "--like",
                given: path.display().to_string(),
                problem: format!("it has {} MiB, and at most 64 are read", size_bytes >> 20),
            });
        }
        let bytes = std::fs::read(path).map_err(CliError::io("read the recipe in", path))?;
        Ok(bytes.chunks(PART_BYTES).map(|part| message(Part::Part(part.to_vec()))).collect())
    }
}

/// The specification of the recipe, once everything that it needs is here; none if it was only to be shown.
pub(super) async fn spec(
    source: Vec<v1::ReadRecipeRequest>,
    arguments: &Arguments,
    client: &Client,
    session: &mut Session,
) -> Result<Option<v1::GenerationSpec>, CliError> {
    let mut generations = client.generations();
    let asked = generations.read_recipe(tokio_stream::iter(source));
    let recipe = call("read the recipe", HUB_DEADLINE, asked).await?;
    let mut shown = recipe.spec.clone().unwrap_or_default();
    super::override_with(arguments, &mut shown);
    if session.json {
        session.out.json(&RecipeLine::new(&recipe, &shown))?;
    } else {
        for line in remarks(&recipe) {
            session.note(&line)?;
        }
        if arguments.dry_run {
            for line in lines(&recipe, &shown) {
                session.out.line(&line)?;
            }
        }
    }
    if arguments.dry_run {
        return Ok(None);
    }
    let missing: Vec<&v1::RecipeModel> = recipe.models.iter().filter(|model| is_missing(model, arguments)).collect();
    if recipe.spec.as_ref().is_none_or(|spec| spec.model.is_empty()) && missing.is_empty() && arguments.model.is_none()
    {
        return Err(CliError::Argument {
            argument: "--like",
            given: String::new(),
            problem: "the recipe names no model; --model says which".to_owned(),
        });
    }
    if missing.iter().any(|model| !arguments.pull || model.pull.is_empty()) {
        return Err(CliError::models_missing(&missing));
    }
    // Textual inversions are fetched where that is asked for, and words where it is not.
    let wanted = recipe.models.iter().filter(|model| is_missing(model, arguments) || model.role == "embedding");
    let mut references: Vec<String> = wanted.map(|model| model.pull.clone()).filter(|pull| !pull.is_empty()).collect();
    references.dedup();
    if arguments.pull && !references.is_empty() {
        pull::pull(client, references, session).await?;
    }
    Ok(recipe.spec)
}

/// Whether a model is needed, and not here.
fn is_missing(model: &v1::RecipeModel, arguments: &Arguments) -> bool {
    let is_needed = match model.role.as_str() {
        "model" => arguments.model.is_none(),
        "lora" => arguments.lora.is_empty(),
        // Of one that no hub can be asked for, the model's own takes the place.
        "vae" => arguments.vae.is_none() && !model.pull.is_empty(),
        "upscaler" => arguments.larger.keeps_upscalers() && !model.pull.is_empty(),
        "text_encoder" => arguments.text_encoder.is_empty() && !model.pull.is_empty(),
        _ => false,
    };
    is_needed && matches!(model.state.as_str(), "missing" | "away")
}

fn remarks(recipe: &v1::ReadRecipeResponse) -> Vec<String> {
    let line = |remark: &v1::RecipeRemark| {
        let v1::RecipeRemark { field, given, problem } = remark;
        sanitize::line(&format!("  not as in the recipe: {field} {given}: {problem}"))
    };
    recipe.remarks.iter().map(line).collect()
}

/// The recipe for people.
fn lines(recipe: &v1::ReadRecipeResponse, spec: &v1::GenerationSpec) -> Vec<String> {
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let size = spec.width.zip(spec.height).map(|(width, height)| format!("{width}×{height}"));
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let settings = [
        ("made with", text(&recipe.program)),
        ("prompt", text(&spec.prompt)),
        ("negative", text(&spec.negative_prompt)),
        ("steps", number(spec.steps)),
        ("sampler", text(&spec.sampler)),
        ("schedule", text(&spec.schedule)),
        ("cfg", spec.guidance_scale.map(|scale| scale.to_string())),
        ("seed", spec.seed.map(|seed| seed.to_string())),
        ("size", size),
        ("clip skip", number(spec.clip_skip)),
        ("strength", spec.strength.map(|strength| strength.to_string())),
        ("hires", spec.hires.as_ref().map(hires)),
        ("upscale", spec.upscale.as_ref().map(|upscale| enlarged(&upscale.upscaler, upscale.scale))),
    ];
    let mut lines: Vec<String> =
        settings.into_iter().filter_map(|(key, value)| Some(format!("{key:10}{}", sanitize::line(&value?)))).collect();
    for model in &recipe.models {
        let v1::RecipeModel { role, name, state, reference, found_by, pull, volume, weight, .. } = model;
        let state = match state.as_str() {
            "here" => format!("{reference}, found by its {found_by}"),
            "away" => format!("on the volume {volume}, which is away"),
            "missing" if pull.is_empty() => "missing, and nothing says where it could be fetched".to_owned(),
            "missing" => format!("missing: `paintbox pull {pull}`"),
            other => other.to_owned(),
        };
        let weight = if role == "lora" { format!(" at {weight}") } else { String::new() };
        lines.push(sanitize::line(&format!("{role:9} {name}{weight}  {state}")));
    }
    lines
}

/// `2 times by latent, strength 0.7, 20 steps`.
fn hires(hires: &v1::Hires) -> String {
    let upscaler = Some(hires.upscaler.as_str()).filter(|name| !name.is_empty()).unwrap_or("latent");
    let mut said = enlarged(upscaler, hires.scale.or(Some(2.0)));
    let more = [
        hires.strength.map(|strength| format!("strength {strength}")),
        hires.steps.map(|steps| format!("{steps} steps")),
        Some(hires.sampler.clone()).filter(|name| !name.is_empty()),
        hires.guidance_scale.map(|scale| format!("cfg {scale}")),
        hires.prompt.as_ref().map(|prompt| format!("prompt \"{prompt}\"")),
    ];
    for part in more.into_iter().flatten() {
        said.push_str(", ");
        said.push_str(&part);
    }
    said
}

fn enlarged(upscaler: &str, scale: Option<f32>) -> String {
    scale.map_or_else(|| format!("by {upscaler}"), |scale| format!("{scale} times by {upscaler}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_an_address_is_a_picture_on_civitai_and_all_else_is_a_file() {
        for (text, wanted) in [
            ("9173928", Source::CivitaiImage(9_173_928)),
            ("https://civitai.com/images/9173928", Source::CivitaiImage(9_173_928)),
            ("https://www.civitai.com/images/9173928?period=AllTime", Source::CivitaiImage(9_173_928)),
            ("https://civitai.red/images/5/", Source::CivitaiImage(5)),
            ("./9173928", Source::File("./9173928".into())),
            ("9173928.png", Source::File("9173928.png".into())),
            ("-5", Source::File("-5".into())),
        ] {
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "99999999999999999999999",
            "https://civitai.com/models/4384",
            "https://civitai.com/images/",
            "https://civitai.com/images/x",
            "https://example.org/images/5",
        ] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_is_sent_in_parts_that_fit_a_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, vec![7; 2 * PART_BYTES + 1]).unwrap();
        assert_eq!(Source::File(path).read().unwrap().len(), 3);
        let missing = Source::File(folder.path().join("b.png")).read().unwrap_err();
        assert_eq!(missing.reason(), "LOCAL_IO_FAILED");
        let large = folder.path().join("large.png");
        std::fs::File::create(&large).unwrap().set_len(LARGEST_PICTURE_BYTES + 1).unwrap();
        assert_eq!(Source::File(large).read().unwrap_err().reason(), "INVALID_ARGUMENT");
    }
}
