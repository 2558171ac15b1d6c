"""OpenAI's own client against a daemon's web listener: it lists models, paints, streams and edits as it does at OpenAI.

    PAINTBOX_TOKEN=… python check_openai.py BASE_URL MODEL

BASE_URL is such as http://127.0.0.1:7780/v1; the token comes by the environment, where no list of processes shows it. Needs
openai from PyPI. Ends with `result PASSED FAILED`.
"""

import base64
import os
import struct
import sys
import uuid
import zlib

import openai

passed = failed = 0


def check(what, truth):
    global passed, failed
    if truth:
        passed += 1
    else:
        failed += 1
    print("passed " if truth else "FAILED ", f"openai {openai.__version__}: {what}")


def refusal(call):
    """The error that a call ends with."""
    try:
        call()
    except openai.APIStatusError as error:
        return error
    return None


def png(side, opacity):
    """A square whose left half is of this opacity and whose right half is opaque."""
    row = b"\0" + b"".join(bytes((200, 90, 40, opacity if x < side // 2 else 255)) for x in range(side))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    pixels = zlib.compress(row * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def main(base_url, model):
    client = openai.OpenAI(base_url=base_url, api_key=os.environ["PAINTBOX_TOKEN"], max_retries=0)

    models = client.models.list().data
    check("models are listed", len(models) > 0 and all(each.object == "model" for each in models))
    one = client.models.retrieve(models[0].id)
    check("a model is found by its id", one.id == models[0].id and one.object == "model")

    few = {"steps": 4, "seed": 7}
    answer = client.images.generate(model=model, prompt="red heart", n=2, size="64x64", extra_body=few)
    pictures = [base64.b64decode(each.b64_json) for each in answer.data]
    check("pictures come in base64", len(pictures) == 2 and all(each.startswith(b"\x89PNG") for each in pictures))
    check("each picture is another one", pictures[0] != pictures[1])
    check("the answer says size and format", (answer.size, answer.output_format) == ("64x64", "png"))
    again = client.images.generate(model=model, prompt="red heart", n=2, size="64x64", extra_body=few)
    check("the same seed gives the same picture", again.data[0].b64_json == answer.data[0].b64_json)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first, second = (
        client.images.generate(model=model, prompt="pizza", size="64x64", extra_headers=key, extra_body={"steps": 4})
        for _ in range(2)
    )
    check("a repeated key leads to the same picture", first.data[0].b64_json == second.data[0].b64_json)
    jpeg = client.images.generate(model=model, prompt="frog", output_format="jpeg", output_compression=60, extra_body=few)
    check("a JPEG is a JPEG", base64.b64decode(jpeg.data[0].b64_json).startswith(b"\xff\xd8"))

    events = list(client.images.generate(model=model, prompt="frog", stream=True, partial_images=2, extra_body={"steps": 40}))
    kinds = [event.type for event in events]
    check("a stream ends with the picture", kinds[-1] == "image_generation.completed")
    check("what comes before are looks at it", set(kinds[:-1]) <= {"image_generation.partial_image"})
    check("the picture of a stream is whole", base64.b64decode(events[-1].b64_json).startswith(b"\x89PNG"))

    edited = client.images.edit(
        model=model,
        prompt="red heart",
        image=("picture.png", png(64, 255), "image/png"),
        mask=("mask.png", png(64, 0), "image/png"),
        extra_body={"steps": "4"},
    )
    check("a picture is edited", base64.b64decode(edited.data[0].b64_json).startswith(b"\x89PNG"))
    streamed = list(client.images.edit(model=model, prompt="frog", image=png(64, 255), stream=True, extra_body={"steps": "4"}))
    check("an edit is streamed", streamed[-1].type == "image_edit.completed")

    error = refusal(lambda: client.images.generate(model="gpt-image-2", prompt="x"))
    check("an unknown model is not found", isinstance(error, openai.NotFoundError) and error.code == "MODEL_NOT_FOUND")
    error = refusal(lambda: client.images.generate(model=model, prompt="x", size="63x63"))
    check("an impossible size is a bad request", isinstance(error, openai.BadRequestError))
    check("an error has our reason", error is not None and error.code == "UNSUPPORTED_SETTING")
    error = refusal(lambda: client.images.edit(model=model, prompt="x", image=png(64, 255), mask=png(64, 255)))
    check("a bad argument is named", error is not None and error.param == "mask")
    error = refusal(lambda: client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}]))
    check("what is not offered is not found", isinstance(error, openai.NotFoundError) and error.code == "METHOD_UNKNOWN")
    stranger = openai.OpenAI(base_url=base_url, api_key="nobody", max_retries=0)
    check("a wrong token is refused", isinstance(refusal(stranger.models.list), openai.AuthenticationError))


if __name__ == "__main__":
    main(*sys.argv[1:])
    print("result", passed, failed)
    sys.exit(failed > 0)
