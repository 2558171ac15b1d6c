//! Real listings and real architectures, each under the prefixes it is handed out with.

use super::*;
use crate::gguf;
use crate::inspect;
use crate::safetensors::{Dtype, Header};
use crate::test_files::{bytes_of, fixture, header_of, listing, made_of};
use paintbox_domain::FileFormat;
use proptest::prelude::*;

fn detected(header: &Header) -> Detected {
    detect(&Listing::of_safetensors(header))
}

/// Kind and architecture, and the family where there is one.
fn what(header: &Header) -> (ModelKind, Architecture, Option<&'static str>) {
    let detected = detected(header);
    (detected.kind, detected.architecture, detected.family)
}

fn highest_rank(detected: &Detected) -> Option<u32> {
    detected.lora.as_ref()?.ranks.map(|(_, highest)| highest)
}

fn join(headers: impl IntoIterator<Item = Header>) -> Header {
    let mut all = Header::default();
    for header in headers {
        all.tensors.extend(header.tensors);
    }
    all
}

#[test]
fn the_tiny_checkpoint_is_sd1_by_its_structure() {
    let mut file = std::fs::File::open(fixture("tiny-model/tiny-emoji.safetensors")).unwrap();
    let inspection = inspect(&mut file, 16_138_214).unwrap();
    assert_eq!(inspection.format, FileFormat::Safetensors);
    assert_eq!(
        inspection.detected,
        Detected {
            kind: ModelKind::Checkpoint,
            architecture: Architecture::Sd1,
            family: None,
            variant: None,
            precision: Some("fp16"),
            quantisation: None,
            parameters: 8_006_507,
            lora: None,
            prediction: Prediction::default(),
            title: Some("tiny-emoji".to_owned()),
            resolution: Some((64, 64)),
            in_channels: Some(4),
            latent_channels: None,
            serves: &[],
            has_text_encoder: true,
            has_vae: true,
            declared: inspection.detected.declared.clone(),
        }
    );
}

#[test]
fn the_tiny_adapters_are_for_sd1_or_undecided() {
    let kohya = detected(&header_of("tiny-model/lora/greyscale.safetensors"));
    assert_eq!((kohya.kind, kohya.architecture, highest_rank(&kohya)), (ModelKind::Lora, Architecture::Sd1, Some(4)));
    assert_eq!((kohya.title.as_deref(), kohya.resolution), (Some("greyscale"), Some((64, 64))));
    assert!(!kohya.has_text_encoder && !kohya.has_vae);
    let peft = detected(&header_of("tiny-model/lora/greyscale-diffusers.safetensors"));
    assert_eq!((peft.kind, peft.architecture, highest_rank(&peft)), (ModelKind::Lora, Architecture::Sd1, Some(4)));
    assert!(!peft.has_text_encoder);
    let lantern = detected(&header_of("tiny-model/embedding/lantern.safetensors"));
    assert_eq!((lantern.kind, lantern.architecture), (ModelKind::TextualInversion, Architecture::Unknown));
    assert_eq!(lantern.title.as_deref(), Some("lantern"));
}

#[test]
fn the_tiny_models_parts_alone_are_told_apart() {
    let tiny = header_of("tiny-model/tiny-emoji.safetensors");
    let recipes = crate::stable_diffusion::diffusers_recipes(&tiny).unwrap();
    let shapes = crate::stable_diffusion::canonical_shapes(&tiny, &recipes);
    let part = |wanted| {
        made_of(
            shapes
                .iter()
                .filter(|((component, _), _)| *component == wanted)
                .map(|((_, name), shape)| (name.as_str(), shape.clone())),
        )
    };
    assert_eq!(what(&part(crate::stable_diffusion::Component::Unet)), (ModelKind::Network, Architecture::Sd1, None));
    assert_eq!(what(&part(crate::stable_diffusion::Component::Vae)), (ModelKind::Vae, Architecture::Unknown, None));
    let encoder = part(crate::stable_diffusion::Component::TextEncoder);
    assert_eq!(what(&encoder), (ModelKind::TextEncoder, Architecture::Unknown, Some("CLIP")));
}

