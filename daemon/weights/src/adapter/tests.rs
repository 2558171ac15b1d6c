//! The tiny LoRAs against the tiny model, real ones against real sizes, and the files that are refused.

use super::names::spellings_of;
use super::*;
use crate::stable_diffusion::{Levels, canonical_shapes, component_recipes};
use crate::test_files::{header_of, listing, made_of, tiny_parameters};
use paintbox_domain::{Classify as _, ErrorClass, reason};
use std::collections::BTreeSet;

fn real_parameters() -> Parameters {
    [(Component::Unet, "sd1-unet"), (Component::TextEncoder, "sd1-text-encoder")]
        .into_iter()
        .flat_map(|(component, name)| {
            let header = listing(name, "");
            canonical_shapes(&header, &component_recipes(component, &header).unwrap())
        })
        .collect()
}

#[test]
fn both_tiny_loras_change_the_same_216_weights() {
    let parameters = tiny_parameters();
    let kohya = Adapter::matching(&header_of("tiny-model/lora/greyscale.safetensors"), &parameters).unwrap();
    let peft = Adapter::matching(&header_of("tiny-model/lora/greyscale-diffusers.safetensors"), &parameters).unwrap();
    assert_eq!((kohya.targets.len(), peft.targets.len()), (216, 216));
    assert!(kohya.unmatched.is_empty() && peft.unmatched.is_empty());
    assert!(kohya.targets.keys().eq(peft.targets.keys()));
    let key = (Component::Unet, "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.weight".to_owned());
    let module = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0";
    assert_eq!(
        kohya.targets[&key],
        Change {
            form: Form::LowRank(Product {
                left: format!("{module}.lora_up.weight"),
                left_is_turned: false,
                right: format!("{module}.lora_down.weight"),
                core: None,
                rows: 96,
                rank: 4,
                columns: 96,
            }),
            alpha: Some(format!("{module}.alpha")),
            magnitude: None,
        }
    );
    assert_eq!(peft.targets[&key].alpha, None);
    let encoder = kohya.targets.keys().filter(|(component, _)| *component == Component::TextEncoder).count();
    assert_eq!(encoder, 24);
}

#[test]
fn a_real_kohya_lora_finds_all_its_264_modules() {
    let adapter = Adapter::matching(&listing("sd1-lora-shinkai-makoto", ""), &real_parameters()).unwrap();
    assert_eq!(adapter.targets.len(), 264);
    assert!(adapter.unmatched.is_empty());
    assert!(adapter.targets.values().all(|change| change.form.rank() == Some(128) && change.alpha.is_some()));
}

#[test]
fn no_two_weights_share_a_spelling() {
    for parameters in [tiny_parameters(), real_parameters()] {
        let levels = Levels::of_canonical(&parameters);
        let mut seen: HashMap<String, &str> = HashMap::new();
        for (component, canonical) in parameters.keys() {
            let own: BTreeSet<String> = spellings_of(*component, canonical, &levels).into_iter().collect();
            for spelling in own {
                if let Some(other) = seen.insert(spelling.clone(), canonical) {
                    panic!("`{spelling}` is {other} and {canonical}");
                }
            }
        }
    }
}

#[test]
fn every_trainers_spelling_reaches_the_same_weight() {
    let parameters = real_parameters();
    let unet = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q";
    let encoder = "text_model.encoder.layers.3.self_attn.q_proj";
    let cases = [
        (
            unet,
            "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight",
            ".lora_up.weight",
        ),
        (unet, "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight", ".lora_up.weight"),
        (unet, "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight", ".lora_B.weight"),
        (unet, "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight", ".lora.up.weight"),
        (
            unet,
            "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
            "_lora.up.weight",
        ),
        (
            unet,
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
            "_lora.up.weight",
        ),
        (
            unet,
            "base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.default.weight",
            ".lora_B.default.weight",
        ),
        (unet, "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.lora_A.weight", ".lora_B.weight"),
        (encoder, "lora_te_text_model_encoder_layers_3_self_attn_q_proj.lora_down.weight", ".lora_up.weight"),
        (
            encoder,
            "text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_linear_layer.down.weight",
            ".lora_linear_layer.up.weight",
        ),
        (encoder, "text_encoder.text_model.encoder.layers.3.self_attn.to_q_lora.down.weight", "_lora.up.weight"),
        (encoder, "text_encoder.encoder.layers.3.self_attn.q_proj.lora_A.weight", ".lora_B.weight"),
    ];
    for (module, down, up_ending) in cases {
        let (stem, _) = module_and_role(down).unwrap();
        let width = if module == unet { 640 } else { 768 };
        let up = format!("{stem}{up_ending}");
        let header = made_of([(down, vec![8, width]), (up.as_str(), vec![width, 8])]);
        let adapter = Adapter::matching(&header, &parameters).unwrap_or_else(|error| panic!("{down}: {error}"));
        let names: Vec<_> = adapter.targets.keys().map(|(_, name)| name.clone()).collect();
        assert_eq!(names, [format!("{module}.weight")], "{down}");
    }
}

