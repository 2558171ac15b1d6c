#!/usr/bin/env python3
"""Makes the reference values that the engine's tests compare against, with diffusers as the reference.

Pinned: Python 3.11, torch 2.9.1 (x86-64 with AVX2, CPU), diffusers 0.42.1, transformers 5.23.0, tokenizers 0.23.3,
peft 0.21.2, numpy 2.4.6, safetensors 0.8.0. Other versions are refused, because a golden is only as good as the
knowledge of what made it. Run it only when the set of cases changes; the files it writes are kept.

    make_goldens.py --model DIFFUSERS_FOLDER --lora PEFT_LORA --clip-merges CLIP_MERGES --out tests/goldens

DIFFUSERS_FOLDER is the tiny model as a StableDiffusionPipeline folder (tests/fixtures/tiny-model says how it comes
from the single file); PEFT_LORA is its LoRA in diffusers' form (the tests merge kohya's form of the same weights);
CLIP_MERGES is daemon/engine/assets/clip-merges.txt.
"""

import argparse
import copy
import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

PINNED = {
    "torch": "2.9.1",
    "diffusers": "0.42.1",
    "transformers": "5.23.0",
    "tokenizers": "0.23.3",
    "peft": "0.21.2",
    "numpy": "2.4.6",
    "safetensors": "0.8.0",
}

# Long enough for three chunks of 75 tokens in the tiny vocabulary, and without commas, behind which chunks are cut.
LONG_PROMPT = "red heart and " * 30 + "yellow star on a white background " * 6 + "a very shiny one"


def check_versions():
    for name, wanted in PINNED.items():
        found = version(name).split("+")[0]
        if found != wanted:
            raise SystemExit(f"{name} {found} is installed, but the goldens are pinned to {wanted}")


def generator(seed):
    return torch.Generator("cpu").manual_seed(seed)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


# --- noise ---------------------------------------------------------------------------------------------------


def noise(out):
    tensors = {}
    for count in range(1, 41):
        tensors[f"seed{1000 + count}.n{count}"] = torch.randn(count, generator=generator(1000 + count))
    tensors["seed42.n1024"] = torch.randn(1024, generator=generator(42))
    tensors["seed0.n16384"] = torch.randn(1, 4, 64, 64, generator=generator(0)).flatten()
    # Only the low 32 bits of a seed count.
    tensors[f"seed{2**32 + 5}.n64"] = torch.randn(64, generator=generator(2**32 + 5))
    stream = generator(7)
    sizes = [1, 2, 3, 5, 15, 16, 17, 33, 1, 40, 100, 7]
    tensors["consecutive"] = torch.cat([torch.randn(n, generator=stream) for n in sizes])
    tensors["consecutive.sizes"] = torch.tensor(sizes, dtype=torch.int64)
    save_file(tensors, out / "noise.safetensors")


# --- tokens --------------------------------------------------------------------------------------------------

TEXTS = [
    "",
    "red heart",
    "Yellow   STAR!!",
    "a photo of an astronaut riding a horse on mars, highly detailed, 8k",
    "it's the cat's pyjamas, isn't it? they'll've said so",
    "café Ünïcödé naïve ÀÉÎ",
    "cafe\u0301 combining",
    "日本語のテキスト",
    "🍎 emoji 👩‍🚀🏽",
    "1234567890 3.14 v1.5-pruned",
    "under_score and (parentheses:1.2) [brackets] <lora:x:1>",
    "tabs\tand\nnewlines\r\n here",
    "supercalifragilisticexpialidocious",
    "<|endoftext|> in the middle",
    "İstanbul ǅ ß ﬁ Ω",
    "\u00a0non\u00a0breaking \u200bzero width",
    "𝒻𝒶𝓃𝒸𝓎 ①②③ ½",
    "…—“quoted”–‘single’",
    "a " * 90,
]


def clip_tokenizer(merges_path):
    """transformers' CLIPTokenizer over the vocabulary that the merges imply."""
    merges = merges_path.read_text(encoding="utf-8").splitlines()
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    symbols = [chr(b) for b in printable]
    symbols += [chr(256 + i) for i in range(256 - len(printable))]
    vocabulary = symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in merges]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder)


def tokens(out, tiny, merges_path):
    clip = clip_tokenizer(merges_path)
    assert len(clip) == 49408, len(clip)
    record = {}
    for name, tokenizer in [("clip", clip), ("tiny", tiny)]:
        record[name] = [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in TEXTS]
    write_json(out / "tokens.json", record)


