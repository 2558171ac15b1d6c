#!/usr/bin/env python3
"""Makes what `paintbox doctor --engine` holds a device against: inputs and diffusers' results of each kind of network.

Pinned as make_goldens.py is, with the small models of make_families.py, whose weights are drawn by the engine itself.
The file goes into the binary, so that it is kept small.

    make_selfcheck.py --clip-merges daemon/engine/assets/clip-merges.txt --out daemon/engine/assets
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from make_families import FAMILIES, build
from make_goldens import check_versions, generator

TIMESTEP = 437.31


def network(name, unet, draw, tensors):
    sample = torch.randn(1, 4, 16, 16, generator=draw)
    context = torch.randn(1, 77, unet.config.cross_attention_dim, generator=draw)
    tensors |= {f"{name}.sample": sample, f"{name}.context": context}
    added = None
    if unet.config.addition_embed_type is not None:
        pooled, sizes = torch.randn(1, 64, generator=draw), torch.tensor([[512.0, 384.0, 8.0, 16.0, 1024.0, 768.0]])
        added = {"text_embeds": pooled, "time_ids": sizes}
        tensors |= {f"{name}.pooled": pooled, f"{name}.sizes": sizes}
    tensors[f"{name}.out"] = unet(sample, torch.tensor(TIMESTEP), context, added_cond_kwargs=added).sample


def text_encoder(name, encoder, draw, tensors):
    # The start token, words, and the end token, with which short prompts are filled up.
    words = torch.randint(1000, 40000, (1, 20), generator=draw)
    ids = torch.cat([torch.tensor([[49406]]), words, torch.full((1, 56), 49407)], 1)
    result = encoder(ids, output_hidden_states=True)
    tensors |= {f"{name}.ids": ids, f"{name}.before_last": result.hidden_states[-2].clone()}
    if hasattr(result, "text_embeds"):
        tensors[f"{name}.pooled"] = result.text_embeds


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip-merges", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    torch.manual_seed(0)
    draw, tensors = generator(47), {}
    for family in ["sd1", "sdxl"]:
        _, _, pipe = build(family, FAMILIES[family], arguments.clip_merges)
        network(f"{family}.unet", pipe.unet, draw, tensors)
        for component in ["text_encoder", "text_encoder_2"]:
            if getattr(pipe, component, None) is not None:
                text_encoder(f"{family}.{component}", getattr(pipe, component), draw, tensors)
        if family == "sd1":
            latents, image = torch.randn(1, 4, 8, 8, generator=draw), torch.rand(1, 3, 32, 32, generator=draw) * 2 - 1
            tensors |= {"vae.latents": latents, "vae.decoded": pipe.vae.decode(latents).sample}
            tensors |= {"vae.image": image, "vae.moments": pipe.vae.encode(image).latent_dist.parameters}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, arguments.out / "selfcheck.safetensors")


if __name__ == "__main__":
    main()
