#!/usr/bin/env python3
"""Leads the small models of make_families.py by small ControlNets, and finds edges in pictures.

Pinned as make_goldens.py is; also opencv-python-headless 5.0.0. Weights are drawn from names as in make_families.py. The
names of single files are made by this script's own rules and proved by diffusers' converter.

    make_controls.py --clip-merges daemon/engine/assets/clip-merges.txt --out tests/goldens
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionXLControlNetPipeline
from diffusers.loaders import single_file_utils
from PIL import Image
from safetensors.torch import save_file

from make_families import FAMILIES, NOISE, UNET, build, init_image, same, scheduler, unet_name, weight
from make_goldens import check_versions, generator

HINT = (8, 16, 32)
OF_UNET = (
    "down_block_types",
    "block_out_channels",
    "cross_attention_dim",
    "attention_head_dim",
    "use_linear_projection",
    "transformer_layers_per_block",
    "addition_embed_type",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
)
CASES = {
    "sd1": [
        {"sampler": "euler", "controls": [{"strength": 1.0}]},
        {"sampler": "dpmpp_2m", "controls": [{"strength": 0.8}, {"strength": 0.5, "start": 0.5}]},
        {"sampler": "ddim", "cfg": 1.0, "controls": [{"strength": 1.2, "start": 0.2, "end": 0.7}]},
    ],
    "sdxl": [
        {"sampler": "euler", "controls": [{"strength": 1.0, "end": 0.5}]},
        {"sampler": "dpmpp_2m", "controls": [{"strength": 0.7}, {"strength": 0.7}]},
    ],
}


def control_name(name, family):
    """What ControlNet's own repository calls a tensor."""
    stem, leaf = name.rsplit(".", 1)
    parts = stem.split(".")
    if parts[0] == "controlnet_down_blocks":
        return f"zero_convs.{parts[1]}.0.{leaf}"
    if parts[0] == "controlnet_mid_block":
        return f"middle_block_out.0.{leaf}"
    if parts[0] == "controlnet_cond_embedding":
        last = 2 * (2 * (len(HINT) - 1) + 1)
        place = {"conv_in": 0, "conv_out": last}.get(parts[1])
        return f"input_hint_block.{2 * (int(parts[2]) + 1) if place is None else place}.{leaf}"
    return unet_name(name, family)


def control_net(component, family):
    config = {k: v for k, v in family["unet"].items() if k in OF_UNET}
    net = ControlNetModel(
        **config,
        layers_per_block=UNET["layers_per_block"],
        norm_num_groups=UNET["norm_num_groups"],
        conditioning_embedding_out_channels=HINT,
    ).eval()
    for name, parameter in net.named_parameters():
        parameter.data.copy_(weight(component, name, parameter.shape))
    return net


def prove_names(net, names):
    state = net.state_dict()
    checkpoint = {ldm: state[name] for name, ldm in names.items()}
    # The converter knows the last place of the released ControlNets only.
    last = names["controlnet_cond_embedding.conv_out.weight"].removesuffix(".weight")
    for leaf in ["weight", "bias"]:
        checkpoint[f"input_hint_block.14.{leaf}"] = checkpoint.pop(f"{last}.{leaf}")
    # It does not know XL's embedding of sizes either, which is named as in the UNet.
    wanted = {name: tensor for name, tensor in state.items() if not name.startswith("add_embedding.")}
    same(single_file_utils.convert_controlnet_checkpoint(checkpoint, dict(net.config)), wanted, "ControlNet")


def residuals(name, net, tensors):
    draw = generator(41)
    sample = torch.randn(1, 4, 10, 8, generator=draw)
    context = torch.randn(1, 77, net.config.cross_attention_dim, generator=draw)
    picture = torch.rand(1, 3, 40, 32, generator=draw)
    added = None
    for key, value in [("sample", sample), ("context", context), ("picture", picture)]:
        tensors[f"{name}.{key}"] = value
    if net.config.addition_embed_type is not None:
        pooled = torch.randn(1, 64, generator=draw)
        sizes = torch.tensor([[512.0, 384.0, 8.0, 16.0, 1024.0, 768.0]])
        added = {"text_embeds": pooled, "time_ids": sizes}
        tensors[f"{name}.pooled"], tensors[f"{name}.sizes"] = pooled, sizes
    found = net(sample, torch.tensor(437.31), context, picture, conditioning_scale=0.8, added_cond_kwargs=added)
    for number, residual in enumerate(found.down_block_res_samples):
        tensors[f"{name}.residual.{number}"] = residual
    tensors[f"{name}.residual.middle"] = found.mid_block_res_sample


