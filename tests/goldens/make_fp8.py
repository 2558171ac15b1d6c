#!/usr/bin/env python3
"""Makes the golden of numbers of eight bits: what torch makes of every code.

Pinned as make_goldens.py is.

    make_fp8.py --out tests/goldens
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from make_goldens import check_versions


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--out", type=Path, required=True)
    arguments = arguments.parse_args()
    check_versions()
    codes = torch.arange(256, dtype=torch.uint8)
    values = {str(dtype).removeprefix("torch."): codes.view(dtype).float() for dtype in [torch.float8_e4m3fn, torch.float8_e5m2]}
    save_file(values, arguments.out / "fp8.safetensors")


if __name__ == "__main__":
    main()
