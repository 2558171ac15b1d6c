#!/usr/bin/env python3
"""Turns published vocabularies into the merge lists that the engine carries.

    make_assets.py --clip bpe_simple_vocab_16e6.txt.gz --tiny tokenizer.json --out daemon/engine/assets

`--clip` is the vocabulary file inside the PyPI package open_clip_torch 3.3.0 (`open_clip/bpe_simple_vocab_16e6.txt.gz`);
`--tiny` is the tokenizer.json of the demo model. A merge list, one merge a line in order of rank, implies the whole
vocabulary: 256 byte symbols, the same with `</w>`, one entry a merge, and the two special tokens.
"""

import argparse
import gzip
import json
from pathlib import Path

# OpenAI's CLIP uses the first 49,152 - 256 - 2 lines behind the header of a longer file.
CLIP_MERGES = 49152 - 256 - 2

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--clip", type=Path, required=True)
parser.add_argument("--tiny", type=Path, required=True)
parser.add_argument("--out", type=Path, required=True)
arguments = parser.parse_args()

lines = gzip.decompress(arguments.clip.read_bytes()).decode("utf-8").split("\n")
clip = lines[1 : 1 + CLIP_MERGES]
assert all(line.count(" ") == 1 for line in clip)
(arguments.out / "clip-merges.txt").write_text("\n".join(clip) + "\n", encoding="utf-8")

merges = json.loads(arguments.tiny.read_text(encoding="utf-8"))["model"]["merges"]
tiny = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
(arguments.out / "tiny-emoji-merges.txt").write_text("\n".join(tiny) + "\n", encoding="utf-8")
