//! `paintbox generate`.

mod control;
mod inpaint;
mod larger;
mod like;
mod lora;
mod noise;
pub(crate) mod pictures;

use crate::client::{Client, HUB_DEADLINE, call};
use crate::commands::images::{read_image, upload};
use crate::commands::painting;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{GenerationLine, PictureJson};
use crate::session::Session;
use control::ControlArgument;
use inpaint::InpaintArguments;
use larger::LargerArguments;
use lora::LoraArgument;
use noise::NoiseArguments;
use paintbox_proto::v1;
pub(crate) use pictures::{Format, Target, fetch};
use std::path::{Path, PathBuf};
use std::time::Duration;
/// What the queue knows the command line by.
const CLIENT: &str = "paintbox";
/// After Ctrl-C nobody wants to wait long; hanging up cancels as well.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);

/// Shown below the flags.
const LIKE: &str = "\
What --like takes:
  FILE         a PNG, JPEG or WebP as A1111, Forge, ComfyUI, InvokeAI, SwarmUI or Paintbox saved it,
               A1111's text, or a graph of ComfyUI as JSON
  NUMBER, URL  a picture on CivitAI, such as https://civitai.com/images/9173928
  ./NUMBER     a file whose name is a number

Its models are looked for by digest, then by name. Missing ones are named with what would fetch them,
or fetched with --pull. What of the recipe is not done here is said.";

