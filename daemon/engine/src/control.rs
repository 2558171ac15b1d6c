//! ControlNets at work: each reads its picture once, and adds to the network at the steps that it is asked in.

use crate::error::EngineError;
use crate::inpaint::Canvas;
use crate::load::ControlNetPlan;
use crate::model::Model;
use crate::networks::{Conditions, ControlNet, Unet};
use crate::picture::{Rgb, canny};
use crate::residence::Part;
use crate::settings::as_written;
use candle_core::{Result as Computed, Tensor};
use paintbox_domain::generation::{ControlNetFile, PaintSettings};
use std::sync::Arc;

/// A ControlNet and what its picture says to it.
pub(crate) struct Lead<'a> {
    plan: &'a ControlNetPlan,
    /// In f32.
    hint: Tensor,
    strength: f64,
    /// Fractions of the steps.
    start: f64,
    end: f64,
}

impl<'a> Lead<'a> {
    /// Brings the picture to the size of the painting, takes its edges where they are asked for, and has it read.
    pub(crate) fn new(
        model: &Model,
        plan: &'a ControlNetPlan,
        file: &ControlNetFile,
        canvas: Option<&Canvas>,
        settings: &PaintSettings,
    ) -> Result<Self, EngineError> {
        let image = &file.image;
        let image = Rgb::new("control image bytes", image.width, image.height, image.rgb.clone())?;
        let mut image = Canvas::beside(canvas, &image, settings)?;
        if let Some(thresholds) = file.canny {
            let edges = canny(&image, thresholds);
            image.bytes = edges.bytes.into_iter().flat_map(|edge| [edge; 3]).collect();
        }
        let hint = model.residence.soundly(Part::Unet, 0, || {
            let net = model.residence.control_net(plan)?;
            let hint = image.tensor().and_then(|picture| net.read(&picture.to_device(&model.device)?));
            Ok(vec![hint.map_err(EngineError::computing("reading the picture of a ControlNet"))?])
        });
        let hint = hint?.remove(0);
        let [strength, start, end] = [file.strength, file.start, file.end].map(as_written);
        Ok(Self { plan, hint, strength, start, end })
    }

    /// As in diffusers, a step counts if all of it lies between start and end.
    fn leads_at(&self, step: usize, steps: usize) -> bool {
        let steps = steps as f64;
        step as f64 / steps >= self.start && (step + 1) as f64 / steps <= self.end
    }
}

/// The networks of one step.
pub(crate) struct Network<'a> {
    unet: Arc<Unet>,
    leads: Vec<(&'a Lead<'a>, Arc<ControlNet>)>,
    /// Channels of the input that are latents, which is all that ControlNets see.
    latents: usize,
}

impl<'a> Network<'a> {
    /// Steps are counted from 0.
    pub(crate) fn at(model: &Model, leads: &'a [Lead<'a>], step: usize, steps: usize) -> Result<Self, EngineError> {
        let leads = leads.iter().filter(|lead| lead.leads_at(step, steps));
        let leads = leads.map(|lead| Ok((lead, model.residence.control_net(lead.plan)?)));
        let leads = leads.collect::<Result<_, EngineError>>()?;
        Ok(Self { unet: model.unet()?, leads, latents: model.blueprint.vae.latent_channels })
    }

    /// The prediction for the network's input `[n, c, h, w]` at one training time.
    pub(crate) fn forward(&self, x: &Tensor, timestep: f64, conditions: &Conditions) -> Computed<Tensor> {
        let mut residuals = None;
        if !self.leads.is_empty() {
            let latents = x.narrow(1, 0, self.latents)?.contiguous()?;
            for (Lead { hint, strength, .. }, net) in &self.leads {
                let added = net.forward(&latents, timestep, conditions, hint, *strength)?;
                residuals = Some(match residuals {
                    None => added,
                    Some(others) => added.and(&others)?,
                });
            }
        }
        self.unet.forward(x, timestep, conditions, residuals.as_ref())
    }
}