#[test]
fn unets_of_the_real_families_are_told_apart() {
    for (name, architecture, family, channels) in [
        ("sd1-unet", Architecture::Sd1, None, 4),
        ("sd1-inpainting-unet", Architecture::Sd1, None, 9),
        ("sd2-unet", Architecture::Sd2, None, 4),
        ("sdxl-unet", Architecture::Sdxl, None, 4),
        ("sdxl-refiner-unet", Architecture::SdxlRefiner, None, 4),
        ("x4-upscaler-unet", Architecture::SdX4Upscaler, None, 7),
        ("kolors-unet", Architecture::Kolors, None, 4),
    ] {
        for prefix in ["", "unet.", "diffusion_model."] {
            let found = detected(&listing(name, prefix));
            assert_eq!(
                (found.kind, found.architecture, found.family, found.in_channels),
                (ModelKind::Network, architecture, family, Some(channels)),
                "{prefix}{name}"
            );
        }
    }
}

#[test]
fn transformers_are_refused_by_name_or_known() {
    for (name, architecture, family) in [
        ("flux1-dev-transformer", Architecture::Flux1, None),
        ("flux2-transformer", Architecture::Flux2, None),
        ("chroma-transformer", Architecture::Chroma, None),
        ("sd3-transformer", Architecture::Sd3, None),
        ("lumina2-transformer", Architecture::Lumina2, None),
        ("z-image-transformer", Architecture::ZImage, None),
        ("qwen-image-transformer", Architecture::QwenImage, None),
        ("pixart-sigma-transformer", Architecture::PixArt, None),
        ("wan-transformer", Architecture::Wan, None),
        ("stable-cascade-decoder", Architecture::StableCascade, None),
        ("stable-cascade-prior", Architecture::StableCascade, None),
        ("hunyuan-dit-transformer", Architecture::HunyuanDit, None),
        ("mochi-transformer", Architecture::Mochi, None),
    ] {
        for prefix in ["", "model.diffusion_model."] {
            assert_eq!(what(&listing(name, prefix)), (ModelKind::Network, architecture, family), "{prefix}{name}");
        }
    }
}

/// Names of the original repositories, cut to the tensors that decide.
#[test]
fn transformers_in_their_original_names_are_known_too() {
    let flux = [
        ("double_blocks.0.img_attn.norm.key_norm.scale", vec![128]),
        ("img_in.weight", vec![3072, 64]),
        ("txt_in.weight", vec![3072, 4096]),
        ("vector_in.in_layer.weight", vec![3072, 768]),
    ];
    assert_eq!(what(&made_of(flux.clone())), (ModelKind::Network, Architecture::Flux1, None));
    let with = |more: Vec<(&'static str, Vec<usize>)>, without: &[&str]| {
        made_of(flux.iter().cloned().chain(more).filter(|(name, _)| !without.contains(name)))
    };
    let chroma =
        with(vec![("distilled_guidance_layer.in_proj.weight", vec![5120, 64])], &["vector_in.in_layer.weight"]);
    assert_eq!(what(&chroma).1, Architecture::Chroma);
    // Marks of two families at once are neither.
    let mixed = with(vec![("double_stream_modulation_img.lin.weight", vec![36864, 6144])], &[]);
    assert_eq!(what(&mixed).1, Architecture::Unknown);
    let flux2 = made_of([
        ("double_stream_modulation_img.lin.weight", vec![36864, 6144]),
        ("single_stream_modulation.lin.weight", vec![18432, 6144]),
        ("img_in.weight", vec![6144, 128]),
    ]);
    assert_eq!(what(&flux2), (ModelKind::Network, Architecture::Flux2, None));
    let ovis = made_of([
        ("double_blocks.0.img_attn.norm.key_norm.weight", vec![128]),
        ("double_blocks.0.img_mlp.gate_proj.weight", vec![12288, 3072]),
        ("txt_in.weight", vec![3072, 2048]),
    ]);
    assert_eq!(what(&ovis), (ModelKind::Network, Architecture::OvisImage, None));
    let stranger = with(vec![], &["vector_in.in_layer.weight"]);
    assert_eq!(what(&stranger).1, Architecture::Unknown);

    let sd3 = [
        ("joint_blocks.0.context_block.adaLN_modulation.1.bias", vec![9216]),
        ("joint_blocks.0.x_block.attn.qkv.bias", vec![4608]),
        ("x_embedder.proj.weight", vec![1536, 16, 2, 2]),
    ];
    assert_eq!(what(&made_of(sd3)).1, Architecture::Sd3);
    let next = |width: usize, states: usize| {
        [
            ("cap_embedder.1.weight", vec![width, states]),
            ("noise_refiner.0.attention.k_norm.weight", vec![128]),
            ("layers.0.attention.qkv.weight", vec![3 * width, width]),
        ]
    };
    let z_image = next(3840, 2560).into_iter().chain([("cap_pad_token", vec![1, 3840])]);
    assert_eq!(what(&made_of(z_image.clone())).1, Architecture::ZImage);
    // Ming-Image has all of it but the token, or a mark beside it.
    assert_eq!(what(&made_of(next(3840, 2560))).1, Architecture::Unknown);
    let marked = made_of(z_image.chain([("__ming_image__", vec![0])]));
    assert_eq!(what(&marked), (ModelKind::Network, Architecture::Unknown, Some("Ming Image")));
    let next = |width, states| what(&made_of(next(width, states)));
    assert_eq!(next(2304, 2304).1, Architecture::Lumina2);
    assert_eq!(next(2304, 2560), (ModelKind::Network, Architecture::Unknown, Some("a relative of Lumina 2")));
}

