#!/usr/bin/env python3
"""Makes what A1111 makes of prompts: pieces with weights, schedules, compositions, rows of tokens, and pictures.

Pinned as make_goldens.py is, with lark 1.3.1. The reference is A1111's own code, which is not kept here:
AUTOMATIC1111/stable-diffusion-webui v1.10, of whose folder `modules` the files `prompt_parser.py`, `sd_hijack_clip.py`
and `sd_emphasis.py` are asked, with its default settings (`shared.opts`) and no textual inversions. The goldens that are
kept were not made with a checkout of that tag: the functions were typed off public copies of these files
(`sd_hijack_clip.py` at 00e09382, `prompt_parser.py` as of v1.6 and later), without what textual inversions add.

    make_prompts.py --webui FOLDER --model DIFFUSERS_FOLDER --clip-merges daemon/engine/assets/clip-merges.txt \
        --out tests/goldens

Pictures are painted with the tiny model's networks in diffusers, the states being those of A1111's code and joined as
its `modules/sd_samplers_cfg_denoiser.py` joins them.
"""

import argparse
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
from safetensors.torch import save_file

from make_goldens import check_versions, clip_tokenizer, generator

EMPHASIS = [
    "", "normal text", "an (important) word", "(unbalanced", "\\(literal\\]", "(unnecessary)(parens)",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "a BREAK b", "(a BREAK b:1.3)", "[a BREAK b]", "(a: 1.2 )",
    "(a:1.)", "(a:.5)", "(a:+1.5)", "(a:-1)", "(a:0)", "a:b", "[a:b]", "\\(a\\)", "(a\\:1.2)", "(:1.2)", "()", "[]", "a))b",
    "a]]b", "BREAKfast", " BREAK ", "xBREAK BREAK", "BREAK", "BREAKBREAK", "a\nBREAK\nb", "_BREAK", "éBREAK é BREAKé",
    "\\", "\\\\", "\\a", "a\\", "((a)b)c", "[[a]b]c", "(a[b)c]d", "(a:1.2)(b:1.2)", "(a:1.1)(b)", "a :1.2) b", "((a:1.2):0.5)",
    "(日本語:1.3), 猫", "😀 (😀:1.2)", "(a:1.2", "(a:1.2 b)", "(a::1.2)", "(masterpiece:1.2), best quality, [blurry|sharp]",
    "score_9, score_8_up, (1girl:1.1), [bad:0.5]", "a (b (c (d)))", "(a) BREAK (b)", "a,BREAK,b", "((a BREAK b))",
    "(a:1.2)\t(b:\n1.3\n)",
]
# Said of the second of two passes, which counts on from the first.
SECOND_PASS = ["[a:b:12]", "[a:b:16]", "[a:b:17]", "[a:b:1.5]", "[a:b:1.0]", "[a:b:1.9]", "a [b|c] d", "[a::14]", "[a:b:2.5]"]
EDITING = [
    "test", "a [b:3]", "a [b: 3]", "a [[[b]]:2]", "[(a:2):3]", "a [b : c : 1] d", "a[b:[c:d:2]:1]e", "a [unbalanced",
    "a [b:.5] c", "a [{b|d{:.5] c", "((a][:b:c [d:3]", "[a|(b:1.1)]", "[fe|]male", "[fe|||]male", "", " ", "a | b", "|",
    "[a:b:c:0.5]", "[a:b]", "[a:0.5]", "[a::0.5]", "[:a:0.5]", "[::3]", "[:3]", "[3]", "(a:b:c)", "[[a:b:0.5]:c:0.7]",
    "[a:b: 0.5 ]", "[a:b:-2]", "[a:b:0]", "[a:b:0.0]", "[a:b:1e1]", "[a:b:1.0e-1]", "[a:b:+3]", "[a:(b:1.2):3]", "a\\", "a\\\nb",
    "\\[a:b:3\\]", "[a|b", "[a|b]c]", "[(a|b):c:3]", "[a:b:3.0]", "[a:b:3.9]", "[a:b:1.0]", "[a:b:.3]", "[a:b:x]", "[a:b:3x]",
    "(a [b:c:0.5] d:1.2)", "[a|b:0.5]", "[a|b|c:1.2]", "[ a : b : .3 ]", "[a|[b|c]|d]", "[[a|b]:c:4]", "a [b:c:99] d",
    "[a:b:2][c:d:4]", "(([a:b:2]))", "[a:b:2", "a:b:2]", "[a [b:c:0.5] d]", "[猫:犬:0.5]", "[😀|😁]", "[a:b:\n3]", "[a\n:b:3]",
    "fantasy landscape with a [mountain:lake:0.25] and [an oak:a christmas tree:0.75][ in foreground::0.6]"
    "[ in background:0.25] [shoddy:masterful:0.5]", "[a::b:3]", "[(a:b:c):d:3]", "(a|b)", "[a||b]", "[|a]", "[a|b](c:[d:2])",
    "{a|b}", "[:a|b:3]", "[a:b:1.5.2]", "[a:b:--1]", "[a:b:1e]", "[a:b:.]",
]
COMPOSITION = [
    "", "a", "a AND b", "a:1.2 AND b:0.5", "a AND", "AND", "a :-1 AND b:2.", "a:1e3 AND b", "aANDb AND_ AND c\n:3",
    "a  :  .5  ", "a AND b AND c :0.3", "a :3", "a :3 ", "a:b:3", "a: 3 b", "a:3.", "a:.", "a:1.2.3", "a:+2", " a ", "a\nAND\nb",
    "(a:1.2) AND (b:1.3):0.7", "é AND é:2", "ANDAND", "a AND AND b",
]
WORDS = "red fox, snowy hill, oil painting, soft light, [blurry], (sharp:1.3), a very long word supercalifragilistic".split()


