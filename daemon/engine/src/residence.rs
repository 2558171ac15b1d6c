//! Which networks of a model are in memory. One that is asked for and is not there is read from the model's files; what the
//! plan has no room for beside it goes first. And how exactly each computes, which a network that fails at it loses.

use crate::device::Precision;
use crate::error::EngineError;
use crate::load::{Blueprint, Component, ControlNetPlan, Index, Merges, Weights};
use crate::networks::{ClipText, ControlNet, Unet, Vae};
use crate::plan::Residency;
use candle_core::{Device, Tensor};
use paintbox_domain::Sha256;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// What comes and goes as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    TextEncoders,
    /// With the ControlNets beside it.
    Unet,
    Vae,
}

impl Part {
    const ALL: [Self; 3] = [Self::TextEncoders, Self::Unet, Self::Vae];

    const fn of(component: Component) -> Self {
        match component {
            Component::TextEncoder | Component::TextEncoder2 => Self::TextEncoders,
            Component::Unet => Self::Unet,
            Component::Vae => Self::Vae,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::TextEncoders => "text encoder",
            Self::Unet => "network",
            Self::Vae => "VAE",
        }
    }
}

/// Networks that compute in f32 even where a device would be faster in f16. A VAE always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FullPrecision {
    pub text_encoders: bool,
    /// The UNet and its ControlNets.
    pub unet: bool,
}

/// How exactly the networks of a model compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Precisions {
    pub(crate) text_encoders: Precision,
    pub(crate) unet: Precision,
}

impl Precisions {
    /// On a Mac's GPU in f16, but for what is asked to be exact; in f32 elsewhere.
    pub(crate) fn of(is_metal: bool, full: FullPrecision) -> Self {
        let of = |full: bool| if is_metal && !full { Precision::Half } else { Precision::Full };
        Self { text_encoders: of(full.text_encoders), unet: of(full.unet) }
    }

    fn of_part(self, part: Part) -> Precision {
        match part {
            Part::TextEncoders => self.text_encoders,
            Part::Unet => self.unet,
            // Released VAEs overflow f16 (madebyollin/sdxl-vae-fp16-fix says how).
            Part::Vae => Precision::Full,
        }
    }
}

/// The networks of a model that are in memory, and where the others are.
#[derive(Debug)]
pub(crate) struct Residence {
    index: Index,
    merges: Merges,
    device: Device,
    residency: Cell<Residency>,
    precisions: Cell<Precisions>,
    held: RefCell<Held>,
    /// What was noticed since they were taken last.
    warnings: RefCell<Vec<String>>,
    /// What a part that computes in half precision says in tests, where none truly does.
    #[cfg(test)]
    fault: Cell<Option<(Part, f32)>>,
}

#[derive(Debug, Default)]
struct Held {
    text_encoders: Option<Arc<Vec<ClipText>>>,
    unet: Option<Arc<Unet>>,
    vae: Option<Arc<Vae>>,
    controls: Vec<HeldControl>,
}

#[derive(Debug)]
struct HeldControl {
    sha256: Sha256,
    /// Of its weights.
    values: u64,
    network: Arc<ControlNet>,
}

impl Held {
    fn has(&self, part: Part) -> bool {
        match part {
            Part::TextEncoders => self.text_encoders.is_some(),
            Part::Unet => self.unet.is_some() || !self.controls.is_empty(),
            Part::Vae => self.vae.is_some(),
        }
    }

    fn drop_part(&mut self, part: Part) {
        match part {
            Part::TextEncoders => self.text_encoders = None,
            Part::Unet => {
                self.unet = None;
                self.controls.clear();
            }
            Part::Vae => self.vae = None,
        }
    }
}

impl Residence {
    pub(crate) fn new(index: Index, merges: Merges, device: Device, precisions: Precisions) -> Self {
        Self {
            index,
            merges,
            device,
            residency: Cell::new(Residency::Together),
            precisions: Cell::new(precisions),
            held: RefCell::default(),
            warnings: RefCell::default(),
            #[cfg(test)]
            fault: Cell::default(),
        }
    }

