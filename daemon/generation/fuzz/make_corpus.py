"""Writes the corpus of recipes that the fuzzer starts from and a test of paintbox-generation replays.

Names say the verdict: ok-, nothing- (no recipe in the picture), foreign- (one that is not understood), unreadable-.
Needs nothing but Python. Run in this folder: python3 make_corpus.py
"""

import json
import struct
import zlib
from pathlib import Path

OUT = Path(__file__).parent / "corpus" / "recipe"
TEXT = "a fox\nNegative prompt: ugly\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64, RNG: CPU"
FOREIGN = "\u8d64\u3044 fox\nSteps: 20, Sampler: Euler, Seed: 1"


def chunk(kind, data, length=None, checksum=None):
    length = len(data) if length is None else length
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", length) + kind + data + struct.pack(">I", checksum)


HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
PIXELS = chunk(b"IDAT", zlib.compress(b"\0\0\0\0"))


def png(*chunks, end=True):
    return b"\x89PNG\r\n\x1a\n" + HEADER + b"".join(chunks) + PIXELS + (chunk(b"IEND", b"") if end else b"")


def tiff(entries, order=">"):
    """A block with one directory; entries are (tag, type, bytes) or (tag, type, count, value)."""
    out = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "I", 8)
    out += struct.pack(order + "H", len(entries))
    at = len(out) + 12 * len(entries) + 4
    data = b""
    for entry in entries:
        if len(entry) == 4:
            out += struct.pack(order + "HHII", *entry)
            continue
        tag, kind, value = entry
        out += struct.pack(order + "HHII", tag, kind, len(value), at + len(data))
        data += value
    return out + struct.pack(order + "I", 0) + data


def comment(text, code=b"UNICODE\0", encoding="utf-16-be"):
    return code + text.encode(encoding)


