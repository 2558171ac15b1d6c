//! From a recipe to a specification: which of the models that it names are here, and what would bring the others.

use crate::error::GenerationError;
use crate::queue::Generations;
use crate::recipe::{Recipe, Remark, Resource};
use crate::resolve::{self, Resolver};
use paintbox_catalogue::CatalogueError;
use paintbox_domain::generation::{GenerationSpec, HiresUpscaler, LoraUse, Upscale, Upscaler};
use paintbox_domain::{Classify as _, ErrorClass, ModelKind, ModelRef};

/// A recipe that was looked at with what is here.
#[derive(Debug, Clone, PartialEq)]
pub struct LikePlan {
    /// Everything that the recipe says. Its models are named by what is here, or will be once it was pulled; a model that
    /// nothing is known of is empty. Its strength waits for an init image, which no recipe holds.
    pub spec: GenerationSpec,
    pub models: Vec<LikeModel>,
    pub remarks: Vec<Remark>,
    pub program: Option<String>,
}

/// A file that a recipe names.
#[derive(Debug, Clone, PartialEq)]
pub struct LikeModel {
    pub role: Role,
    pub resource: Resource,
    /// 1 but for LoRAs.
    pub weight: f32,
    pub state: LikeState,
}

/// What a file does in a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Model,
    Lora,
    Vae,
    TextEncoder,
    Embedding,
    Upscaler,
}

impl Role {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Lora => "lora",
            Self::Vae => "vae",
            Self::TextEncoder => "text_encoder",
            Self::Embedding => "embedding",
            Self::Upscaler => "upscaler",
        }
    }
}

/// Whether a file can be painted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LikeState {
    Here {
        reference: String,
        by: FoundBy,
    },
    /// `pull` is what `paintbox pull` takes; none if the recipe says too little for any hub.
    Missing {
        pull: Option<String>,
    },
    /// On a volume that is not connected.
    Away {
        volume: String,
    },
}

/// What of a recipe led to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// A hub's number of it.
    Number,
    Digest,
    /// Nothing says that it is the same.
    Name,
}

impl FoundBy {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Digest => "digest",
            Self::Name => "name",
        }
    }
}

impl Generations {
    /// Looks for what a recipe was painted with: by number and digest first, then by name.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn plan_like(&self, recipe: Recipe) -> Result<LikePlan, GenerationError> {
        let mut search = Search { resolver: self.resolver(), remarks: recipe.remarks };
        let mut spec = GenerationSpec {
            prompt: recipe.prompt,
            negative_prompt: recipe.negative_prompt,
            seed: recipe.seed,
            steps: recipe.steps,
            guidance_scale: recipe.guidance_scale,
            sampler: recipe.sampler,
            schedule: recipe.schedule,
            width: recipe.width,
            height: recipe.height,
            clip_skip: recipe.clip_skip,
            strength: recipe.strength,
            noise: recipe.noise,
            guidance_rescale: recipe.guidance_rescale,
            image_guidance_scale: recipe.image_guidance_scale,
            count: 1,
            ..GenerationSpec::default()
        };
        let mut models = Vec::new();
        if let Some(resource) = recipe.model {
            let state = search.look(Role::Model, &resource).await?;
            spec.model = reference(&state, &resource);
            models.push(LikeModel { role: Role::Model, resource, weight: 1.0, state });
        }
        for lora in recipe.loras {
            let state = search.look(Role::Lora, &lora.resource).await?;
            spec.loras.push(LoraUse {
                model: reference(&state, &lora.resource),
                weight: lora.weight,
                text_encoder_weight: lora.text_encoder_weight,
            });
            models.push(LikeModel { role: Role::Lora, resource: lora.resource, weight: lora.weight, state });
        }
        if let Some(resource) = recipe.vae {
            let state = search.look(Role::Vae, &resource).await?;
            spec.vae = Some(reference(&state, &resource)).filter(|vae| !vae.is_empty());
            if spec.vae.is_none() {
                search.remark("vae", &resource.name, "nothing is known of it; the model's own is used");
            }
            models.push(LikeModel { role: Role::Vae, resource, weight: 1.0, state });
        }
        for resource in recipe.text_encoders {
            let mut role = Role::TextEncoder;
            let mut state = search.look(role, &resource).await?;
            if spec.vae.is_none() && !matches!(state, LikeState::Here { .. }) {
                // What Forge loads beside a model may be a VAE, and only the file itself tells.
                let vae = search.look(Role::Vae, &resource).await?;
                if matches!(vae, LikeState::Here { .. }) {
                    (role, state) = (Role::Vae, vae);
                }
            }
            let reference = Some(reference(&state, &resource)).filter(|reference| !reference.is_empty());
            match (role, reference) {
                (Role::Vae, vae) => spec.vae = vae,
                (_, Some(encoder)) => spec.text_encoders.push(encoder),
                (_, None) => {
                    search.remark(role.as_str(), &resource.name, "nothing is known of it; the model's own is used");
                }
            }
            models.push(LikeModel { role, resource, weight: 1.0, state });
        }
        for resource in recipe.embeddings {
            let state = search.embedding(&resource).await?;
            models.push(LikeModel { role: Role::Embedding, resource, weight: 1.0, state });
        }
        if let Some(hires) = recipe.hires {
            let upscaler = match hires.upscaler.clone() {
                Some(HiresUpscaler::Latents(scaling)) => Some(HiresUpscaler::Latents(scaling)),
                Some(HiresUpscaler::Picture(upscaler)) => {
                    search.upscaler(upscaler, &mut models).await?.map(HiresUpscaler::Picture)
                }
                None => None,
            };
            spec.hires = Some(hires.with_upscaler(upscaler));
        }
        if let Some(Upscale { upscaler, scale }) = recipe.upscale {
            let upscaler = search.upscaler(upscaler, &mut models).await?;
            spec.upscale = upscaler.map(|upscaler| Upscale { upscaler, scale });
        }
        if spec.strength.is_some() {
            let problem = "it was painted over another picture, which recipes do not hold; give one to start from";
            search.remark("Denoising strength", &spec.strength.unwrap_or_default().to_string(), problem);
        }
        Ok(LikePlan { spec, models, remarks: search.remarks, program: recipe.program })
    }
}