    /// From now on, what stays is what the plan of a painting has room for.
    pub(crate) fn settle(&self, residency: Residency, controls: &[ControlNetPlan]) {
        self.residency.set(residency);
        let asked = |sha256: &Sha256| controls.iter().any(|plan| plan.sha256 == *sha256);
        self.held.borrow_mut().controls.retain(|control| asked(&control.sha256));
    }

    pub(crate) fn residency(&self) -> Residency {
        self.residency.get()
    }

    pub(crate) fn has(&self, part: Part) -> bool {
        self.held.borrow().has(part)
    }

    /// Bytes of the weights that are in memory.
    pub(crate) fn held_bytes(&self) -> u64 {
        let (held, is_gpu) = (self.held.borrow(), !self.device.is_cpu());
        let bytes = |part| self.precisions.get().of_part(part).bytes(is_gpu);
        let parameters = self.index.parameters();
        let own = parameters.iter().map(|((component, _), shape)| {
            let part = Part::of(*component);
            if held.has(part) { shape.iter().product::<usize>() as u64 * bytes(part) } else { 0 }
        });
        own.sum::<u64>() + held.controls.iter().map(|control| control.values * bytes(Part::Unet)).sum::<u64>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        Part::ALL.iter().all(|part| !self.has(*part))
    }

    pub(crate) fn text_encoders(&self, blueprint: &Blueprint) -> Result<Arc<Vec<ClipText>>, EngineError> {
        self.make_room_for(Part::TextEncoders)?;
        if let Some(held) = &self.held.borrow().text_encoders {
            return Ok(held.clone());
        }
        let read = |text: &crate::load::TextTower| {
            self.read(text.component, Part::TextEncoders, |weights| ClipText::load(weights, &text.shape))
        };
        let networks: Arc<Vec<_>> = Arc::new(blueprint.texts.iter().map(read).collect::<Result<_, _>>()?);
        Ok(self.held.borrow_mut().text_encoders.insert(networks).clone())
    }

    pub(crate) fn unet(&self, blueprint: &Blueprint) -> Result<Arc<Unet>, EngineError> {
        self.make_room_for(Part::Unet)?;
        if let Some(held) = &self.held.borrow().unet {
            return Ok(held.clone());
        }
        let network = self.read(Component::Unet, Part::Unet, |weights| Unet::load(weights, &blueprint.unet))?;
        Ok(self.held.borrow_mut().unet.insert(Arc::new(network)).clone())
    }

    pub(crate) fn control_net(&self, plan: &ControlNetPlan) -> Result<Arc<ControlNet>, EngineError> {
        self.make_room_for(Part::Unet)?;
        if let Some(held) = self.held.borrow().controls.iter().find(|control| control.sha256 == plan.sha256) {
            return Ok(held.network.clone());
        }
        let network = Arc::new(plan.load(&self.device, self.precisions.get().unet)?);
        let held = HeldControl { sha256: plan.sha256, values: plan.parameters(), network: network.clone() };
        self.held.borrow_mut().controls.push(held);
        Ok(network)
    }

    pub(crate) fn vae(&self, blueprint: &Blueprint) -> Result<Arc<Vae>, EngineError> {
        self.make_room_for(Part::Vae)?;
        if let Some(held) = &self.held.borrow().vae {
            return Ok(held.clone());
        }
        let network = self.read(Component::Vae, Part::Vae, |weights| Vae::load(weights, &blueprint.vae))?;
        Ok(self.held.borrow_mut().vae.insert(Arc::new(network)).clone())
    }

