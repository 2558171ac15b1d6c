//! Everything that happens to the bytes of a stranger's file before it gets a name: recognised, read, understood,
//! and taken for a model and for an adapter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paintbox_weights::{Adapter, inspect, read_header, sd1};
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
    let Ok(recipes) = sd1::diffusers_recipes(&header) else { return };
    let parameters = sd1::canonical_shapes(&header, &recipes);
    assert_eq!(parameters.len(), recipes.len());
    let levels = sd1::Levels::of_canonical(&parameters);
    for (component, canonical) in parameters.keys() {
        let _name = sd1::ldm_name(*component, canonical, &levels);
    }
    for component in sd1::Component::ALL {
        let part = sd1::Part { parameters: &parameters, component };
        let _unet = sd1::UnetDims::from_tensors(&part);
        let _vae = sd1::VaeDims::from_tensors(&part);
        let _clip = sd1::ClipDims::from_tensors(&part);
    }
    let _adapter = Adapter::matching(&header, &parameters);
});