/// What stands for a file in a specification.
fn reference(state: &LikeState, resource: &Resource) -> String {
    match state {
        LikeState::Here { reference, .. } | LikeState::Missing { pull: Some(reference) } => reference.clone(),
        LikeState::Missing { pull: None } | LikeState::Away { .. } => {
            by_content(resource).next().map(|(reference, _)| reference.to_string()).unwrap_or_default()
        }
    }
}

/// References by what identifies a file, surest first. Eight digits (AutoV1, CRC32) are nothing that the catalogue knows.
fn by_content(resource: &Resource) -> impl Iterator<Item = (ModelRef, FoundBy)> {
    let number = resource.civitai_version.map(|version| (ModelRef::CivitaiVersion { version }, FoundBy::Number));
    let mut digests: Vec<&String> = resource.digests.iter().collect();
    digests.sort_by_key(|digits| std::cmp::Reverse(digits.len()));
    let digests: Vec<ModelRef> = digests
        .into_iter()
        .filter_map(|digits| digits.parse().ok())
        .filter(|reference| matches!(reference, ModelRef::Digest(_) | ModelRef::ShortDigest(_)))
        .collect();
    number.into_iter().chain(digests.into_iter().map(|reference| (reference, FoundBy::Digest)))
}

struct Search<'a> {
    resolver: &'a Resolver,
    remarks: Vec<Remark>,
}

/// What a reference leads to.
enum Look {
    Here,
    /// Known, and what would bring it.
    NotLocal(String),
    Away(String),
    /// Nothing, or something of another kind.
    Nothing,
}

