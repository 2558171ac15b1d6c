#!/usr/bin/env python3
"""Makes previews of latents by diffusers' TAESD, and by the mixtures that ComfyUI has for them.

Pinned as make_goldens.py is. No weights are kept: both sides draw them from the names of the tensors (`weight` in
make_families.py).

    make_previews.py --out tests/goldens
"""

import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from make_families import weight
from make_goldens import check_versions, generator

# comfyanonymous/ComfyUI 040a3243 `comfy/latent_formats.py`, `SD15` and `SDXL`.
MIXTURES = {
    "sd": (
        [[0.3512, 0.2297, 0.3227], [0.3250, 0.4974, 0.2350], [-0.2829, 0.1762, 0.2721], [-0.2120, -0.2616, -0.7177]],
        None,
    ),
    "xl": (
        [[0.3651, 0.4232, 0.4341], [-0.2533, -0.0042, 0.1068], [0.1076, 0.1111, -0.0362], [-0.3165, -0.2492, -0.2188]],
        [0.1084, -0.0175, -0.0011],
    ),
}


def mixed(latents, factors, bias):
    """`latent_preview.py`, `Latent2RGBPreviewer` and `preview_to_image`."""
    factors = torch.tensor(factors).T
    picture = torch.nn.functional.linear(latents[0].permute(1, 2, 0), factors, bias and torch.tensor(bias))
    return ((picture + 1) / 2).clamp(0, 1).mul(0xFF).to(torch.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    check_versions()
    decoder = AutoencoderTiny().decoder.eval()
    shapes = {f"decoder.{name}": list(tensor.shape) for name, tensor in decoder.state_dict().items()}
    state = {name: weight("taesd", name, shape) for name, shape in shapes.items()}
    decoder.load_state_dict({name.removeprefix("decoder."): tensor for name, tensor in state.items()})
    latents = torch.randn((1, 4, 4, 5), generator=generator(1))
    with torch.no_grad():
        # Its decoder gives −1 to 1, and TAESD's own 0 to 1.
        found = {"latents": latents, "taesd": decoder(latents) / 2 + 0.5}
    print(f"values up to {found['taesd'].abs().max():.3f}")
    found |= {name: mixed(latents, *mixture) for name, mixture in MIXTURES.items()}
    save_file({name: tensor.contiguous() for name, tensor in found.items()}, out / "previews.safetensors")
    (out / "previews.json").write_text(json.dumps({"tensors": shapes}) + "\n")


if __name__ == "__main__":
    main()