# --- modules -------------------------------------------------------------------------------------------------


def token_ids(pipe, prompt):
    return pipe.tokenizer(
        prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids


def text(out, pipe):
    tensors = {}
    for name, prompt in [("empty", ""), ("heart", "red heart"), ("long", "smiling face with sunglasses " * 20)]:
        ids = token_ids(pipe, prompt)
        result = pipe.text_encoder(ids, output_hidden_states=True)
        tensors[f"{name}.ids"] = ids
        tensors[f"{name}.skip1"] = result.last_hidden_state.contiguous()
        tensors[f"{name}.skip2"] = pipe.text_encoder.final_layer_norm(result.hidden_states[-2]).contiguous()
    save_file(tensors, out / "text.safetensors")


def unet(out, pipe):
    draw = generator(11)
    sample = torch.randn(2, 4, 16, 16, generator=draw)
    # Sides that do not halve evenly, as a 40 by 56 picture has.
    odd = torch.randn(1, 4, 10, 14, generator=draw)
    context = torch.cat([pipe.text_encoder(token_ids(pipe, p)).last_hidden_state for p in ["", "red heart"]])
    tensors = {"sample": sample, "odd": odd, "context": context}
    for name, t in [("t0", 0.0), ("t1", 1.0), ("t437.31", 437.31), ("t500", 500.0), ("t981", 981.0), ("t999", 999.0)]:
        tensors[f"out.{name}"] = pipe.unet(sample, torch.tensor(t), context).sample
    tensors["out.odd.t500"] = pipe.unet(odd, torch.tensor(500.0), context[1:]).sample
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "unet.safetensors")


def vae(out, pipe):
    draw = generator(12)
    latents = torch.randn(1, 4, 16, 16, generator=draw)
    image = torch.rand(1, 3, 64, 64, generator=draw) * 2 - 1
    tensors = {
        "latents": latents,
        "decoded": pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample,
        "image": image,
        "moments": pipe.vae.encode(image).latent_dist.parameters,
    }
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "vae.safetensors")


# --- schedules and pictures ----------------------------------------------------------------------------------


def karras_levels(config, steps):
    reference = EulerDiscreteScheduler.from_config(config, use_karras_sigmas=True, timestep_spacing="linspace")
    reference.set_timesteps(steps)
    return reference


class EulerAncestralKarras(EulerAncestralDiscreteScheduler):
    """diffusers' ancestral Euler on the noise levels of its plain Euler, because it has no Karras levels itself."""

    def set_timesteps(self, num_inference_steps, device=None):
        super().set_timesteps(num_inference_steps, device)
        reference = karras_levels(self.config, num_inference_steps)
        self.sigmas, self.timesteps = reference.sigmas, reference.timesteps


def scheduler(sampler, schedule, config):
    spacing = {"normal": {"timestep_spacing": "linspace"}, "karras": {"timestep_spacing": "linspace"}}.get(schedule, {})
    karras = {"use_karras_sigmas": True} if schedule == "karras" else {}
    if sampler == "euler":
        return EulerDiscreteScheduler.from_config(config, **spacing, **karras)
    if sampler == "euler_a":
        kind = EulerAncestralKarras if schedule == "karras" else EulerAncestralDiscreteScheduler
        return kind.from_config(config, **spacing)
    if sampler == "dpmpp_2m":
        return DPMSolverMultistepScheduler.from_config(config, **spacing, **karras)
    # DDIM's evenly spaced levels are its own, whatever they are called.
    return DDIMScheduler.from_config(config)


def schedules(out, config):
    record = []
    for sampler in ["euler", "euler_a", "dpmpp_2m", "ddim"]:
        for schedule in ["ddim_uniform", "normal", "karras"]:
            if sampler == "ddim" and schedule == "karras":
                continue
            for steps in [1, 2, 7, 20, 25, 30, 50, 333]:
                if steps == 1 and not (sampler == "ddim" or schedule == "ddim_uniform"):
                    continue
                made = scheduler(sampler, schedule, config)
                made.set_timesteps(steps)
                sigmas = getattr(made, "sigmas", None)
                if sampler == "ddim":
                    alpha = made.alphas_cumprod[made.timesteps]
                    sigmas = ((1 - alpha) / alpha) ** 0.5
                    final = made.final_alpha_cumprod
                    sigmas = torch.cat([sigmas, ((1 - final) / final).sqrt().reshape(1)])
                record.append(
                    {
                        "sampler": sampler,
                        "schedule": schedule,
                        "steps": steps,
                        "timesteps": [float(t) for t in made.timesteps],
                        "sigmas": [float(s) for s in sigmas],
                        "initial_scale": float(made.init_noise_sigma),
                    }
                )
    path = out / "schedules.json"
    path.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in record) + "\n]\n")