#[derive(Debug, clap::Args)]
#[command(after_help = LIKE)]
pub(crate) struct Arguments {
    /// What to paint, in A1111's syntax: (words:1.2), [words], BREAK, a AND b :0.5, [from:to:0.5], [this|that]
    #[arg(required_unless_present = "like")]
    prompt: Option<String>,
    /// The model: civitai:4384, hf:org/repo, a digest, or a unique name
    #[arg(long, value_name = "REF", required_unless_present = "like")]
    model: Option<String>,
    /// A VAE to use instead of the model's own, such as hf:stabilityai/sd-vae-ft-mse
    #[arg(long, value_name = "REF")]
    vae: Option<String>,
    /// A text encoder to use instead of the model's own, or where it has none, such as clip_l or clip_g; may be repeated
    #[arg(long, value_name = "REF")]
    text_encoder: Vec<String>,
    /// A textual inversion that the prompts may say by its file's name, beside those that are here; may be repeated
    #[arg(long, value_name = "REF")]
    embedding: Vec<String>,
    /// Paint as this picture was painted; see below. Whatever else is given beside it counts more
    #[arg(long, value_name = "FILE|NUMBER|URL")]
    like: Option<like::Source>,
    /// Fetch the models that --like names and that are not here
    #[arg(long, requires = "like")]
    pull: bool,
    /// Say what --like would paint, and with which models, and paint nothing
    #[arg(long, requires = "like", conflicts_with = "pull")]
    dry_run: bool,
    /// What to keep out of the picture
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    negative: Option<String>,
    /// Where the noise starts; image k of several uses N+k [default: at random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Sampler steps; more take longer
    #[arg(long, value_name = "N")]
    steps: Option<u32>,
    /// Guidance scale; 1 turns guidance off
    #[arg(long, value_name = "F")]
    cfg: Option<f32>,
    /// How closely a model that edits pictures (instruct-pix2pix) keeps to the init image [default: 1.5]
    #[arg(long, value_name = "F", requires = "init_image")]
    image_cfg: Option<f32>,
    /// Bring guided predictions back to the spread of unguided ones, 0 to 1; 0.7 helps where colours burn out
    #[arg(long, value_name = "F")]
    cfg_rescale: Option<f32>,
    /// The solver, such as euler_a, dpmpp_2m_sde or "DPM++ 2M Karras"; a wrong name is answered with all that there are
    #[arg(long)]
    sampler: Option<String>,
    /// normal, karras, ddim_uniform, simple, sgm_uniform, exponential, beta or ays
    #[arg(long)]
    schedule: Option<String>,
    /// Pixels
    #[arg(long, value_name = "N")]
    width: Option<u32>,
    /// Pixels
    #[arg(long, value_name = "N")]
    height: Option<u32>,
    /// 1 for the text encoder's last layer, 2 for the one before it, from which XL always starts
    #[arg(long, value_name = "N")]
    clip_skip: Option<u32>,
    /// A LoRA with its weight, or those for UNet and text: civitai:82098:0.8, civitai:82098:0.8/0.5; may be repeated
    #[arg(long, value_name = "REF[:WEIGHT[/TEXT]]")]
    lora: Vec<LoraArgument>,
    /// Start from this picture (PNG, JPEG, WebP or GIF)
    #[arg(long, value_name = "FILE")]
    init_image: Option<PathBuf>,
    /// How much of the init image to paint over, above 0 and at most 1
    #[arg(long, value_name = "F", requires = "init_image")]
    strength: Option<f32>,
    #[command(flatten)]
    inpaint: InpaintArguments,
    /// A ControlNet and its picture: civitai:1=a.png,strength=0.8,start=0,end=0.6; ,canny or ,canny=100:200 takes its edges
    #[arg(long, value_name = "REF=FILE[,OPTION]…")]
    control: Vec<ControlArgument>,
    #[command(flatten)]
    larger: LargerArguments,
    /// Keep a preview (JPEG) in this file while painting
    #[arg(long, value_name = "FILE")]
    preview: Option<PathBuf>,
    /// A TAESD that previews are decoded by, such as hf:madebyollin/taesd; without it they are small and rough
    #[arg(long, value_name = "REF", requires = "preview")]
    taesd: Option<String>,
    /// How many pictures
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    count: u32,
    /// The file to write or replace; further pictures get -2, -3, … [default: a new paintbox-SEED.png here]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the pictures become; all carry their recipe, and WebP is without loss [default: by the ending of -o, else png]
    #[arg(long)]
    format: Option<Format>,
    /// Of JPEGs, from 1 to 100 [default: 90]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    quality: Option<u32>,
    /// Of those that wait, higher ones are painted first: -100 to 100
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-100..=100))]
    priority: i32,
    #[command(flatten)]
    noise: NoiseArguments,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    // What can be refused is refused before minutes are spent on painting.
    let target = Target::new(arguments.output.as_deref(), arguments.format)?;
    let read = |argument, path: Option<&Path>| path.map(|path| read_image(argument, path)).transpose();
    let images = Images {
        init: read("--init-image", arguments.init_image.as_deref())?,
        mask: read("--mask", arguments.inpaint.mask.as_deref())?,
        controls: arguments
            .control
            .iter()
            .map(|control| read_image("--control", &control.image))
            .collect::<Result<_, _>>()?,
    };
    let source = arguments.like.as_ref().map(like::Source::read).transpose()?;
    let client = session.connect().await?;
    let mut spec = match source {
        Some(source) => {
            let Some(spec) = like::spec(source, arguments, &client, session).await? else { return Ok(Exit::Done) };
            spec
        }
        None => v1::GenerationSpec::default(),
    };
    override_with(arguments, &mut spec);
    target.format.as_str().clone_into(&mut spec.format);
    let interrupts = session.interrupts.clone();
    let mut name = None;
    tokio::select! {
        painted = paint(arguments, spec, images, &target, &client, &mut name, session) => return painted,
        () = interrupts.wait() => {}
    }
    or_cancelled(&client, name).await
}

/// Takes back what was asked for, as far as the daemon said that it had it.
pub(crate) async fn or_cancelled(client: &Client, name: Option<String>) -> Result<Exit, CliError> {
    if let Some(name) = name {
        let request = v1::CancelGenerationRequest { name };
        // Hanging up has cancelled it too, so a daemon that does not answer changes nothing.
        drop(call("cancel the generation", CANCEL_PATIENCE, client.generations().cancel_generation(request)).await);
    }
    Err(CliError::CancelledHere)
}

/// The pictures that a request brings, as bytes.
struct Images {
    init: Option<Vec<u8>>,
    mask: Option<Vec<u8>>,
    controls: Vec<Vec<u8>>,
}

async fn paint(
    arguments: &Arguments,
    mut spec: v1::GenerationSpec,
    images: Images,
    target: &Target,
    client: &Client,
    name: &mut Option<String>,
    session: &mut Session,
) -> Result<Exit, CliError> {
    if let Some(image) = images.init {
        spec.init_image = upload(client, &image, "take the init image").await?;
    }
    if let Some(mask) = images.mask {
        spec.inpaint = arguments.inpaint.message(upload(client, &mask, "take the mask").await?);
    }
    for (control, image) in arguments.control.iter().zip(images.controls) {
        let image = upload(client, &image, "take the image of a ControlNet").await?;
        spec.controls.push(control.message(image));
    }
    if spec.init_image.is_empty() {
        // A recipe's strength is nothing without the picture that it was painted over.
        spec.strength = None;
    }
    if let Some(taesd) = &arguments.taesd {
        taesd.clone_into(&mut spec.taesd);
    }
    carry_out(spec, target, arguments.preview.as_deref(), arguments.priority, client, name, session).await
}

