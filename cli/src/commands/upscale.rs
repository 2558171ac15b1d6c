//! `paintbox upscale`.

use crate::commands::generate::{Format, Target, carry_out, or_cancelled};
use crate::commands::images::{read_image, upload};
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Session;
use paintbox_proto::v1;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The picture: PNG, JPEG, WebP or GIF
    #[arg(value_name = "FILE")]
    image: PathBuf,
    /// The upscaler: a reference, a digest or a unique name; lanczos and nearest need no file
    #[arg(long = "with", value_name = "REF")]
    upscaler: String,
    /// How many times as long sides become [default: as the upscaler does]
    #[arg(long, value_name = "F")]
    by: Option<f32>,
    /// The file to write or replace [default: a new NAME-large.png here]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What it becomes; what the picture says of how it was made is kept [default: by the ending of -o, else png]
    #[arg(long)]
    format: Option<Format>,
    /// Of a JPEG, from 1 to 100 [default: 90]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    quality: Option<u32>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let stem = arguments.image.file_stem().unwrap_or_default().to_string_lossy();
    let target = Target::new(arguments.output.as_deref(), arguments.format)?.called(format!("{stem}-large"));
    let image = read_image("FILE", &arguments.image)?;
    let client = session.connect().await?;
    let mut spec = v1::GenerationSpec {
        count: 1,
        format: target.format.as_str().to_owned(),
        quality: arguments.quality,
        upscale: Some(v1::Upscale { upscaler: arguments.upscaler.clone(), scale: arguments.by }),
        ..v1::GenerationSpec::default()
    };
    let interrupts = session.interrupts.clone();
    let mut name = None;
    let work = async {
        spec.init_image = upload(&client, &image, "take the picture").await?;
        carry_out(spec, &target, None, 0, &client, &mut name, session).await
    };
    tokio::select! {
        ended = work => return ended,
        () = interrupts.wait() => {}
    }
    or_cancelled(&client, name).await
}
