#!/usr/bin/env python3
"""Makes textual inversions as torch.save writes them, in every form that A1111 takes, and pickles that are none.

Pinned as make_goldens.py is. `torch/NAME` are the files, `torch.safetensors` has the vectors of those that are sound by
`NAME/TENSOR`. Files whose names begin with `refused` must not be read.

    make_torch.py --out tests/goldens
"""

import argparse
import io
import os
import pickle
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from make_goldens import check_versions

# Of the tiny model's text encoder.
WIDTH = 128


class Command:
    """Loading it would run a command."""

    def __reduce__(self):
        return (os.system, ("touch /tmp/loaded",))


def zipped(program, entries=(), method=zipfile.ZIP_STORED):
    """A file as torch.save lays it out, around a program of one's own."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in [("data.pkl", program), ("byteorder", b"little"), *entries]:
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content, method)
    return out.getvalue()


def tensor_program(shape, strides=None, storage=b"ctorch\nFloatStorage\n", offset=0):
    """A dictionary of one word and its tensor, said by hand."""
    strides = strides or (shape[1], 1)
    pair = lambda numbers: b"(" + b"".join(b"J" + (n % 2**32).to_bytes(4, "little") for n in numbers) + b"t"
    key = b"(X\x07\x00\x00\x00storage" + storage + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x08tQ"
    number = b"J" + offset.to_bytes(4, "little")
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + key + number + pair(shape) + pair(strides) + b"\x89NtR"
    return b"\x80\x02}X\x03\x00\x00\x00<x>" + tensor + b"s."


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--out", type=Path, required=True)
    out = arguments.parse_args().out
    check_versions()
    folder = out / "torch"
    folder.mkdir(exist_ok=True)
    torch.manual_seed(77)
    kept = {}

    def save(name, data, vectors, **options):
        torch.save(data, folder / name, **options)
        for tensor, values in vectors.items():
            kept[f"{name}/{tensor}"] = values.detach().float().clone().contiguous()

    # AUTOMATIC1111/stable-diffusion-webui v1.10, `Embedding.save`.
    vectors = torch.nn.Parameter(torch.randn(2, WIDTH))
    a1111 = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "zz lamp", "step": 500}
    a1111 |= {"sd_checkpoint": None, "sd_checkpoint_name": "tiny-emoji"}
    save("a1111.pt", a1111, {"string_to_param.*": vectors})
    # rinongal/textual_inversion `EmbeddingManager.save`.
    vectors = torch.nn.Parameter(torch.randn(1, WIDTH))
    original = {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": torch.nn.ParameterDict({"*": vectors})}
    save("original.pt", original, {"string_to_param.*": vectors})
    # diffusers `examples/textual_inversion`.
    vector = torch.randn(WIDTH)
    save("diffusers.bin", {"<zz-lamp>": vector}, {"<zz-lamp>": vector})
    vector = torch.randn(WIDTH).half()
    save("before-1.6.bin", {"<zz-lamp>": vector}, {"<zz-lamp>": vector}, _use_new_zipfile_serialization=False)
    pair = {"clip_l": torch.randn(2, 16).bfloat16(), "clip_g": torch.randn(2, 24).bfloat16()}
    save("xl.pt", pair, pair)
    # A part of something larger lies where its storage begins and a little more.
    view = torch.randn(5, WIDTH)[2:4]
    save("view.pt", {"<zz-lamp>": view}, {"<zz-lamp>": view})
    # Newer protocols have other instructions.
    save("protocol-4.pt", a1111, {"string_to_param.*": a1111["string_to_param"]["*"]}, pickle_protocol=4)
    save_file(kept, out / "torch.safetensors")

    torch.save({"<zz-lamp>": torch.randn(WIDTH, 2).t()}, folder / "refused-strided.pt")
    torch.save({"<zz-lamp>": torch.randn(2, WIDTH).double()}, folder / "refused-double.pt")
    torch.save({"a": torch.zeros(1), "b": torch.zeros(1), "c": torch.zeros(1)}, folder / "refused-three-words.pt")
    torch.save({"string_to_param": {"*": vectors, "+": vectors}}, folder / "refused-two-terms.pt")
    torch.save([torch.zeros(1, WIDTH)], folder / "refused-list.pt")
    whole = (folder / "a1111.pt").read_bytes()
    command = pickle.dumps({"string_to_param": Command()}, 2)
    numbers = [("data/0", bytes(32))]
    recursion = b"\x80\x02}q\x00X\x0f\x00\x00\x00string_to_paramh\x00s."
    for name, content in {
        "system.pt": zipped(command),
        "system-bare.pt": command,
        "system-protocol-0.pt": pickle.dumps(Command(), 0),
        "eval-by-stack.pt": zipped(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R."),
        "persistent.pt": zipped(b"Pos\n."),
        "instance.pt": zipped(b"(ios\nsystem\n."),
        "extension.pt": zipped(b"\x80\x02\x82\x01."),
        "cut-off.pt": whole[: len(whole) // 2],
        "program-cut-off.pt": zipped(b"\x80\x02}q\x00X\x0f\x00\x00\x00string"),
        "text-beyond.pt": zipped(b"\x80\x02X\xff\xff\xff\xff*."),
        "packed.pt": zipped(tensor_program((2, 4)), numbers, zipfile.ZIP_DEFLATED),
        "beyond-storage.pt": zipped(tensor_program((4, 4)), numbers),
        "offset-beyond.pt": zipped(tensor_program((2, 4), offset=2**31 - 1), numbers),
        "huge.pt": zipped(tensor_program((2**31 - 1, 2**31 - 1)), numbers),
        "negative.pt": zipped(tensor_program((-1, 4)), numbers),
        "no-storage.pt": zipped(tensor_program((2, 4))),
        "other-storage.pt": zipped(tensor_program((2, 4), storage=b"ctorch\nComplexFloatStorage\n"), numbers),
        "big-endian.pt": zipped(tensor_program((2, 4)), numbers).replace(b"little", b"bigbig"),
        "itself.pt": zipped(recursion),
        "memo.pt": zipped(b"\x80\x02h\x07."),
        "memo-growth.pt": zipped(b"\x80\x02(K\x01q\x00" + b"(h\x00h\x00tq\x00" * 2000 + b"t."),
        "values.pt": zipped(b"\x80\x02]" + b"N" * 25_000 + b"."),
        "marks.pt": zipped(b"(" * 25_000 + b"."),
        "nothing-to-take.pt": zipped(b"\x80\x02s."),
        "mark-to-take.pt": zipped(b"\x80\x02}((s."),
        "call-of-text.pt": zipped(b"\x80\x02X\x01\x00\x00\x00x)R."),
        "empty.pt": zipped(b""),
    }.items():
        (folder / f"refused-{name}").write_bytes(content)


if __name__ == "__main__":
    main()
