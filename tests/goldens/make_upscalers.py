#!/usr/bin/env python3
"""Runs small upscalers of every design that the engine has, by spandrel's networks.

Pinned as make_goldens.py is; also spandrel 0.4.2, which needs torchvision 0.24.1 and einops. No weights are kept: both
sides draw them from the names of the tensors (`weight` in make_families.py), in the names of the file that stands for
the network. Each file is given to spandrel's own loader, so that names, scales and sizes are read as it reads them.

    make_upscalers.py --out tests/goldens
"""

import argparse
import json
import re
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from spandrel import ModelLoader
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SPAN import SPAN

from make_families import weight
from make_goldens import check_versions, generator

# hongyuanyu/SPAN, `rgb_mean`.
SPAN_MEAN = (0.4488, 0.4371, 0.4040)
PINNED = {"spandrel": "0.4.2", "torchvision": "0.24.1"}


def new_names(name, doublings, blocks):
    """ESRGAN's first names to Real-ESRGAN's."""
    end = 3 * doublings
    fixed = {"0": "conv_first", f"1.sub.{blocks}": "conv_body", f"{end + 2}": "conv_hr", f"{end + 4}": "conv_last"}
    fixed |= {f"{3 * number}": f"conv_up{number}" for number in range(1, doublings + 1)}
    module, parameter = name.removeprefix("model.").rsplit(".", 1)
    if module in fixed:
        return f"{fixed[module]}.{parameter}"
    block, part, conv = re.fullmatch(r"1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0", module).groups()
    return f"body.{block}.rdb{part}.conv{conv}.{parameter}"


def trunk_names(name, doublings, blocks):
    """... and to BSRGAN's."""
    name = new_names(name, doublings, blocks)
    for ours, theirs in [
        ("conv_body", "trunk_conv"),
        ("body.", "RRDB_trunk."),
        ("rdb", "RDB"),
        ("conv_up", "upconv"),
        ("conv_hr", "HRconv"),
    ]:
        name = name.replace(ours, theirs)
    return name


def esrgan(names, doublings, blocks, unshuffle=None):
    network = ESRGAN(in_nc=3 * (unshuffle or 1) ** 2, num_filters=8, num_blocks=blocks, scale=2**doublings)
    shapes = {}
    for name, tensor in network.state_dict().items():
        shapes[names(name, doublings, blocks) if names else name] = list(tensor.shape)
    return shapes


def plain(network, prefix=""):
    return {prefix + name: list(tensor.shape) for name, tensor in network.state_dict().items()}


def span(**settings):
    return plain(SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, **settings))


MODELS = {
    "esrgan-x4": (esrgan(None, 2, 2), (13, 10)),
    "esrgan-x2": (esrgan(None, 1, 1), (8, 9)),
    "esrgan-x1": (esrgan(None, 0, 1), (8, 9)),
    "bsrgan-x4": (esrgan(trunk_names, 2, 1), (7, 12)),
    "realesrgan-x4": (esrgan(new_names, 2, 2), (13, 10)),
    "realesrgan-x2": (esrgan(new_names, 2, 1, unshuffle=2), (13, 10)),
    "realesrgan-x1": (esrgan(new_names, 2, 1, unshuffle=4), (14, 9)),
    "compact-x4": (plain(Compact(num_feat=8, num_conv=3, upscale=4)), (13, 10)),
    "compact-x2": (plain(Compact(num_feat=8, num_conv=2, upscale=2)), (9, 12)),
    "span-x4": (span(upscale=4), (13, 10)),
    "span-x2": (span(upscale=2, norm=False), (9, 12)),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    check_versions()
    for name, wanted in PINNED.items():
        if version(name).split("+")[0] != wanted:
            raise SystemExit(f"{name} {version(name)} is installed, but the goldens are pinned to {wanted}")
    listed, results = [], {}
    for name, (shapes, (height, width)) in MODELS.items():
        state = {tensor: weight("upscaler", tensor, shape) for tensor, shape in shapes.items()}
        model = ModelLoader(device="cpu").load_from_state_dict(dict(state))
        picture = torch.rand((1, 3, height, width), generator=generator(len(listed)))
        if name == "span-x4":
            # It measures colours from a mean, in 255ths: whole ranges of random weights make numbers beyond f32's reach.
            picture = torch.tensor(SPAN_MEAN).reshape(1, 3, 1, 1) + (2 * picture - 1) / 255
        with torch.no_grad():
            made = model.model(picture)
        assert made.shape == (1, 3, model.scale * height, model.scale * width), name
        print(f"{name}: {model.architecture.name}, ×{model.scale}, values up to {made.abs().max():.3f}")
        results[f"{name}.in"], results[f"{name}.out"] = picture, made.contiguous()
        listed.append({"name": name, "scale": model.scale, "tensors": shapes})
    rows = ",\n".join(json.dumps(model) for model in listed)
    (out / "upscalers.json").write_text(f"[\n{rows}\n]\n")
    save_file(results, out / "upscalers.safetensors")


if __name__ == "__main__":
    main()