/// LDM names at real size, made of the diffusers listings by the map that the tiny model proves.
fn real_single_file() -> Header {
    let mut parameters = crate::stable_diffusion::Parameters::new();
    for (component, name) in [
        (crate::stable_diffusion::Component::Unet, "sd1-unet"),
        (crate::stable_diffusion::Component::Vae, "sd1-vae"),
        (crate::stable_diffusion::Component::TextEncoder, "sd1-text-encoder"),
    ] {
        let header = listing(name, "");
        let recipes = crate::stable_diffusion::component_recipes(component, &header).unwrap();
        parameters.extend(crate::stable_diffusion::canonical_shapes(&header, &recipes));
    }
    let levels = crate::stable_diffusion::Levels::of_canonical(&parameters);
    let tensors: Vec<_> = parameters
        .iter()
        .map(|((component, name), shape)| {
            let (single, take) = crate::stable_diffusion::ldm_name(*component, name, &levels).unwrap();
            (single, take.applied_to(shape).unwrap())
        })
        .collect();
    made_of(tensors.iter().map(|(name, shape)| (name.as_str(), shape.clone())))
}

#[test]
fn a_real_checkpoint_is_known_whole_and_without_its_parts() {
    let whole = real_single_file();
    let found = detected(&whole);
    assert_eq!((found.kind, found.architecture), (ModelKind::Checkpoint, Architecture::Sd1));
    assert!(found.has_text_encoder && found.has_vae);
    assert_eq!(found.parameters, 859_520_964 + 83_653_863 + 123_060_480);
    let without = |prefix: &str| {
        let mut header = whole.clone();
        header.tensors.retain(|name, _| !name.starts_with(prefix));
        header
    };
    let no_vae = detected(&without("first_stage_model."));
    assert_eq!((no_vae.kind, no_vae.architecture, no_vae.has_vae), (ModelKind::Checkpoint, Architecture::Sd1, false));
    let no_encoder = detected(&without("cond_stage_model."));
    assert!(!no_encoder.has_text_encoder && no_encoder.architecture == Architecture::Sd1);
    let mut bare = without("cond_stage_model.");
    bare.tensors.retain(|name, _| name.starts_with("model.diffusion_model."));
    assert_eq!(what(&bare), (ModelKind::Network, Architecture::Sd1, None));
    assert_eq!(what(&without("model.diffusion_model.")).0, ModelKind::Vae);
}

