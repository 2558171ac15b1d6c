//! Layouts told from folders as the tools leave them, and as nobody should.

use super::*;
use crate::library::beside::is_model_name;
use paintbox_testkit::libraries::{self, Shelved};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;

type Fill = fn(&Path) -> io::Result<Vec<Shelved>>;

/// Each tool's folder, and the folders with models in it.
const SAMPLES: [(Layout, Fill, &[&str]); 8] = [
    (Layout::ComfyUi, libraries::comfyui, &["models", "more/loras"]),
    (Layout::A1111, libraries::a1111, &["embeddings", "extensions/sd-webui-controlnet/models", "models"]),
    (Layout::InvokeAi, libraries::invokeai, &["models"]),
    (Layout::SwarmUi, libraries::swarmui, &["Models", "dlbackend/comfy/ComfyUI/models"]),
    (Layout::DrawThings, libraries::draw_things, &["Data/Documents/Models"]),
    (Layout::StabilityMatrix, libraries::stability_matrix, &["Models", "Packages/ComfyUI/models"]),
    (Layout::HfCache, libraries::hf_cache, &["hub/models--acme--tiny-emoji/snapshots"]),
    (Layout::Plain, libraries::plain, &[""]),
];

fn relative(root: &Path, paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
}

/// Models that a walk of the roots meets, without what is passed over; links to folders are left alone.
fn walked(layout: Layout, root: &Path) -> BTreeSet<PathBuf> {
    let mut folders = layout.roots(root);
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                if !layout.passes_over(&entry.file_name()) {
                    folders.push(entry.path());
                }
            } else if is_model_name(&entry.file_name()) && entry.path().is_file() {
                found.insert(entry.path().strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn each_tools_folder_is_told_and_holds_its_models_where_it_says() {
    for (layout, fill, roots) in SAMPLES {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let shelved = fill(root).unwrap();
        assert_eq!(Layout::of(root), layout);
        assert_eq!(relative(root, &layout.roots(root)), roots, "{layout}");
        let wanted: BTreeSet<PathBuf> = shelved.iter().map(|file| file.path.clone()).collect();
        assert_eq!(walked(layout, root), wanted, "{layout}");
        for file in &shelved {
            assert_eq!(layout.folder_kind(&file.path), file.declared, "{layout}: {}", file.path.display());
        }
    }
}

#[test]
fn a_folder_of_models_is_told_without_its_program() {
    for (layout, fill, models) in [
        (Layout::ComfyUi, libraries::comfyui as Fill, "models"),
        (Layout::A1111, libraries::a1111, "models"),
        (Layout::InvokeAi, libraries::invokeai, "models"),
        (Layout::SwarmUi, libraries::swarmui, "Models"),
        (Layout::DrawThings, libraries::draw_things, "Data/Documents/Models"),
        (Layout::DrawThings, libraries::draw_things, "Data/Documents"),
        (Layout::StabilityMatrix, libraries::stability_matrix, "Models"),
        (Layout::HfCache, libraries::hf_cache, "hub"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path()).unwrap();
        let models = folder.path().join(models);
        assert_eq!(Layout::of(&models), layout, "{}", models.display());
        assert!(layout.roots(&models).iter().all(|root| root.starts_with(&models) && root.is_dir()));
    }
}

#[test]
fn version_3_of_invokeai_files_by_base_and_kind() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sd-1/lora")).unwrap();
    assert_eq!(Layout::of(folder.path()), Layout::Plain, "somebody's own order");
    fs::create_dir_all(folder.path().join("core/convert")).unwrap();
    assert_eq!(Layout::of(folder.path()), Layout::InvokeAi);
    let kind = |path| Layout::InvokeAi.folder_kind(Path::new(path));
    assert_eq!(kind("models/sd-1/lora/a.safetensors"), Some(ModelKind::Lora));
    assert_eq!(kind("models/sdxl/main/a/unet/b.safetensors"), Some(ModelKind::Checkpoint));
    assert_eq!(kind("models/0a1b2c3d/main.safetensors"), None);
}

#[test]
fn what_lies_elsewhere_is_suggested_and_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("ComfyUI");
    let other = folder.path().join("stable-diffusion-webui");
    libraries::comfyui(&root).unwrap();
    let home = PathBuf::from("~/checkpoints");
    assert_eq!(Layout::ComfyUi.suggestions(&root), std::slice::from_ref(&home), "what is not there is no suggestion");
    libraries::a1111(&other).unwrap();
    let suggested = Layout::ComfyUi.suggestions(&root);
    // LyCORIS and VAE are named, but not there.
    let there = ["embeddings", "models/Lora", "models/Stable-diffusion"].map(|below| other.join(below));
    assert_eq!(suggested, [&there[..], &[home]].concat());
    assert!(Layout::ComfyUi.roots(&root).iter().all(|path| path.starts_with(&root)));

    let root = folder.path().join("SwarmUI");
    libraries::swarmui(&root).unwrap();
    assert!(Layout::SwarmUi.suggestions(&root).is_empty());
    fs::create_dir(folder.path().join("shared-models")).unwrap();
    assert_eq!(Layout::SwarmUi.suggestions(&root), [folder.path().join("shared-models")]);

    let root = folder.path().join("invokeai");
    libraries::invokeai(&root).unwrap();
    assert!(Layout::InvokeAi.suggestions(&root).is_empty());
    fs::write(root.join("invokeai.yaml"), "InvokeAI:\n  Paths:\n    models_dir: ../shared-models\n").unwrap();
    assert_eq!(Layout::InvokeAi.suggestions(&root), [folder.path().join("shared-models")]);
    fs::write(root.join("invokeai.yaml"), "models_dir: my-models\n").unwrap();
    fs::create_dir(root.join("my-models")).unwrap();
    assert_eq!(relative(&root, &Layout::InvokeAi.roots(&root)), ["models", "my-models"]);
}

