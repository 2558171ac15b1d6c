//! Text encoders of other files in the place of a model's own, or where it has none. Which of the model's a file holds, its
//! sizes tell: what the network reads, and what it adds to its time.

use super::family::{AddedSizes, Family};
use super::file::TensorFile;
use super::index::{Index, component_name, naming, sizing};
use crate::error::EngineError;
use paintbox_domain::Architecture;
use paintbox_domain::generation::ModelFile;
use paintbox_weights::stable_diffusion::{ClipDims, Component, Part, Recipes, UnetDims, lone_encoders};
use std::collections::BTreeMap;

/// What a model's network wants of its text encoders.
struct Wanted {
    components: &'static [Component],
    /// Width of the states that the network reads, of all encoders together.
    context: usize,
    /// What it adds to its time, and the sizes among it.
    added: Option<(usize, AddedSizes)>,
    is_sd2: bool,
}

impl Index {
    /// The same with text encoders of other files. A file may hold several.
    ///
    /// # Errors
    /// When a file is broken, holds no text encoder or one of another family, or two are to be the same.
    pub(crate) fn with_text_encoders(mut self, files: &[ModelFile]) -> Result<Self, EngineError> {
        if files.is_empty() {
            return Ok(self);
        }
        let wanted = Wanted::of(&self)?;
        let mut taken: BTreeMap<Component, &str> = BTreeMap::new();
        for file in files {
            let name = file.name.as_str();
            let opened = TensorFile::open(name, &file.path)?;
            let encoders = lone_encoders(&opened.header).map_err(naming(name))?;
            if encoders.is_empty() {
                return Err(EngineError::NotATextEncoder { file: name.to_owned() });
            }
            let mut recipes = Recipes::new();
            for encoder in encoders {
                let dims = ClipDims::from_tensors(&encoder).map_err(sizing(Component::TextEncoder))?;
                let component = wanted.component(&dims).ok_or_else(|| wanted.mismatch(name, &dims))?;
                if let Some(first) = taken.insert(component, name) {
                    let (first, second) = (first.to_owned(), name.to_owned());
                    return Err(EngineError::SameTextEncoder { component: component_name(component), first, second });
                }
                recipes.extend(encoder.recipes(component, wanted.is_sd2));
            }
            self = self.with_other(opened, recipes);
        }
        let parameters = self.parameters();
        let dims =
            |component: &Component| ClipDims::from_tensors(&Part { parameters: &parameters, component: *component });
        let widths: Option<Vec<usize>> =
            wanted.components.iter().map(|component| Some(dims(component).ok()?.width)).collect();
        match widths {
            // One that is still missing is told of as such.
            Some(widths) if widths.iter().sum::<usize>() != wanted.context => {
                let file = files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ");
                let (given, wanted) = (format!("{widths:?} together"), wanted.described());
                Err(EngineError::TextEncoderMismatch { file, given, wanted })
            }
            _ => Ok(self),
        }
    }
}

impl Wanted {
    fn of(index: &Index) -> Result<Self, EngineError> {
        index.require(Component::Unet)?;
        let parameters = index.parameters();
        let unet = Part { parameters: &parameters, component: Component::Unet };
        let dims = UnetDims::from_tensors(&unet).map_err(sizing(Component::Unet))?;
        let family = index.architecture.and_then(Family::of);
        // A folder of sizes that no released model has is of the family that its network looks like.
        let unproved = match dims.added_inputs {
            Some(_) => Architecture::Sdxl,
            None if dims.use_linear_projection => Architecture::Sd2,
            None => Architecture::Sd1,
        };
        let family = family.or_else(|| Family::of(unproved));
        let family =
            family.ok_or(EngineError::MissingComponent { component: "UNet", looked_for: "a UNet that is known" })?;
        Ok(Self {
            components: family.text_encoders,
            context: dims.cross_attention_dim,
            added: dims.added_inputs.zip(family.sizes),
            is_sd2: family.architecture == Architecture::Sd2,
        })
    }

    /// Which of the model's encoders one of these sizes can be.
    fn component(&self, dims: &ClipDims) -> Option<Component> {
        let is_only = self.components.len() == 1;
        let fits = if is_only { dims.width == self.context } else { dims.width < self.context };
        // Only the pooled prompt of the right encoder leaves whole sinusoids of the sizes beside it.
        let is_pooled = self.added.zip(dims.projected).is_some_and(|((inputs, sizes), pooled)| {
            inputs.checked_sub(pooled).is_some_and(|rest| rest > 0 && rest.is_multiple_of(2 * sizes.count()))
        });
        let component = if is_pooled { Component::TextEncoder2 } else { Component::TextEncoder };
        (fits && self.components.contains(&component)).then_some(component)
    }

    fn mismatch(&self, file: &str, dims: &ClipDims) -> EngineError {
        let projected = dims.projected.map_or_else(String::new, |projected| format!(", projected to {projected}"));
        let given = format!("{}{projected}", dims.width);
        EngineError::TextEncoderMismatch { file: file.to_owned(), given, wanted: self.described() }
    }

    fn described(&self) -> String {
        let added =
            self.added.map_or_else(String::new, |(inputs, _)| format!(", and adds {inputs} numbers to its time"));
        match self.components.len() {
            1 => format!("{}{added}", self.context),
            count => format!("{} of {count} text encoders together{added}", self.context),
        }
    }
}
