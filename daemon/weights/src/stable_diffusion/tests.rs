//! The map against a real model in both namings, and against the real sizes of the family.

use super::*;
use crate::safetensors::Dtype;
use crate::test_files::{bytes_of, header_of, listing, made_of, tiny_parameters};
use sha2::{Digest, Sha256};

const TINY: &str = "tiny-model/tiny-emoji.safetensors";

/// SHA-256 over `name\ndtype\nAxB…\n` and the bytes of each tensor, in the order of names, of the diffusers folder
/// that diffusers itself wrote from the model the single file was made of.
const DIFFUSERS_CONTENT: [(Component, usize, &str); 3] = [
    (Component::TextEncoder, 68, "fde4ded27db4dca44c8e566e7bfff46b79a2e7f02ebac9dbb8855087ae610086"),
    (Component::Unet, 686, "6f911a54fbda4f7be85f86618860b052cf81e987400526ff69d67d22123569cd"),
    (Component::Vae, 200, "afdc40e3b48c34d954f0cf7138991692f7186363f65e7b66e7be70df24519f66"),
];

#[test]
fn the_single_file_makes_exactly_the_tensors_that_diffusers_wrote() {
    let file = bytes_of(TINY);
    let header = header_of(TINY);
    let recipes = diffusers_recipes(&header).unwrap();
    for (component, count, expected) in DIFFUSERS_CONTENT {
        let mut digest = Sha256::new();
        let mut tensors = 0;
        for ((_, canonical), recipe) in recipes.iter().filter(|((of, _), _)| *of == component) {
            let info = &header.tensors[&recipe.source];
            let shape = recipe.take.applied_to(&info.shape).unwrap();
            let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
            digest.update(format!("{canonical}\n{}\n{}\n", info.dtype, shape.join("x")));
            digest.update(&file[info.start as usize..info.end as usize]);
            tensors += 1;
        }
        let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((tensors, hex.as_str()), (count, expected), "{component}");
    }
}

#[test]
fn there_and_back_is_the_same_name_and_shape_for_every_weight_of_the_single_file() {
    let header = header_of(TINY);
    let recipes = diffusers_recipes(&header).unwrap();
    let levels = Levels::of_single_file(&header);
    assert_eq!(
        levels,
        Levels {
            unet_blocks_per_level: 2,
            unet_up_attention: vec![false, true, true, true],
            vae_levels: 3,
            unused_text_layer: None
        }
    );
    assert_eq!(levels, Levels::of_canonical(&canonical_shapes(&header, &recipes)));
    assert_eq!(recipes.len(), 954);
    let mut sources = std::collections::BTreeSet::new();
    for ((component, canonical), recipe) in &recipes {
        let (back, take) = ldm_name(*component, canonical, &levels).unwrap();
        assert_eq!(back, recipe.source);
        assert_eq!((take, recipe.take) == (Take::Whole, Take::Whole), take == Take::Whole);
        let shape = &header.tensors[&recipe.source].shape;
        assert_eq!(take.applied_to(&recipe.take.applied_to(shape).unwrap()).as_ref(), Some(shape));
        sources.insert(recipe.source.clone());
    }
    let left_out: Vec<_> = header.tensors.keys().filter(|name| !sources.contains(*name)).collect();
    assert_eq!(left_out, ["cond_stage_model.transformer.text_model.embeddings.position_ids"]);
}

/// The other way round at real size: every canonical name has one single-file name, and that leads back. The listing
/// of the text encoder is one without `text_model.`, as newer transformers has it in memory.
#[test]
fn the_real_sizes_go_there_and_back_too() {
    let mut parameters = Parameters::new();
    for (component, name) in
        [(Component::Unet, "sd1-unet"), (Component::Vae, "sd1-vae"), (Component::TextEncoder, "sd1-text-encoder")]
    {
        let header = listing(name, "");
        let recipes = component_recipes(component, &header).unwrap();
        assert_eq!(recipes.len(), header.tensors.len(), "{component}");
        parameters.extend(canonical_shapes(&header, &recipes));
    }
    assert_eq!(parameters.len(), 686 + 248 + 196);
    let levels = Levels::of_canonical(&parameters);
    assert_eq!(
        levels,
        Levels {
            unet_blocks_per_level: 2,
            unet_up_attention: vec![false, true, true, true],
            vae_levels: 4,
            unused_text_layer: None
        }
    );
    let single: Vec<(String, Vec<usize>)> = parameters
        .iter()
        .map(|((component, name), shape)| {
            let (single, take) = ldm_name(*component, name, &levels).unwrap_or_else(|| panic!("{name}"));
            (single, take.applied_to(shape).unwrap())
        })
        .collect();
    let single = made_of(single.iter().map(|(name, shape)| (name.as_str(), shape.clone())));
    assert_eq!(single.tensors.len(), parameters.len());
    for expected in [
        "model.diffusion_model.output_blocks.8.2.conv.weight",
        "model.diffusion_model.output_blocks.2.1.conv.weight",
        "model.diffusion_model.input_blocks.9.0.op.weight",
        "first_stage_model.decoder.up.3.upsample.conv.weight",
        "first_stage_model.encoder.mid.attn_1.proj_out.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc2.weight",
    ] {
        assert!(single.tensors.contains_key(expected), "{expected}");
    }
    assert_eq!(single.tensors["first_stage_model.encoder.mid.attn_1.q.weight"].shape, [512, 512, 1, 1]);
    let back = canonical_shapes(&single, &diffusers_recipes(&single).unwrap());
    assert_eq!(back, parameters);
}