#[test]
fn a1111s_arguments_name_folders() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("webui");
    libraries::a1111(&root).unwrap();
    let script = r#"#!/bin/bash
#export COMMANDLINE_ARGS="--ckpt-dir /never"
export COMMANDLINE_ARGS="--medvram --ckpt-dir '../my check\"points' --lora-dir=$HOME/loras --vae-dir ./vaes --xformers --embeddings-dir"
COMMANDLINE_ARGS=--forge-ref-a1111-home\ ../other
"#;
    fs::write(root.join("webui-user.sh"), script).unwrap();
    for name in ["my check\"points", "other", "webui/vaes"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let wanted = [folder.path().join("my check\"points"), folder.path().join("other"), PathBuf::from("$HOME/loras")];
    assert_eq!(Layout::A1111.suggestions(&root), wanted);
    assert!(Layout::A1111.roots(&root).contains(&root.join("vaes")));
}

#[test]
fn a_declaration_is_the_tools_outermost_folder_or_the_persons_nearest() {
    let kind = |layout: Layout, path| layout.folder_kind(Path::new(path));
    assert_eq!(kind(Layout::ComfyUi, "models/loras/vae tests/a.safetensors"), Some(ModelKind::Lora));
    assert_eq!(kind(Layout::Plain, "loras/vae/a.safetensors"), Some(ModelKind::Vae));
    assert_eq!(kind(Layout::Plain, "My LoRAs 2/a.safetensors"), None);
    assert_eq!(kind(Layout::Plain, "a.safetensors"), None);
    // A file is no folder.
    assert_eq!(kind(Layout::Plain, "loras"), None);
    assert_eq!(kind(Layout::ComfyUi, "models/diffusion_models/a.gguf"), Some(ModelKind::Network));
    assert_eq!(kind(Layout::ComfyUi, "models/clip/a.safetensors"), Some(ModelKind::TextEncoder));
    assert_eq!(kind(Layout::A1111, "models/ESRGAN/a.pth"), Some(ModelKind::Upscaler));
    assert_eq!(kind(Layout::SwarmUi, "Models/Embeddings/a.safetensors"), Some(ModelKind::TextualInversion));
    assert_eq!(kind(Layout::StabilityMatrix, "Models/ApproxVAE/a.pt"), Some(ModelKind::Other));
    assert_eq!(kind(Layout::HfCache, "hub/models--vae--lora/snapshots/0/unet/a.safetensors"), Some(ModelKind::Network));
    assert_eq!(kind(Layout::HfCache, "hub/models--vae--lora/snapshots/vae/a.safetensors"), None);
    for (name, declared) in [
        ("lcm_sd_v1.5_lora_f16.ckpt", Some(ModelKind::Lora)),
        ("cloudport_v1.0_ti_f16.ckpt", Some(ModelKind::TextualInversion)),
        ("controlnet_canny_1.x_v1.1_f16.ckpt", Some(ModelKind::ControlNet)),
        ("vae_ft_mse_840000_f16.ckpt", Some(ModelKind::Vae)),
        ("open_clip_vit_h14_f16.ckpt", Some(ModelKind::TextEncoder)),
        ("realesrgan_x2plus_f16.ckpt", Some(ModelKind::Upscaler)),
        ("sd_v1.5_f16.ckpt", None),
        ("lora.safetensors", None),
    ] {
        assert_eq!(kind(Layout::DrawThings, name), declared, "{name}");
    }
}

#[test]
fn invokeais_picture_of_a_model_is_found_by_the_models_key() {
    let folder = tempfile::tempdir().unwrap();
    for file in libraries::invokeai(folder.path()).unwrap() {
        let models = folder.path().join("models");
        let below = file.path.strip_prefix("models").unwrap();
        let picture = Layout::InvokeAi.picture_elsewhere(&models, below);
        assert_eq!(picture, file.picture.map(|path| folder.path().join(path)));
        assert_eq!(Layout::Plain.picture_elsewhere(&models, below), None);
    }
    let models = folder.path().join("models");
    for path in ["", "..", "a", "/etc/passwd", "../models/x"] {
        assert_eq!(Layout::InvokeAi.picture_elsewhere(&models, Path::new(path)), None, "{path}");
    }
}