/// Has a specification carried out, and its pictures written down; `preview` is kept as the picture comes on.
pub(crate) async fn carry_out(
    spec: v1::GenerationSpec,
    target: &Target,
    preview: Option<&Path>,
    priority: i32,
    client: &Client,
    name: &mut Option<String>,
    session: &mut Session,
) -> Result<Exit, CliError> {
    let paints = !spec.model.is_empty();
    let request = v1::GenerateImagesRequest {
        spec: Some(spec),
        request_id: uuid::Uuid::new_v4().to_string(),
        cancel_on_disconnect: true,
        client: CLIENT.to_owned(),
        priority,
        previews: preview.is_some(),
        expire_time: None,
    };
    let mut generations = client.generations();
    let events = call("queue the generation", HUB_DEADLINE, generations.generate_images(request)).await?;
    let generation = painting::follow(events, name, preview, session).await?;
    let mut written = Vec::new();
    for (index, image) in generation.images.iter().enumerate() {
        let bytes = fetch(client, &image.asset).await?;
        written.push(target.write(index, image.seed, &bytes)?);
    }
    if session.json {
        let images = generation.images.iter().zip(&written);
        let images = images.map(|(image, path)| PictureJson::new(image, Some(path))).collect();
        let warnings = &generation.warnings;
        session.out.json(&GenerationLine::Done { generation: &generation.name, images, warnings })?;
    } else {
        for (image, path) in generation.images.iter().zip(&written) {
            let v1::GeneratedImage { width, height, seed, .. } = image;
            let seed = if paints { format!("  seed {seed}") } else { String::new() };
            session.out.line(&format!("{}  {width}×{height}{seed}", path.display()))?;
        }
    }
    Ok(Exit::Done)
}

/// What the command line says, over what `spec` has.
fn override_with(arguments: &Arguments, spec: &mut v1::GenerationSpec) {
    let texts = [
        (&arguments.model, &mut spec.model),
        (&arguments.vae, &mut spec.vae),
        (&arguments.prompt, &mut spec.prompt),
        (&arguments.negative, &mut spec.negative_prompt),
        (&arguments.sampler, &mut spec.sampler),
        (&arguments.schedule, &mut spec.schedule),
    ];
    for (given, text) in texts {
        if let Some(given) = given {
            given.clone_into(text);
        }
    }
    // Another sampler has its own levels, unless they were named as well.
    if arguments.sampler.is_some() && arguments.schedule.is_none() {
        spec.schedule.clear();
    }
    spec.seed = arguments.seed.or(spec.seed);
    spec.steps = arguments.steps.or(spec.steps);
    spec.guidance_scale = arguments.cfg.or(spec.guidance_scale);
    spec.image_guidance_scale = arguments.image_cfg.or(spec.image_guidance_scale);
    spec.guidance_rescale = arguments.cfg_rescale.or(spec.guidance_rescale);
    spec.noise = arguments.noise.message().or(spec.noise.take());
    spec.width = arguments.width.or(spec.width);
    spec.height = arguments.height.or(spec.height);
    spec.clip_skip = arguments.clip_skip.or(spec.clip_skip);
    spec.strength = arguments.strength.or(spec.strength);
    for (given, references) in
        [(&arguments.text_encoder, &mut spec.text_encoders), (&arguments.embedding, &mut spec.embeddings)]
    {
        if !given.is_empty() {
            references.clone_from(given);
        }
    }
    if !arguments.lora.is_empty() {
        let use_of = |lora: &LoraArgument| v1::LoraUse {
            model: lora.model.clone(),
            weight: lora.weight,
            text_encoder_weight: lora.text_encoder_weight,
        };
        spec.loras = arguments.lora.iter().map(use_of).collect();
    }
    arguments.larger.override_in(spec);
    spec.count = arguments.count;
    spec.quality = arguments.quality;
}