impl Search<'_> {
    fn remark(&mut self, field: &str, given: &str, problem: &str) {
        let (field, given, problem) = (field.to_owned(), given.to_owned(), problem.to_owned());
        self.remarks.push(Remark { field, given, problem });
    }

    async fn look(&mut self, role: Role, resource: &Resource) -> Result<LikeState, GenerationError> {
        let mut pull = None;
        let mut away = None;
        for (reference, by) in by_content(resource) {
            let reference = reference.to_string();
            match self.at(role, &reference).await? {
                Look::Here => return Ok(LikeState::Here { reference, by }),
                Look::NotLocal(version) => pull = pull.or(Some(version)),
                Look::Away(volume) => away = away.or(Some(volume)),
                Look::Nothing => {}
            }
        }
        if let Some(volume) = away {
            return Ok(LikeState::Away { volume });
        }
        if let Some(reference) = self.by_name(role, resource).await? {
            if by_content(resource).next().is_some() {
                let problem = "nothing here has its digest; a file of the same name is taken";
                self.remark(role.as_str(), &resource.name, problem);
            }
            return Ok(LikeState::Here { reference, by: FoundBy::Name });
        }
        // A hub is asked by number and digest alone.
        let pull = pull.or_else(|| by_content(resource).next().map(|(reference, _)| reference.to_string()));
        Ok(LikeState::Missing { pull })
    }

    /// What enlarges pictures; none if it is a network that nothing is known of.
    async fn upscaler(
        &mut self,
        upscaler: Upscaler<Resource>,
        models: &mut Vec<LikeModel>,
    ) -> Result<Option<Upscaler<String>>, GenerationError> {
        let resource = match upscaler {
            Upscaler::Pixels(scaling) => return Ok(Some(Upscaler::Pixels(scaling))),
            Upscaler::Network(resource) => resource,
        };
        let state = self.look(Role::Upscaler, &resource).await?;
        let found = Some(reference(&state, &resource)).filter(|reference| !reference.is_empty());
        if found.is_none() {
            self.remark("upscaler", &resource.name, "nothing is known of it; the picture is enlarged without it");
        }
        models.push(LikeModel { role: Role::Upscaler, resource, weight: 1.0, state });
        Ok(found.map(Upscaler::Network))
    }

    async fn at(&self, role: Role, reference: &str) -> Result<Look, GenerationError> {
        let found = match role {
            Role::Lora => {
                let lora = LoraUse { model: reference.to_owned(), weight: 1.0, text_encoder_weight: None };
                resolve::lora(self.resolver, &lora).await.map(drop)
            }
            Role::Vae => resolve::vae(self.resolver, reference).await.map(drop),
            Role::Upscaler => {
                let upscaler = Upscaler::Network(reference.to_owned());
                resolve::upscale(self.resolver, &Upscale { upscaler, scale: None }).await.map(drop)
            }
            Role::TextEncoder => resolve::text_encoder(self.resolver, reference).await.map(drop),
            Role::Model | Role::Embedding => resolve::model(self.resolver, reference).await.map(drop),
        };
        match found {
            Ok(()) => Ok(Look::Here),
            Err(GenerationError::NotLocal { model }) => Ok(Look::NotLocal(model)),
            Err(GenerationError::VolumeAway { volume, .. }) => Ok(Look::Away(volume)),
            Err(error) if matches!(error.class(), ErrorClass::NotFound | ErrorClass::InvalidInput) => Ok(Look::Nothing),
            Err(error) => Err(error),
        }
    }

    /// A file here of that name, or a model here of exactly that title.
    async fn by_name(&mut self, role: Role, resource: &Resource) -> Result<Option<String>, GenerationError> {
        if resource.name.is_empty() {
            return Ok(None);
        }
        let kind = match role {
            Role::Lora => ModelKind::Lora,
            Role::Vae => ModelKind::Vae,
            Role::Upscaler => ModelKind::Upscaler,
            Role::TextEncoder => ModelKind::TextEncoder,
            Role::Model | Role::Embedding => ModelKind::Checkpoint,
        };
        let names = self.resolver.catalogue.local_names(kind).await?;
        match resolve::called(&names, kind, &resource.name) {
            Ok(digest) => {
                let reference = digest.to_string();
                Ok(matches!(self.at(role, &reference).await?, Look::Here).then_some(reference))
            }
            Err(GenerationError::SeveralOfName { .. }) => {
                self.remark(role.as_str(), &resource.name, "several files here have that name, so none was chosen");
                Ok(None)
            }
            // What a recipe says must not be read as anything but a name, such as a path.
            Err(_) if matches!(resource.name.parse(), Ok(ModelRef::Name(_))) => {
                self.by_title(role, &resource.name).await
            }
            Err(_) => Ok(None),
        }
    }

    /// A textual inversion is said by its file's name in the prompt, so that nothing but its name counts.
    async fn embedding(&mut self, resource: &Resource) -> Result<LikeState, GenerationError> {
        let kind = ModelKind::TextualInversion;
        let names = self.resolver.catalogue.local_names(kind).await?;
        if let Ok(digest) = resolve::called(&names, kind, &resource.name) {
            let reference = digest.to_string();
            let is_same = resource.digests.iter().any(|digits| reference.starts_with(digits.as_str()));
            if !is_same && !resource.digests.is_empty() {
                let problem = "nothing here has its digest; a file of the same name is taken";
                self.remark("embedding", &resource.name, problem);
            }
            let by = if is_same { FoundBy::Digest } else { FoundBy::Name };
            return Ok(LikeState::Here { reference, by });
        }
        self.remark("embedding", &resource.name, "it is not here; its name is read as words");
        Ok(LikeState::Missing { pull: by_content(resource).next().map(|(reference, _)| reference.to_string()) })
    }

    async fn by_title(&self, role: Role, title: &str) -> Result<Option<String>, GenerationError> {
        let catalogue = &self.resolver.catalogue;
        let resolved = match catalogue.resolve(&ModelRef::Name(title.to_owned())).await {
            Ok(resolved) => resolved,
            Err(CatalogueError::ModelNotFound { .. } | CatalogueError::AmbiguousName { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let summary = catalogue.model(resolved.model).await?.summary;
        if summary.name.to_lowercase() != title.to_lowercase() {
            return Ok(None);
        }
        let reference = summary.reference.to_string();
        Ok(matches!(self.at(role, &reference).await?, Look::Here).then_some(reference))
    }
}