def jpeg(*segments):
    body = b"".join(b"\xff" + marker + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return b"\xff\xd8" + body + b"\xff\xda\0\x02\0\xff\xd9"


def webp(*chunks):
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def graph(**changes):
    nodes = {
        "3": {"class_type": "KSampler", "inputs": {
            "seed": 1, "steps": 20, "cfg": 7, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
    }
    nodes.update(changes)
    return nodes


WORKFLOW = {
    "nodes": [
        {"id": 1, "type": "CLIPTextEncode", "widgets_values": ["a fox"], "inputs": []},
        {"id": 2, "type": "KSampler", "widgets_values": [1, "fixed", 20, 7, "euler", "normal", 1],
         "inputs": [{"name": "positive", "link": 1}, {"name": "latent_image", "link": 2}]},
        {"id": 3, "type": "EmptyLatentImage", "widgets_values": [64, 64, 1]},
    ],
    "links": [[1, 1, 0, 2, 0, "C"], [2, 3, 0, 2, 1, "L"]],
}
INVOKE = {"generation_mode": "txt2img", "positive_prompt": "a fox", "steps": 20, "scheduler": "euler_k", "seed": 1}
SWARM = {"sui_image_params": {"prompt": "a fox", "steps": 20, "sampler": "euler", "loras": "a, b", "loraweights": "1"}}
CIVITAI = {"prompt": "a fox", "steps": "20", "sampler": "Euler a", "hashes": {"model": "ab" * 5, "lora:x": "cd" * 6},
           "resources": [{"type": "lora", "name": "x", "weight": 0.5}], "civitaiResources": [{"modelVersionId": 5}]}
EXIF = b"Exif\0\0"
DEEP = 200_000

FILES = {
    # A1111 and its kin.
    "ok-text": TEXT.encode(),
    "ok-text-crlf-bom": b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode(),
    "ok-text-open-quote": (TEXT + ", Model: \"m").encode(),
    "ok-text-quote-then-words": (TEXT + ", Model: \"m\" and more, VAE: v").encode(),
    "ok-text-open-object": (TEXT + ", Hashes: {\"model\": {").encode(),
    "ok-text-closing-first": (TEXT + ", Hashes: }]}").encode(),
    "ok-text-bad-hashes": (TEXT + ", Hashes: {\"model\": 5, \"x\": [], \"lora:\": \"ab\"}").encode(),
    "ok-text-many-settings": (TEXT + ", a: b" * 3000).encode(),
    "ok-text-many-digests": (TEXT + ", Lora hashes: \"" + "x: 0123456789, " * 1000 + "\"").encode(),
    "ok-text-many-tags": (TEXT.replace("a fox", "a fox" + "<lora:x:1>" * 500)).encode(),
    "ok-text-open-tags": (TEXT.replace("a fox", "a fox" + "<lora:" * 2000)).encode(),
    "ok-text-huge-numbers": (TEXT + ", CFG scale: 1e999, Seed: 99999999999999999999999, Clip skip: -1").encode(),
    "ok-text-template": (TEXT + "\nTemplate: a {fox|dog}").encode(),
    "unreadable-words": b"a fox, nothing more",
    "unreadable-empty": b"",
    "unreadable-bytes": bytes(range(128, 256)),
    "unreadable-gif": b"GIF89a\x01\0\x01\0",
    # PNG.
    "ok-png-text": png(chunk(b"tEXt", b"parameters\0" + TEXT.encode())),
    "ok-png-international": png(chunk(b"iTXt", b"parameters\0\0\0\0\0" + FOREIGN.encode())),
    "ok-png-packed": png(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(TEXT.encode()))),
    "ok-png-international-packed": png(chunk(b"iTXt", b"parameters\0\1\0en\0x\0" + zlib.compress(FOREIGN.encode()))),
    "ok-png-behind-pixels": png() [:-12] + chunk(b"tEXt", b"parameters\0" + TEXT.encode()) + chunk(b"IEND", b""),
    "ok-png-bad-checksum": png(chunk(b"tEXt", b"parameters\0" + TEXT.encode(), checksum=5)),
    "ok-png-exif": png(chunk(b"eXIf", tiff([(0x9286, 7, comment(TEXT))]))),
    "ok-png-graph": png(chunk(b"tEXt", b"prompt\0" + json.dumps(graph()).encode())),
    "ok-png-graph-nan": png(chunk(b"tEXt", b"prompt\0" + json.dumps(
        graph(**{"9": {"class_type": "X", "inputs": {"a": float("nan"), "b": float("inf")}}})).encode())),
    "ok-png-workflow": png(chunk(b"tEXt", b"workflow\0" + json.dumps(WORKFLOW).encode())),
    "ok-png-invoke": png(chunk(b"tEXt", b"invokeai_metadata\0" + json.dumps(INVOKE).encode())),
    "ok-png-swarm": png(chunk(b"tEXt", b"parameters\0" + json.dumps(SWARM).encode())),
    "ok-png-broken-then-graph": png(chunk(b"tEXt", b"parameters\0{"),
                                    chunk(b"tEXt", b"prompt\0" + json.dumps(graph()).encode())),
    "nothing-png": png(),
    "nothing-png-only-magic": b"\x89PNG\r\n\x1a\n",
    "nothing-png-length-of-all-ones": b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"parameters\0x", length=0xffffffff),
    "nothing-png-bomb": png(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * (5 << 20)))),
    "nothing-png-not-packed": png(chunk(b"zTXt", b"parameters\0\0junk")),
    "nothing-png-no-name": png(chunk(b"tEXt", b"parameters")),
    "foreign-png-words": png(chunk(b"tEXt", b"parameters\0a fox")),
    "foreign-png-deep-json": png(chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"[" * DEEP))),
    "foreign-png-deep-object": png(chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"{\"a\":" * DEEP))),
    "foreign-png-no-sampler": png(chunk(b"tEXt", b"prompt\0{\"1\": {\"class_type\": \"SaveImage\", \"inputs\": {}}}")),
    # JPEG.
    "ok-jpeg-big-endian": jpeg((b"\xe0", b"JFIF\0"), (b"\xe1", EXIF + tiff([(0x9286, 7, comment(TEXT))]))),
    "ok-jpeg-little-endian": jpeg((b"\xe1", EXIF + tiff([(0x9286, 7, comment(FOREIGN, encoding="utf-16-le"))], "<"))),
    "ok-jpeg-orders-mixed": jpeg((b"\xe1", EXIF + tiff([(0x9286, 7, comment(TEXT))], "<"))),
    "ok-jpeg-ascii": jpeg((b"\xe1", EXIF + tiff([(0x9286, 7, comment(TEXT, b"ASCII\0\0\0", "ascii"))]))),
    "ok-jpeg-undefined": jpeg((b"\xe1", EXIF + tiff([(0x9286, 7, comment(FOREIGN, b"\0" * 8, "utf-8"))]))),
    "ok-jpeg-in-its-directory": jpeg((b"\xe1", EXIF + tiff([(0x8769, 4, 1, 26)])[:22] + b"\0\0\0\0"
                                      + struct.pack(">HHHIII", 1, 0x9286, 7, len(comment(TEXT)), 44, 0)
                                      + comment(TEXT))),
    "nothing-jpeg": jpeg((b"\xe0", b"JFIF\0")),
    "nothing-jpeg-only-magic": b"\xff\xd8",
    "nothing-jpeg-filled": b"\xff\xd8" + b"\xff" * 5000,
    "nothing-jpeg-length-of-zero": b"\xff\xd8\xff\xe1\0\0Exif\0\0",
    "nothing-jpeg-length-past-the-end": b"\xff\xd8\xff\xe1\xff\xffExif\0\0MM\0*",
    "nothing-jpeg-directory-in-itself": jpeg((b"\xe1", EXIF + tiff([(0x8769, 4, 1, 8)]))),
    "nothing-jpeg-count-of-all-ones": jpeg((b"\xe1", EXIF + tiff([(0x9286, 7, 0xffffffff, 0xffffffff)]))),
    "nothing-jpeg-jis": jpeg((b"\xe1", EXIF + tiff([(0x9286, 7, b"JIS\0\0\0\0\0\x1b$B")]))),
    # WebP.
    "ok-webp": webp((b"VP8X", b"\x08" + b"\0" * 9), (b"VP8L", b"\x2f\0\0\0\0"), (b"EXIF", tiff([(0x9286, 7, comment(TEXT))]))),
    "ok-webp-with-prefix": webp((b"EXIF", EXIF + tiff([(0x9286, 7, comment(TEXT))]))),
    "ok-webp-graph": webp((b"EXIF", tiff([(0x010f, 2, b"workflow:{}\0"),
                                          (0x0110, 2, b"prompt:" + json.dumps(graph()).encode() + b"\0")]))),
    "nothing-webp": webp((b"VP8L", b"\x2f\0\0\0\0")),
    "nothing-webp-length-of-all-ones": b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xff",
    # Graphs and data as files.
    "ok-json-graph": json.dumps(graph()).encode(),
    "ok-json-workflow": json.dumps(WORKFLOW).encode(),
    "ok-json-both": json.dumps({"prompt": graph(), "workflow": WORKFLOW}).encode(),
    "ok-json-civitai": json.dumps(CIVITAI).encode(),
    "ok-json-model-in-circles": json.dumps(graph(**{"4": {"class_type": "X", "inputs": {"model": ["4", 0]}}})).encode(),
    "ok-json-wrong-types": json.dumps(graph(**{"4": {"class_type": "X", "inputs": {"ckpt_name": [1, 2, 3]}}})).encode(),
    "ok-json-many-samplers": json.dumps(graph(**{
        str(n): {"class_type": "KSampler", "inputs": {"latent_image": [str(n), 0]}} for n in range(100, 400)})).encode(),
    "unreadable-json-empty": b"{}",
    "unreadable-json-list": b"[1, 2]",
    "unreadable-json-lone-surrogate": b"{\"prompt\": \"\\ud800\", \"steps\": 20}",
}

OUT.mkdir(parents=True, exist_ok=True)
for name, data in FILES.items():
    (OUT / name).write_bytes(data)
print(len(FILES), "files,", sum(map(len, FILES.values())), "bytes")
