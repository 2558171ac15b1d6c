//! Everything that happens to the bytes of a stranger's file before it gets a name: recognised, read, understood,
//! and taken for a model and for an adapter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paintbox_weights::{Adapter, inspect, read_header, stable_diffusion};
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len() as u64;
    let inspected = inspect(&mut Cursor::new(bytes), length);
    let Ok(header) = read_header(&mut Cursor::new(bytes), length) else { return };
    // A sound header is a sound file, whatever it begins like.
    assert!(inspected.is_ok());
    for info in header.tensors.values() {
        assert!(info.start <= info.end && info.end <= length);
    }
    let Ok(recipes) = stable_diffusion::diffusers_recipes(&header) else { return };
    let parameters = stable_diffusion::canonical_shapes(&header, &recipes);
    assert_eq!(parameters.len(), recipes.len());
    let levels = stable_diffusion::Levels::of_canonical(&parameters);
    for (component, canonical) in parameters.keys() {
        let _name = stable_diffusion::ldm_name(*component, canonical, &levels);
    }
    for component in stable_diffusion::Component::ALL {
        let part = stable_diffusion::Part { parameters: &parameters, component };
        let _unet = stable_diffusion::UnetDims::from_tensors(&part);
        let _vae = stable_diffusion::VaeDims::from_tensors(&part);
        let _clip = stable_diffusion::ClipDims::from_tensors(&part);
    }
    let _adapter = Adapter::matching(&header, &parameters);
});
