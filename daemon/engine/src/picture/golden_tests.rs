//! Sizes and masks against Pillow's, OpenCV's and A1111's (`tests/goldens/make_inpainting.py`).

use super::{Mask, Picture, Region, Rgb, canny, filled, softened};
use crate::testing::{GoldenTensors, golden_json, note};
use paintbox_domain::generation::Canny;
use serde::Deserialize;

struct Goldens {
    tensors: GoldenTensors,
    init: Rgb,
    mask: Mask,
}

fn goldens() -> Goldens {
    let tensors = GoldenTensors::open("inpainting.safetensors");
    let init = Rgb { width: 64, height: 64, bytes: tensors.bytes("init") };
    let mask = Mask { width: 64, height: 64, bytes: tensors.bytes("mask") };
    Goldens { tensors, init, mask }
}

impl Goldens {
    /// How far the bytes of a picture are from a golden's, at most and on average.
    fn compare<const CHANNELS: usize>(&self, name: &str, ours: &Picture<CHANNELS>) -> (u8, f64) {
        let golden = self.tensors.bytes(name);
        assert_eq!(ours.bytes.len(), ours.width * ours.height * CHANNELS, "{name}");
        assert_eq!(ours.bytes.len(), golden.len(), "{name}");
        let apart = || ours.bytes.iter().zip(&golden).map(|(a, b)| a.abs_diff(*b));
        let largest = apart().max().unwrap();
        let mean = apart().map(f64::from).sum::<f64>() / golden.len() as f64;
        note(&format!("{name}: largest difference {largest}, mean {mean:.4}"));
        (largest, mean)
    }
}

#[test]
fn other_sizes_are_those_of_pillow() {
    let goldens = goldens();
    for (width, height) in [(96, 64), (40, 88), (17, 9)] {
        for (how, ours) in [
            ("resized", goldens.init.resized(width, height)),
            ("inside", goldens.init.inside(width, height)),
            ("covering", goldens.init.covering(width, height)),
        ] {
            let ours = ours.unwrap();
            assert_eq!((ours.width, ours.height), (width, height));
            let (largest, mean) = goldens.compare(&format!("{how}.{width}.{height}"), &ours);
            assert!(largest <= 2 && mean < 0.2, "{how} {width}×{height}");
        }
    }
    let latents = softened(goldens.mask.clone(), 4).resized_bicubic(8, 8).unwrap();
    assert!(goldens.compare("latents", &latents).0 <= 1);
}

#[test]
fn soft_masks_are_those_of_opencv() {
    let goldens = goldens();
    for blur in [1, 4, 9] {
        assert!(goldens.compare(&format!("softened.{blur}"), &softened(goldens.mask.clone(), blur)).0 == 0);
    }
    assert_eq!(softened(goldens.mask.clone(), 0), goldens.mask);
    // A kernel that is longer than the mask, and a mask of one row.
    let line = Mask { width: 3, height: 1, bytes: vec![0, 255, 0] };
    let soft = softened(line, 64).bytes;
    assert!(soft.iter().all(|byte| (100..160).contains(byte)), "{soft:?}");
}

#[test]
fn what_fills_a_mask_is_what_a1111_fills_it_with() {
    let goldens = goldens();
    assert_eq!(goldens.compare("filled", &filled(&goldens.init, &goldens.mask)), (0, 0.0));
    let soft = Mask { bytes: goldens.tensors.bytes("softened.4"), ..goldens.mask.clone() };
    assert_eq!(goldens.compare("filled.soft", &filled(&goldens.init, &soft)), (0, 0.0));
    // Nothing is left to fill with.
    let all = Mask { bytes: vec![255; 64 * 64], ..goldens.mask.clone() };
    assert!(filled(&goldens.init, &all).bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn a_painting_is_laid_over_as_a1111_does() {
    let goldens = goldens();
    let painted = Rgb { bytes: goldens.init.bytes.iter().map(|byte| 255 - byte).collect(), ..goldens.init };
    let soft = Mask { bytes: goldens.tensors.bytes("softened.4"), ..goldens.mask.clone() };
    // A1111 rounds colours down that it has multiplied by their opacity, and so is a little darker where it is low.
    let ours = goldens.init.under(&painted, &soft);
    let (largest, mean) = goldens.compare("under", &ours);
    assert!(largest <= 2 && mean < 0.3);
}

#[test]
fn edges_are_those_of_opencv() {
    let goldens = GoldenTensors::open("controls.safetensors");
    let picture = Rgb { width: 96, height: 80, bytes: goldens.bytes("edges.picture") };
    for (low, high) in [(100, 200), (30, 90), (0, 0), (200, 600)] {
        let edges = canny(&picture, Canny { low, high });
        let golden = goldens.bytes(&format!("edges.{low}.{high}"));
        let count = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == 255).count();
        note(&format!("edges from {low} to {high}: {} of {}", count(&edges.bytes), edges.bytes.len()));
        assert!(edges.bytes == golden, "{low} {high}: {} edges, and {}", count(&edges.bytes), count(&golden));
    }
}

#[derive(Deserialize)]
struct Regions {
    /// Size of the picture, masked box, padding, size of the painting, region.
    regions: Vec<[Vec<usize>; 5]>,
}

#[test]
fn the_part_that_is_cut_out_is_the_one_that_a1111_cuts_out() {
    let Regions { regions } = golden_json("inpainting.json");
    assert_eq!(regions.len(), 300);
    for [size, masked, padding, painting, wanted] in regions {
        let (width, height) = (size[0], size[1]);
        let is_masked = |at: usize| {
            let (x, y) = (at % width, at / width);
            (masked[0]..masked[2]).contains(&x) && (masked[1]..masked[3]).contains(&y)
        };
        let bytes = (0..width * height).map(|at| u8::from(is_masked(at))).collect();
        let region = Region::around(&Mask { width, height, bytes }, padding[0], painting[0], painting[1]).unwrap();
        assert_eq!([region.left, region.top, region.right, region.bottom], wanted[..], "{size:?} {masked:?}");
    }
    let nothing = Mask { width: 3, height: 2, bytes: vec![0; 6] };
    assert!(Region::around(&nothing, 8, 64, 64).unwrap_err().to_string().starts_with("mask is empty"));
}
