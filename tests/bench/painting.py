#!/usr/bin/env python3
"""Times Paintbox's engine beside diffusers on torch and stable-diffusion.cpp, in one run, as ratios.

    painting.py --bench EXECUTABLE [--family sd1|xl] [--side 512] [--cpp]

EXECUTABLE is what `cargo bench -p paintbox-engine --bench painting --no-run` names. All compute a UNet step of Stable
Diffusion 1.5's or XL's sizes with guidance (two predictions) and decode one picture, with random weights in f32 on the
CPU with all its threads; Paintbox and stable-diffusion.cpp paint from the same files. Needs torch and diffusers, as pinned
in `tests/goldens/make_goldens.py`, and with --cpp stable-diffusion-cpp-python 0.4.7, which builds stable-diffusion.cpp.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3
THREADS = os.cpu_count()


def paintbox(arguments, folder):
    crate = Path(__file__).resolve().parents[2] / "daemon/engine"
    environment = {**os.environ, "CARGO_MANIFEST_DIR": str(crate)}
    options = {"side": arguments.side, "steps": ROUNDS, "family": arguments.family, "keep": folder}
    command = [str(arguments.bench), "--bench"]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    text = subprocess.run(command, cwd=crate, env=environment, check=True, capture_output=True, text=True).stdout
    print(text, end="")
    return {name: float(re.search(rf"{name} +([0-9.]+)", text)[1]) for name in ("step", "decode", "load", "peak")}


RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}


def ldm_name(name, names):
    """A UNet's tensor in the names of the LDM code base, which stable-diffusion.cpp tells networks by."""
    block = re.match(r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", name)
    if block:
        side, level, kind, number, rest = block.groups()
        at = 3 * int(level) + int(number)
        if kind == "downsamplers":
            return f"input_blocks.{3 * int(level) + 3}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            attended = any(other.startswith(f"up_blocks.{level}.attentions.") for other in names)
            return f"output_blocks.{3 * int(level) + 2}.{1 + attended}.{rest}"
        place = f"input_blocks.{at + 1}" if side == "down" else f"output_blocks.{at}"
        place += ".0" if kind == "resnets" else ".1"
    else:
        end = next(end for end in ENDS if name.startswith(end + "."))
        place, kind, rest = ENDS[end], "resnets" if "resnets" in end else "", name.removeprefix(end + ".")
    if kind == "resnets":
        layer, parameter = rest.rsplit(".", 1)
        rest = f"{RESNET[layer]}.{parameter}"
    return f"{place}.{rest}"


def one_checkpoint(folder, target):
    """UNet and text encoders in one file, under names that stable-diffusion.cpp tells a family by."""
    encoder = "cond_stage_model.transformer."

    def of_encoder(prefix, name):
        # Newer files leave the first word out.
        return prefix + (name if name.startswith("text_") else f"text_model.{name}")

    parts = {
        "unet/diffusion_pytorch_model.safetensors": lambda name, names: f"model.diffusion_model.{ldm_name(name, names)}",
        "text_encoder/model.safetensors": lambda name, _: of_encoder(encoder, name),
        "text_encoder_2/model.safetensors": lambda name, _: of_encoder(encoder.replace(".", ".1.", 1), name),
    }
    joined, end, bodies = {}, 0, []
    for part, renamed in parts.items():
        path = folder / part
        if not path.exists():
            continue
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        for name, info in header.items():
            offsets = [end + offset for offset in info["data_offsets"]]
            joined[renamed(name, header)] = {**info, "data_offsets": offsets}
        end += path.stat().st_size - 8 - length
        bodies.append((path, 8 + length))
    header = json.dumps(joined).encode()
    with target.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for path, start in bodies:
            with path.open("rb") as file:
                file.seek(start)
                shutil.copyfileobj(file, out, 16 << 20)


def cpp_times(arguments, folder):
    """stable-diffusion.cpp's times, as it says them in its log; in a process of its own, for its memory."""
    checkpoint = folder / "checkpoint.safetensors"
    one_checkpoint(folder, checkpoint)
    files = {"model_path": str(checkpoint), "vae_path": str(folder / "vae/diffusion_pytorch_model.safetensors")}
    script = (
        "import json, sys\n"
        "from stable_diffusion_cpp import StableDiffusion\n"
        "files, side, steps = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])\n"
        "model = StableDiffusion(wtype='f32', verbose=True, n_threads=int(sys.argv[4]), **files)\n"
        "said = dict(prompt='a lighthouse at dusk', width=side, height=side, sample_steps=steps, cfg_scale=7.0)\n"
        "model.generate_image(sample_method='euler', seed=1, **said)\n"
    )
    command = [sys.executable, "-c", script, json.dumps(files), str(arguments.side), str(ROUNDS), str(THREADS)]
    run = subprocess.run(command, capture_output=True, text=True)
    text = run.stdout + run.stderr
    sampling = re.search(r"sampling completed, taking ([0-9.]+)s", text)
    decode = re.search(r"latent 1 decoded, taking ([0-9.]+)s", text)
    if not sampling or not decode:
        raise SystemExit(f"stable-diffusion.cpp did not paint:\n{text[-3000:]}")
    return {"step": float(sampling[1]) / ROUNDS, "decode": float(decode[1])}


def torch_times(arguments):
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.set_num_threads(THREADS)
    side = arguments.side
    sizes = {
        "sd1": {
            "block_out_channels": (320, 640, 1280, 1280),
            "cross_attention_dim": 768,
            "attention_head_dim": 8,
            "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        },
        "xl": {
            "block_out_channels": (320, 640, 1280),
            "cross_attention_dim": 2048,
            "attention_head_dim": (5, 10, 20),
            "transformer_layers_per_block": (1, 2, 10),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
            "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
            "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
        },
    }
    unet = UNet2DConditionModel(sample_size=64, **sizes[arguments.family]).eval()
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
    ).eval()
    width = sizes[arguments.family]["cross_attention_dim"]
    added = {"text_embeds": torch.randn(2, 1280), "time_ids": torch.full((2, 6), float(side))}
    more = {"added_cond_kwargs": added} if arguments.family == "xl" else {}
    latents, context = torch.randn(2, 4, side // 8, side // 8), torch.randn(2, 77, width)

    def fastest(work):
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return min(times)

    with torch.no_grad():
        step = fastest(lambda: unet(latents, torch.tensor(500.0), context, **more))
        decode = fastest(lambda: vae.decode(latents[:1]))
    return {"step": step, "decode": decode}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--family", choices=("sd1", "xl"), default="sd1")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--cpp", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ours = paintbox(arguments, folder)
        theirs = {"stable-diffusion.cpp": cpp_times(arguments, folder)} if arguments.cpp else {}
    theirs["torch"] = torch_times(arguments)
    for peer, times in theirs.items():
        for name in ("step", "decode"):
            ratio = ours[name] / times[name]
            print(f"{name:8} {ours[name]:7.2f} s, {peer} {times[name]:7.2f} s: {ratio:.2f} × {peer}")


if __name__ == "__main__":
    main()
