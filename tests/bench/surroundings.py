"""What a run stands on: the programs, the server with the files, a folder to download into. All of it ends with the run."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIREMENT = "huggingface_hub==2.4.0"
# Room beside the files in a folder that lies in memory: what Paintbox leaves free, and its catalogue.
SPARE_BYTES = 2_000_000_000
# Nobody's proxy, account or cache takes part.
FOREIGN_VARIABLES = (
    "http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_HUB_CACHE "
    "HF_TOKEN_PATH HF_HUB_OFFLINE PAINTBOX_HOME PAINTBOX_CIVITAI_TOKEN PAINTBOX_LOG PAINTBOXD"
).split()


class Missing(Exception):
    """Something that the run needs is not there."""


@dataclasses.dataclass(frozen=True)
class File:
    name: str
    url: str
    sha256: str
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Server:
    hf: str
    civitai: str
    repository: str
    civitai_references: list[str]
    files: list[File]

    @property
    def size_bytes(self):
        return sum(file.size_bytes for file in self.files)


@dataclasses.dataclass(frozen=True)
class Programs:
    paintbox: Path
    large_files: Path
    hf: Path


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    return {**kept, "NO_COLOR": "1", **{name: str(value) for name, value in more.items()}}


def programs():
    """Builds ours in the release profile and keeps an environment for `hf` below the target folder."""
    for tool in ["cargo", "curl", "sha256sum", "aria2c", "tee", "bash"]:
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed")
    metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--quiet", "--locked"]
    target = Path(json.loads(subprocess.check_output(metadata, cwd=ROOT))["target_directory"])
    build = ["cargo", "build", "--release", "--quiet", "--locked", "--package"]
    subprocess.run([*build, "paintbox-cli", "--package", "paintbox-app"], cwd=ROOT, check=True)
    # By itself, so that what it needs of a crate does not become part of the programs that are measured.
    subprocess.run([*build, "paintbox-testkit", "--bin", "large-files"], cwd=ROOT, check=True)
    venv = target / "bench" / f"venv-{hashlib.sha256(REQUIREMENT.encode()).hexdigest()[:12]}"
    hf = venv / "bin/hf"
    if not hf.is_file():
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run(["python3", "-m", "venv", venv], check=True)
        install = [venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT]
        subprocess.run(install, check=True)
    return Programs(target / "release/paintbox", target / "release/large-files", hf)


def check_memory(size_bytes, twice):
    """Fails when the server, and with `twice` a folder in memory, would push the machine into its swap."""
    needed_bytes = size_bytes * (2 if twice else 1) + SPARE_BYTES
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable" and int(value.split()[0]) * 1024 < needed_bytes:
            raise Missing(f"this takes {needed_bytes / 1e9:.1f} GB of memory; try --megabytes with less")


@contextlib.contextmanager
def server(large_files, count, file_bytes, civitai):
    """The files on loopback. The server ends when its input does."""
    command = [large_files, "--files", str(count), "--bytes", str(file_bytes)] + ["--civitai"] * civitai
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    try:
        line = process.stdout.readline()
        if not line:
            raise Missing("the server with the files did not start")
        told = json.loads(line)
        repository = told["repository"]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{told['hf']}/api/models/{repository}/tree/main") as answer:
            listed = {entry["path"]: entry for entry in json.load(answer)}
        files = [
            File(name, f"{told['hf']}/{repository}/resolve/main/{name}", listed[name]["lfs"]["oid"], listed[name]["size"])
            for name in told["files"]
        ]
        yield Server(told["hf"], told["civitai"], repository, told["civitai_references"], files)
    finally:
        process.stdin.close()
        process.wait()


@contextlib.contextmanager
def work_folder(parent, in_memory, size_bytes):
    """An empty folder, on the disk below `parent` or in memory. A socket's path must fit below it, so it is short."""
    with tempfile.TemporaryDirectory(prefix="pb", dir=None if in_memory else parent) as name:
        folder = Path(name)
        if not in_memory:
            free_bytes = shutil.disk_usage(folder).free
            if free_bytes < size_bytes + SPARE_BYTES:
                raise Missing(f"{folder} has only {free_bytes / 1e9:.1f} GB free")
            yield folder
            return
        options = f"size={size_bytes + SPARE_BYTES}"
        if os.geteuid() != 0:
            with tempfile.TemporaryDirectory(prefix="pb", dir="/dev/shm") as shared:
                yield Path(shared)
            return
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def flush(folder):
    """Waits until the folder's volume has everything."""
    subprocess.run(["sync", "--file-system", folder], check=True)


def disk_speed(folder, size_bytes):
    """Bytes a second that the folder takes, flushed."""
    target = folder / "speed"
    command = ["dd", "if=/dev/zero", f"of={target}", "bs=1M", f"count={size_bytes >> 20}", "conv=fdatasync"]
    with contextlib.ExitStack() as stack:
        stack.callback(target.unlink, missing_ok=True)
        before = os.times().elapsed
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return (size_bytes >> 20 << 20) / (os.times().elapsed - before)


def server_speed(server):
    """Bytes a second that the server gives when nobody hashes or writes."""
    before = os.times().elapsed
    for file in server.files:
        subprocess.run(["curl", "--silent", "--fail", "--location", "--output", "/dev/null", file.url], check=True)
    return server.size_bytes / (os.times().elapsed - before)