/// The same UNet with what other families add or change.
#[test]
fn what_is_nearly_sd1_is_not_called_sd1() {
    let changed = |change: &dyn Fn(&mut Header)| {
        let mut header = real_single_file();
        change(&mut header);
        what(&header)
    };
    let tensor = |shape: Vec<usize>| crate::TensorInfo { dtype: Dtype::F16, shape, start: 0, end: 0 };
    // XL's added embedding on a network that is otherwise not XL.
    let odd = changed(&|header| {
        header.tensors.insert("model.diffusion_model.label_emb.0.0.weight".to_owned(), tensor(vec![1280, 2816]));
    });
    assert_eq!(odd.1, Architecture::Unknown);
    // Text states of another width, as LDM's first text-to-image model has.
    let wide = changed(&|header| {
        for (name, info) in &mut header.tensors {
            if name.contains("attn2.to_k") || name.contains("attn2.to_v") {
                info.shape[1] = 1280;
            }
        }
    });
    assert_eq!(wide.1, Architecture::Unknown);
    // Another text encoder in CLIP's place.
    let other = changed(&|header| {
        header.tensors.retain(|name, _| !name.starts_with("cond_stage_model."));
        header.tensors.insert(
            "cond_stage_model.roberta.encoder.layer.0.output.dense.weight".to_owned(),
            tensor(vec![1024, 4096]),
        );
    });
    assert_eq!(
        other,
        (ModelKind::Checkpoint, Architecture::Unknown, Some("a UNet with a text encoder other than CLIP"))
    );
    let video = changed(&|header| {
        header.tensors.insert(
            "model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight".to_owned(),
            tensor(vec![320]),
        );
    });
    assert_eq!(video.1, Architecture::Unknown);
}

/// The deciding tensors of the other LDM families; `tests/detection` has them whole.
#[test]
fn the_other_ldm_families_are_known_by_width_added_embedding_and_depth() {
    let ldm = |(channels, context): (usize, usize),
               adm: Option<usize>,
               linear: bool,
               tower: &str,
               depths: &[usize],
               middle| {
        let network = |name: &str| format!("model.diffusion_model.{name}");
        let projection = if linear { vec![channels, channels] } else { vec![channels, channels, 1, 1] };
        let mut tensors = vec![
            (network("input_blocks.0.0.weight"), vec![channels, 4, 3, 3]),
            (network("time_embed.0.weight"), vec![4 * channels, channels]),
            (network("output_blocks.0.0.in_layers.2.weight"), vec![channels, channels, 3, 3]),
            (tower.to_owned(), vec![context, context]),
        ];
        tensors.extend(adm.map(|adm| (network("label_emb.0.0.weight"), vec![4 * channels, adm])));
        let mut attend = |place: String, depth: usize| {
            for block in 0..depth {
                let key = format!("{place}.transformer_blocks.{block}.attn2.to_k.weight");
                tensors.push((network(&key), vec![channels, context]));
            }
            tensors.push((network(&format!("{place}.proj_in.weight")), projection.clone()));
        };
        for (level, depth) in depths.iter().enumerate() {
            attend(format!("input_blocks.{}.1", 3 * level + 1), *depth);
        }
        attend("middle_block.1".to_owned(), middle);
        for index in 1..3 * depths.len() {
            let leaf = if index % 3 == 0 { "0.op.weight" } else { "0.in_layers.2.weight" };
            tensors.push((network(&format!("input_blocks.{index}.{leaf}")), vec![channels, channels, 3, 3]));
        }
        what(&made_of(tensors.iter().map(|(name, shape)| (name.as_str(), shape.clone()))))
    };
    let open_clip = "cond_stage_model.model.transformer.resblocks.0.attn.out_proj.weight";
    let two = "conditioner.embedders.1.model.transformer.resblocks.0.attn.out_proj.weight";
    let refiner = "conditioner.embedders.0.model.transformer.resblocks.0.attn.out_proj.weight";
    let checkpoint = |architecture| (ModelKind::Checkpoint, architecture, None);
    let flat = &[1, 1, 1, 0];
    assert_eq!(ldm((320, 1024), None, true, open_clip, flat, 1), checkpoint(Architecture::Sd2));
    assert_eq!(ldm((320, 1024), Some(1536), true, open_clip, flat, 1), checkpoint(Architecture::Sd2Unclip));
    assert_eq!(ldm((320, 1024), Some(1500), true, open_clip, flat, 1).1, Architecture::Unknown);
    assert_eq!(ldm((320, 1024), None, false, open_clip, flat, 1).1, Architecture::Unknown);
    assert_eq!(ldm((64, 128), None, true, open_clip, flat, 1), checkpoint(Architecture::Sd2));
    assert_eq!(ldm((64, 128), None, true, open_clip, &[1, 1, 0], 1).1, Architecture::Unknown);
    assert_eq!(ldm((64, 96), Some(256), true, refiner, &[0, 1, 2], 2).1, Architecture::Unknown);
    assert_eq!(ldm((384, 1280), Some(2560), true, refiner, &[0, 4, 4, 0], 4), checkpoint(Architecture::SdxlRefiner));
    assert_eq!(ldm((320, 2048), Some(2816), true, two, &[0, 2, 10], 10), checkpoint(Architecture::Sdxl));
    assert_eq!(ldm((320, 2048), Some(2816), true, two, &[0, 2, 4], 0), checkpoint(Architecture::Ssd1b));
    assert_eq!(ldm((320, 2048), Some(2816), true, two, &[0, 1, 2], 0), checkpoint(Architecture::SegmindVega));
    assert_eq!(ldm((320, 2048), Some(2816), true, two, &[0, 2, 9], 10).1, Architecture::Unknown);
}