#[test]
fn convolutions_may_be_flat_square_or_tucker() {
    let parameters = real_parameters();
    let conv = "lora_unet_down_blocks_0_resnets_0_conv1";
    let proj = "lora_unet_down_blocks_0_attentions_0_proj_in";
    let name = |module: &str, ending: &str| format!("{module}.{ending}.weight");
    let matching = |tensors: Vec<(String, Vec<usize>)>| {
        let header = made_of(tensors.iter().map(|(name, shape)| (name.as_str(), shape.clone())));
        Adapter::matching(&header, &parameters)
    };
    let square = vec![(name(conv, "lora_down"), vec![4, 320, 3, 3]), (name(conv, "lora_up"), vec![320, 4, 1, 1])];
    assert_eq!(matching(square).unwrap().targets.len(), 1);
    let flat = vec![(name(proj, "lora_down"), vec![4, 320]), (name(proj, "lora_up"), vec![320, 4])];
    assert_eq!(matching(flat).unwrap().targets.len(), 1);
    let tucker = vec![
        (name(conv, "lora_down"), vec![4, 320, 1, 1]),
        (name(conv, "lora_mid"), vec![4, 4, 3, 3]),
        (name(conv, "lora_up"), vec![320, 4, 1, 1]),
    ];
    let adapter = matching(tucker).unwrap();
    assert!(
        adapter.targets.values().all(|change| matches!(&change.form, Form::LowRank(Product { core: Some(_), .. })))
    );
    let wrong_kernel = vec![(name(conv, "lora_down"), vec![4, 320, 1, 1]), (name(conv, "lora_up"), vec![320, 4, 1, 1])];
    assert!(matches!(matching(wrong_kernel).unwrap_err(), AdapterError::WrongShape { .. }));
}

#[test]
fn a_lora_for_another_model_is_refused_as_such() {
    let real = Adapter::matching(&listing("sd1-lora-shinkai-makoto", ""), &tiny_parameters()).unwrap_err();
    assert_eq!(real.reason(), reason::LORA_MISMATCH);
    let xl = made_of([
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight", vec![8, 2048]),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_up.weight", vec![640, 8]),
    ]);
    let error = Adapter::matching(&xl, &real_parameters()).unwrap_err();
    assert!(matches!(&error, AdapterError::WrongShape { given, .. } if given == &[640, 2048]));
    assert_eq!(error.reason(), reason::LORA_MISMATCH);
    let flux = made_of([
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", vec![8, 3072]),
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight", vec![9216, 8]),
    ]);
    let error = Adapter::matching(&flux, &real_parameters()).unwrap_err();
    assert!(matches!(error, AdapterError::Mismatch { matched: 0, modules: 1, .. }));
    assert_eq!(error.reason(), reason::LORA_MISMATCH);
    let checkpoint = header_of("tiny-model/tiny-emoji.safetensors");
    assert!(matches!(Adapter::matching(&checkpoint, &tiny_parameters()).unwrap_err(), AdapterError::NotALora));
}

/// The ending of a tensor's name, and its shape.
type Tensor<'a> = (&'a str, &'a [usize]);

