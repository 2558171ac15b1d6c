//! The networks of the Stable Diffusion family, with diffusers' parameter names.

mod clip;
mod control;
mod resnet;
mod taesd;
mod transformer;
mod trunk;
mod unet;
mod vae;

pub(crate) use clip::{ClipShape, ClipText, Gelu, Layers, Replaced};
pub(crate) use control::{ControlNet, ControlNetShape};
pub(crate) use taesd::TaesdDecoder;
pub(crate) use unet::{Conditions, Level, Unet, UnetShape};
pub(crate) use vae::{Vae, VaeEncoding, VaeShape};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Blueprint, Component, Index, blueprint, index};
    use crate::testing::{GoldenTensors, close, diffusers_folder, load, single_file};
    use candle_core::Device;

    fn with_tiny_model(test: impl Fn(&Index, &Blueprint)) {
        let folder = diffusers_folder();
        for files in [single_file(), folder.files.clone()] {
            let index = index(&files).unwrap();
            test(&index, &blueprint(&index).unwrap());
        }
    }

    #[test]
    fn text_states_are_those_of_transformers() {
        let goldens = GoldenTensors::open("text.safetensors");
        with_tiny_model(|index, blueprint| {
            let text = &blueprint.texts[0];
            let clip = load(index, Component::TextEncoder, |weights| ClipText::load(weights, &text.shape));
            for prompt in ["empty", "heart", "long"] {
                let ids = goldens.integers(&format!("{prompt}.ids"));
                let ids: Vec<u32> = ids.into_iter().map(|id| u32::try_from(id).unwrap()).collect();
                for skip in [1, 2] {
                    let states = clip.encode(std::slice::from_ref(&ids), &[], text.layers(skip), 1999).unwrap().states;
                    let name = format!("{prompt}.skip{skip}");
                    close(&format!("text {name}"), &states, &goldens.tensor(&name));
                }
            }
        });
    }

    #[test]
    fn predicted_noise_is_that_of_diffusers() {
        let goldens = GoldenTensors::open("unet.safetensors");
        let prompts = Conditions { context: goldens.tensor("context"), added: None };
        with_tiny_model(|index, blueprint| {
            let unet = load(index, Component::Unet, |weights| Unet::load(weights, &blueprint.unet));
            for t in [0.0, 1.0, 437.31, 500.0, 981.0, 999.0] {
                let ours = unet.forward(&goldens.tensor("sample"), t, &prompts, None).unwrap();
                close(&format!("UNet at {t}"), &ours, &goldens.tensor(&format!("out.t{t}")));
            }
            let prompt = Conditions { context: prompts.context.narrow(0, 1, 1).unwrap(), added: None };
            let ours = unet.forward(&goldens.tensor("odd"), 500.0, &prompt, None).unwrap();
            close("UNet on sides that do not halve", &ours, &goldens.tensor("out.odd.t500"));
        });
    }

    #[test]
    fn the_autoencoder_is_that_of_diffusers() {
        let goldens = GoldenTensors::open("vae.safetensors");
        with_tiny_model(|index, blueprint| {
            let vae = load(index, Component::Vae, |weights| Vae::load(weights, &blueprint.vae));
            let latents = (goldens.tensor("latents") / blueprint.vae.scaling).unwrap();
            close("VAE decoder", &vae.decode(&latents).unwrap(), &goldens.tensor("decoded"));
            close("VAE encoder", &vae.moments(&goldens.tensor("image")).unwrap(), &goldens.tensor("moments"));
        });
    }

    /// candle-transformers' autoencoder is right where it can be used at all, so it is a second, independent witness.
    #[test]
    fn the_decoder_agrees_with_the_one_of_candle_transformers() {
        use candle_nn::VarBuilder;
        use candle_transformers::models::stable_diffusion::vae::{AutoEncoderKL, AutoEncoderKLConfig};
        let folder = diffusers_folder();
        let index = index(&folder.files).unwrap();
        let blueprint = blueprint(&index).unwrap();
        let config = AutoEncoderKLConfig {
            block_out_channels: blueprint.vae.channels.clone(),
            layers_per_block: blueprint.vae.layers_per_block,
            latent_channels: blueprint.vae.latent_channels,
            norm_num_groups: blueprint.vae.groups,
            use_quant_conv: true,
            use_post_quant_conv: true,
        };
        let file = folder.files.iter().find(|file| file.name.starts_with("vae/diff")).unwrap();
        let bytes = std::fs::read(&file.path).unwrap();
        let theirs = VarBuilder::from_buffered_safetensors(bytes, candle_core::DType::F32, &Device::Cpu).unwrap();
        let theirs = AutoEncoderKL::new(theirs, 3, 3, config).unwrap();
        let ours = load(&index, Component::Vae, |weights| Vae::load(weights, &blueprint.vae));
        let latents = (GoldenTensors::open("vae.safetensors").tensor("latents") / blueprint.vae.scaling).unwrap();
        close("second oracle", &ours.decode(&latents).unwrap(), &theirs.decode(&latents).unwrap());
    }
}
