#!/usr/bin/env python3
"""Makes the trajectories of samplers on a denoiser that can be written down, and the noise levels of schedules.

Pinned as make_goldens.py is, with scipy 1.17.1 and torchsde 0.2.6. The reference of the samplers is k-diffusion 0.1.1.post1, of whose
unpacked package the file `k_diffusion/sampling.py` is asked; that of the schedules are the definitions of ComfyUI
(`comfy/samplers.py`) and the levels of Align Your Steps (Sabour et al. 2024), written down here with numpy and scipy.

    make_samplers.py --k-diffusion UNPACKED_PACKAGE --out tests/goldens
"""

import argparse
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
import torchsde
from safetensors.torch import save_file
from scipy import stats

from make_goldens import check_versions, generator

# The picture is one of two values, pixel by pixel, so what is clean in x is known.
VALUE = 0.7


def denoiser(x, sigma, **_):
    sigma = sigma.reshape(-1, *[1] * (x.ndim - 1))
    return VALUE * torch.tanh(x * VALUE / sigma**2)


def training_sigmas():
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
    alphas = np.cumprod(1 - betas)
    return ((1 - alphas) / alphas) ** 0.5


def load(package):
    """sampling.py without the package around it, which imports much more."""
    utils = types.ModuleType("k_diffusion.utils")
    utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]
    parent = types.ModuleType("k_diffusion")
    parent.utils = utils
    sys.modules.update({"k_diffusion": parent, "k_diffusion.utils": utils})
    spec = importlib.util.spec_from_file_location("k_diffusion.sampling", package / "k_diffusion/sampling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SAMPLERS = {
    "euler": ("sample_euler", False),
    "euler_a": ("sample_euler_ancestral", True),
    "heun": ("sample_heun", False),
    "dpm_2": ("sample_dpm_2", False),
    "dpm_2_a": ("sample_dpm_2_ancestral", True),
    "lms": ("sample_lms", False),
    "dpmpp_2s_a": ("sample_dpmpp_2s_ancestral", True),
    "dpmpp_2m": ("sample_dpmpp_2m", False),
}
# Their noise is a walk of torchsde's, seeded as A1111 does it.
WALKERS = {
    "dpmpp_sde": ("sample_dpmpp_sde", {}),
    "dpmpp_2m_sde": ("sample_dpmpp_2m_sde", {"solver_type": "midpoint"}),
    "dpmpp_2m_sde_heun": ("sample_dpmpp_2m_sde", {"solver_type": "heun"}),
    "dpmpp_3m_sde": ("sample_dpmpp_3m_sde", {}),
}
ALIGNED = {
    "sd1": [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029],
    "sdxl": [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029],
}


def at_time(sigmas, time):
    """Between two training times, linear in the logarithm."""
    return np.exp(np.interp(time, np.arange(1000), np.log(sigmas)))


def levels(schedule, steps, sigmas):
    if schedule == "exponential":
        return np.exp(np.linspace(np.log(sigmas[-1]), np.log(sigmas[0]), steps))
    if schedule == "sgm_uniform":
        return at_time(sigmas, np.linspace(999, 0, steps + 1)[:-1])
    if schedule == "simple":
        return np.array([sigmas[-(1 + int(i * 1000 / steps))] for i in range(steps)])
    if schedule == "beta":
        times = np.rint(stats.beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), 0.6, 0.6) * 999)
        return sigmas[[int(t) for i, t in enumerate(times) if i == 0 or t != times[i - 1]]]
    family = schedule.removeprefix("ays_")
    known = np.log(np.array(ALIGNED[family])[::-1])
    spread = np.interp(np.linspace(0, 1, steps + 1), np.linspace(0, 1, 11), known)
    return np.exp(spread[::-1])[:-1]


def walker(sampling, steps, x, spread):
    return sampling.BrownianTreeNoiseSampler(x, spread[spread > 0].min(), spread.max(), seed=[steps])


