"""A client that has nothing but a socket: server reflection gives it the protos, and it paints.

    python check_grpc.py SOCKET MODEL

Needs grpcio and grpcio-reflection from PyPI. Ends with `result PASSED FAILED`.
"""

import hashlib
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

EXPECTED_SERVICES = {
    "grpc.health.v1.Health",
    "paintbox.v1.AssetService",
    "paintbox.v1.CatalogueService",
    "paintbox.v1.DaemonService",
    "paintbox.v1.FollowService",
    "paintbox.v1.GenerationService",
    "paintbox.v1.SyncService",
}

passed = failed = 0


def check(what, truth):
    global passed, failed
    if truth:
        passed += 1
    else:
        failed += 1
    print("passed " if truth else "FAILED ", f"grpcio {grpc.__version__}: {what}")


class Client:
    """Calls any method by name, with messages built from reflection alone."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def call(self, service, method, /, *, streaming=False, timeout=120, **fields):
        descriptor = self.pool.FindServiceByName(service).FindMethodByName(method)
        request_class = message_factory.GetMessageClass(descriptor.input_type)
        response_class = message_factory.GetMessageClass(descriptor.output_type)
        kind = self.channel.unary_stream if streaming else self.channel.unary_unary
        stub = kind(
            f"/{service}/{method}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        return stub(request_class(**fields), timeout=timeout)


def main(socket, model):
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        client = Client(channel)
        services = set(client.database.get_services())
        check("reflection lists the services: " + ", ".join(sorted(services)), EXPECTED_SERVICES <= services)

        health = client.call("grpc.health.v1.Health", "Check", service="paintbox.v1.GenerationService")
        check("the generation service is healthy", MessageToDict(health)["status"] == "SERVING")

        info = client.call("paintbox.v1.DaemonService", "GetServerInfo")
        check(f"the daemon says its version {info.version}", "paintbox.v1" in info.api_packages)

        page = client.call("paintbox.v1.CatalogueService", "SearchModels", query="emoji")
        check("the catalogue finds the model", any(found.ref == model for found in page.models))

        policy = {"backfill": "all", "kinds": ["lora"], "max_file_bytes": 10**9}
        tried = client.call("paintbox.v1.FollowService", "CreateFollow", target="hf:tiny-emoji", policy=policy,
                            validate_only=True)
        seen = tried.backfill_preview
        check("a policy says what it would fetch", not tried.name and seen.listed_models >= seen.files > 0 < seen.bytes)
        follows = client.call("paintbox.v1.FollowService", "ListFollows").follows
        check("trying follows nobody", [follow.target for follow in follows] == ["civitai:tiny_emoji"])
        is_stated = follows[0].policy.backfill == "all" and type(follows[0]).State.Name(follows[0].state) == "STATE_ACTIVE"
        check("a follow says its policy and its state", is_stated)

        spec = {"model": model, "prompt": "red heart", "seed": 7, "steps": 25, "guidance_scale": 3.0,
                "sampler": "dpmpp_2m", "width": 64, "height": 64}
        events = list(client.call("paintbox.v1.GenerationService", "GenerateImages", streaming=True, spec=spec))
        steps = [event.progress.step for event in events if event.progress.phase == "sampling"]
        check("progress came while it painted", steps and steps == sorted(steps))
        generation = events[-1].generation
        check("the generation succeeded", generation.State.Name(generation.state) == "STATE_SUCCEEDED" and len(generation.images) == 1)

        image = generation.images[0]
        chunks = client.call("paintbox.v1.AssetService", "ReadAsset", streaming=True, name=image.asset)
        data = b"".join(chunk.data for chunk in chunks)
        check("the picture is the asset that was named", image.asset == "assets/" + hashlib.sha256(data).hexdigest())
        check("the picture is a PNG with its recipe", data.startswith(b"\x89PNG") and b"parameters\0red heart" in data)

        try:
            client.call("paintbox.v1.CatalogueService", "ResolveModel", reference="civitai:424242")
            check("an unknown model is refused", False)
        except grpc.RpcError as error:
            check("an unknown model is NOT_FOUND", error.code() == grpc.StatusCode.NOT_FOUND)
            details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
            check("the error carries its reason", b"MODEL_NOT_FOUND" in details and b"paintbox" in details)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2])
    except Exception as error:  # whatever it was, the count must be told
        check(f"the client came to its end: {error!r}", False)
    print("result", passed, failed)