#[test]
fn sizes_are_read_off_the_tiny_model() {
    let parameters = tiny_parameters();
    let part = |component| Part { parameters: &parameters, component };
    let unet = UnetDims::from_tensors(&part(Component::Unet)).unwrap();
    assert_eq!(
        unet,
        UnetDims {
            in_channels: 4,
            out_channels: 4,
            block_out_channels: vec![32, 64, 96, 96],
            layers_per_block: 2,
            down_depth: vec![vec![1; 2], vec![1; 2], vec![1; 2], vec![0; 2]],
            up_depth: vec![vec![0; 3], vec![1; 3], vec![1; 3], vec![1; 3]],
            middle: Middle::Attention { depth: 1 },
            cross_attention_dim: 128,
            use_linear_projection: false,
            time_embed_dim: 128,
            added_inputs: None,
        }
    );
    let vae = VaeDims::from_tensors(&part(Component::Vae)).unwrap();
    assert_eq!(vae.block_out_channels, [32, 64, 64]);
    assert_eq!((vae.scale_factor(), vae.latent_channels, vae.layers_per_block), (4, 4, 2));
    assert!(vae.quant_conv && vae.encoder);
    let clip = ClipDims::from_tensors(&part(Component::TextEncoder)).unwrap();
    assert_eq!(
        clip,
        ClipDims { vocabulary: 2000, positions: 77, width: 128, mlp_width: 512, layers: 4, projected: None }
    );
}

#[test]
fn sizes_are_read_off_the_real_ones() {
    let unet = UnetDims::from_tensors(&listing("sd1-unet", "")).unwrap();
    assert_eq!(unet.block_out_channels, [320, 640, 1280, 1280]);
    assert_eq!((unet.cross_attention_dim, unet.time_embed_dim, unet.use_linear_projection), (768, 1280, false));
    assert_eq!(UnetDims::from_tensors(&listing("sd1-inpainting-unet", "")).unwrap().in_channels, 9);
    let sd2 = UnetDims::from_tensors(&listing("sd2-unet", "")).unwrap();
    assert_eq!((sd2.cross_attention_dim, sd2.use_linear_projection), (1024, true));
    let sdxl = UnetDims::from_tensors(&listing("sdxl-unet", "")).unwrap();
    assert_eq!(sdxl.down_depth, [[0, 0], [2, 2], [10, 10]]);
    assert_eq!((sdxl.middle, sdxl.added_inputs), (Middle::Attention { depth: 10 }, Some(2816)));
    let refiner = UnetDims::from_tensors(&listing("sdxl-refiner-unet", "")).unwrap();
    assert_eq!((refiner.block_out_channels[0], refiner.added_inputs), (384, Some(2560)));
    let vae = VaeDims::from_tensors(&listing("sd1-vae", "")).unwrap();
    assert_eq!((vae.block_out_channels.as_slice(), vae.scale_factor()), (&[128, 256, 512, 512][..], 8));
    let clip = ClipDims::from_tensors(&listing("sdxl-text-encoder-juggernaut", "")).unwrap();
    assert_eq!(
        clip,
        ClipDims { vocabulary: 49408, positions: 77, width: 768, mlp_width: 3072, layers: 12, projected: None }
    );
}

#[test]
fn missing_and_odd_tensors_are_named() {
    let mut header = listing("sd1-unet", "");
    header.tensors.remove("conv_out.weight");
    assert_eq!(UnetDims::from_tensors(&header), Err(DimsError::Missing { tensor: "conv_out.weight".to_owned() }));
    let flat = made_of([("conv_in.weight", vec![320, 4])]);
    assert!(matches!(UnetDims::from_tensors(&flat), Err(DimsError::WrongRank { wanted_rank: 4, .. })));
    let empty = made_of([("conv_in.weight", vec![0, 4, 3, 3])]);
    assert!(matches!(UnetDims::from_tensors(&empty), Err(DimsError::Zero { .. })));
}

#[test]
fn old_text_encoders_lack_the_inner_prefix() {
    let header = made_of([
        ("cond_stage_model.transformer.final_layer_norm.weight", vec![768]),
        ("cond_stage_model.transformer.encoder.layers.0.mlp.fc1.bias", vec![3072]),
        ("cond_stage_model.transformer.embeddings.position_ids", vec![1, 77]),
    ]);
    let recipes = diffusers_recipes(&header).unwrap();
    let names: Vec<_> = recipes.keys().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["text_model.encoder.layers.0.mlp.fc1.bias", "text_model.final_layer_norm.weight"]);
}

