"""Each way to get the same files, verified: what it runs, and what that took."""

import concurrent.futures
import dataclasses
import json
import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from surroundings import environment

# As many as Paintbox takes from one hub at a time.
AT_ONCE = 3
# A daemon that was just started has not come to rest.
REST_SECONDS = 1.5


class Failed(Exception):
    """A tool failed, or brought other bytes."""


@dataclasses.dataclass(frozen=True)
class Job:
    server: object
    programs: object


@dataclasses.dataclass
class Took:
    seconds: float
    cpu_seconds: float
    # Of Paintbox: the daemon's peak above what it had when idle.
    peak_bytes: int | None = None
    # Of a tool that does not verify by itself: the part that was downloading.
    download_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Contestant:
    name: str
    # Takes the job and an empty folder.
    run: Callable[[Job, Path], Took]


def children_cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Stopwatch:
    """Wall time, and the CPU time of the children that ended meanwhile."""

    def __init__(self):
        self.started, self.cpu_before = time.monotonic(), children_cpu_seconds()

    def seconds(self):
        return time.monotonic() - self.started

    def took(self, **more):
        return Took(self.seconds(), children_cpu_seconds() - self.cpu_before, **more)


def call(command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def compare(file, words):
    """`words` is what a tool prints of a file's SHA-256, in whatever surroundings."""
    if file.sha256 not in words.split():
        raise Failed(f"{file.name}: other bytes than the hub lists: {words.strip()}")


def curl(file, target):
    return ["curl", "--silent", "--show-error", "--fail", "--location", "--output", str(target), file.url]


def fetch(file, folder):
    call(curl(file, folder / file.name))


def check(hasher, file, folder):
    compare(file, call([*hasher, str(folder / file.name)]))


def side_by_side(at_once, work, files):
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(work, files))


def only_curl(job, folder):
    watch = Stopwatch()
    side_by_side(AT_ONCE, lambda file: fetch(file, folder), job.server.files)
    return watch.took()


def hashed_behind(at_once, hasher):
    """Files are fetched `at_once` at a time; each is hashed when it is here, while the next ones are fetched."""

    def run(job, folder):
        watch = Stopwatch()
        with concurrent.futures.ThreadPoolExecutor(len(job.server.files)) as hashing:
            checks = []

            def work(file):
                fetch(file, folder)
                checks.append(hashing.submit(check, hasher, file, folder))

            side_by_side(at_once, work, job.server.files)
            for checked in checks:
                checked.result()
        return watch.took()

    return run


def hashed_in_a_pipe(at_once, hasher):
    """Each file is hashed while it comes."""
    script = "set -o pipefail; " + 'curl --silent --show-error --fail --location "$1" | tee "$2" | ' + " ".join(hasher)

    def run(job, folder):
        watch = Stopwatch()

        def work(file):
            compare(file, call(["bash", "-c", script, "bash", file.url, str(folder / file.name)]))

        side_by_side(at_once, work, job.server.files)
        return watch.took()

    return run


def hf(job, folder):
    """`hf download` compares lengths, not digests, so it is followed by a check of these."""
    (folder / "home").mkdir()
    variables = environment(HF_ENDPOINT=job.server.hf, HF_HOME=folder / "home", HF_HUB_DISABLE_TELEMETRY="1")
    variables["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    files = folder / "files"
    watch = Stopwatch()
    call([str(job.programs.hf), "download", job.server.repository, "--local-dir", str(files)], env=variables)
    download_seconds = watch.seconds()
    side_by_side(os.cpu_count(), lambda file: check(["sha256sum"], file, files), job.server.files)
    return watch.took(download_seconds=download_seconds)


def aria2(job, folder):
    listed = folder / "list"
    listed.write_text(
        "".join(f"{file.url}\n  out={file.name}\n  checksum=sha-256={file.sha256}\n" for file in job.server.files)
    )
    # `falloc` is what aria2's manual advises for the file systems of Linux; what it does by default takes longer.
    command = ["aria2c", "--no-conf=true", "-x4", "-s4", f"-j{AT_ONCE}", "--file-allocation=falloc"]
    command += ["--console-log-level=error", "--download-result=hide", "--summary-interval=0"]
    watch = Stopwatch()
    call([*command, f"--dir={folder}", f"--input-file={listed}"], env=environment())
    return watch.took()


def paintbox(references):
    """`references` gives what to pull of a server. The daemon is running and idle when time begins."""

    def run(job, folder):
        home = folder / "home"
        variables = environment(
            PAINTBOX_HOME=home, HF_ENDPOINT=job.server.hf, PAINTBOX_CIVITAI_ENDPOINT=job.server.civitai
        )

        def ask(*arguments):
            words = call([str(job.programs.paintbox), "--json", *arguments], env=variables)
            return [json.loads(line) for line in words.splitlines()]

        ask("daemon", "start")
        try:
            time.sleep(REST_SECONDS)
            daemon = Daemon(int((home / "state/paintboxd.lock").read_text()))
            idle_bytes, cpu_before = daemon.memory_bytes("VmRSS"), daemon.cpu_seconds()
            watch = Stopwatch()
            ask("pull", *references(job.server))
            took = watch.took()
            took.cpu_seconds += daemon.cpu_seconds() - cpu_before
            took.peak_bytes = daemon.memory_bytes("VmHWM") - idle_bytes
            here = {file["sha256"]: file for file in files_of(job, references, ask)}
        finally:
            ask("daemon", "stop")
        for file in job.server.files:
            if here.get(file.sha256, {}).get("state") != "verified":
                raise Failed(f"{file.name}: Paintbox does not call it verified")
            compare(file, call(["sha256sum", here[file.sha256]["paths"][0]]))
        return took

    return run


def files_of(job, references, ask):
    models = {reference.split("@")[0] for reference in references(job.server)}
    for model in models:
        for shown in ask("show", model):
            for version in shown["versions"]:
                yield from version["files"]


@dataclasses.dataclass(frozen=True)
class Daemon:
    """A process as Linux tells of it."""

    number: int

    def memory_bytes(self, field):
        for line in Path(f"/proc/{self.number}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * 1024
        raise Failed(f"no {field} of process {self.number}")

    def cpu_seconds(self):
        # What precedes is the name, in brackets, which may hold anything.
        fields = Path(f"/proc/{self.number}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
