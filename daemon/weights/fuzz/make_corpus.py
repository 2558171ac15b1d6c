#!/usr/bin/env python3
"""Write the hostile and odd files that the fuzzer starts from and the test `the_corpus_is_judged_as_written` replays.

    python make_corpus.py corpus/inspect

A file's name begins with what must become of it: `ok`, `malformed`, `unsafe` or `not-a-model`.
"""

import io
import json
import pathlib
import pickle
import struct
import sys
import zipfile


def safetensors(header: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    header = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(tensors: int, pairs: int, body: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + body


def torch_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickle.dumps({"state_dict": {}}, 2))
        archive.writestr(zipfile.ZipInfo("archive/version"), "3\n")
    return out.getvalue()


def plain_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("poses/standing.json"), "{}")
    return out.getvalue()


class Opens:
    """What makes a pickle dangerous: unpickling it calls a function of its choice."""

    def __reduce__(self):
        return (print, ("opened",))


def files() -> dict[str, bytes]:
    one = tensor([1], [0, 4])
    two = {"a": tensor([2], [0, 8]), "b": tensor([2], [4, 12])}
    lora = {
        "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": tensor([1, 4], [0, 16]),
        "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": tensor([4, 1], [16, 32]),
    }
    unet = {
        "model.diffusion_model.input_blocks.0.0.weight": tensor([1, 4, 1, 1], [0, 16]),
        "model.diffusion_model.time_embed.0.weight": tensor([1, 1], [16, 20]),
        "model.diffusion_model.output_blocks.0.0.in_layers.2.weight": tensor([1, 1, 1, 1], [20, 24]),
    }
    half = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    nothing = 1 << 63
    hostile_lora = {
        f"{half}.lora_down.weight": tensor([0, nothing], [0, 0]),
        f"{half}.lora_up.weight": tensor([nothing, 0], [0, 0]),
        "lycoris_blocks_0.lokr_w1": tensor([0, nothing], [0, 0]),
        "lycoris_blocks_0.lokr_w2": tensor([0, nothing], [0, 0]),
        "lora_unet_blocks_99999999999999999999999_cross_attn_q.lora_down.weight": tensor([0, 1], [0, 0]),
        "lora_unet_.hada_w1_b": tensor([], [0, 4]),
        ".lora_down.weight": tensor([0], [4, 4]),
    }
    hostile_networks = {
        f"{prefix}{name}": tensor(shape, [0, 0])
        for prefix in ("model.diffusion_model.", "net.", "unet.", "transformer.", "model.", "")
        for name, shape in (
            ("input_blocks.0.0.weight", [0, nothing, nothing, nothing]),
            ("time_embed.0.weight", [0]),
            ("output_blocks.0.", [0]),
            ("double_blocks.0.img_attn.norm.key_norm.scale", [0, 0, 0, 0, 0, 0, 0, 0]),
            ("img_in.weight", [0]),
            ("patch_embedding.weight", [nothing, 0, 1, 2, 2]),
            ("head.modulation", []),
        )
        if shape
    }
    training = {
        "ss_tag_frequency": '{"1_a": ' + '{"a": ' * 3_000,
        "ss_dataset_dirs": '{"1_a": {"img_count": -1}, "2_b": []}',
        "ss_network_dim": "-" + "9" * 400,
        "ss_network_alpha": "NaN",
        "ss_resolution": "(99999999999999999999, 0)",
        "ss_training_started_at": "1e400",
        "ss_output_name": "\u0000\u001b[2J\u202e" * 200,
        "modelspec.title": "\n\t ",
        "modelspec.thumbnail": "data:image/png;base64," + "A" * 10_000,
        "modelspec.resolution": "x",
        "": "",
    }
    odd_tags = '{"1_a": {"a": 1, "b": 18446744073709551615, "b": 5, "c": 1.5, "d": "7"}, "2_b": 3}'
    weird = {"first_stage_model.decoder.up.99999999999999999999.block.0.conv1.weight": tensor([1], [0, 4])}
    return {
        "not-a-model-empty": b"",
        "not-a-model-html": b"<!DOCTYPE html><html><title>Sign in</title></html>",
        "not-a-model-xml": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        "not-a-model-json": b'{"error":"Unauthorized"}',
        "not-a-model-lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "not-a-model-png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "not-a-model-zip": plain_zip(),
        "not-a-model-noise": bytes(range(1, 64)),
        "not-a-model-seven-bytes": b"\x10\0\0\0\0\0\0",
        "ok-no-tensors": safetensors("{}"),
        "ok-one-tensor": safetensors(json.dumps({"__metadata__": {"format": "pt"}, "a": one}), bytes(4)),
        "ok-lora": safetensors(json.dumps(lora), bytes(32)),
        "ok-unet": safetensors(json.dumps(unet), bytes(24)),
        "ok-lora-of-nothing": safetensors(json.dumps(hostile_lora), bytes(4)),
        "ok-networks-of-nothing-behind-every-prefix": safetensors(json.dumps(hostile_networks)),
        "ok-training-metadata-of-a-stranger": safetensors(json.dumps({"__metadata__": training})),
        "ok-tags-of-all-types": safetensors(json.dumps({"__metadata__": {"ss_tag_frequency": odd_tags}})),
        "ok-many-tags": safetensors(
            json.dumps({"__metadata__": {"ss_tag_frequency": json.dumps({"a": {f"t{n}": n for n in range(4_000)}})}})
        ),
        "ok-name-of-nothing": safetensors(json.dumps({"": one}), bytes(4)),
        "malformed-length-of-100-megabytes": safetensors(json.dumps({"a": one}), bytes(4), length=100_000_000),
        "malformed-length-beyond-100-megabytes": safetensors(json.dumps({"a": one}), bytes(4), length=100_000_001),
        "malformed-duplicate-training-metadata": safetensors('{"__metadata__":{"ss_steps":"1","ss_steps":"2"}}'),
        "malformed-lora-rank-beyond-memory": safetensors(
            json.dumps({f"{half}.lora_down.weight": tensor([1 << 62, 1 << 62], [0, 8])}), bytes(8)
        ),
        "ok-gguf-with-a-long-architecture": gguf(
            0, 1, text("general.architecture") + struct.pack("<IQ", 8, 9_000) + b"f" * 9_000
        ),
        "ok-odd-index": safetensors(json.dumps(weird), bytes(4)),
        "ok-header-of-640-bytes": safetensors(json.dumps({"a": one}).ljust(640), bytes(4)),
        "malformed-length-2-to-the-63": safetensors("{}", length=1 << 63),
        "malformed-length-of-all-ones": safetensors("{}", length=(1 << 64) - 1),
        "malformed-length-past-the-end": safetensors("{}", length=1_000_000),
        "malformed-truncated-header": safetensors(json.dumps({"a": one}), b"")[:20],
        "malformed-truncated-data": safetensors(json.dumps({"a": one}), bytes(3)),
        "malformed-trailing-data": safetensors(json.dumps({"a": one}), bytes(5)),
        "malformed-overlap": safetensors(json.dumps(two), bytes(12)),
        "malformed-hole": safetensors(json.dumps({"a": tensor([1], [4, 8])}), bytes(8)),
        "malformed-reversed": safetensors(json.dumps({"a": tensor([1], [4, 0])}), bytes(4)),
        "malformed-negative-shape": safetensors(json.dumps({"a": tensor([-1], [0, 4])}), bytes(4)),
        "malformed-huge-shape": safetensors(json.dumps({"a": tensor([1 << 40, 1 << 40], [0, 4])}), bytes(4)),
        "malformed-shape-beyond-u64": safetensors(json.dumps({"a": tensor([1 << 70], [0, 4])}), bytes(4)),
        "malformed-many-dimensions": safetensors(json.dumps({"a": tensor([1] * 4096, [0, 4])}), bytes(4)),
        "malformed-huge-offsets": safetensors(json.dumps({"a": tensor([1], [(1 << 64) - 5, (1 << 64) - 1])}), bytes(4)),
        "malformed-span": safetensors(json.dumps({"a": tensor([3], [0, 4])}), bytes(4)),
        "malformed-dtype": safetensors(json.dumps({"a": tensor([1], [0, 4], "Q4")}), bytes(4)),
        "malformed-half-a-byte": safetensors(json.dumps({"a": tensor([1], [0, 1], "F4")}), bytes(1)),
        "malformed-duplicate-tensor": safetensors(f'{{"a":{json.dumps(one)},"a":{json.dumps(one)}}}', bytes(4)),
        "malformed-duplicate-metadata": safetensors('{"__metadata__":{"a":"1","a":"2"}}'),
        "malformed-metadata-not-text": safetensors('{"__metadata__":{"a":{"b":1}}}'),
        "malformed-deep-nesting": safetensors('{"a":' + "[" * 20_000),
        "malformed-deep-metadata": safetensors('{"__metadata__":' + '{"a":' * 5_000),
        "malformed-not-utf8": safetensors(b'{"\xff\xfe":1}'),
        "malformed-lone-surrogate": safetensors('{"\\ud800":' + json.dumps(one) + "}", bytes(4)),
        "malformed-not-json": safetensors("{]"),
        "malformed-gguf-only-magic": b"GGUF",
        "malformed-gguf-version": gguf(0, 0, version=1),
        "malformed-gguf-tensor-count": gguf((1 << 64) - 1, 0),
        "malformed-gguf-pair-count": gguf(0, (1 << 64) - 1),
        "malformed-gguf-counts-without-bytes": gguf(100_000, 50_000),
        "malformed-gguf-key-length": gguf(0, 1, struct.pack("<Q", 1 << 62)),
        "malformed-gguf-text-length": gguf(0, 1, text("k") + struct.pack("<IQ", 8, (1 << 64) - 1)),
        "malformed-gguf-list-length": gguf(0, 1, text("k") + struct.pack("<IIQ", 9, 10, 1 << 61)),
        "malformed-gguf-nested-lists": gguf(0, 1, text("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 2_000),
        "malformed-gguf-huge-shape": gguf(1, 0, text("w") + struct.pack("<IQQIQ", 2, 1 << 63, 1 << 63, 0, 0)),
        "malformed-gguf-past-the-end": gguf(1, 0, text("w") + struct.pack("<IQIQ", 1, 1024, 0, 0)),
        "malformed-gguf-alignment": gguf(0, 1, text("general.alignment") + struct.pack("<II", 4, 3)),
        "ok-gguf-empty": gguf(0, 0),
        "unsafe-torch-zip": torch_zip(),
        "unsafe-torch-legacy": pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2),
        "unsafe-begins-like-safetensors": b"\x80\x02X\x05\0\0\0\0{" + bytes(4) + b"q\0." + bytes(64),
        "unsafe-global-protocol-0": b"cos\nsystem\n(S'true'\ntR.",
        **{f"unsafe-pickle-protocol-{p}": pickle.dumps({"state_dict": {"w": [1.5, 2]}}, p) for p in range(6)},
        **{f"unsafe-pickle-call-protocol-{p}": pickle.dumps(Opens(), p) for p in range(6)},
    }


def main() -> None:
    out = pathlib.Path(sys.argv[1])
    for name, content in files().items():
        (out / name).write_bytes(content)
    print(f"{len(files())} files")


if __name__ == "__main__":
    main()
