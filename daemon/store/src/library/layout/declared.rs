//! What names of folders and files declare, in the words of the tools that give them.

use paintbox_domain::ModelKind;
use std::ffi::OsStr;

/// The kind that a folder of ComfyUI, A1111, Forge, SwarmUI or StabilityMatrix is for. Capital letters, spaces, dashes
/// and underscores do not count, since the tools and the people who order their own folders differ in nothing else.
///
/// Names are those of comfyanonymous/ComfyUI @ 00db33f6b7fc `folder_paths.py`; AUTOMATIC1111/stable-diffusion-webui @
/// 04b4508a66de `modules/cmd_args.py`; lllyasviel/stable-diffusion-webui-forge @ dfdcbab685e5 `modules_forge/shared.py`,
/// `extensions-builtin/*/preload.py`; mcmonkeyprojects/SwarmUI @ 062407c7 `src/Core/Settings.cs`; and
/// LykosAI/StabilityMatrix @ c255230f `StabilityMatrix.Core/Models/SharedFolderType.cs`.
pub(super) fn kind_of_folder(name: &str) -> Option<ModelKind> {
    Some(match plain_letters(name).as_str() {
        "checkpoints" | "checkpoint" | "stablediffusion" | "diffusers" | "svd" => ModelKind::Checkpoint,
        "loras" | "lora" | "lycoris" => ModelKind::Lora,
        "embeddings" | "embedding" | "textualinversion" => ModelKind::TextualInversion,
        "vae" | "vaes" => ModelKind::Vae,
        "controlnet" | "controlnets" | "t2iadapter" | "sdwebuicontrolnet" => ModelKind::ControlNet,
        "upscalemodels"
        | "latentupscalemodels"
        | "upscalers"
        | "esrgan"
        | "realesrgan"
        | "bsrgan"
        | "swinir"
        | "scunet"
        | "dat"
        | "ldsr" => ModelKind::Upscaler,
        "textencoders" | "textencoder" | "clip" => ModelKind::TextEncoder,
        "diffusionmodels" | "unet" => ModelKind::Network,
        "clipvision"
        | "stylemodels"
        | "vaeapprox"
        | "approxvae"
        | "gligen"
        | "hypernetworks"
        | "hypernetwork"
        | "photomaker"
        | "classifiers"
        | "modelpatches"
        | "audioencoders"
        | "configs"
        | "gfpgan"
        | "codeformer"
        | "deepbooru"
        | "deepdanbooru"
        | "torchdeepdanbooru"
        | "karlo"
        | "blip"
        | "controlnetpreprocessor"
        | "ipadapter"
        | "ipadapters15"
        | "ipadaptersxl"
        | "afterdetailer"
        | "adetailer"
        | "ultralytics"
        | "sams"
        | "insightface"
        | "promptexpansion"
        | "backgroundremoval"
        | "tensorrt" => ModelKind::Other,
        _ => return None,
    })
}

/// The kind that a folder of InvokeAI 3 is for (invoke-ai/InvokeAI @ 8e71a8a51939
/// `invokeai/backend/model_manager/taxonomy.py`, `ModelType`). Later versions file by an opaque key.
pub(super) fn kind_of_invokeai_folder(name: &str) -> Option<ModelKind> {
    Some(match name {
        "main" => ModelKind::Checkpoint,
        "lora" | "control_lora" => ModelKind::Lora,
        "embedding" => ModelKind::TextualInversion,
        "vae" => ModelKind::Vae,
        "controlnet" | "t2i_adapter" => ModelKind::ControlNet,
        "spandrel_image_to_image" => ModelKind::Upscaler,
        "clip_embed" | "t5_encoder" | "qwen3_encoder" | "qwen_vl_encoder" => ModelKind::TextEncoder,
        "clip_vision" | "ip_adapter" | "onnx" | "siglip" | "flux_redux" | "llava_onevision" => ModelKind::Other,
        _ => return None,
    })
}

/// The kind of a part of a diffusers pipeline, each of which has a folder (huggingface/diffusers,
/// `src/diffusers/pipelines/*`, the arguments of the pipelines' constructors).
pub(super) fn kind_of_component(name: &str) -> Option<ModelKind> {
    Some(match name {
        "unet" | "transformer" | "transformer_2" | "prior" | "decoder" => ModelKind::Network,
        "vae" | "vqgan" => ModelKind::Vae,
        "text_encoder" | "text_encoder_2" | "text_encoder_3" => ModelKind::TextEncoder,
        "controlnet" => ModelKind::ControlNet,
        "image_encoder" | "safety_checker" | "feature_extractor" => ModelKind::Other,
        _ => return None,
    })
}

/// What a file's name in Draw Things declares: its converters name what they make
/// (drawthingsai/draw-things-community @ bfafc68c `Apps/LoRAConverter/Converter.swift`,
/// `Apps/EmbeddingConverter/Converter.swift`: `<name>_lora_f16.ckpt`, `<name>_ti_f16.ckpt`), and the models that it
/// offers follow suit (`Libraries/ModelZoo/Sources/*Zoo.swift`: `controlnet_canny_1.x_v1.1_f16.ckpt`,
/// `realesrgan_x2plus_f16.ckpt`, `clip_vit_l14_f16.ckpt`, `vae_ft_mse_840000_f16.ckpt`). A checkpoint's name says nothing.
#[must_use]
pub fn declared_by_file_name(name: &OsStr) -> Option<ModelKind> {
    let name = name.to_str()?.to_ascii_lowercase();
    let stem = name.strip_suffix(".ckpt")?;
    let has = |word: &str| stem.split('_').any(|part| part == word);
    let begins = |starts: &[&str]| starts.iter().any(|start| stem.starts_with(start));
    if has("lora") {
        Some(ModelKind::Lora)
    } else if has("ti") {
        Some(ModelKind::TextualInversion)
    } else if begins(&["controlnet_", "t2iadapter_"]) {
        Some(ModelKind::ControlNet)
    } else if begins(&["realesrgan_", "esrgan_", "remacri_", "4x_"]) {
        Some(ModelKind::Upscaler)
    } else if begins(&["clip_vit_", "open_clip_vit_", "t5_"]) {
        Some(ModelKind::TextEncoder)
    } else if has("vae") {
        Some(ModelKind::Vae)
    } else {
        None
    }
}

fn plain_letters(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}
