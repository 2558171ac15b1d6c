//! Networks in files of their own, as ComfyUI's folders `diffusion_models` and `text_encoders` hold them: a UNet without the
//! rest of its model, and text encoders that may be any model's.
//!
//! Names: Comfy-Org/ComfyUI `comfy/sd.py` at a125cd84, `load_diffusion_model_state_dict` and
//! `load_text_encoder_state_dicts`, which takes encoders in transformers' and in OpenCLIP's names, a projection called
//! `text_projection` being one that is turned around.

use super::clip_names;
use super::open_clip_names;
use super::unet_names::{self, Layout};
use super::{Component, Levels, NameError, Named, Recipe, Recipes, Take, UNET_PREFIX, insert};
use crate::safetensors::Header;
use crate::shapes::TensorShapes;
use std::collections::{BTreeMap, BTreeSet};

/// What may precede the names of a UNet alone.
const UNET_PREFIXES: [&str; 3] = [UNET_PREFIX, "diffusion_model.", ""];
/// What a text encoder's table of tokens is called behind whatever precedes its names.
const TOKENS: &str = "token_embedding.weight";
const PROJECTION: &str = "text_projection.weight";
/// Layers of 2.x's text encoder, the last of which is never asked for its states.
const SD2_LAYERS: usize = 24;

/// Recipes for the UNet of a file that holds no whole model: in LDM's names with or without what precedes them, or in
/// diffusers'.
///
/// # Errors
/// [`NameError::NoComponent`] when the file holds no UNet, the others when it contradicts itself.
pub fn unet_recipes(header: &Header) -> Result<Recipes, NameError> {
    let starts = |prefix: &&&str| header.tensors.contains_key(&format!("{prefix}input_blocks.0.0.weight"));
    let mut recipes = Recipes::new();
    if let Some(prefix) = UNET_PREFIXES.iter().find(starts) {
        let Layout { blocks_per_level, up_attention } = Layout::behind(prefix, header);
        let levels = Levels {
            unet_blocks_per_level: blocks_per_level,
            unet_up_attention: up_attention,
            ..Levels::of_single_file(header)
        };
        for (source, info) in &header.tensors {
            let Some(local) = source.strip_prefix(*prefix) else { continue };
            let named = unet_names::canonical(local, &levels);
            insert(&mut recipes, Component::Unet, source, &info.shape, named)?;
        }
    } else if header.tensors.contains_key("down_blocks.0.resnets.0.conv1.weight") {
        recipes = super::component_recipes(Component::Unet, header)?;
    }
    if recipes.is_empty() { Err(NameError::NoComponent) } else { Ok(recipes) }
}

/// A text encoder of a file, whichever of a model's it is going to be.
#[derive(Debug, Clone, PartialEq)]
pub struct LoneEncoder {
    /// By canonical name, the projection included.
    names: BTreeMap<String, Recipe>,
    shapes: BTreeMap<String, Vec<usize>>,
    /// Whether single files of 2.x have it so, which have a layer more than is used.
    is_open_clip: bool,
}

impl TensorShapes for LoneEncoder {
    fn shape_of(&self, name: &str) -> Option<&[usize]> {
        self.shapes.shape_of(name)
    }
}

impl LoneEncoder {
    /// The recipes of it as this one of a model's encoders. In 2.x the layer that nothing uses is left out, and only XL's
    /// second encoder is asked for its projection.
    #[must_use]
    pub fn recipes(self, component: Component, is_of_sd2: bool) -> Recipes {
        let layers = (0..).take_while(|layer| self.has_layer(*layer)).count();
        let has_unused = is_of_sd2 && (layers == SD2_LAYERS || (self.is_open_clip && layers + 1 != SD2_LAYERS));
        let unused = has_unused.then(|| format!("{}.", layer_name(layers.saturating_sub(1))));
        let is_used = |name: &str| {
            (component == Component::TextEncoder2 || name != PROJECTION)
                && unused.as_ref().is_none_or(|unused| !name.starts_with(unused.as_str()))
        };
        let used = self.names.into_iter().filter(|(name, _)| is_used(name));
        used.map(|(name, recipe)| ((component, name), recipe)).collect()
    }

    fn has_layer(&self, layer: usize) -> bool {
        self.shapes.contains_key(&format!("{}.self_attn.q_proj.weight", layer_name(layer)))
    }
}

fn layer_name(layer: usize) -> String {
    format!("text_model.encoder.layers.{layer}")
}

/// Every text encoder that a file holds, behind whatever precedes its names: alone, beside others, or in a whole model.
///
/// # Errors
/// When two tensors claim to be the same one, or one has a shape that it cannot have.
pub fn lone_encoders(header: &Header) -> Result<Vec<LoneEncoder>, NameError> {
    let mut found = Vec::new();
    let roots: BTreeSet<(&str, bool)> = header.tensors.keys().filter_map(|name| root(name, header)).collect();
    for (root, is_open_clip) in roots {
        let mut recipes = Recipes::new();
        for (source, info) in &header.tensors {
            let Some(local) = source.strip_prefix(root) else { continue };
            // The projection is kept until it is known whose it is.
            let named = match local {
                PROJECTION => Named::one(PROJECTION.to_owned(), Take::Whole),
                "text_projection" => Named::one(PROJECTION.to_owned(), Take::Transpose),
                _ if is_open_clip => open_clip_names::canonical(local, Component::TextEncoder2, None),
                _ => clip_names::canonical(local, Component::TextEncoder2),
            };
            // Other things stand behind an empty beginning, too.
            if !matches!(named, Named::NoPlace) {
                insert(&mut recipes, Component::TextEncoder2, source, &info.shape, named)?;
            }
        }
        let shapes = super::canonical_shapes(header, &recipes);
        let named = |(key, value): ((Component, String), Recipe)| (key.1, value);
        let names = recipes.into_iter().map(named).collect();
        let shapes = shapes.into_iter().map(|((_, name), shape)| (name, shape)).collect();
        found.push(LoneEncoder { names, shapes, is_open_clip });
    }
    Ok(found)
}

