"""A client in Python with stubs that grpcio-tools made of the .proto files: it generates, watches, cancels, pages and reads.

    python check_python.py STUBS TARGET MODEL

STUBS is the folder of the generated code. TARGET is `unix:` and a path, or `host:port`; with PAINTBOX_TOKEN in the
environment, calls carry that token. Needs grpcio from PyPI. Ends with `result PASSED FAILED`.
"""

import hashlib
import os
import sys

import grpc

sys.path.insert(0, sys.argv[1])
from paintbox.v1 import asset_pb2, asset_pb2_grpc  # noqa: E402 (the path comes first)
from paintbox.v1 import catalogue_pb2, catalogue_pb2_grpc  # noqa: E402
from paintbox.v1 import errors_pb2  # noqa: E402
from paintbox.v1 import generation_pb2, generation_pb2_grpc  # noqa: E402

passed = failed = 0


def check(what, truth):
    global passed, failed
    if truth:
        passed += 1
    else:
        failed += 1
    print("passed " if truth else "FAILED ", f"grpcio stubs {sys.argv[2].split(':')[0]}: {what}")


def main(target, model):
    token = os.environ.get("PAINTBOX_TOKEN")
    metadata = [("authorization", f"Bearer {token}")] if token else None

    def asked(method, request, seconds=120):
        return method(request, timeout=seconds, metadata=metadata)

    with grpc.insecure_channel(target) as channel:
        catalogue = catalogue_pb2_grpc.CatalogueServiceStub(channel)
        generations = generation_pb2_grpc.GenerationServiceStub(channel)
        assets = asset_pb2_grpc.AssetServiceStub(channel)

        names, token_of_page, pages = [], "", 0
        while pages < 1000:
            request = catalogue_pb2.SearchModelsRequest(page_size=2, order_by="name", page_token=token_of_page)
            page = asked(catalogue.SearchModels, request)
            names += [found.name for found in page.models]
            token_of_page, pages = page.next_page_token, pages + 1
            if not token_of_page:
                break
        check(f"the catalogue has {len(names)} models on {pages} pages", pages > 1 and len(set(names)) == page.total_size)
        known = asked(catalogue.ResolveModel, catalogue_pb2.ResolveModelRequest(reference=model)).model
        check("a state is an enum", known.state == catalogue_pb2.Model.STATE_PUBLISHED)

        spec = generation_pb2.GenerationSpec(
            model=model, prompt="red heart", seed=7, steps=25, guidance_scale=3.0, sampler="dpmpp_2m", width=64, height=64
        )
        created = asked(generations.CreateGeneration, generation_pb2.CreateGenerationRequest(spec=spec))
        events = list(asked(generations.WatchGeneration, generation_pb2.WatchGenerationRequest(name=created.name)))
        sequences = [event.sequence for event in events]
        check("events are numbered", sequences == sorted(sequences) and sequences[0] < sequences[-1])
        ended = [event.generation for event in events if event.WhichOneof("event") == "generation"][-1]
        succeeded = ended.state == generation_pb2.Generation.STATE_SUCCEEDED
        check("the generation succeeded", succeeded and len(ended.images) == 1)

        asset = ended.images[0].asset
        pieces = [piece.data for piece in asked(assets.ReadAsset, asset_pb2.ReadAssetRequest(name=asset))]
        digest = hashlib.sha256(b"".join(pieces)).hexdigest()
        check("the picture is the asset that was named", asset == f"assets/{digest}")
        check("no piece is over 64 KiB", max(map(len, pieces)) <= 64 * 1024)

        spec.steps, spec.width, spec.height = 150, 256, 256
        long = asked(generations.CreateGeneration, generation_pb2.CreateGenerationRequest(spec=spec))
        asked(generations.CancelGeneration, generation_pb2.CancelGenerationRequest(name=long.name))
        watched = list(asked(generations.WatchGeneration, generation_pb2.WatchGenerationRequest(name=long.name)))
        check("a cancelled generation ends as one", watched[-1].generation.state == generation_pb2.Generation.STATE_CANCELLED)

        try:
            asked(catalogue.ResolveModel, catalogue_pb2.ResolveModelRequest(reference="civitai:424242"))
            check("an unknown model is refused", False)
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
            reason = errors_pb2.ErrorReason.Name(errors_pb2.ERROR_REASON_MODEL_NOT_FOUND).removeprefix("ERROR_REASON_")
            check("an unknown model is NOT_FOUND", error.code() == grpc.StatusCode.NOT_FOUND and reason.encode() in details)


if __name__ == "__main__":
    try:
        main(sys.argv[2], sys.argv[3])
    except Exception as error:  # whatever it was, the count must be told
        check(f"the client came to its end: {error!r}", False)
    print("result", passed, failed)