/// The only change of an adapter whose tensors have these names behind the module's, and shapes.
fn changed(module: &str, tensors: &[Tensor<'_>]) -> Result<Change, AdapterError> {
    let names: Vec<String> = tensors.iter().map(|(leaf, _)| format!("{module}.{leaf}")).collect();
    let header = made_of(names.iter().zip(tensors).map(|(name, (_, shape))| (name.as_str(), shape.to_vec())));
    let mut adapter = Adapter::matching(&header, &real_parameters())?;
    assert_eq!(adapter.targets.len(), 1, "{tensors:?}");
    Ok(adapter.targets.pop_first().unwrap().1)
}

#[test]
fn lycoris_forms_are_taken_where_they_multiply_out_to_the_weight() {
    // Of shape [320, 320, 3, 3].
    let conv = "lora_unet_down_blocks_0_resnets_0_conv1";
    let fits: [(&str, &[Tensor<'_>], Option<usize>); 9] = [
        (
            "loha",
            &[("hada_w1_a", &[320, 4]), ("hada_w1_b", &[4, 2880]), ("hada_w2_a", &[320, 4]), ("hada_w2_b", &[4, 2880])],
            Some(4),
        ),
        (
            "loha in Tucker form",
            &[
                ("hada_w1_a", &[4, 320]),
                ("hada_w1_b", &[4, 320]),
                ("hada_t1", &[4, 4, 3, 3]),
                ("hada_w2_a", &[4, 320]),
                ("hada_w2_b", &[4, 320]),
                ("hada_t2", &[4, 4, 3, 3]),
            ],
            Some(4),
        ),
        ("lokr", &[("lokr_w1", &[16, 16]), ("lokr_w2", &[20, 20, 3, 3])], None),
        (
            "lokr, second in factors",
            &[("lokr_w1", &[16, 16]), ("lokr_w2_a", &[20, 4]), ("lokr_w2_b", &[4, 180])],
            Some(4),
        ),
        (
            "lokr in Tucker form",
            &[("lokr_w1", &[16, 16]), ("lokr_w2_a", &[4, 20]), ("lokr_w2_b", &[4, 20]), ("lokr_t2", &[4, 4, 3, 3])],
            Some(4),
        ),
        (
            "lokr, both in factors",
            &[("lokr_w1_a", &[16, 2]), ("lokr_w1_b", &[2, 16]), ("lokr_w2_a", &[20, 2]), ("lokr_w2_b", &[2, 180])],
            Some(2),
        ),
        ("difference", &[("diff", &[320, 320, 3, 3])], None),
        (
            "dora of rows",
            &[
                ("lora_down.weight", &[4, 320, 3, 3]),
                ("lora_up.weight", &[320, 4, 1, 1]),
                ("dora_scale", &[320, 1, 1, 1]),
            ],
            Some(4),
        ),
        (
            "dora of columns",
            &[
                ("lora_down.weight", &[4, 320, 3, 3]),
                ("lora_up.weight", &[320, 4, 1, 1]),
                ("dora_scale", &[1, 320, 1, 1]),
            ],
            Some(4),
        ),
    ];
    for (name, tensors, rank) in fits {
        let change = changed(conv, tensors).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(change.form.rank(), rank, "{name}");
        let axis = change.magnitude.map(|magnitude| magnitude.axis);
        let wanted = name.strip_prefix("dora of ").map(|of| if of == "rows" { Axis::Rows } else { Axis::Columns });
        assert_eq!(axis, wanted, "{name}");
    }
    let refused: [(&str, &[Tensor<'_>]); 8] = [
        ("a missing half", &[("hada_w1_a", &[320, 4]), ("hada_w1_b", &[4, 2880]), ("hada_w2_a", &[320, 4])]),
        (
            "terms of two sizes",
            &[("hada_w1_a", &[320, 4]), ("hada_w1_b", &[4, 2880]), ("hada_w2_a", &[320, 4]), ("hada_w2_b", &[4, 320])],
        ),
        ("a product of another size", &[("lokr_w1", &[16, 16]), ("lokr_w2", &[20, 20])]),
        (
            "a term whole and in factors",
            &[("lokr_w1", &[16, 16]), ("lokr_w2", &[20, 20, 3, 3]), ("lokr_w2_b", &[4, 180])],
        ),
        (
            "a core of another rank",
            &[
                ("lora_down.weight", &[4, 320, 1, 1]),
                ("lora_mid.weight", &[5, 4, 3, 3]),
                ("lora_up.weight", &[320, 4, 1, 1]),
            ],
        ),
        ("two forms at once", &[("diff", &[320, 320, 3, 3]), ("lokr_w1", &[16, 16]), ("lokr_w2", &[20, 20, 3, 3])]),
        ("lengths of neither", &[("diff", &[320, 320, 3, 3]), ("dora_scale", &[7])]),
        ("lengths of nothing", &[("dora_scale", &[320, 1, 1, 1])]),
    ];
    for (name, tensors) in refused {
        assert!(changed(conv, tensors).is_err(), "{name}");
    }
}

#[test]
fn norms_and_biases_are_changed_by_differences() {
    let norm = made_of([
        ("lora_unet_down_blocks_0_resnets_0_norm1.w_norm", vec![320]),
        ("lora_unet_down_blocks_0_resnets_0_norm1.b_norm", vec![320]),
        ("lora_unet_conv_in.diff_b", vec![320]),
    ]);
    let adapter = Adapter::matching(&norm, &real_parameters()).unwrap();
    let names: Vec<_> = adapter.targets.keys().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["conv_in.bias", "down_blocks.0.resnets.0.norm1.bias", "down_blocks.0.resnets.0.norm1.weight"]);
    // This layer has no bias.
    let none = made_of([("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.diff_b", vec![1280])]);
    assert!(matches!(Adapter::matching(&none, &real_parameters()).unwrap_err(), AdapterError::WrongShape { .. }));
}

#[test]
fn other_algorithms_are_refused_by_name() {
    let parameters = real_parameters();
    let module = "lora_unet_down_blocks_1_attentions_0_proj_in";
    for (leaf, expected) in [("oft_blocks", "OFT"), ("oft_diag", "OFT"), ("on_input", "IA3"), ("a1.weight", "GLoRA")] {
        let name = format!("{module}.{leaf}");
        let header = made_of([(name.as_str(), vec![640, 8])]);
        let error = Adapter::matching(&header, &parameters).unwrap_err();
        assert!(
            matches!(&error, AdapterError::UnsupportedAlgorithm { algorithm, .. } if *algorithm == expected),
            "{leaf}: {error}"
        );
        assert_eq!(error.class(), ErrorClass::Unsupported);
    }
}

#[test]
fn halves_doubles_and_odd_tensors_are_refused() {
    let parameters = real_parameters();
    let down = "unet.mid_block.attentions.0.proj_in.lora_A.weight";
    let up = "unet.mid_block.attentions.0.proj_in.lora_B.weight";
    let half = made_of([(down, vec![4, 1280, 1, 1])]);
    assert!(matches!(
        Adapter::matching(&half, &parameters).unwrap_err(),
        AdapterError::Incomplete { missing: "up", .. }
    ));
    let double = made_of([
        (down, vec![4, 1280]),
        (up, vec![1280, 4]),
        ("lora_unet_middle_block_1_proj_in.lora_down.weight", vec![4, 1280]),
        ("lora_unet_middle_block_1_proj_in.lora_up.weight", vec![1280, 4]),
    ]);
    assert!(matches!(Adapter::matching(&double, &parameters).unwrap_err(), AdapterError::Twice { .. }));
    let flat = made_of([(down, vec![]), (up, vec![1280, 4])]);
    assert!(matches!(Adapter::matching(&flat, &parameters).unwrap_err(), AdapterError::BadTensor { role: "down", .. }));
    let none = made_of([(down, vec![0, 1280]), (up, vec![1280, 0])]);
    assert!(matches!(Adapter::matching(&none, &parameters).unwrap_err(), AdapterError::BadTensor { .. }));
    let vast = made_of([(down, vec![1, usize::MAX, 0, usize::MAX]), (up, vec![1280, 1])]);
    assert!(matches!(Adapter::matching(&vast, &parameters).unwrap_err(), AdapterError::WrongShape { .. }));
}

#[test]
fn strays_are_listed_when_most_of_the_lora_fits() {
    let header = made_of([
        ("unet.mid_block.attentions.0.proj_in.lora_A.weight", vec![4, 1280]),
        ("unet.mid_block.attentions.0.proj_in.lora_B.weight", vec![1280, 4]),
        ("unet.add_embedding.linear_1.lora_A.weight", vec![4, 2816]),
        ("unet.add_embedding.linear_1.lora_B.weight", vec![1280, 4]),
        ("bundle_emb.token.string_to_param.*", vec![1, 768]),
    ]);
    let adapter = Adapter::matching(&header, &real_parameters()).unwrap();
    assert_eq!(adapter.targets.len(), 1);
    assert_eq!(adapter.unmatched, ["bundle_emb.token.string_to_param.*", "unet.add_embedding.linear_1"]);
}

#[test]
fn what_peft_states_for_a_component_is_kept_and_unknown_arithmetic_refused() {
    let mut header = header_of("tiny-model/lora/greyscale-diffusers.safetensors");
    let parameters = tiny_parameters();
    let mut with = |metadata: &str| {
        header.metadata.insert("lora_adapter_metadata".to_owned(), metadata.to_owned());
        Adapter::matching(&header, &parameters)
    };
    let adapter =
        with(r#"{"unet.lora_alpha": 8, "unet.r": 4, "unet.use_rslora": false, "unet.alpha_pattern": {}}"#).unwrap();
    assert_eq!(adapter.component_alpha, BTreeMap::from([(Component::Unet, 8.0)]));
    assert!(adapter.rank_stabilised.is_empty());
    let stabilised = with(r#"{"unet.use_rslora": true}"#).unwrap().rank_stabilised;
    assert_eq!(stabilised, BTreeSet::from([Component::Unet]));
    let pattern = with(r#"{"unet.alpha_pattern": {"to_q": 2}}"#).unwrap_err();
    assert!(matches!(pattern, AdapterError::UnsupportedSetting { .. }));
    assert!(matches!(with("[").unwrap_err(), AdapterError::BadMetadata { .. }));
}
