#!/usr/bin/env python3
"""Times Paintbox's engine beside diffusers on torch, in one run, as ratios.

    painting.py --bench EXECUTABLE [--side 512]

EXECUTABLE is what `cargo bench -p paintbox-engine --bench painting --no-run` names. Both compute a UNet step of Stable
Diffusion 1.5's sizes with guidance (two predictions at once) and decode one picture, with random weights in f32 on the
CPU with all its threads. Needs torch and diffusers, as pinned in `tests/goldens/make_goldens.py`.
"""

import argparse
import os
import re
import subprocess
import time
from pathlib import Path

ROUNDS = 3


def paintbox(bench, side):
    crate = Path(__file__).resolve().parents[2] / "daemon/engine"
    environment = {**os.environ, "CARGO_MANIFEST_DIR": str(crate)}
    command = [str(bench), "--bench", "--side", str(side), "--steps", str(ROUNDS)]
    text = subprocess.run(command, cwd=crate, env=environment, check=True, capture_output=True, text=True).stdout
    print(text, end="")
    return {name: float(re.search(rf"{name} +([0-9.]+)", text)[1]) for name in ("step", "decode", "load", "peak")}


def torch_times(side):
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280, 1280),
        cross_attention_dim=768,
        attention_head_dim=8,
        down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    ).eval()
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
    ).eval()
    latents, context = torch.randn(2, 4, side // 8, side // 8), torch.randn(2, 77, 768)

    def fastest(work):
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return min(times)

    with torch.no_grad():
        step = fastest(lambda: unet(latents, torch.tensor(500.0), context))
        decode = fastest(lambda: vae.decode(latents[:1]))
    return {"step": step, "decode": decode}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--side", type=int, default=512)
    arguments = parser.parse_args()
    ours = paintbox(arguments.bench, arguments.side)
    theirs = torch_times(arguments.side)
    for name in ("step", "decode"):
        ratio = ours[name] / theirs[name]
        print(f"{name:8} {ours[name]:7.2f} s, torch {theirs[name]:7.2f} s: {ratio:.2f} × torch")


if __name__ == "__main__":
    main()