#[test]
fn real_files_of_other_kinds_are_told_apart() {
    for (name, expected) in [
        ("sd1-lora-shinkai-makoto", (ModelKind::Lora, Architecture::Sd1, None)),
        ("sd1-embedding-easynegative", (ModelKind::TextualInversion, Architecture::Sd1, None)),
        ("sd1-controlnet-canny", (ModelKind::ControlNet, Architecture::Sd1, None)),
        ("sd1-ip-adapter", (ModelKind::Other, Architecture::Sd1, Some("IP-Adapter"))),
        ("sd1-ip-adapter-plus-face", (ModelKind::Other, Architecture::Sd1, Some("IP-Adapter"))),
        ("sdxl-vae-juggernaut", (ModelKind::Vae, Architecture::Unknown, None)),
        ("sd1-vae", (ModelKind::Vae, Architecture::Unknown, None)),
        ("sd3-vae", (ModelKind::Vae, Architecture::Unknown, None)),
        ("sdxl-text-encoder-juggernaut", (ModelKind::TextEncoder, Architecture::Unknown, Some("CLIP-L"))),
    ] {
        assert_eq!(what(&listing(name, "")), expected, "{name}");
    }
    assert_eq!(highest_rank(&detected(&listing("sd1-lora-shinkai-makoto", ""))), Some(128));
}

