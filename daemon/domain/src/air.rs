//! AIR, the name that CivitAI gives a version for use elsewhere; [`crate::ModelRef`] reads it, this prints it.
//!
//! Words of the kinds and ecosystems: github civitai/civitai @ ebed661630d3, `src/shared/utils/air.ts` and
//! `packages/civitai-shared/src/basemodel.constants.ts`.

/// `urn:air:{ecosystem}:{kind}:civitai:{model}@{version}` from the hub's own labels.
///
/// `file_kind` is the label of the main file: a file that holds nothing but a network is called that, whatever its model
/// is. A base model without an entry here goes in by its own name, as it does on the site; the reference means the same,
/// because only the numbers identify.
#[must_use]
pub fn civitai(base_model: &str, model_kind: &str, file_kind: Option<&str>, model: u64, version: u64) -> String {
    format!("urn:air:{}:{}:civitai:{model}@{version}", ecosystem(base_model), kind(model_kind, file_kind))
}

fn ecosystem(base_model: &str) -> String {
    let known = match base_model {
        "SD 1.4" | "SD 1.5" | "SD 1.5 LCM" | "SD 1.5 Hyper" => "sd1",
        "SD 2.0" | "SD 2.0 768" | "SD 2.1" | "SD 2.1 768" | "SD 2.1 Unclip" => "sd2",
        "SD 3" | "SD 3.5" | "SD 3.5 Large" | "SD 3.5 Large Turbo" => "sd3",
        "SDXL 0.9" | "SDXL 1.0" | "SDXL 1.0 LCM" | "SDXL Lightning" | "SDXL Hyper" | "SDXL Turbo" | "Pony"
        | "Illustrious" | "NoobAI" => "sdxl",
        "Pony V7" => "auraflow",
        "Flux.1 S" | "Flux.1 D" => "flux1",
        "Flux.2 D" | "Flux.2 Klein 9B" | "Flux.2 Klein 9B-base" | "Flux.2 Klein 4B" | "Flux.2 Klein 4B-base" => "flux2",
        // The site keeps this word for older readers.
        "Upscaler" => "other",
        // A colon would end the part, and white space the whole name.
        other => return other.to_lowercase().replace(|c: char| c == ':' || c.is_whitespace(), ""),
    };
    known.to_owned()
}

fn kind(model_kind: &str, file_kind: Option<&str>) -> &'static str {
    match (file_kind, model_kind) {
        (Some("Diffusion Model"), _) => "diffusionmodel",
        (Some("UNet"), _) | (_, "UNet") => "unet",
        (_, "AestheticGradient") => "ag",
        (_, "Checkpoint") => "checkpoint",
        (_, "Hypernetwork") => "hypernet",
        (_, "TextualInversion") => "embedding",
        (_, "MotionModule") => "motion",
        (_, "Upscaler") => "upscaler",
        (_, "VAE") => "vae",
        (_, "LORA") => "lora",
        (_, "DoRA") => "dora",
        (_, "LoCon") => "lycoris",
        (_, "Controlnet") => "controlnet",
        (_, "TextEncoder") => "text_encoders",
        (_, "CLIPVision") => "clipvision",
        (_, "CLIP") => "clip",
        (_, "VisionLanguage") => "visionlanguage",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelRef;
    use proptest::prelude::*;

    /// Label and value as recorded: `tests/fixtures/hubs/civitai/model-version-by-id-2025-03-1387174.json` and
    /// `docs-2026-version-mini.json`.
    #[test]
    fn recorded_names_come_out() {
        for (base_model, model_kind, model, version, wanted) in [
            ("Flux.1 D", "LORA", 1_231_067, 1_387_174, "urn:air:flux1:lora:civitai:1231067@1387174"),
            ("Illustrious", "Checkpoint", 827_184, 2_514_310, "urn:air:sdxl:checkpoint:civitai:827184@2514310"),
        ] {
            assert_eq!(civitai(base_model, model_kind, Some("Model"), model, version), wanted);
        }
    }

    #[test]
    fn a_file_that_is_only_a_network_says_so() {
        let name = |file| civitai("Flux.1 D", "Checkpoint", file, 1, 2);
        assert_eq!(name(Some("Diffusion Model")), "urn:air:flux1:diffusionmodel:civitai:1@2");
        assert_eq!(name(Some("UNet")), "urn:air:flux1:unet:civitai:1@2");
        assert_eq!(name(None), "urn:air:flux1:checkpoint:civitai:1@2");
        assert_eq!(civitai("Wan Video 2.2: x", "New", None, 1, 2), "urn:air:wanvideo2.2x:unknown:civitai:1@2");
    }

    proptest! {
        #[test]
        fn whatever_the_labels_it_reads_back_as_the_version(
            base_model in "[^\\pC]{0,20}", kind in "\\PC{0,10}", model in 1..i32::MAX, version in 1..i32::MAX
        ) {
            let (model, version) = (u64::from(model.unsigned_abs()), u64::from(version.unsigned_abs()));
            let text = civitai(&base_model, &kind, None, model, version);
            prop_assert_eq!(text.parse::<ModelRef>().ok(), Some(ModelRef::Civitai { model, version: Some(version) }));
        }
    }
}
