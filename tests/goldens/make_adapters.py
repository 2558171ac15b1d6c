#!/usr/bin/env python3
"""Makes small adapters of every form for the tiny model, and the weights that their trainers' own code makes of them.

Pinned as make_goldens.py is, with lycoris_lora 4.1.3. A weight is not asked of a merging function but read off a layer
that the trainer runs: what it answers to inputs that are one in one place and nothing elsewhere. Each adapter is a file
as trainers write it; the weights it leads to, by strength, are kept in one file beside. And what the text encoder says
where a textual inversion stands in a prompt.

    make_adapters.py --model tiny-model/diffusers --fixtures tests/fixtures/tiny-model \\
        --clip-merges daemon/engine/assets/clip-merges.txt --out tests/goldens/adapters
"""

import argparse
import json
from pathlib import Path

import torch
from lycoris.modules.full import FullModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.locon import LoConModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from make_families import FAMILIES, build, canonical, paint, unet_name, weight
from make_goldens import generator

LINEAR = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "conv_in"
NORM = "down_blocks.0.resnets.0.norm1"
STRENGTHS = [1.0, 0.6]

# By name: the class, and what it is made with.
FORMS = {
    "locon": (LoConModule, {"lora_dim": 4, "alpha": 2}),
    "locon-tucker": (LoConModule, {"lora_dim": 4, "alpha": 2, "use_tucker": True}),
    "dora-rows": (LoConModule, {"lora_dim": 4, "alpha": 2, "weight_decompose": True, "wd_on_out": True}),
    "dora-columns": (LoConModule, {"lora_dim": 4, "alpha": 2, "weight_decompose": True, "wd_on_out": False}),
    "loha": (LohaModule, {"lora_dim": 4, "alpha": 2}),
    "loha-tucker": (LohaModule, {"lora_dim": 4, "alpha": 2, "use_tucker": True}),
    "loha-dora": (LohaModule, {"lora_dim": 4, "alpha": 2, "weight_decompose": True, "wd_on_out": True}),
    "lokr-whole": (LokrModule, {"lora_dim": 64, "alpha": 2}),
    "lokr": (LokrModule, {"lora_dim": 1, "alpha": 0.5, "factor": 2}),
    "lokr-both": (LokrModule, {"lora_dim": 1, "alpha": 0.5, "decompose_both": True}),
    "lokr-tucker": (LokrModule, {"lora_dim": 1, "alpha": 0.5, "factor": 2, "use_tucker": True}),
    "lokr-dora": (LokrModule, {"lora_dim": 1, "alpha": 0.5, "factor": 2, "weight_decompose": True, "wd_on_out": False}),
    "full": (FullModule, {}),
}


def drawn(seed, shape, scale):
    return torch.randn(shape, generator=generator(seed)) * scale


