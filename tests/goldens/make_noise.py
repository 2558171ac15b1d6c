#!/usr/bin/env python3
"""Makes goldens of A1111's noise: its imitation of NVIDIA's generator, variation seeds, resized seeds, the seed delta.

Pinned as make_goldens.py is. The reference is AUTOMATIC1111/stable-diffusion-webui v1.10, of which the files
`modules/rng.py` and `modules/rng_philox.py` are asked, with everything around them left out.

    make_noise.py --a1111 FOLDER_WITH_MODULES --out tests/goldens
"""

import argparse
import json
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import save_file

from make_goldens import check_versions


def load(folder):
    """rng.py with as little around it as it needs."""
    options = types.SimpleNamespace(randn_source="CPU", eta_noise_seed_delta=0)
    cpu = torch.device("cpu")
    devices = types.ModuleType("modules.devices")
    devices.cpu = devices.device = cpu
    shared = types.ModuleType("modules.shared")
    shared.opts, shared.device = options, cpu
    modules = types.ModuleType("modules")
    modules.__path__ = [str(folder / "modules")]
    modules.devices, modules.shared = devices, shared
    sys.modules.update({"modules": modules, "modules.devices": devices, "modules.shared": shared})
    from modules import rng, rng_philox

    return rng, rng_philox, options


PLAIN = {
    "seed": 7,
    "source": "CPU",
    "shape": (2, 6, 8),
    "subseed": 0,
    "subseed_strength": 0.0,
    "resize_from": (0, 0),
    "delta": 0,
}
CASES = [
    {},
    {"source": "NV", "seed": 2**32 + 9},
    {"delta": 31337},
    {"delta": 31337, "source": "NV"},
    {"subseed": 8, "subseed_strength": 0.1},
    {"subseed": 8, "subseed_strength": 0.75, "source": "NV"},
    {"subseed": 8, "subseed_strength": 1.0},
    # The same noise twice, which is mixed in a line.
    {"subseed": 7, "subseed_strength": 0.4},
    {"resize_from": (32, 32)},
    {"resize_from": (64, 48)},
    {"resize_from": (96, 72)},
    {"resize_from": (104, 24), "source": "NV"},
    {"resize_from": (40, 88), "subseed": 5, "subseed_strength": 0.3, "delta": 4, "shape": (2, 5, 7)},
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a1111", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    rng, philox, options = load(arguments.a1111)
    tensors, record = {}, []
    for seed in [0, 1, 7, 2**31 - 1, 2**32 + 9, 2**63 + 11]:
        generator = philox.Generator(seed)
        tensors[f"philox.{seed}"] = torch.cat([torch.from_numpy(generator.randn((400,))) for _ in range(2)])
    for number, changes in enumerate(CASES):
        case = {**PLAIN, **changes}
        options.randn_source, options.eta_noise_seed_delta = case["source"], case["delta"]
        width, height = case["resize_from"]
        noise = rng.ImageRNG(
            case["shape"],
            [case["seed"]],
            subseeds=[case["subseed"]],
            subseed_strength=case["subseed_strength"],
            seed_resize_from_h=height,
            seed_resize_from_w=width,
        )
        tensors[f"{number}.first"], tensors[f"{number}.second"] = noise.next().float(), noise.next().float()
        record.append(case)
    save_file({k: v.contiguous() for k, v in tensors.items()}, arguments.out / "noise_a1111.safetensors")
    lines = ",\n".join(json.dumps(case) for case in record)
    (arguments.out / "noise_a1111.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
