#!/usr/bin/env python3
"""Makes the trajectories of samplers on a denoiser that can be written down, and the noise levels of schedules.

Pinned as make_goldens.py is, with scipy 1.17.1 and torchsde 0.2.6. The reference of the samplers is k-diffusion 0.1.1.post1, of whose
unpacked package the file `k_diffusion/sampling.py` is asked, diffusers' schedulers for what it has not, and for Restart
`modules/sd_samplers_extra.py` of AUTOMATIC1111/stable-diffusion-webui v1.10; that of the schedules are the definitions of ComfyUI
(`comfy/samplers.py`) and the levels of Align Your Steps (Sabour et al. 2024), written down here with numpy and scipy.

    make_samplers.py --k-diffusion UNPACKED_PACKAGE --a1111 FOLDER_WITH_MODULES --out tests/goldens
"""

import argparse
import contextlib
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
import torchsde
from safetensors.torch import save_file
from diffusers import DDPMScheduler, DEISMultistepScheduler, TCDScheduler, UniPCMultistepScheduler
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
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
    parent.sampling = sys.modules["k_diffusion.sampling"] = module
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


# The same samplers with other settings of noise.
TUNED = {
    "euler": {"s_churn": 6.0, "s_tmin": 0.1, "s_tmax": 9.0, "s_noise": 0.95},
    "heun": {"s_churn": 2.0, "s_tmin": 0.1, "s_noise": 0.95},
    "dpm_2": {"s_churn": 3.0, "s_tmin": 0.1, "s_tmax": 5.0},
    "euler_a": {"eta": 0.6, "s_noise": 0.9},
    "dpm_2_a": {"eta": 0.6, "s_noise": 0.9},
    "dpmpp_2s_a": {"eta": 0.6, "s_noise": 0.9},
    "dpmpp_sde": {"eta": 0.6, "s_noise": 0.9},
    "dpmpp_2m_sde": {"eta": 0.6, "s_noise": 0.9},
    "dpmpp_2m_sde_heun": {"eta": 0.0},
    "dpmpp_3m_sde": {"eta": 0.6, "s_noise": 0.9},
}
TRAINING = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = {
    "ddpm": (DDPMScheduler, {"clip_sample": False, "timestep_spacing": "leading", "steps_offset": 1}),
    "deis": (DEISMultistepScheduler, {}),
    # To no noise at all, this form multiplies infinity by nothing there.
    "uni_pc": (
        UniPCMultistepScheduler,
        {"solver_order": 3, "solver_type": "bh1", "final_sigmas_type": "sigma_min"},
    ),
    "uni_pc_bh2": (UniPCMultistepScheduler, {"solver_order": 3, "solver_type": "bh2"}),
    "tcd": (TCDScheduler, {}),
}


def scheduled(tensors, name, kind, more, steps):
    """One of diffusers' schedulers, its signals of unit variance told as signal + sigma * noise."""
    made = kind(**TRAINING, **more)
    made.set_timesteps(steps)
    times = made.timesteps
    alphas = made.alphas_cumprod.double()
    at = lambda time: ((1 - alphas[time]) / alphas[time]) ** 0.5
    sigmas = torch.stack([at(time) for time in times])
    last = {"deis": at(0), "tcd": at(0), "uni_pc": at(0)}.get(name, torch.tensor(0.0))
    draw = generator(steps)
    x = torch.randn(1, 1, 4, 8, generator=draw) * (sigmas[0] ** 2 + 1).sqrt().float()
    tensors[f"{name}.{steps}.levels"] = sigmas.float()
    tensors[f"{name}.{steps}.times"] = times.float()
    tensors[f"{name}.{steps}.last"] = last.reshape(1).float()
    tensors[f"{name}.{steps}.first"] = x
    drawing = {"generator": draw} if name in ("ddpm", "tcd") else {}
    for i, time in enumerate(times):
        if i == steps // 2:
            tensors[f"{name}.{steps}.half_way"] = x
        if i == steps - 1:
            tensors[f"{name}.{steps}.before_last"] = x
        sigma = sigmas[i].float()
        predicted = (x - denoiser(x, sigma)) / sigma
        following = sigmas[i + 1] if i + 1 < steps else last
        x = made.step(predicted, time, x / (sigma**2 + 1) ** 0.5, return_dict=False, **drawing)[0]
        if i + 1 < steps:
            x = x * (following.float() ** 2 + 1) ** 0.5
    assert x.isfinite().all(), (name, steps)
    tensors[f"{name}.{steps}.found"] = x