    fn read<T>(
        &self,
        component: Component,
        part: Part,
        load: impl FnOnce(&Weights<'_>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let source = self.index.component(component, &self.merges);
        let precision = self.precisions.get().of_part(part);
        load(&Weights::new(&source, &self.device).computing_in(precision))
    }

    /// Drops what does not stay where `asked` is asked for.
    fn make_room_for(&self, asked: Part) -> Result<(), EngineError> {
        let mut held = self.held.borrow_mut();
        for part in Part::ALL {
            if held.has(part) && !self.residency.get().keeps(part, asked) {
                held.drop_part(part);
                // A GPU's pool gives memory back only when it is waited for.
                self.device.synchronize().map_err(EngineError::computing("freeing a network"))?;
            }
        }
        Ok(())
    }

    /// What the networks of `part` compute, once more in f32 where f16 made values of it that are not numbers, or nothing
    /// but zeros; the part stays in f32 then, and a warning says so. `run` gives what is to be looked at.
    ///
    /// # Errors
    /// [`EngineError::NotFinite`] when it is no better in f32.
    pub(crate) fn soundly(
        &self,
        part: Part,
        step: u32,
        mut run: impl FnMut() -> Result<Vec<Tensor>, EngineError>,
    ) -> Result<Vec<Tensor>, EngineError> {
        let is_half = self.precisions.get().of_part(part) == Precision::Half;
        let outputs = run()?;
        #[cfg(test)]
        let outputs = self.spoiled(part, outputs);
        let stage = part.name();
        match fault(&outputs)? {
            None => return Ok(outputs),
            // A network may well say nothing at all.
            Some(Fault::OnlyZeros) if !is_half => return Ok(outputs),
            Some(Fault::NotFinite) if !is_half => return Err(EngineError::NotFinite { stage, step }),
            Some(fault) => {
                let what = match fault {
                    Fault::NotFinite => "values that are not numbers",
                    Fault::OnlyZeros => "nothing but zeros",
                };
                tracing::warn!(stage, step, "{what} in half precision; computing again in full precision");
                let text = format!("the {stage} gave {what} in half precision, so it computed in full precision");
                self.warnings.borrow_mut().push(text);
            }
        }
        let mut precisions = self.precisions.get();
        match part {
            Part::TextEncoders => precisions.text_encoders = Precision::Full,
            Part::Unet => precisions.unet = Precision::Full,
            Part::Vae => {}
        }
        self.precisions.set(precisions);
        self.held.borrow_mut().drop_part(part);
        self.device.synchronize().map_err(EngineError::computing("freeing a network"))?;
        let outputs = run()?;
        match fault(&outputs)? {
            Some(Fault::NotFinite) => Err(EngineError::NotFinite { stage, step }),
            Some(Fault::OnlyZeros) | None => Ok(outputs),
        }
    }

    /// The warnings since this was asked last.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NotFinite,
    OnlyZeros,
}

fn fault(outputs: &[Tensor]) -> Result<Option<Fault>, EngineError> {
    let mut is_zero = true;
    for output in outputs {
        let values = output.flatten_all().and_then(|output| output.to_vec1::<f32>());
        let values = values.map_err(EngineError::computing("looking at what a network made"))?;
        if !values.iter().all(|value| value.is_finite()) {
            return Ok(Some(Fault::NotFinite));
        }
        is_zero &= values.iter().all(|value| *value == 0.0);
    }
    Ok(is_zero.then_some(Fault::OnlyZeros))
}

#[cfg(test)]
impl Residence {
    pub(crate) fn fail_in_half(&self, fault: Option<(Part, f32)>) {
        self.fault.set(fault);
    }

    fn spoiled(&self, part: Part, outputs: Vec<Tensor>) -> Vec<Tensor> {
        match self.fault.get() {
            Some((of, value)) if of == part && self.precisions.get().of_part(part) == Precision::Half => {
                let spoil = |output: Tensor| Tensor::full(value, output.shape(), output.device()).unwrap();
                outputs.into_iter().map(spoil).collect()
            }
            _ => outputs,
        }
    }
}
