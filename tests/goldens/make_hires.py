#!/usr/bin/env python3
"""Paints the small models of make_families.py in two passes by diffusers, and brings latents to other sizes by torch.

Pinned as make_goldens.py is. diffusers knows no second pass, so it is put together as A1111 does it
(`modules/processing.py`, `sample_hr_pass`): latents of a text-to-image pipeline are enlarged, and painted over by an
image-to-image pipeline, whose steps are those of the second pass out of as many as leave the asked part of the noise.
Where the picture goes through pixels, Pillow enlarges it, and the mean of its encoding is painted over.

    make_hires.py --clip-merges daemon/engine/assets/clip-merges.txt --out tests/goldens
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline
from PIL import Image
from safetensors.torch import save_file

from make_families import FAMILIES, NOISE, build, scheduler
from make_goldens import check_versions, generator

# Our names, and what torch is asked for.
SCALINGS = {
    "latent": ("bilinear", False),
    "latent_antialiased": ("bilinear", True),
    "latent_bicubic": ("bicubic", False),
    "latent_bicubic_antialiased": ("bicubic", True),
    "latent_nearest": ("nearest", False),
    "latent_nearest_exact": ("nearest-exact", False),
}
CASES = [
    {"like": "sd1", "sampler": "euler", "upscaler": "latent", "scale": 2.0},
    {"like": "sd1", "sampler": "dpmpp_2m", "upscaler": "latent_nearest_exact", "scale": 1.5, "second_sampler": "ddim"},
    {"like": "sd1", "sampler": "euler", "upscaler": "lanczos", "scale": 1.5, "strength": 0.4},
    {"like": "sdxl", "sampler": "euler", "upscaler": "latent_bicubic_antialiased", "scale": 1.5, "second_steps": 6},
]


def interpolated(latents, size, scaling):
    mode, antialias = SCALINGS[scaling]
    return torch.nn.functional.interpolate(latents, size=size, mode=mode, antialias=antialias)


def enlarged(pipe, latents, side, upscaler):
    if upscaler in SCALINGS:
        return interpolated(latents, (side // pipe.vae_scale_factor,) * 2, upscaler)
    picture = Image.fromarray(pixels(pipe, latents).numpy()).resize((side, side), Image.Resampling.LANCZOS)
    signal = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    return pipe.vae.encode(signal).latent_dist.mean * pipe.vae.config.scaling_factor


def pixels(pipe, latents):
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    found = pipe.image_processor.postprocess(decoded, output_type="np")[0]
    return torch.from_numpy((found * 255).round().astype(np.uint8).copy())


def paint(family, pipe, case):
    noise = {**NOISE, **family["scheduler"]}
    said = {"prompt": case["prompt"], "negative_prompt": case["negative"], "guidance_scale": case["cfg"]}
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = scheduler(case["sampler"], noise)
    first = pipe(
        num_inference_steps=case["steps"],
        width=64,
        height=64,
        generator=generator(case["seed"]),
        output_type="latent",
        **said,
    ).images
    side = int(64 * case["scale"]) // 8 * 8
    larger = enlarged(pipe, first, side, case["upscaler"])
    left_out = ("image_encoder", "safety_checker", "feature_extractor")
    parts = {k: v for k, v in pipe.components.items() if k not in left_out}
    if "XL" in family["pipeline"]:
        painter = StableDiffusionXLImg2ImgPipeline(**parts, add_watermarker=False, force_zeros_for_empty_prompt=True)
    else:
        more = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        painter = StableDiffusionImg2ImgPipeline(**parts, **more)
    painter.set_progress_bar_config(disable=True)
    painter.scheduler = scheduler(case["second_sampler"] or case["sampler"], noise)
    wanted = case["second_steps"] or case["steps"]
    steps = int(wanted / min(case["strength"], 0.999))
    # A hair more than the share, as it is rounded down.
    latents = painter(
        image=larger,
        strength=(wanted + 0.5) / steps if wanted < steps else 1.0,
        num_inference_steps=steps,
        generator=generator(case["seed"]),
        output_type="latent",
        **said,
    ).images
    return pixels(pipe, latents)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip-merges", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    latents = torch.randn((1, 4, 9, 7), generator=generator(1))
    tensors, cases = {"latents": latents}, []
    for scaling in SCALINGS:
        for height, width in [(18, 14), (13, 11), (5, 6)]:
            tensors[f"{scaling}.{height}x{width}"] = interpolated(latents, (height, width), scaling)
    with torch.no_grad():
        for number, changes in enumerate(CASES):
            family = FAMILIES[changes["like"]]
            _, _, pipe = build(changes["like"], family, arguments.clip_merges)
            usual = {"prompt": "a red heart", "negative": "blurry", "steps": 5, "cfg": 5.0, "strength": 0.7}
            more = {"seed": 400 + number, "second_steps": None, "second_sampler": None}
            case = {**usual, **more, **changes}
            cases.append(case)
            tensors[f"{number}.pixels"] = paint(family, pipe, case)
            print(number, tuple(tensors[f"{number}.pixels"].shape), flush=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, arguments.out / "hires.safetensors")
    (arguments.out / "hires.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