#[test]
fn loras_are_known_by_the_width_of_the_text_states() {
    let unet = |module: &'static str, context| {
        let down: String = format!("lora_unet_{module}.lora_down.weight");
        what(&made_of([(down.as_str(), vec![8, context])])).1
    };
    let attention = "input_blocks_4_1_transformer_blocks_0_attn2_to_k";
    assert_eq!(unet(attention, 768), Architecture::Sd1);
    assert_eq!(unet(attention, 1024), Architecture::Sd2);
    // The first blocks of XL are those of SSD-1B too; the tenth is its own.
    assert_eq!(unet(attention, 2048), Architecture::Unknown);
    assert_eq!(unet("middle_block_1_transformer_blocks_9_attn2_to_k", 2048), Architecture::Sdxl);
    assert_eq!(unet(attention, 4096), Architecture::Unknown);
    let loha =
        made_of([("lora_unet_down_blocks_2_attentions_0_transformer_blocks_9_attn2_to_k.hada_w1_b", vec![8, 2048])]);
    // Kolors has these layers under these names too, and LDM's names or CLIP's layers it has not.
    assert_eq!(what(&loha), (ModelKind::Lora, Architecture::Sdxl, Some("Stable Diffusion XL or Kolors")));
    for certain in [
        ("lora_unet_output_blocks_0_1_transformer_blocks_9_attn2_to_k.lora_down.weight", vec![8, 2048]),
        ("lora_te2_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight", vec![8, 1280]),
        ("unet.add_embedding.linear_1.lora_A.weight", vec![8, 2816]),
    ] {
        let deep = ("unet.mid_block.attentions.0.transformer_blocks.9.attn2.to_k.lora_A.weight", vec![8, 2048]);
        assert_eq!(what(&made_of([deep, certain])), (ModelKind::Lora, Architecture::Sdxl, None));
    }
    let kolors = ("unet.add_embedding.linear_1.lora_A.weight", vec![8, 5632]);
    let deep = ("unet.mid_block.attentions.0.transformer_blocks.9.attn2.to_k.lora_A.weight", vec![8, 2048]);
    assert_eq!(what(&made_of([deep, kolors])), (ModelKind::Lora, Architecture::Kolors, None));
    let mochi = ["to_q", "to_k"].map(|leaf| format!("transformer.transformer_blocks.47.attn1.{leaf}.lora_A.weight"));
    assert_eq!(what(&made_of(mochi.each_ref().map(|name| (name.as_str(), vec![8, 3072])))).1, Architecture::Unknown);
    let modulated = made_of([
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", vec![8, 3072]),
        ("lora_unet_double_blocks_0_img_mod_lin.lora_down.weight", vec![8, 3072]),
    ]);
    assert_eq!(what(&modulated), (ModelKind::Lora, Architecture::Flux1, None));
    let undecided = made_of([("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", vec![8, 3072])]);
    assert_eq!(what(&undecided), (ModelKind::Lora, Architecture::Unknown, Some("FLUX.1 or a relative")));
    let hunyuan = made_of([
        ("double_blocks.0.img_attn_qkv.lora_A.weight", vec![8, 3072]),
        ("double_blocks.0.img_mod.linear.lora_A.weight", vec![8, 3072]),
    ]);
    assert_eq!(what(&hunyuan), (ModelKind::Lora, Architecture::HunyuanVideo, None));
    let video = made_of([
        ("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", vec![8, 1024]),
        ("unet.down_blocks.0.attentions.0.temporal_transformer_blocks.0.attn2.to_k.lora_A.weight", vec![8, 1024]),
    ]);
    assert_eq!(what(&video).1, Architecture::Unknown);
    let encoder = made_of([("lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight", vec![8, 768])]);
    assert_eq!(what(&encoder).1, Architecture::Sd1);
    let first_of_two =
        made_of([("lora_te1_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight", vec![8, 768])]);
    assert_eq!(what(&first_of_two).1, Architecture::Unknown);
}

#[test]
fn embeddings_and_upscalers_are_known_by_their_few_tensors() {
    let kind = |tensors: Vec<(&'static str, Vec<usize>)>| {
        let (kind, architecture, _) = what(&made_of(tensors));
        (kind, architecture)
    };
    let embedding = ModelKind::TextualInversion;
    assert_eq!(kind(vec![("emb_params", vec![2, 1024])]), (embedding, Architecture::Sd2));
    assert_eq!(kind(vec![("clip_g", vec![2, 1280]), ("clip_l", vec![2, 768])]), (embedding, Architecture::Sdxl));
    assert_eq!(kind(vec![("<cat-toy>", vec![768])]), (embedding, Architecture::Sd1));
    assert_eq!(kind(vec![("weight", vec![768, 768, 3, 3])]).0, ModelKind::Unknown);
    assert_eq!(kind(vec![("anything", vec![3, 5])]).0, ModelKind::Unknown);
    assert_eq!(kind(vec![]).0, ModelKind::Unknown);
    let esrgan = vec![("conv_first.weight", vec![64, 3, 3, 3]), ("body.0.rdb1.conv1.weight", vec![32, 64, 3, 3])];
    assert_eq!(kind(esrgan), (ModelKind::Upscaler, Architecture::Unknown));
    let old = vec![("model.0.weight", vec![64, 3, 3, 3]), ("model.1.sub.0.RDB1.conv1.0.weight", vec![32, 64, 3, 3])];
    assert_eq!(kind(old).0, ModelKind::Upscaler);
}

#[test]
fn an_embedding_file_with_tensors_of_its_own_is_read_whole() {
    let bytes = bytes_of("tiny-model/embedding/lantern.safetensors");
    let length = bytes.len() as u64;
    let inspection = inspect(&mut std::io::Cursor::new(bytes), length).unwrap();
    assert_eq!(inspection.detected.parameters, 256);
}