def control_image(number):
    return Image.fromarray(np.roll(init_image(), 20 * (number + 1), axis=number))


def paint(family, pipe, case, nets):
    xl = "XL" in family["pipeline"]
    pipe.scheduler = scheduler(case["sampler"], {**NOISE, **family["scheduler"]})
    left_out = ("image_encoder", "safety_checker", "feature_extractor")
    parts = {k: v for k, v in pipe.components.items() if k not in left_out}
    asked = case["controls"]
    parts["controlnet"] = nets[: len(asked)]
    if xl:
        more = {"add_watermarker": False, "force_zeros_for_empty_prompt": True}
        painter = StableDiffusionXLControlNetPipeline(**parts, **more)
    else:
        more = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        painter = StableDiffusionControlNetPipeline(**parts, **more)
    painter.set_progress_bar_config(disable=True)
    latents = painter(
        prompt=case["prompt"],
        negative_prompt=None if xl else "",
        image=[control_image(number) for number in range(len(asked))],
        controlnet_conditioning_scale=[control["strength"] for control in asked],
        control_guidance_start=[control["start"] for control in asked],
        control_guidance_end=[control["end"] for control in asked],
        width=64,
        height=64,
        num_inference_steps=case["steps"],
        guidance_scale=case["cfg"],
        generator=generator(case["seed"]),
        output_type="latent",
    ).images
    decoded = painter.vae.decode(latents / painter.vae.config.scaling_factor).sample
    pixels = painter.image_processor.postprocess(decoded, output_type="np")[0]
    return torch.from_numpy((pixels * 255).round().astype(np.uint8).copy())


def edges(tensors):
    drawn = np.random.RandomState(3)
    picture = cv2.GaussianBlur(drawn.randint(0, 256, (80, 96, 3)).astype(np.uint8), (0, 0), 2.0)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    cv2.circle(picture, (40, 30), 18, (240, 20, 90), -1)
    cv2.rectangle(picture, (0, 60), (50, 79), (10, 10, 10), -1)
    tensors["edges.picture"] = torch.from_numpy(picture)
    for low, high in [(100, 200), (30, 90), (0, 0), (200, 600)]:
        tensors[f"edges.{low}.{high}"] = torch.from_numpy(cv2.Canny(picture, low, high))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip-merges", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    assert version("opencv-python-headless").startswith("5.0.0")
    tensors, record = {}, []
    edges(tensors)
    with torch.no_grad():
        for name, cases in CASES.items():
            family = FAMILIES[name]
            _, _, pipe = build(name, family, arguments.clip_merges)
            nets = [control_net(component, family) for component in ("controlnet", "controlnet_2")]
            names = {tensor: control_name(tensor, family) for tensor in nets[0].state_dict()}
            prove_names(nets[0], names)
            residuals(name, nets[0], tensors)
            made = []
            for number, changes in enumerate(cases):
                prompt = "a red fox in the snow, oil painting"
                case = {"prompt": prompt, "seed": 400 + number, "steps": 6, "cfg": 5.0, **changes}
                case["controls"] = [{"start": 0.0, "end": 1.0, **control} for control in changes["controls"]]
                made.append(case)
                tensors[f"{name}.{number}.pixels"] = paint(family, pipe, case, nets)
                print(name, number, flush=True)
            rows = [[tensor, list(value.shape), names[tensor]] for tensor, value in nets[0].state_dict().items()]
            record.append({"like": name, "tensors": rows, "cases": made})
    for number in range(2):
        tensors[f"image.{number}"] = torch.from_numpy(np.array(control_image(number)))
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, arguments.out / "controls.safetensors")
    lines = ",\n".join(json.dumps(each) for each in record)
    (arguments.out / "controls.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