def long_prompts():
    draw = random.Random(5)
    return [" ".join(draw.choice(WORDS) for _ in range(count)) for count in (40, 60, 75, 90, 120, 200, 400)]


ROWS = [
    "", "red fox", "(red:1.3) fox", "a BREAK b", "BREAK", "a BREAK BREAK b", "a BREAK ", "a " * 75, "a " * 76, "a, " * 40,
    "a " * 70 + ", b c d e f g h", "a " * 54 + ", " + "b " * 30, "a " * 55 + ", " + "b " * 30, "a " * 74 + ", b", "a " * 75 + ", b",
    "(a " * 3 + "b) c", "<|endoftext|> in the middle", "café (日本語:1.2) 🍎", *long_prompts(),
]


def embedder(module, tokenizer, padding, transformer=None):
    database = SimpleNamespace(find_embedding_at_position=lambda tokens, position: (None, None))
    made = module.FrozenCLIPEmbedderWithCustomWords(
        SimpleNamespace(tokenizer=tokenizer, transformer=transformer), SimpleNamespace(embedding_db=database)
    )
    made.id_pad = tokenizer.convert_tokens_to_ids(padding)
    return made


def rows(made, prompt):
    """What `process_tokens` gives the network."""
    found = []
    for chunk in made.tokenize_line(prompt)[0]:
        tokens = list(chunk.tokens)
        if made.id_end != made.id_pad:
            end = tokens.index(made.id_end)
            tokens[end + 1 :] = [made.id_pad] * (len(tokens) - end - 1)
        found.append([tokens, chunk.multipliers])
    return found


PICTURES = [
    ("(red:1.4) heart, [yellow]", ""),
    ("red heart BREAK on a white background", "(yellow:1.3)"),
    ("red heart AND blue star :0.5", ""),
    ("[red:blue:0.5] heart", "[green:3]"),
    ("[red|(blue:1.2)] heart", "yellow"),
    ("heart AND " + "yellow star on a white background " * 20, ""),
]
STEPS, SCALE = 10, 4.0