def answered(layer, shape):
    """The weight and bias by which a layer answers: to nothing, and to one in each place."""
    if len(shape) == 2:
        inputs = shape[1]
        bias = layer(torch.zeros(1, inputs))[0]
        return (layer(torch.eye(inputs)) - bias).T, bias
    outputs, inputs, height, width = shape
    ones = torch.eye(inputs * height * width).reshape(-1, inputs, height, width)
    bias = layer(torch.zeros(1, inputs, height, width))[0, :, height // 2, width // 2]
    # Padded by half its size, the kernel lies exactly on the picture when its middle lies on the picture's.
    said = layer(ones)[:, :, height // 2, width // 2] - bias
    return said.T.reshape(outputs, inputs, height, width), bias


def layer_of(unet, name):
    weight, bias = unet[f"{name}.weight"], unet.get(f"{name}.bias")
    if weight.dim() == 1:
        layer = torch.nn.GroupNorm(32, len(weight))
    elif weight.dim() == 2:
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    else:
        layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2)
    layer.weight.data.copy_(weight)
    if bias is not None:
        layer.bias.data.copy_(bias)
    return layer.requires_grad_(False)


@torch.no_grad()
def fill(module, seed):
    """What stands in for training: every tensor becomes noise, but for lengths, which stay near what they were."""
    for number, (name, parameter) in enumerate(sorted(module.named_parameters())):
        noise = drawn(seed + number, parameter.shape, 0.3)
        if name.endswith("dora_scale"):
            parameter.mul_(1.0 + 0.2 * noise)
        elif parameter.dim() > 0:
            parameter.copy_(noise)


@torch.no_grad()
def lycoris(unet, form, out, expected):
    kind, settings = FORMS[form]
    saved = {}
    for at, name in enumerate([LINEAR, CONV]):
        original = layer_of(unet, name)
        shape = original.weight.shape
        underscored = f"lora_unet_{name.replace('.', '_')}"
        module = kind(underscored, original, 1.0, **settings)
        if kind is FullModule:
            for parameter in module.parameters():
                parameter.add_(drawn(900 + at, parameter.shape, 0.1))
        else:
            fill(module, 100 * at + 10)
        module.eval()
        module.apply_to()
        for key, tensor in module.custom_state_dict().items():
            saved[f"{underscored}.{key}"] = tensor.detach().clone().contiguous()
        for strength in STRENGTHS:
            if kind is FullModule:
                weight, bias = module.make_weight(strength)
                if bias is not None:
                    expected[f"{form}.{strength}.{name}.bias"] = bias.contiguous()
            else:
                # Trainers run DoRA at full strength only; at another, A1111 (`network.py`, `finalize_updown`) and ComfyUI
                # (`weight_adapter/base.py`, `weight_decompose`) scale all that it changes.
                decomposes = settings.get("weight_decompose", False)
                module.multiplier = 1.0 if decomposes else strength
                weight, _ = answered(original, shape)
                if decomposes:
                    weight = unet[f"{name}.weight"] + strength * (weight - unet[f"{name}.weight"])
            expected[f"{form}.{strength}.{name}.weight"] = weight.contiguous()
    save_file(saved, out / f"{form}.safetensors")


@torch.no_grad()
def norm(unet, out, expected):
    original = layer_of(unet, NORM)
    underscored = f"lora_unet_{NORM.replace('.', '_')}"
    module = NormModule(underscored, original, 1.0)
    fill(module, 500)
    saved = {f"{underscored}.{key}": tensor.clone() for key, tensor in module.named_parameters()}
    for strength in STRENGTHS:
        weight, bias = module.make_weight(strength)
        expected[f"norm.{strength}.{NORM}.weight"] = weight.contiguous()
        expected[f"norm.{strength}.{NORM}.bias"] = bias.contiguous()
    save_file(saved, out / "norm.safetensors")


class Both(torch.nn.Module):
    """Two layers under the names that they have in the UNet, for peft to find."""

    def __init__(self, unet):
        super().__init__()
        for name in [LINEAR, CONV]:
            parent = self
            *path, last = name.split(".")
            for part in path:
                if not hasattr(parent, part):
                    parent.add_module(part, torch.nn.Module())
                parent = getattr(parent, part)
            parent.add_module(last, layer_of(unet, name))


@torch.no_grad()
def peft(unet, form, settings, out, expected):
    config = LoraConfig(r=4, lora_alpha=2, target_modules=["to_q", "conv_in"], **settings)
    model = get_peft_model(Both(unet), config).eval()
    saved = {}
    for number, (name, parameter) in enumerate(sorted(model.named_parameters())):
        if "lora_" not in name:
            continue
        noise = drawn(700 + number, parameter.shape, 0.3)
        if "magnitude" in name:
            parameter.mul_(1.0 + 0.2 * noise)
        else:
            parameter.copy_(noise)
        saved[name.replace("base_model.model.", "unet.").replace(".default", "")] = parameter.detach().clone().contiguous()
    metadata = {"unet.lora_alpha": 2, "unet.r": 4, "unet.use_rslora": bool(settings.get("use_rslora"))}
    save_file(saved, out / f"{form}.safetensors", {"lora_adapter_metadata": json.dumps(metadata)})
    for name in [LINEAR, CONV]:
        layer = model.base_model.model.get_submodule(name)
        weight, _ = answered(layer, layer.base_layer.weight.shape)
        expected[f"{form}.1.0.{name}.weight"] = weight.contiguous()


@torch.no_grad()
def words(model, fixtures, out):
    """What the text encoder says where the vectors of a word stand for two of a prompt's tokens."""
    tokenizer = CLIPTokenizer.from_pretrained(model / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(model / "text_encoder").float().eval()
    vectors = load_file(fixtures / "embedding/lantern.safetensors")["emb_params"].float()
    before, after = (tokenizer(text, add_special_tokens=False).input_ids for text in ["red", "heart"])
    ids = [tokenizer.bos_token_id, *before, *[0] * len(vectors), *after]
    ids = torch.tensor([ids + [tokenizer.eos_token_id] * (tokenizer.model_max_length - len(ids))])
    start = 1 + len(before)

    def replace(_module, _inputs, output):
        output = output.clone()
        output[0, start : start + len(vectors)] = vectors
        return output

    text = getattr(encoder, "text_model", encoder)
    hook = text.embeddings.token_embedding.register_forward_hook(replace)
    states = encoder(ids).last_hidden_state
    hook.remove()
    save_file({"ids": ids, "states": states.contiguous()}, out / "words.safetensors")
    # The same vectors as diffusers keeps them, and for an encoder of another width.
    save_file({"<lantern>": vectors}, out / "word-diffusers.safetensors")
    save_file({"emb_params": torch.ones(2, 7)}, out / "word-elsewhere.safetensors")


@torch.no_grad()
def xl(merges, out):
    """A LoRA for both text encoders and the UNet of the small XL of make_families.py, in kohya's names, and what diffusers
    paints with it. The text encoders' part is merged here, by kohya's formula: diffusers 0.42 does not find the layers of
    transformers 5's encoders and leaves it out."""
    family = FAMILIES["sdxl"]
    parts, _, pipe = build("sdxl", family, merges)
    shapes, texts = {}, {}
    for component, prefix in [("text_encoder", "lora_te1_"), ("text_encoder_2", "lora_te2_"), ("unet", "lora_unet_")]:
        for name, module in parts[component].named_modules():
            if not isinstance(module, torch.nn.Linear) or not name.endswith(("to_q", "to_out.0", "proj_in", "q_proj", "fc1")):
                continue
            name = canonical(component, name)
            name = unet_name(f"{name}.weight", family).removesuffix(".weight") if component == "unet" else name
            stem = prefix + name.replace(".", "_")
            shapes[f"{stem}.lora_down.weight"] = [4, module.in_features]
            shapes[f"{stem}.lora_up.weight"] = [module.out_features, 4]
            if component != "unet":
                texts[stem] = module
    tensors = {name: weight("lora", name, shape) for name, shape in shapes.items()}
    for stem, module in texts.items():
        down, up = (tensors[f"{stem}.{half}.weight"] for half in ["lora_down", "lora_up"])
        module.weight += 0.8 * (2.0 / 4.0) * up @ down
    of_unet = {name: tensor for name, tensor in tensors.items() if name.startswith("lora_unet_")}
    alphas = {name.replace("lora_down.weight", "alpha"): torch.tensor(2.0) for name in of_unet if "lora_down" in name}
    pipe.load_lora_weights({**of_unet, **alphas}, adapter_name="xl")
    pipe.set_adapters(["xl"], [0.8])
    pixels = {}
    for number, prompt in enumerate(["a red fox in the snow, oil painting", "a lighthouse"]):
        case = {"sampler": "euler", "prompt": prompt, "negative": "", "clip_skip": 1, "steps": 6, "cfg": 5.0}
        case |= {"seed": 200 + number, "strength": None, "width": 64, "height": 64}
        pixels[f"{number}.pixels"] = paint("sdxl", family, pipe, case, None).contiguous()
    save_file(pixels, out / "xl.safetensors")
    (out / "xl.json").write_text(json.dumps({"tensors": shapes}, indent=0) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--fixtures", type=Path, required=True)
    parser.add_argument("--clip-merges", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    unet = load_file(arguments.model / "unet/diffusion_pytorch_model.safetensors")
    unet = {name: tensor.float() for name, tensor in unet.items()}
    expected = {}
    for form in FORMS:
        lycoris(unet, form, arguments.out, expected)
    norm(unet, arguments.out, expected)
    peft(unet, "peft", {}, arguments.out, expected)
    peft(unet, "peft-rslora", {"use_rslora": True}, arguments.out, expected)
    peft(unet, "peft-dora", {"use_dora": True}, arguments.out, expected)
    save_file(expected, arguments.out / "weights.safetensors")
    words(arguments.model, arguments.fixtures, arguments.out)
    xl(arguments.clip_merges, arguments.out)


if __name__ == "__main__":
    main()