#[test]
fn the_vae_attention_of_older_folders_gets_todays_names() {
    let header = made_of([
        ("decoder.mid_block.attentions.0.query.weight", vec![512, 512]),
        ("decoder.mid_block.attentions.0.proj_attn.weight", vec![512, 512, 1, 1]),
        ("decoder.mid_block.attentions.0.group_norm.bias", vec![512]),
    ]);
    let recipes = component_recipes(Component::Vae, &header).unwrap();
    let shapes = canonical_shapes(&header, &recipes);
    let shape = |name: &str| shapes.get(&(Component::Vae, format!("decoder.mid_block.attentions.0.{name}"))).cloned();
    assert_eq!(shape("to_q.weight"), Some(vec![512, 512]));
    assert_eq!(shape("to_out.0.weight"), Some(vec![512, 512]));
    assert_eq!(shape("group_norm.bias"), Some(vec![512]));
}

#[test]
fn training_leftovers_are_left_out_and_strangers_are_refused() {
    let mut header = header_of(TINY);
    let stray = |shape: Vec<usize>| crate::TensorInfo { dtype: Dtype::F32, shape, start: 0, end: 0 };
    for name in
        ["model_ema.decay", "betas", "alphas_cumprod", "first_stage_model.loss.logvar", "cond_stage_model.logit_scale"]
    {
        header.tensors.insert(name.to_owned(), stray(vec![1]));
    }
    assert_eq!(diffusers_recipes(&header).unwrap().len(), 954);
    let stranger = "model.diffusion_model.motion_modules.0.weight";
    header.tensors.insert(stranger.to_owned(), stray(vec![1280, 2816]));
    let error = diffusers_recipes(&header).unwrap_err();
    assert!(matches!(&error, NameError::NoPlace { component: Component::Unet, tensor } if tensor == stranger));
    assert_eq!(error.reason(), reason::UNSUPPORTED_ARCHITECTURE);
}

#[test]
fn names_that_contradict_each_other_are_refused() {
    let both = made_of([
        ("cond_stage_model.transformer.final_layer_norm.weight", vec![768]),
        ("cond_stage_model.transformer.text_model.final_layer_norm.weight", vec![768]),
    ]);
    assert!(matches!(diffusers_recipes(&both).unwrap_err(), NameError::Ambiguous { .. }));
    let odd = made_of([("first_stage_model.encoder.mid.attn_1.q.weight", vec![512, 512, 3, 3])]);
    assert!(matches!(diffusers_recipes(&odd).unwrap_err(), NameError::WrongShape { .. }));
    assert!(matches!(diffusers_recipes(&made_of([])).unwrap_err(), NameError::NoComponent));
    for index in ["01", "99999", "-1", "", "1x"] {
        let name = format!("model.diffusion_model.input_blocks.{index}.0.in_layers.0.weight");
        let header = made_of([(name.as_str(), vec![320])]);
        assert!(matches!(diffusers_recipes(&header).unwrap_err(), NameError::NoPlace { .. }), "{index}");
    }
}

/// A row of `tests/goldens/families.json`: canonical name and shape, name in the single file and how it stands there.
type Row = (String, Vec<usize>, String, String);

#[derive(serde::Deserialize)]
struct Family {
    name: String,
    tensors: BTreeMap<String, Vec<Row>>,
    unused: BTreeMap<String, Vec<usize>>,
    markers: Vec<String>,
}

/// The names of single files in these listings were proved by diffusers' converters.
#[test]
fn the_single_files_of_every_family_make_the_tensors_of_its_folders() {
    let path = crate::test_files::fixture("../goldens/families.json");
    let families: Vec<Family> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(families.len(), 6);
    for family in families {
        let mut single: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut wanted = Parameters::new();
        for (component, rows) in &family.tensors {
            let component = Component::ALL.into_iter().find(|known| known.as_str() == component).unwrap();
            for (canonical, shape, source, how) in rows {
                wanted.insert((component, canonical.clone()), shape.clone());
                let mut stored = shape.clone();
                match how.as_str() {
                    "whole" => {}
                    "transpose" => stored.reverse(),
                    "unsqueeze" => stored.extend([1, 1]),
                    "rows 0" | "rows 1" | "rows 2" => stored[0] *= 3,
                    other => panic!("{other}"),
                }
                single.insert(source, stored);
            }
        }
        single.extend(family.unused.iter().map(|(name, shape)| (name.as_str(), shape.clone())));
        let markers: Vec<String> = family.markers.iter().map(|name| format!("model.diffusion_model.{name}")).collect();
        single.extend(markers.iter().map(|name| (name.as_str(), vec![0])));
        let header = made_of(single);
        let recipes = diffusers_recipes(&header).unwrap();
        assert_eq!(canonical_shapes(&header, &recipes), wanted, "{}", family.name);
        let levels = Levels::of_single_file(&header);
        for ((component, canonical), recipe) in
            recipes.iter().filter(|((component, _), _)| *component == Component::Unet)
        {
            assert_eq!(ldm_name(*component, canonical, &levels).unwrap(), (recipe.source.clone(), Take::Whole));
        }
    }
}