#[test]
fn titles_and_resolutions_of_strangers_are_read_with_care() {
    let with = |key: &str, value: &str| {
        let mut header = Header::default();
        header.metadata.insert(key.to_owned(), value.to_owned());
        detected(&header)
    };
    assert_eq!(with("modelspec.title", " a\u{1b}[2J\nb ").title.as_deref(), Some("a[2Jb"));
    assert_eq!(with("modelspec.title", "\t").title, None);
    assert_eq!(with("modelspec.title", &"x".repeat(5_000)).title.map(|title| title.len()), Some(200));
    assert_eq!(with("modelspec.resolution", "1024x768").resolution, Some((1024, 768)));
    assert_eq!(with("ss_resolution", "(512, 640)").resolution, Some((512, 640)));
    for odd in ["", "x", "0x5", "512", "99999999999x1", "(None, None)", "-1x-1"] {
        assert_eq!(with("modelspec.resolution", odd).resolution, None, "{odd}");
    }
}

#[test]
fn gguf_files_are_detected_from_the_same_names() {
    let tensor = |ggml_type, shape: Vec<usize>| gguf::TensorInfo { ggml_type, shape, start: 0, end: 0 };
    let mut header = gguf::Header::default();
    for (name, shape) in [
        ("img_in.weight", vec![3072, 64]),
        ("txt_in.weight", vec![3072, 4096]),
        ("vector_in.in_layer.weight", vec![3072, 768]),
    ] {
        header.tensors.insert(name.to_owned(), tensor(gguf::GgmlType::Q4_K, shape));
    }
    let scale = tensor(gguf::GgmlType::F32, vec![128]);
    header.tensors.insert("double_blocks.0.img_attn.norm.key_norm.scale".to_owned(), scale);
    let detected = detect(&Listing::of_gguf(&header));
    assert_eq!((detected.kind, detected.architecture), (ModelKind::Network, Architecture::Flux1));
    assert_eq!(detected.precision, Some("q4_k"));
}

proptest! {
    #[test]
    fn no_names_and_shapes_make_it_panic(
        picks in prop::collection::vec((0_usize..2_000, prop::collection::vec(prop_oneof![0_usize..5, any::<usize>()], 0..6)), 0..40),
    ) {
        let names: Vec<String> = ["sd1-unet", "flux1-dev-transformer", "sd1-vae", "sd1-lora-shinkai-makoto", "sd1-controlnet-canny"]
            .iter()
            .flat_map(|name| listing(name, "").tensors.into_keys())
            .collect();
        let mut header = Header::default();
        for (pick, shape) in picks {
            let name = names[pick % names.len()].clone();
            header.tensors.insert(name, crate::TensorInfo { dtype: Dtype::F16, shape, start: 0, end: 0 });
        }
        detected(&header);
        crate::stable_diffusion::diffusers_recipes(&header).ok();
        crate::stable_diffusion::UnetDims::from_tensors(&header).ok();
        crate::stable_diffusion::VaeDims::from_tensors(&header).ok();
    }

    #[test]
    fn adapters_of_any_shape_never_panic(
        shapes in prop::collection::vec(prop::collection::vec(prop_oneof![0_usize..5, any::<usize>()], 0..5), 4),
    ) {
        let parameters = crate::stable_diffusion::Parameters::from([(
            (crate::stable_diffusion::Component::Unet, "mid_block.attentions.0.proj_in.weight".to_owned()),
            vec![4, 4, 1, 1],
        )]);
        let mut header = Header::default();
        for (ending, shape) in ["lora_down.weight", "lora_up.weight", "lora_mid.weight", "alpha"].iter().zip(shapes) {
            let name = format!("lora_unet_mid_block_attentions_0_proj_in.{ending}");
            header.tensors.insert(name, crate::TensorInfo { dtype: Dtype::F16, shape, start: 0, end: 0 });
        }
        crate::Adapter::matching(&header, &parameters).ok();
    }
}

#[test]
fn a_checkpoint_of_several_parts_under_foreign_prefixes_is_still_one() {
    let header = join([
        listing("flux1-dev-transformer", "model.diffusion_model."),
        listing("sd1-vae", "vae."),
        listing("sdxl-text-encoder-juggernaut", "text_encoders.clip_l.transformer."),
    ]);
    let found = detected(&header);
    assert_eq!((found.kind, found.architecture), (ModelKind::Checkpoint, Architecture::Flux1));
    assert!(found.has_text_encoder && found.has_vae);
}