def paint(parser, made, pipe, prompt, negative, seed):
    """Plain Euler over diffusers' levels, guided as A1111 guides."""

    def scheduled(prompt):
        entries = parser.get_learned_conditioning_prompt_schedules([prompt], STEPS)[0]
        states = made([text for _, text in entries])
        return [(end, states[i]) for i, (end, _) in enumerate(entries)]

    def at(entries, evaluation):
        return next((state for end, state in entries if evaluation <= end), entries[0][1])

    indexes, texts, _ = parser.get_multicond_prompt_list([prompt])
    parts = [(scheduled(texts[index]), weight) for index, weight in indexes[0]]
    avoided = scheduled(negative)
    scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(STEPS)
    x = torch.randn(1, 4, 16, 16, generator=generator(seed)) * scheduler.init_noise_sigma
    for i, time in enumerate(scheduler.timesteps):
        sigma, following = scheduler.sigmas[i], scheduler.sigmas[i + 1]
        states = [at(entries, i) for entries, _ in parts]
        longest = max(len(state) for state in states)
        states = [torch.cat([s, s[-1:].repeat(longest - len(s), 1)]) for s in states]
        scaled = x / (sigma**2 + 1) ** 0.5
        low = pipe.unet(scaled, time, at(avoided, i)[None]).sample
        predicted = low.clone()
        for state, (_, weight) in zip(states, parts):
            predicted += (pipe.unet(scaled, time, state[None]).sample - low) * (weight * SCALE)
        x = x + (following - sigma) * predicted
    decoded = pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample
    pixels = pipe.image_processor.postprocess(decoded, output_type="np")[0]
    return torch.from_numpy((pixels * 255).round().astype(np.uint8))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webui", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clip-merges", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    check_versions()
    sys.path.insert(0, str(arguments.webui))
    from modules import prompt_parser, sd_hijack_clip

    def pieces(prompt):
        found = prompt_parser.parse_prompt_attention(prompt)
        return [[text, None if (text, weight) == ("BREAK", -1) else weight] for text, weight in found]

    def composed(prompt):
        indexes, texts, _ = prompt_parser.get_multicond_prompt_list([prompt])
        return [[texts[index], weight] for index, weight in indexes[0]]

    def edited(prompt, steps, second_pass=None):
        return prompt_parser.get_learned_conditioning_prompt_schedules([prompt], steps, second_pass)[0]

    tokenizer = clip_tokenizer(arguments.clip_merges)
    record = {
        "emphasis": [[prompt, pieces(prompt)] for prompt in EMPHASIS + long_prompts()],
        "editing": [[prompt, steps, edited(prompt, steps)] for prompt in EDITING for steps in (10, 7)],
        "second_pass": [[prompt, edited(prompt, 10, 6)] for prompt in EDITING + SECOND_PASS],
        "composition": [[prompt, composed(prompt)] for prompt in COMPOSITION],
        "rows": [[p, rows(embedder(sd_hijack_clip, tokenizer, "<|endoftext|>"), p)] for p in ROWS],
        "padded_rows": [[p, rows(embedder(sd_hijack_clip, tokenizer, "!"), p)] for p in ROWS[:8]],
    }
    pipe = StableDiffusionPipeline.from_pretrained(arguments.model, safety_checker=None, torch_dtype=torch.float32)
    made = embedder(sd_hijack_clip, pipe.tokenizer, "<|endoftext|>", pipe.text_encoder)
    with torch.no_grad():
        pictures = {f"{i}.pixels": paint(prompt_parser, made, pipe, *words, i) for i, words in enumerate(PICTURES)}
    save_file({name: pixels.contiguous() for name, pixels in pictures.items()}, arguments.out / "prompts.safetensors")
    record["pictures"] = [list(words) for words in PICTURES]
    lines = ",\n".join(
        f"{json.dumps(key)}: [\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]"
        for key, cases in record.items()
    )
    (arguments.out / "prompts.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