def embed_chunks(pipe, prompt, chunks, clip_skip):
    """Chunks of 75 tokens, each framed and padded by itself, encoded apart and joined along the sequence.

    Skipping layers is done here for both prompts, as A1111 does it: diffusers 0.42.1 skips for the positive prompt
    alone, and with transformers 5 it fails before that.
    """
    ids = pipe.tokenizer(prompt)["input_ids"][1:-1]
    start, end = pipe.tokenizer.bos_token_id, pipe.tokenizer.eos_token_id
    states = []
    for i in range(max(chunks, 1)):
        part = ids[75 * i : 75 * (i + 1)]
        row = [start] + part + [end] * (76 - len(part))
        hidden = pipe.text_encoder(torch.tensor([row]), output_hidden_states=True).hidden_states[-clip_skip]
        states.append(pipe.text_encoder.final_layer_norm(hidden))
    return torch.cat(states, dim=1)


def ddim_karras(pipe, case):
    """DDIM's update (eta 0) in terms of noise levels; diffusers' DDIM knows only its own timesteps."""
    reference = karras_levels(pipe.scheduler.config, case["steps"])
    prompt = pipe.text_encoder(token_ids(pipe, case["prompt"])).last_hidden_state
    negative = pipe.text_encoder(token_ids(pipe, case["negative"])).last_hidden_state
    shape = (1, 4, case["height"] // 4, case["width"] // 4)
    x = torch.randn(shape, generator=generator(case["seed"])) * (reference.sigmas[0] ** 2 + 1) ** 0.5
    for i, t in enumerate(reference.timesteps):
        sigma, following = reference.sigmas[i], reference.sigmas[i + 1]
        scaled = x / (sigma**2 + 1) ** 0.5
        both = pipe.unet(torch.cat([scaled] * 2), t, torch.cat([negative, prompt])).sample
        low, high = both.chunk(2)
        predicted = low + case["cfg"] * (high - low)
        x = x - sigma * predicted + following * predicted
    return x


def paint(pipe, case):
    pipe.scheduler = scheduler(case["sampler"], case["schedule"], case["config"])
    results = []
    for k in range(case["count"]):
        if case["sampler"] == "ddim" and case["schedule"] == "karras":
            latents = ddim_karras(pipe, case)
        else:
            words = {"prompt": case["prompt"], "negative_prompt": case["negative"]}
            chunks = -(-(len(pipe.tokenizer(case["prompt"])["input_ids"]) - 2) // 75)
            if chunks > 1 or case["clip_skip"] > 1:
                assert chunks == (3 if case["prompt"] == LONG_PROMPT else 1), chunks
                words = {
                    "prompt_embeds": embed_chunks(pipe, case["prompt"], chunks, case["clip_skip"]),
                    "negative_prompt_embeds": embed_chunks(pipe, case["negative"], chunks, case["clip_skip"]),
                }
            common = {
                **words,
                "num_inference_steps": case["steps"],
                "guidance_scale": case["cfg"],
                "generator": generator(case["seed"] + k),
                "output_type": "latent",
            }
            if case["strength"] is not None:
                img2img = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
                img2img.set_progress_bar_config(disable=True)
                latents = img2img(**common, image=case["init"], strength=case["strength"]).images
            else:
                latents = pipe(**common, width=case["width"], height=case["height"]).images
        decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        pixels = pipe.image_processor.postprocess(decoded, output_type="np")[0]
        results.append(torch.from_numpy((pixels * 255).round().astype(np.uint8)))
    return results


def merged(pipe, lora_path, weight):
    """A copy of the pipeline with `weight · up · down` added to its weights (rank and alpha of this LoRA are equal).

    Merged here by hand, because loading a LoRA into a text encoder of transformers 5 with diffusers 0.42.1 warns of
    newly initialised weights. The UNet's part is checked against diffusers' own fusing.
    """
    lora = load_file(lora_path)
    changed = StableDiffusionPipeline(**copy.deepcopy(pipe.components), requires_safety_checker=False)
    changed.set_progress_bar_config(disable=True)
    done = 0
    for key in lora:
        if not key.endswith(".lora_A.weight"):
            continue
        component, name = key.removesuffix(".lora_A.weight").split(".", 1)
        target = getattr(changed, component).get_submodule(name.removeprefix("text_model.")).weight
        down, up = lora[key].float(), lora[key.replace("lora_A", "lora_B")].float()
        delta = up.flatten(1) @ down.flatten(1)
        target.add_(weight * delta.reshape(target.shape))
        done += 1
    assert 2 * done == len(lora), (done, len(lora))
    loaded = copy.deepcopy(pipe.unet)
    loaded.load_lora_adapter({k: v for k, v in lora.items() if k.startswith("unet.")}, "unet", adapter_name="golden")
    loaded.set_adapters(["golden"], [weight])
    loaded.fuse_lora(adapter_names=["golden"])
    sample = torch.randn(1, 4, 16, 16, generator=generator(21))
    context = torch.randn(1, 77, 128, generator=generator(22))
    ours = changed.unet(sample, torch.tensor(500.0), context).sample
    theirs = loaded(sample, torch.tensor(500.0), context).sample
    assert (ours - theirs).abs().max() < 1e-5, (ours - theirs).abs().max()
    return changed


def pictures(out, pipe, lora):
    config = pipe.scheduler.config
    plain = {
        "prompt": "red heart",
        "negative": "",
        "seed": 0,
        "steps": 20,
        "cfg": 3.0,
        "sampler": "dpmpp_2m",
        "schedule": None,
        "width": 64,
        "height": 64,
        "clip_skip": 1,
        "count": 1,
        "lora_weight": None,
        "strength": None,
    }
    cases = []
    for sampler in ["euler", "euler_a", "dpmpp_2m", "ddim"]:
        for schedule in [None, "normal", "karras"]:
            for prompt, seed in [("red heart", 0), ("yellow star", 1234)]:
                cases.append({"prompt": prompt, "seed": seed, "sampler": sampler, "schedule": schedule})
    cases += [
        {"steps": 25, "prompt": "cat face", "seed": 3},
        {"cfg": 1.0, "prompt": "cat face", "seed": 4},
        {"cfg": 7.5, "prompt": "blue star", "negative": "yellow", "seed": 5, "sampler": "euler"},
        {"prompt": "green apple", "seed": 6, "count": 2, "sampler": "euler_a"},
        {"prompt": "rainbow", "seed": 8, "width": 96, "height": 64},
        {"prompt": "sun", "seed": 9, "width": 40, "height": 56, "sampler": "euler"},
        {"prompt": "pizza", "seed": 10, "clip_skip": 2},
        {"prompt": LONG_PROMPT, "seed": 11},
        {"prompt": "red heart", "seed": 2**32 + 5, "sampler": "ddim", "steps": 30},
        {"lora_weight": 0.8},
        {"lora_weight": 0.8, "prompt": "yellow star", "seed": 1234, "sampler": "euler"},
        {"strength": 0.6, "prompt": "blue heart", "seed": 12, "sampler": "euler"},
        {"strength": 0.75, "prompt": "blue heart", "seed": 13, "sampler": "ddim"},
        {"strength": 0.5, "prompt": "blue heart", "seed": 14, "sampler": "dpmpp_2m", "schedule": "karras"},
        {"strength": 1.0, "prompt": "blue heart", "seed": 15, "sampler": "euler_a"},
    ]
    tensors, record, first = {}, [], None
    for number, changes in enumerate(cases):
        case = {**plain, **changes}
        painter = pipe if case["lora_weight"] is None else merged(pipe, lora, case["lora_weight"])
        working = {**case, "config": config}
        if case["strength"] is not None:
            working["init"] = Image.fromarray(first.numpy())
        results = paint(painter, working)
        if first is None:
            first = results[0]
            tensors["init"] = first.contiguous().clone()
        for k, pixels in enumerate(results):
            tensors[f"{number}.{k}.pixels"] = pixels.contiguous()
        record.append(case)
        print(number, changes, flush=True)
    save_file(tensors, out / "pictures.safetensors")
    path = out / "pictures.json"
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in record) + "\n]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--lora", type=Path, required=True)
    parser.add_argument("--clip-merges", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    torch.manual_seed(0)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        noise(arguments.out)
        pipe = StableDiffusionPipeline.from_pretrained(arguments.model, safety_checker=None, torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        tokens(arguments.out, pipe.tokenizer, arguments.clip_merges)
        text(arguments.out, pipe)
        unet(arguments.out, pipe)
        vae(arguments.out, pipe)
        schedules(arguments.out, pipe.scheduler.config)
        pictures(arguments.out, pipe, arguments.lora)


if __name__ == "__main__":
    main()
