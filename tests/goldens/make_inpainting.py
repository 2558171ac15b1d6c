#!/usr/bin/env python3
"""Paints parts of pictures with diffusers and the small models of make_families.py, under masks as A1111 makes them.

Pinned as make_goldens.py is; also opencv-python-headless 5.0.0 and Pillow 13.0.0. `--a1111` is a checkout of
AUTOMATIC1111/stable-diffusion-webui, of which `modules/masking.py` is asked and nothing is kept; the kept goldens were
made with its commit 0cb7262c. What A1111 does around it (`modules/processing.py`, `modules/images.py`) is said again here in Pillow's
words. Networks made for inpainting run in diffusers' pipelines as they are; with others, the pipeline is given the
mask that A1111 makes of the latents, and what A1111 puts under it.

    make_inpainting.py --clip-merges daemon/engine/assets/clip-merges.txt --a1111 DIR --out tests/goldens
"""

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image, ImageOps
from safetensors.torch import save_file

from make_families import FAMILIES, NOISE, build, init_image, scheduler
from make_goldens import check_versions, generator

PINNED = {"opencv-python-headless": "5.0.0", "pillow": "13.0.0"}
BLOCK, ODD = (8, 16, 56, 48), (13, 21, 42, 50)

FAMILIES_HERE = {
    "sd1": {
        "like": "sd1",
        "cases": [
            {"mask": BLOCK, "sampler": "euler", "strength": 0.7},
            {"mask": BLOCK, "sampler": "dpmpp_2m", "strength": 0.9, "invert": True},
            {"mask": ODD, "sampler": "ddim", "strength": 0.9, "blur": 3},
            {"mask": ODD, "sampler": "euler", "strength": 0.7, "blur": 2, "content": "noise"},
            {"mask": ODD, "sampler": "dpmpp_2m", "strength": 0.7, "content": "nothing"},
            {"mask": ODD, "sampler": "euler", "strength": 0.7, "blur": 4, "content": "fill"},
            {"mask": (40, 30, 52, 40), "sampler": "euler", "strength": 0.7, "blur": 2, "padding": 4},
            {"mask": (2, 30, 9, 62), "sampler": "euler", "strength": 0.7, "padding": 8, "width": 96, "height": 64},
        ],
    },
    "sd1-inpainting": {
        "like": "sd1",
        "in_channels": 9,
        "cases": [
            {"mask": ODD, "sampler": "euler", "strength": 1.0},
            {"mask": ODD, "sampler": "dpmpp_2m", "strength": 0.7, "blur": 3},
            {"mask": ODD, "sampler": "ddim", "strength": 1.0, "padding": 6},
            {"mask": None, "sampler": "euler", "strength": None},
        ],
    },
    "sd2-inpainting": {
        "like": "sd2",
        "in_channels": 9,
        "cases": [{"mask": ODD, "sampler": "euler", "strength": 1.0}],
    },
    "sdxl-inpainting": {
        "like": "sdxl",
        "in_channels": 9,
        "cases": [{"mask": ODD, "sampler": "euler", "strength": 1.0, "blur": 2}],
    },
}


def rectangle(size, box):
    mask = np.zeros((size[1], size[0]), np.uint8)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = 255
    return mask


def softened(mask, blur):
    reach = 2 * int(2.5 * blur + 0.5) + 1
    return cv2.GaussianBlur(cv2.GaussianBlur(mask, (reach, 1), blur), (1, reach), blur) if blur else mask