#[test]
fn a_path_in_a_cache_of_hugging_face_names_repository_and_commit() {
    let folder = tempfile::tempdir().unwrap();
    for file in libraries::hf_cache(folder.path()).unwrap() {
        let snapshot = Layout::HfCache.snapshot(&file.path).unwrap();
        assert_eq!((snapshot.repository.as_str(), snapshot.commit.as_str()), ("acme/tiny-emoji", libraries::COMMIT));
        assert!(file.path.ends_with(&snapshot.path), "{}", snapshot.path);
        assert_eq!(Layout::Plain.snapshot(&file.path), None);
    }
    let of = |path: &str| Layout::HfCache.snapshot(&PathBuf::from(path.replace('@', libraries::COMMIT)));
    assert_eq!(of("models--gpt2/snapshots/@/a/b.gguf").unwrap().repository, "gpt2");
    assert_eq!(of("models--a-b--c_d.e/snapshots/@/x").unwrap().repository, "a-b/c_d.e");
    for none in [
        "models--a--b/snapshots/@",
        "models--a--b/snapshots/main/x",
        "models--a--b/blobs/@/x",
        "models--a--b--c/snapshots/@/x",
        "models--a--/snapshots/@/x",
        "models--a--b c/snapshots/@/x",
        "models--..--b/snapshots/@/x",
        "models--a--b/snapshots/@/../x",
        "datasets--a--b/snapshots/@/x",
        "",
    ] {
        assert_eq!(of(none), None, "{none}");
    }
}

#[test]
fn a_pickle_does_not_make_a_folder_one_of_draw_things() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.ckpt"), b"\x80\x02}q\x00.").unwrap();
    fs::write(folder.path().join("custom.json"), "[]").unwrap();
    fs::create_dir(folder.path().join("b.ckpt")).unwrap();
    symlink("nowhere", folder.path().join("c.ckpt")).unwrap();
    assert_eq!(Layout::of(folder.path()), Layout::Plain);
    fs::write(folder.path().join("d.ckpt"), b"SQLite format 3\0and more").unwrap();
    assert_eq!(Layout::of(folder.path()), Layout::DrawThings);
}

#[test]
fn what_cannot_be_read_is_plain() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("file"), "x").unwrap();
    symlink("loop", root.join("loop")).unwrap();
    for path in ["absent", "file", "loop"] {
        assert_eq!(Layout::of(&root.join(path)), Layout::Plain);
        assert_eq!(Layout::Plain.roots(&root.join(path)), [root.join(path)]);
    }
    // A folder that stopped being what it was is searched whole.
    assert_eq!(Layout::ComfyUi.roots(root), [root]);
    assert!(Layout::ComfyUi.suggestions(root).is_empty());
}

#[test]
fn names_of_layouts_are_stable_and_lead_back() {
    let names: Vec<&str> = Layout::ALL.iter().map(|layout| layout.as_str()).collect();
    let stable = ["comfyui", "a1111", "invokeai", "swarmui", "draw_things", "stability_matrix", "hf_cache", "plain"];
    assert_eq!(names, stable);
    for layout in Layout::ALL {
        assert_eq!(Layout::from_name(layout.as_str()), Some(*layout));
        assert_eq!(layout.to_string(), layout.as_str());
    }
    assert_eq!(Layout::from_name("forge"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_settings_are_survived_and_lead_no_root_outside(text in "\\PC*|(base_path|[a-z]{1,6}|\\||:|\n| |-|\"|&a|\\*a|\\.\\./|/|~|\\$x){0,60}") {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("models")).unwrap();
        fs::create_dir_all(root.join("Models")).unwrap();
        fs::create_dir_all(root.join("Data")).unwrap();
        for name in ["extra_model_paths.yaml", "invokeai.yaml", "Data/Settings.fds", "folder_paths.py", "webui-user.sh"] {
            fs::write(root.join(name), format!("{}{text}", if name.ends_with(".sh") { "COMMANDLINE_ARGS=--ckpt-dir=" } else { "" })).unwrap();
        }
        for layout in Layout::ALL {
            prop_assert!(layout.roots(&root).iter().all(|path| path.starts_with(&root) && path.is_dir()));
            let suggestions = layout.suggestions(&root);
            prop_assert!(suggestions.iter().all(|path| !path.starts_with(&root)));
        }
    }

    #[test]
    fn any_path_declares_something_or_nothing(path in "\\PC{0,40}|(/|\\.|\\.\\.|loras|VAE|snapshots|[a-z_]{1,8}){0,9}") {
        for layout in Layout::ALL {
            let _kind = layout.folder_kind(Path::new(&path));
            let _over = (layout.passes_over(OsStr::new(&path)), layout.snapshot(Path::new(&path)));
        }
    }
}