/// What precedes the names of the text encoder that this is the table of tokens of, and whether they are OpenCLIP's.
fn root<'a>(name: &'a str, header: &Header) -> Option<(&'a str, bool)> {
    let before = name.strip_suffix(TOKENS)?;
    let has = |root: &str, local: &str| header.tensors.contains_key(&format!("{root}{local}"));
    if let Some(inside) = before.strip_suffix("embeddings.") {
        let root = inside.strip_suffix("text_model.").unwrap_or(inside);
        return has(inside, "encoder.layers.0.self_attn.q_proj.weight").then_some((root, false));
    }
    has(before, "transformer.resblocks.0.ln_1.weight").then_some((before, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stable_diffusion::ClipDims;
    use crate::test_files::{header_of, listing, made_of};

    #[test]
    fn the_encoder_of_a_whole_model_is_found_in_it_and_alone_in_every_name() {
        let whole = header_of("tiny-model/tiny-emoji.safetensors");
        let [encoder] = &lone_encoders(&whole).unwrap()[..] else { panic!() };
        let dims = ClipDims::from_tensors(encoder).unwrap();
        assert_eq!((dims.vocabulary, dims.width), (2000, 128));
        let inside = |name: &String| name.strip_prefix("cond_stage_model.transformer.").map(str::to_owned);
        let mut canonical = Vec::new();
        for prefix in ["", "text_encoders.clip_l.transformer."] {
            let mut alone = Header::default();
            for (name, info) in &whole.tensors {
                if let Some(local) = inside(name) {
                    alone.tensors.insert(format!("{prefix}{local}"), info.clone());
                }
            }
            let [encoder] = <[LoneEncoder; 1]>::try_from(lone_encoders(&alone).unwrap()).unwrap();
            canonical.push(encoder.recipes(Component::TextEncoder, false).into_keys().collect::<Vec<_>>());
        }
        assert_eq!(canonical[0], canonical[1]);
        let of_whole = super::super::diffusers_recipes(&whole).unwrap();
        let of_whole: Vec<_> = of_whole.into_keys().filter(|(of, _)| *of == Component::TextEncoder).collect();
        assert_eq!(canonical[0], of_whole);
    }

    #[test]
    fn a_layer_that_2_x_never_uses_is_left_out_and_a_projection_that_only_xl_uses() {
        let tensors = |layers: usize| {
            let mut names =
                vec![("token_embedding.weight".to_owned(), vec![8, 4]), ("text_projection".to_owned(), vec![4, 6])];
            for layer in 0..layers {
                let at = format!("transformer.resblocks.{layer}");
                names.push((format!("{at}.ln_1.weight"), vec![4]));
                names.push((format!("{at}.attn.in_proj_weight"), vec![12, 4]));
            }
            names
        };
        for (layers, is_of_sd2, component, wanted) in [
            (24, true, Component::TextEncoder, 23),
            (23, true, Component::TextEncoder, 23),
            (24, false, Component::TextEncoder2, 24),
        ] {
            let names = tensors(layers);
            let header = made_of(names.iter().map(|(name, shape)| (name.as_str(), shape.clone())));
            let encoder = lone_encoders(&header).unwrap().remove(0);
            let recipes = encoder.recipes(component, is_of_sd2);
            let kept = recipes.keys().filter(|(_, name)| name.ends_with("q_proj.weight")).count();
            assert_eq!(kept, wanted, "{layers} {is_of_sd2}");
            let projection = recipes.get(&(component, PROJECTION.to_owned()));
            assert_eq!(projection.map(|recipe| recipe.take), (wanted == 24).then_some(Take::Transpose));
        }
    }

    #[test]
    fn a_unet_is_read_behind_every_beginning_and_other_files_hold_none() {
        let whole = header_of("tiny-model/tiny-emoji.safetensors");
        let wanted = super::super::diffusers_recipes(&whole).unwrap();
        let wanted: Vec<_> = wanted.into_keys().filter(|(of, _)| *of == Component::Unet).collect();
        for prefix in UNET_PREFIXES {
            let mut alone = Header::default();
            for (name, info) in &whole.tensors {
                if let Some(local) = name.strip_prefix(UNET_PREFIX) {
                    alone.tensors.insert(format!("{prefix}{local}"), info.clone());
                }
            }
            assert_eq!(unet_recipes(&alone).unwrap().into_keys().collect::<Vec<_>>(), wanted, "{prefix}");
        }
        let diffusers = listing("sd1-unet", "");
        assert!(unet_recipes(&diffusers).unwrap().len() > 600);
        let lora = header_of("tiny-model/lora/greyscale.safetensors");
        assert!(matches!(unet_recipes(&lora), Err(NameError::NoComponent)));
        assert_eq!(lone_encoders(&lora).unwrap(), []);
    }
}