def tuned(sampling, tensors, name, function, more):
    sigmas = training_sigmas()
    spread = sampling.get_sigmas_karras(10, sigmas[0], sigmas[-1]).float()
    draw = generator(10)
    x = torch.randn(1, 1, 4, 8, generator=draw) * spread[0]
    passed = []
    like = lambda *_: torch.randn(1, 1, 4, 8, generator=draw)
    if name in WALKERS:
        more = {**WALKERS[name][1], **more, "noise_sampler": walker(sampling, 10, x, spread)}
    elif "eta" in more:
        more = {**more, "noise_sampler": like}
    with hijacked(sampling, like):
        found = getattr(sampling, function)(
            denoiser, x, spread, disable=True, callback=lambda state: passed.append(state["x"].clone()), **more
        )
    # Churned levels are seen only under their additional noise, and the last is none.
    for what, value in [("levels", spread), ("first", x), ("found", found), ("before_last", passed[-1])]:
        tensors[f"{name}.tuned.{what}"] = value.contiguous()


@contextlib.contextmanager
def hijacked(sampling, randn_like):
    """k-diffusion's own draws replaced, as A1111 does it."""
    true = sampling.torch
    sampling.torch = types.SimpleNamespace(**{**vars(true), "randn_like": randn_like})
    yield
    sampling.torch = true


def restarted(sampling, folder, tensors, steps):
    spec = importlib.util.spec_from_file_location("sd_samplers_extra", folder / "modules/sd_samplers_extra.py")
    extra = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extra)
    sigmas = training_sigmas()
    spread = sampling.get_sigmas_karras(steps, sigmas[0], sigmas[-1]).float()
    draw = generator(steps)
    x = torch.randn(1, 1, 4, 8, generator=draw) * spread[0]
    passed = []
    with hijacked(sampling, lambda *_: torch.randn(1, 1, 4, 8, generator=draw)):
        found = extra.restart_sampler(
            denoiser, x, spread, disable=True, callback=lambda state: passed.append(state["x"].clone())
        )
    assert len(passed) == steps, (len(passed), steps)
    states = {"levels": spread, "first": x, "found": found, "half_way": passed[steps // 2], "before_last": passed[-1]}
    tensors.update({f"restart.{steps}.{what}": value.contiguous() for what, value in states.items()})


def rescaling(tensors):
    draw = generator(31)
    guided = 3 * torch.randn(1, 4, 5, 6, generator=draw) + 0.4
    alone = torch.randn(1, 4, 5, 6, generator=draw)
    tensors["rescale.guided"], tensors["rescale.alone"] = guided, alone
    tensors["rescale.found"] = rescale_noise_cfg(guided, alone, guidance_rescale=0.7)


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
    parser.add_argument("--a1111", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    sampling = load(arguments.k_diffusion)
    sigmas = training_sigmas()
    tensors = {}
    brownian(sampling, arguments.out)
    every = [(name, function, noisy, {}) for name, (function, noisy) in SAMPLERS.items()]
    every += [(name, function, True, dict(more)) for name, (function, more) in WALKERS.items()]
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
    for name, (kind, more) in SCHEDULERS.items():
        for steps in (1, 2, 5, 20):
            scheduled(tensors, name, kind, more, steps)
    functions = {name: function for name, (function, _) in [*SAMPLERS.items(), *WALKERS.items()]}
    for name, more in TUNED.items():
        tuned(sampling, tensors, name, functions[name], more)
    for steps in (5, 20, 40):
        restarted(sampling, arguments.a1111, tensors, steps)
    rescaling(tensors)
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