def brownian(sampling, out):
    """Walks, and the seeds of their parts."""
    tensors = {}
    spans = [(14.6146, 0.0292), (14.614644, 0.029167), (4096.0, 0.0413), (2.5, 1.0), (80.0, 0.002)]
    for number, (most, least) in enumerate(spans):
        for seed, shape in [(7, (1, 2, 8)), (2**32 + 5 + number, (1, 3, 3)), (1234567 * (number + 1), (2, 5, 5))]:
            spread = torch.linspace(most**0.2, least**0.2, 5).pow(5).float()
            pairs = [(spread[i], spread[i + 1]) for i in range(4)]
            # Whole, across a middle, backwards, past the end by a rounding.
            pairs += [(spread[0], spread[4]), (spread[1], spread[3]), (spread[3], spread[2])]
            pairs += [(torch.nextafter(spread[0], torch.tensor(1e9)), (spread[0] * spread[1]).sqrt())]
            sampler = sampling.BrownianTreeNoiseSampler(torch.zeros(1, *shape), spread[-1], spread[0], seed=[seed])
            name = f"{number}.{seed}"
            tensors[f"{name}.seed"] = torch.tensor([seed])
            tensors[f"{name}.levels"] = spread
            tensors[f"{name}.queries"] = torch.tensor(pairs).flatten()
            # Apart, because MKL's square root, by which the noise is divided, is not always the nearest number.
            tensors[f"{name}.walked"] = torch.cat([sampler.tree(*pair) for pair in pairs])
            tensors[f"{name}.noise"] = torch.cat([sampler(*pair) for pair in pairs])
    keys = [(0, 0), (0, 1), (1, 1), (5, 3), (2**23 + 12345, 24), (2**33 + 1, 34)]
    entropies = [0, 1, 7, 2**31, 2**32 - 1, 2**32, 2**63 - 1]
    word = lambda entropy, key: int(np.random.SeedSequence(entropy, spawn_key=key, pool_size=24).generate_state(1)[0])
    tensors["seeds"] = torch.tensor([[e, *key, word(e, key)] for e in entropies for key in keys])
    tensors["first_seeds"] = torch.tensor([[e, word(e, ())] for e in entropies])
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "brownian.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k-diffusion", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    sampling = load(arguments.k_diffusion)
    sigmas = training_sigmas()
    tensors = {}
    brownian(sampling, arguments.out)
    every = [(name, function, noisy, {}) for name, (function, noisy) in SAMPLERS.items()]
    every += [(name, function, True, more) for name, (function, more) in WALKERS.items()]
    for name, function, noisy, more in every:
        # The multistep walkers of k-diffusion fail at a single step.
        for steps in (2, 5, 20) if name in WALKERS and function != "sample_dpmpp_sde" else (1, 2, 5, 20):
            spread = sampling.get_sigmas_karras(steps, sigmas[0], sigmas[-1]) if steps > 1 else torch.tensor([sigmas[-1], 0])
            spread = spread.float()
            draw = generator(steps)
            x = torch.randn(1, 1, 4, 8, generator=draw) * spread[0]
            if name in WALKERS:
                more["noise_sampler"] = walker(sampling, steps, x, spread)
            elif noisy:
                more["noise_sampler"] = lambda *_, draw=draw: torch.randn(1, 1, 4, 8, generator=draw)
            passed = []
            more["callback"] = lambda state, passed=passed: passed.append(state["x"].clone())
            found = getattr(sampling, function)(denoiser, x, spread, disable=True, **more)
            # The end is one of two values, whatever led there; what is on the way tells the samplers apart.
            tensors[f"{name}.{steps}.half_way"] = passed[steps // 2]
            tensors[f"{name}.{steps}.before_last"] = passed[-1]
            tensors[f"{name}.{steps}.levels"] = spread.contiguous()
            tensors[f"{name}.{steps}.first"] = x
            tensors[f"{name}.{steps}.found"] = found.contiguous()
    save_file({k: v.clone() for k, v in tensors.items()}, arguments.out / "samplers.safetensors")
    record = [
        {"schedule": schedule, "steps": steps, "sigmas": [float(s) for s in levels(schedule, steps, sigmas)]}
        for schedule in ("exponential", "sgm_uniform", "simple", "beta", "ays_sd1", "ays_sdxl")
        for steps in (2, 4, 7, 10, 20, 30, 333)
    ]
    lines = ",\n".join(json.dumps(entry) for entry in record)
    (arguments.out / "levels.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
