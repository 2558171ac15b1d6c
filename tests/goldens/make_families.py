#!/usr/bin/env python3
"""Makes small models of every family of UNets that the engine paints with, and what diffusers paints with them.

Pinned as make_goldens.py is. No weights are kept: a weight is `torch.randn` seeded with the CRC-32 of its component
and canonical name, scaled so that activations stay near one (`weight` below), and the engine's own generator draws the
same bits. What is kept is each model's names and shapes, in diffusers' form and in that of single files, its
configuration, and the reference's results. The names of single files are made by this script's own rules and proved
by giving them to diffusers' converters, which must return the model they were made from.

    make_families.py --clip-merges daemon/engine/assets/clip-merges.txt --out tests/goldens
"""

import argparse
import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders import single_file_utils
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from make_goldens import check_versions, clip_tokenizer, generator

WORDS = 49408
# As in the released models: two residual blocks a level; what differs is said in each family.
UNET = {"sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "norm_num_groups": 32}
VAE = {"block_out_channels": [32, 32, 64], "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 32}
NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


def clip(width, layers, act, projected=None):
    shared = {
        "vocab_size": WORDS,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": max(width // 64, 1),
        "max_position_embeddings": 77,
        "hidden_act": act,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 1,
        "projection_dim": projected or width,
    }
    return {"projected": projected is not None, "config": shared}


def cross(*levels):
    """Block types of the way down for levels with (1) and without (0) attention."""
    down = ["CrossAttnDownBlock2D" if level else "DownBlock2D" for level in levels]
    up = ["CrossAttnUpBlock2D" if level else "UpBlock2D" for level in reversed(levels)]
    return {"down_block_types": down, "up_block_types": up}


XL_NAMES = {"pipeline": "StableDiffusionXLPipeline", "texts": ["text_encoder", "text_encoder_2"]}
XL_TEXT = {"text_encoder": clip(32, 3, "quick_gelu"), "text_encoder_2": clip(64, 3, "gelu", 64)}

FAMILIES = {
    "sd1": {
        "pipeline": "StableDiffusionPipeline",
        "text": {"text_encoder": clip(32, 3, "quick_gelu")},
        "unet": {
            "block_out_channels": [32, 32, 64, 64],
            "cross_attention_dim": 32,
            "attention_head_dim": 8,
            **cross(1, 1, 1, 0),
        },
        "scheduler": {"prediction_type": "epsilon"},
        "cases": [{"sampler": "dpmpp_2m"}, {"sampler": "ddim", "clip_skip": 2}],
    },
    "sd2": {
        "pipeline": "StableDiffusionPipeline",
        "text": {"text_encoder": clip(64, 3, "gelu")},
        "pad": "!",
        "unet": {
            "block_out_channels": [64, 64, 128, 128],
            "cross_attention_dim": 64,
            "attention_head_dim": [1, 1, 2, 2],
            "use_linear_projection": True,
            **cross(1, 1, 1, 0),
        },
        "scheduler": {"prediction_type": "v_prediction"},
        "cases": [{"sampler": "dpmpp_2m"}, {"sampler": "euler"}, {"sampler": "ddim"}, {"sampler": "euler", "cfg": 1.0}],
    },
    "sdxl": {
        "pipeline": "StableDiffusionXLPipeline",
        "text": XL_TEXT,
        "pad": "!",
        "unet": {
            "block_out_channels": [32, 64, 128],
            "cross_attention_dim": 96,
            "attention_head_dim": [1, 1, 2],
            "transformer_layers_per_block": [1, 1, 2],
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 32,
            "projection_class_embeddings_input_dim": 256,
            **cross(0, 1, 1),
        },
        "scheduler": {"prediction_type": "epsilon"},
        "cases": [
            {"sampler": "dpmpp_2m"},
            {"sampler": "euler", "negative": "blurry"},
            {"sampler": "euler", "width": 96, "height": 64},
            {"sampler": "euler", "strength": 0.6},
        ],
    },
    # NoobAI and its like: the velocity is predicted, down to a last step without any signal.
    "sdxl-v": {
        "like": "sdxl",
        "scheduler": {
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
            "timestep_spacing": "trailing",
        },
        "markers": ["v_pred", "ztsnr"],
        # Numbers of steps that divide the thousand of training: for others diffusers rounds in its own way.
        "cases": [{"sampler": "euler", "steps": 5}, {"sampler": "ddim", "steps": 8}],
    },
    "ssd": {
        "pipeline": "StableDiffusionXLPipeline",
        "text": XL_TEXT,
        "pad": "!",
        "unet": {
            "block_out_channels": [32, 64, 128],
            "cross_attention_dim": 96,
            "attention_head_dim": [1, 1, 2],
            "transformer_layers_per_block": [0, 2, 2],
            "reverse_transformer_layers_per_block": [[2, 2, 3], [2, 1, 1], 0],
            "mid_block_type": "UNetMidBlock2D",
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 32,
            "projection_class_embeddings_input_dim": 256,
            **cross(0, 1, 1),
        },
        "scheduler": {"prediction_type": "epsilon"},
        "cases": [{"sampler": "euler"}],
    },
    "refiner": {
        "pipeline": "StableDiffusionXLImg2ImgPipeline",
        "text": {"text_encoder_2": clip(64, 3, "gelu", 64)},
        "pad": "!",
        "unet": {
            "block_out_channels": [64, 64, 128, 128],
            "cross_attention_dim": 64,
            "attention_head_dim": [1, 1, 2, 2],
            "transformer_layers_per_block": [1, 2, 2, 1],
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 32,
            "projection_class_embeddings_input_dim": 224,
            **cross(0, 1, 1, 0),
        },
        "scheduler": {"prediction_type": "epsilon"},
        "cases": [{"sampler": "euler", "strength": 0.5}, {"sampler": "dpmpp_2m", "strength": 0.5, "negative": "blurry"}],
    },
}

for family in FAMILIES.values():
    if "like" in family:
        base = FAMILIES[family["like"]]
        for key, value in base.items():
            family.setdefault(key, value)


# --- weights -------------------------------------------------------------------------------------------------


def weight(component, name, shape):
    """What stands in for training; the engine's tests draw the same."""
    drawn = torch.randn(shape, generator=generator(zlib.crc32(f"{component}.{name}".encode())))
    if len(shape) == 1:
        return drawn * 0.1 + 1.0 if name.endswith(".weight") else drawn * 0.1
    return drawn * (1.0 / math.sqrt(math.prod(shape[1:])))


def canonical(component, name):
    """transformers 5 left `text_model.` out of what it has in memory; files have it."""
    if not component.startswith("text_encoder") or name.startswith(("text_model.", "text_projection.")):
        return name
    return f"text_model.{name}"


def fill(component, module):
    shapes = {}
    for name, parameter in module.named_parameters():
        name = canonical(component, name)
        parameter.data.copy_(weight(component, name, parameter.shape))
        shapes[name] = list(parameter.shape)
    return shapes


# --- single files --------------------------------------------------------------------------------------------

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def unet_name(name, family):
    stem, leaf = name.rsplit(".", 1)
    if stem in UNET_ENDS:
        return f"{UNET_ENDS[stem]}.{leaf}"
    per_level = UNET["layers_per_block"]
    parts = name.split(".")
    if parts[0] == "mid_block":
        place = {("resnets", "0"): 0, ("attentions", "0"): 1, ("resnets", "1"): 2}[parts[1], parts[2]]
        return f"middle_block.{place}.{inside(parts[1], parts[3:])}"
    level = int(parts[1])
    if parts[0] == "down_blocks":
        first = 1 + level * (per_level + 1)
        if parts[2] == "downsamplers":
            return f"input_blocks.{first + per_level}.0.op.{leaf}"
        slot = int(parts[3])
        return f"input_blocks.{first + slot}.{'01'[parts[2] == 'attentions']}.{inside(parts[2], parts[4:])}"
    first = level * (per_level + 1)
    if parts[2] == "upsamplers":
        attends = family["unet"]["up_block_types"][level].startswith("Cross")
        return f"output_blocks.{first + per_level}.{1 + attends}.conv.{leaf}"
    slot = int(parts[3])
    return f"output_blocks.{first + slot}.{'01'[parts[2] == 'attentions']}.{inside(parts[2], parts[4:])}"


def inside(kind, parts):
    if kind == "attentions":
        return ".".join(parts)
    return f"{RESNET['.'.join(parts[:-1])]}.{parts[-1]}"


VAE_RESNET = {"conv_shortcut": "nin_shortcut"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def vae_name(name):
    parts = name.split(".")
    if parts[0] in ("quant_conv", "post_quant_conv"):
        return name
    coder, rest, leaf = parts[0], parts[1:-1], parts[-1]
    if rest[0] == "mid_block":
        if rest[1] == "attentions":
            return f"{coder}.mid.attn_1.{VAE_ATTENTION['.'.join(rest[3:])]}.{leaf}"
        return f"{coder}.mid.block_{int(rest[2]) + 1}.{VAE_RESNET.get(rest[3], rest[3])}.{leaf}"
    if rest[0] in ("down_blocks", "up_blocks"):
        way = rest[0].removesuffix("_blocks")
        level = int(rest[1])
        if way == "up":
            level = len(VAE["block_out_channels"]) - 1 - level
        if rest[2].endswith("samplers"):
            return f"{coder}.{way}.{level}.{way}sample.conv.{leaf}"
        return f"{coder}.{way}.{level}.block.{rest[3]}.{VAE_RESNET.get(rest[4], rest[4])}.{leaf}"
    return f"{coder}.{ {'conv_norm_out': 'norm_out'}.get(rest[0], rest[0]) }.{leaf}"


OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def open_clip(component, shapes, with_unused):
    """OpenCLIP's names: query, key and value are one matrix, and the projection is turned around."""
    made = {}
    for name in shapes:
        if name == "text_projection.weight":
            made["text_projection"] = (component, [name], "transpose")
            continue
        inner = name.removeprefix("text_model.")
        if inner == "embeddings.token_embedding.weight":
            made["token_embedding.weight"] = (component, [name], "whole")
        elif inner == "embeddings.position_embedding.weight":
            made["positional_embedding"] = (component, [name], "whole")
        elif inner.startswith("final_layer_norm."):
            made[inner.replace("final_layer_norm", "ln_final")] = (component, [name], "whole")
        else:
            _, _, layer, *rest = inner.split(".")
            stem, leaf = ".".join(rest[:-1]), rest[-1]
            block = f"transformer.resblocks.{layer}"
            if stem == "self_attn.q_proj":
                three = [name.replace("q_proj", f"{part}_proj") for part in "qkv"]
                made[f"{block}.attn.in_proj_{leaf}"] = (component, three, "concat")
            elif stem not in ("self_attn.k_proj", "self_attn.v_proj"):
                made[f"{block}.{OPEN_CLIP[stem]}.{leaf}"] = (component, [name], "whole")
    if with_unused:
        # The released checkpoints have a layer and a projection that nothing uses.
        first = "transformer.resblocks.0."
        last = 1 + max(int(name.split(".")[2]) for name in made if name.startswith("transformer."))
        for name in [name for name in made if name.startswith(first)]:
            shape = list(values(made[name]).shape)
            made[name.replace(first, f"transformer.resblocks.{last}.")] = ("unused", [shape], "unused")
        width = shapes["text_model.final_layer_norm.weight"][0]
        made["text_projection"] = ("unused", [[width, width]], "unused")
    return made


def single_file(name, family, shapes):
    """Names of a single file, each with the component and canonical tensors it is made of, and how."""
    made = {}
    for tensor in shapes["unet"]:
        made[f"model.diffusion_model.{unet_name(tensor, family)}"] = ("unet", [tensor], "whole")
    for tensor, shape in shapes["vae"].items():
        linear = "mid_block.attentions.0.to_" in tensor and len(shape) == 2
        made[f"first_stage_model.{vae_name(tensor)}"] = ("vae", [tensor], "unsqueeze" if linear else "whole")
    if name == "sd1":
        prefix = "cond_stage_model.transformer."
        made.update({prefix + t: ("text_encoder", [t], "whole") for t in shapes["text_encoder"]})
    elif name == "sd2":
        names = open_clip("text_encoder", shapes["text_encoder"], with_unused=True)
        made.update({f"cond_stage_model.model.{t}": v for t, v in names.items()})
    else:
        small = "conditioner.embedders.0.transformer."
        made.update({small + t: ("text_encoder", [t], "whole") for t in shapes.get("text_encoder", {})})
        number = 1 if "text_encoder" in shapes else 0
        names = open_clip("text_encoder_2", shapes["text_encoder_2"], with_unused=False)
        made.update({f"conditioner.embedders.{number}.model.{t}": v for t, v in names.items()})
    return made


def values(recipe):
    component, names, how = recipe
    if how == "unused":
        return torch.full(names[0], 0.5)
    tensors = [weight(component, name, SHAPES[component][name]) for name in names]
    if how == "concat":
        return torch.cat(tensors)
    tensor = tensors[0]
    if how == "transpose":
        return tensor.T.contiguous()
    return tensor[..., None, None] if how == "unsqueeze" else tensor


def rows(names):
    """Each component's tensors: canonical name, shape, name in the single file, and how it stands there."""
    made = {component: [] for component in SHAPES}
    for source, (component, tensors, how) in names.items():
        for number, tensor in enumerate(tensors if how != "unused" else []):
            place = f"rows {number}" if how == "concat" else how
            made[component].append([tensor, SHAPES[component][tensor], source, place])
    return made


def unused(names):
    return {source: tensors[0] for source, (_, tensors, how) in names.items() if how == "unused"}


SHAPES = {}


def prove_names(name, family, parts, names):
    """diffusers' converters must make of the single file what it was made from."""
    checkpoint = {tensor: values(recipe) for tensor, recipe in names.items()}
    unet = single_file_utils.convert_ldm_unet_checkpoint(dict(checkpoint), dict(parts["unet"].config))
    same(unet, parts["unet"].state_dict(), f"{name} UNet")
    vae = single_file_utils.convert_ldm_vae_checkpoint(dict(checkpoint), dict(parts["vae"].config))
    same(vae, parts["vae"].state_dict(), f"{name} VAE")
    for component, prefix in [("text_encoder", "cond_stage_model.model."), ("text_encoder_2", "conditioner.embedders.{}.model.")]:
        number = 1 if "text_encoder" in SHAPES else 0
        prefix = prefix.format(number)
        if component in parts and f"{prefix}token_embedding.weight" in checkpoint:
            found = single_file_utils.convert_open_clip_checkpoint(parts[component], dict(checkpoint), prefix=prefix)
            wanted = {canonical(component, k): v for k, v in parts[component].state_dict().items()}
            found = {canonical(component, k): v for k, v in found.items()}
            same(found, wanted, f"{name} {component}")


def same(found, wanted, what):
    wanted = {k: v for k, v in wanted.items() if not k.endswith("position_ids")}
    found = {k: v for k, v in found.items() if not k.endswith("position_ids")}
    missing = wanted.keys() - found.keys()
    assert not missing, (what, sorted(missing)[:5])
    for name, tensor in wanted.items():
        assert found[name].shape == tensor.shape and torch.equal(found[name], tensor), (what, name)


# --- results -------------------------------------------------------------------------------------------------


def scheduler(sampler, config):
    kind = {"euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler, "ddim": DDIMScheduler}[sampler]
    more = {"set_alpha_to_one": False, "clip_sample": False} if sampler == "ddim" else {}
    return kind.from_config(config, **more)


def results(name, family, pipe, tensors):
    unet = pipe.unet
    draw = generator(31)
    sample = torch.randn(2, 4, 16, 16, generator=draw)
    context = torch.randn(2, 77, unet.config.cross_attention_dim, generator=draw)
    added = None
    tensors[f"{name}.sample"], tensors[f"{name}.context"] = sample, context
    if unet.config.addition_embed_type is not None:
        ids = 5 if name == "refiner" else 6
        pooled = torch.randn(2, 64, generator=draw)
        sizes = torch.tensor([[512.0, 384.0, 8.0, 16.0, 1024.0, 768.0][:ids], [64.0, 64.0, 0.0, 0.0, 64.0, 64.0][:ids]])
        added = {"text_embeds": pooled, "time_ids": sizes}
        tensors[f"{name}.pooled"], tensors[f"{name}.sizes"] = pooled, sizes
    for time in [437.31, 981.0]:
        tensors[f"{name}.out.t{time:g}"] = unet(sample, torch.tensor(time), context, added_cond_kwargs=added).sample
    prompt = "a red fox in the snow, oil painting"
    for component in ["text_encoder", "text_encoder_2"]:
        encoder, tokenizer = getattr(pipe, component, None), getattr(pipe, component.replace("text_encoder", "tokenizer"), None)
        if encoder is None:
            continue
        ids = tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
        result = encoder(ids, output_hidden_states=True)
        tensors[f"{name}.{component}.ids"] = ids
        tensors[f"{name}.{component}.last"] = result.last_hidden_state
        tensors[f"{name}.{component}.before_last"] = result.hidden_states[-2]
        if component == "text_encoder_2":
            tensors[f"{name}.{component}.pooled"] = result.text_embeds


def paint(name, family, pipe, case, init):
    pipe.scheduler = scheduler(case["sampler"], {**NOISE, **family["scheduler"]})
    words = {"prompt": case["prompt"], "negative_prompt": case["negative"]}
    xl = "XL" in family["pipeline"]
    if case["negative"] == "" and xl:
        # diffusers leaves the negative states of released XL models at zero where no negative prompt is given.
        words["negative_prompt"] = None
    if case["clip_skip"] > 1:
        rows = {}
        for key in ["prompt", "negative_prompt"]:
            ids = pipe.tokenizer(words.pop(key), padding="max_length", max_length=77, return_tensors="pt").input_ids
            hidden = pipe.text_encoder(ids, output_hidden_states=True).hidden_states[-case["clip_skip"]]
            rows[f"{key}_embeds"] = pipe.text_encoder.final_layer_norm(hidden)
        words = rows
    common = {
        **words,
        "num_inference_steps": case["steps"],
        "guidance_scale": case["cfg"],
        "generator": generator(case["seed"]),
        "output_type": "latent",
    }
    if case["strength"] is None:
        latents = pipe(**common, width=case["width"], height=case["height"]).images
    else:
        painter = pipe if name == "refiner" else StableDiffusionXLImg2ImgPipeline(**pipe.components)
        painter.set_progress_bar_config(disable=True)
        latents = painter(**common, image=Image.fromarray(init), strength=case["strength"]).images
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    pixels = pipe.image_processor.postprocess(decoded, output_type="np")[0]
    return torch.from_numpy((pixels * 255).round().astype(np.uint8))


def build(name, family, merges):
    """The family's parts by component, their weights filled in, the VAE's configuration, and the pipeline of them all."""
    SHAPES.clear()
    xl = "XL" in family["pipeline"]
    vae_config = {
        **VAE,
        "down_block_types": ["DownEncoderBlock2D"] * 3,
        "up_block_types": ["UpDecoderBlock2D"] * 3,
        "scaling_factor": 0.13025 if xl else 0.18215,
        "force_upcast": False,
    }
    parts = {"unet": UNet2DConditionModel(**{**UNET, **family["unet"]}), "vae": AutoencoderKL(**vae_config)}
    for component, text in family["text"].items():
        kind = CLIPTextModelWithProjection if text["projected"] else CLIPTextModel
        parts[component] = kind(CLIPTextConfig(**text["config"]))
    SHAPES.update({component: fill(component, module.eval()) for component, module in parts.items()})
    plain, padded = clip_tokenizer(merges), clip_tokenizer(merges)
    plain.model_max_length = padded.model_max_length = 77
    if "pad" in family:
        padded.pad_token = family["pad"]
    pipeline = {
        "StableDiffusionPipeline": StableDiffusionPipeline,
        "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
        "StableDiffusionXLImg2ImgPipeline": StableDiffusionXLImg2ImgPipeline,
    }[family["pipeline"]]
    made = scheduler("euler", {**NOISE, **family["scheduler"]})
    if xl:
        more = {"requires_aesthetics_score": name == "refiner"} if name == "refiner" else {}
        pipe = pipeline(
            vae=parts["vae"],
            text_encoder=parts.get("text_encoder"),
            text_encoder_2=parts["text_encoder_2"],
            tokenizer=plain if "text_encoder" in parts else None,
            tokenizer_2=padded,
            unet=parts["unet"],
            scheduler=made,
            force_zeros_for_empty_prompt=name != "refiner",
            add_watermarker=False,
            **more,
        )
    else:
        pipe = pipeline(
            vae=parts["vae"],
            text_encoder=parts["text_encoder"],
            tokenizer=padded,
            unet=parts["unet"],
            scheduler=made,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.set_progress_bar_config(disable=True)
    return parts, vae_config, pipe


def init_image():
    init = (np.add.outer(np.arange(64) * 3, np.arange(64)) % 256).astype(np.uint8)
    return np.stack([init, init[::-1], init.T], axis=-1).copy()


def make(name, family, merges, tensors):
    parts, vae_config, pipe = build(name, family, merges)
    xl = "XL" in family["pipeline"]
    names = single_file(name, family, SHAPES)
    prove_names(name, family, parts, names)
    results(name, family, pipe, tensors)
    init = init_image()
    tensors["init"] = torch.from_numpy(init)
    cases = []
    for number, changes in enumerate(family["cases"]):
        case = {
            "prompt": "a red fox in the snow, oil painting",
            "negative": "",
            "seed": 100 + number,
            "steps": 6,
            "cfg": 5.0,
            "width": 64,
            "height": 64,
            "clip_skip": 1,
            "count": 1,
            "schedule": None,
            "lora_weight": None,
            "strength": None,
            **changes,
        }
        cases.append(case)
        tensors[f"{name}.{number}.pixels"] = paint(name, family, pipe, case, init)
        print(name, number, changes, flush=True)
    configs = {
        "model_index.json": {
            "_class_name": family["pipeline"],
            **({"force_zeros_for_empty_prompt": name != "refiner"} if xl else {}),
        },
        "unet/config.json": {**UNET, **family["unet"]},
        "vae/config.json": vae_config,
        "scheduler/scheduler_config.json": {"_class_name": "EulerDiscreteScheduler", **NOISE, **family["scheduler"]},
        **{f"{component}/config.json": text["config"] for component, text in family["text"].items()},
    }
    if "pad" in family:
        last = "tokenizer_2" if xl else "tokenizer"
        configs[f"{last}/tokenizer_config.json"] = {"pad_token": family["pad"]}
    return {
        "name": name,
        "configs": configs,
        "tensors": rows(names),
        "unused": unused(names),
        "markers": family.get("markers", []),
        "cases": cases,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip-merges", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    tensors, record = {}, []
    with torch.no_grad():
        for name, family in FAMILIES.items():
            record.append(make(name, family, arguments.clip_merges, tensors))
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, arguments.out / "families.safetensors")
    lines = ",\n".join(json.dumps(family) for family in record)
    (arguments.out / "families.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
