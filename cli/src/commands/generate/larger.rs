//! `--hires` and `--upscale`: larger pictures.

use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct LargerArguments {
    /// Paint a second time at so many times the size, over what was painted first: 1.5, 2 …
    #[arg(long, value_name = "F")]
    hires: Option<f32>,
    /// What enlarges between the two: latent, latent_bicubic …, lanczos, or an upscaler by reference [default: latent]
    #[arg(long, value_name = "REF", requires = "hires")]
    hires_upscaler: Option<String>,
    /// How much of the first picture the second pass paints over, above 0 and at most 1 [default: 0.7]
    #[arg(long, value_name = "F", requires = "hires")]
    hires_strength: Option<f32>,
    /// Steps of the second pass [default: those of the first]
    #[arg(long, value_name = "N", requires = "hires")]
    hires_steps: Option<u32>,
    #[arg(long, value_name = "SAMPLER", requires = "hires", help = "The second pass' solver [default: the first's]")]
    hires_sampler: Option<String>,
    #[arg(long, value_name = "SCHEDULE", requires = "hires", help = "Its schedule [default: the first's]")]
    hires_schedule: Option<String>,
    /// Its guidance scale [default: the first's]
    #[arg(long, value_name = "F", requires = "hires")]
    hires_cfg: Option<f32>,
    /// What it is to paint [default: the prompt]
    #[arg(long, value_name = "TEXT", requires = "hires")]
    hires_prompt: Option<String>,
    /// What it is to keep out [default: as --negative]
    #[arg(long, value_name = "TEXT", requires = "hires", allow_hyphen_values = true)]
    hires_negative: Option<String>,
    /// Leave out the second pass that --like has
    #[arg(long, requires = "like", conflicts_with = "hires")]
    no_hires: bool,
    /// Make the finished picture larger with an upscaler by reference, or with lanczos or nearest
    #[arg(long, value_name = "REF")]
    upscale: Option<String>,
    /// How many times as long sides become [default: as the upscaler does]
    #[arg(long, value_name = "F", requires = "upscale")]
    upscale_by: Option<f32>,
    /// Leave the picture as large as it was painted, whatever --like has
    #[arg(long, requires = "like", conflicts_with = "upscale")]
    no_upscale: bool,
}

impl LargerArguments {
    /// Whether upscalers of a recipe are needed.
    pub(super) fn keeps_upscalers(&self) -> bool {
        let keeps_hires = self.hires.is_none() && !self.no_hires;
        keeps_hires || (self.upscale.is_none() && !self.no_upscale)
    }

    /// What the command line says, over what `spec` has.
    pub(super) fn override_in(&self, spec: &mut v1::GenerationSpec) {
        if self.no_hires {
            spec.hires = None;
        }
        if self.no_upscale {
            spec.upscale = None;
        }
        if let Some(scale) = self.hires {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            spec.hires = Some(v1::Hires {
                upscaler: text(&self.hires_upscaler),
                scale: Some(scale),
                steps: self.hires_steps,
                strength: self.hires_strength,
                sampler: text(&self.hires_sampler),
                schedule: text(&self.hires_schedule),
                guidance_scale: self.hires_cfg,
                prompt: self.hires_prompt.clone(),
                negative_prompt: self.hires_negative.clone(),
            });
        }
        if let Some(upscaler) = &self.upscale {
            spec.upscale = Some(v1::Upscale { upscaler: upscaler.clone(), scale: self.upscale_by });
        }
    }
}
