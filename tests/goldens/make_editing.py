#!/usr/bin/env python3
"""Has pictures edited by diffusers' instruct-pix2pix pipelines and the small models of make_families.py.

Pinned as make_goldens.py is.

    make_editing.py --clip-merges daemon/engine/assets/clip-merges.txt --out tests/goldens
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline, StableDiffusionXLInstructPix2PixPipeline
from PIL import Image
from safetensors.torch import save_file

from make_families import FAMILIES, NOISE, build, init_image, scheduler
from make_goldens import check_versions, generator

CASES = [
    {"like": "sd1", "sampler": "euler", "image_cfg": 1.5},
    {"like": "sd1", "sampler": "dpmpp_2m", "image_cfg": 2.5, "negative": "blurry"},
    {"like": "sd1", "sampler": "ddim", "image_cfg": 1.0, "cfg": 3.0},
    {"like": "sdxl", "sampler": "euler", "image_cfg": 1.2, "negative": "blurry"},
]


def paint(family, pipe, case):
    xl = "XL" in family["pipeline"]
    pipe.scheduler = scheduler(case["sampler"], {**NOISE, **family["scheduler"]})
    left_out = ("image_encoder", "safety_checker", "feature_extractor")
    parts = {k: v for k, v in pipe.components.items() if k not in left_out}
    if xl:
        more = {"add_watermarker": False, "force_zeros_for_empty_prompt": True}
        painter = StableDiffusionXLInstructPix2PixPipeline(**parts, **more)
    else:
        more = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        painter = StableDiffusionInstructPix2PixPipeline(**parts, **more)
    painter.set_progress_bar_config(disable=True)
    latents = painter(
        prompt=case["prompt"],
        negative_prompt=case["negative"],
        image=Image.fromarray(init_image()),
        num_inference_steps=case["steps"],
        guidance_scale=case["cfg"],
        image_guidance_scale=case["image_cfg"],
        generator=generator(case["seed"]),
        output_type="latent",
        **({"width": 64, "height": 64} if xl else {}),
    ).images
    decoded = painter.vae.decode(latents / painter.vae.config.scaling_factor).sample
    pixels = painter.image_processor.postprocess(decoded, output_type="np")[0]
    return torch.from_numpy((pixels * 255).round().astype(np.uint8).copy())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip-merges", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    tensors, cases = {}, []
    with torch.no_grad():
        for number, changes in enumerate(CASES):
            base = FAMILIES[changes["like"]]
            family = {**base, "unet": {**base["unet"], "in_channels": 8}}
            _, _, pipe = build(changes["like"], family, arguments.clip_merges)
            case = {"prompt": "make it snow", "negative": "", "seed": 300 + number, "steps": 6, "cfg": 5.0, **changes}
            cases.append(case)
            tensors[f"{number}.pixels"] = paint(family, pipe, case)
            print(number, flush=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, arguments.out / "editing.safetensors")
    (arguments.out / "editing.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