def resized(image, width, height, fill):
    """`resize_image` with mode 2 (fill) and 1 (crop)."""
    ratio, own = width / height, image.width / image.height
    if fill:
        inner = (width if ratio < own else image.width * height // image.height,
                 height if ratio >= own else image.height * width // image.width)
    else:
        inner = (width if ratio > own else image.width * height // image.height,
                 height if ratio <= own else image.height * width // image.width)
    small = np.array(image.resize(inner, Image.LANCZOS))
    left, top = width // 2 - inner[0] // 2, height // 2 - inner[1] // 2
    rows = np.clip(np.arange(height) - top, 0, inner[1] - 1)
    columns = np.clip(np.arange(width) - left, 0, inner[0] - 1)
    return Image.fromarray(small[rows][:, columns])


def overlaid(original, painted, seen, region):
    """`apply_overlay`."""
    above = Image.new("RGBa", original.size)
    above.paste(original.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(seen))
    if region:
        base = Image.new("RGBA", original.size)
        left, top, right, bottom = region
        base.paste(resized(painted, right - left, bottom - top, fill=False), (left, top))
        painted = base
    painted = painted.convert("RGBA")
    painted.alpha_composite(above.convert("RGBA"))
    return painted.convert("RGB")


def paint(family, pipe, case, masking):
    xl = "XL" in family["pipeline"]
    original = Image.fromarray(init_image())
    size = (case["width"], case["height"])
    pipe.scheduler = scheduler(case["sampler"], {**NOISE, **family["scheduler"]})
    more = {} if xl else {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    parts = {k: v for k, v in pipe.components.items() if k not in more and k not in ("image_encoder",)}
    if xl:
        parts = {k: v for k, v in parts.items() if k != "feature_extractor"}
        more = {"add_watermarker": False, "force_zeros_for_empty_prompt": True}
    painter = (StableDiffusionXLInpaintPipeline if xl else StableDiffusionInpaintPipeline)(**parts, **more)
    painter.set_progress_bar_config(disable=True)
    region, image = None, original
    if case["mask"] is None:
        mask = seen = Image.new("L", size, 255)
    else:
        mask = rectangle(original.size, case["mask"])
        seen = Image.fromarray(softened(255 - mask if case["invert"] else mask, case["blur"]))
        if case["padding"] is not None:
            bounds = masking.get_crop_region(np.array(seen), case["padding"])
            region = masking.expand_crop_region(bounds, *size, *seen.size)
            mask = resized(seen.crop(region), *size, fill=True)
            image = resized(original.crop(region), *size, fill=True)
        else:
            mask = seen
            seen = Image.fromarray(np.clip(np.array(seen).astype(np.float32) * 2, 0, 255).astype(np.uint8))
    if case["content"] != "original":
        image = masking.fill(image, mask)
    factor = painter.vae_scale_factor
    latents = mask.convert("RGB").resize((size[0] // factor, size[1] // factor))
    latents = torch.from_numpy(np.around(np.array(latents, np.float32)[..., 0] / 255))[None, None]

    def prepare_latents(batch, channels, height, width, dtype, device, generator, *_, image, timestep, **__):
        shape = (batch, channels, height // factor, width // factor)
        encoded = painter._encode_vae_image(image=image, generator=generator)
        noise = randn_tensor(shape, generator=generator)
        under = {"noise": noise, "nothing": torch.zeros_like(noise)}.get(case["content"], encoded)
        encoded = encoded * (1 - latents) + under * latents
        return painter.scheduler.add_noise(encoded, noise, timestep), noise, encoded

    if painter.unet.config.in_channels == 4:
        prepare_mask = painter.prepare_mask_latents

        def prepare_mask_latents(*arguments):
            _, masked = prepare_mask(*arguments)
            return torch.cat([latents] * 2), masked

        painter.prepare_latents, painter.prepare_mask_latents = prepare_latents, prepare_mask_latents
    found = painter(
        prompt=case["prompt"],
        negative_prompt=None if xl else "",
        image=image,
        mask_image=mask,
        strength=case["strength"] or 1.0,
        width=size[0],
        height=size[1],
        num_inference_steps=case["steps"],
        guidance_scale=case["cfg"],
        generator=generator(case["seed"]),
        output_type="latent",
    ).images
    decoded = painter.vae.decode(found / painter.vae.config.scaling_factor).sample
    pixels = painter.image_processor.postprocess(decoded, output_type="np")[0]
    painted = Image.fromarray((pixels * 255).round().astype(np.uint8))
    return painted if case["mask"] is None else overlaid(original, painted, seen, region)


def bytes_of(image):
    return torch.from_numpy(np.array(image).copy())


def shapes_of_masks(masking, tensors):
    """What becomes of pictures and masks on the way."""
    original, mask = Image.fromarray(init_image()), rectangle((64, 64), ODD)
    tensors["mask"] = torch.from_numpy(mask)
    for blur in [1, 4, 9]:
        tensors[f"softened.{blur}"] = torch.from_numpy(softened(mask, blur))
    soft = Image.fromarray(softened(mask, 4))
    tensors["filled"] = bytes_of(masking.fill(original, Image.fromarray(mask)))
    tensors["filled.soft"] = bytes_of(masking.fill(original, soft))
    tensors["latents"] = bytes_of(soft.convert("RGB").resize((8, 8)))[..., 0].contiguous()
    for width, height in [(96, 64), (40, 88), (17, 9)]:
        tensors[f"resized.{width}.{height}"] = bytes_of(original.resize((width, height), Image.LANCZOS))
        tensors[f"inside.{width}.{height}"] = bytes_of(resized(original, width, height, fill=True))
        tensors[f"covering.{width}.{height}"] = bytes_of(resized(original, width, height, fill=False))
    tensors["under"] = bytes_of(overlaid(original, Image.fromarray(255 - init_image()), soft, None))
    tensors["init"] = torch.from_numpy(init_image())


def regions(masking):
    drawn = np.random.RandomState(5)
    found = []
    for _ in range(300):
        width, height = drawn.randint(8, 200, 2)
        left, top = drawn.randint(0, width), drawn.randint(0, height)
        box = (left, top, drawn.randint(left + 1, width + 1), drawn.randint(top + 1, height + 1))
        padding, size = drawn.choice([0, 3, 32, 500]), 8 * drawn.randint(1, 30, 2)
        bounds = masking.get_crop_region(rectangle((width, height), box), padding)
        region = masking.expand_crop_region(bounds, *size, width, height)
        found.append([[int(n) for n in numbers] for numbers in [(width, height), box, (padding,), size, region]])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip-merges", type=Path, required=True)
    parser.add_argument("--a1111", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    for name, wanted in PINNED.items():
        assert version(name).startswith(wanted), (name, version(name))
    sys.path.insert(0, str(arguments.a1111))
    from modules import masking

    tensors, record = {}, []
    shapes_of_masks(masking, tensors)
    with torch.no_grad():
        for name, changes in FAMILIES_HERE.items():
            base = FAMILIES[changes["like"]]
            channels = changes.get("in_channels", 4)
            family = {**base, "unet": {**base["unet"], "in_channels": channels}}
            _, _, pipe = build(changes["like"], family, arguments.clip_merges)
            cases = []
            for number, case in enumerate(changes["cases"]):
                case = {
                    "prompt": "a red fox in the snow, oil painting",
                    "seed": 200 + number,
                    "steps": 6,
                    "cfg": 5.0,
                    "width": 64,
                    "height": 64,
                    "invert": False,
                    "blur": 0,
                    "content": "original",
                    "padding": None,
                    **case,
                }
                cases.append(case)
                tensors[f"{name}.{number}.pixels"] = bytes_of(paint(family, pipe, case, masking))
                print(name, number, flush=True)
            record.append({"name": name, "like": changes["like"], "in_channels": channels, "cases": cases})
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, arguments.out / "inpainting.safetensors")
    made = {"families": record, "regions": regions(masking)}
    lines = [f' "{key}": [\n  ' + ",\n  ".join(json.dumps(each) for each in made[key]) + "\n ]" for key in made]
    (arguments.out / "inpainting.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
