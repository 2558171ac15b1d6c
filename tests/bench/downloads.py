#!/usr/bin/env python3
"""How fast Paintbox gets large files, beside the tools that one would use otherwise.

A server on loopback has four files of 2 GB. Each tool gets all of them, verified, into an empty folder, one tool after
the other and all of them once a round. Absolute times say little about anything but this machine at this moment;
the ratios, of medians within one run, are what counts. The tools:

  curl + sha256sum   in every way of overlapping the two that is known here; the fastest is the baseline
  curl + openssl     the same with a hash that uses the processor's instructions, if openssl is installed
  curl               without any check: what the server and the folder give
  paintbox pull      from a daemon that is running; nothing but the files and the catalogue is in its home
  hf download        of huggingface_hub, which does not compare digests, followed by sha256sum
  aria2c             -x4 --checksum

Needs Rust, curl, sha256sum, aria2c, Python 3 with venv, Linux for memory and CPU figures, and memory for the files once
(twice with --on-memory). Prints every time, the ratios, CPU seconds and Paintbox's peak memory above idle, and writes
nothing but to the target folder. Every file is compared with the digest that the hub lists: the exit code is 1 when a
tool failed or brought other bytes, and never depends on a time.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import surroundings
from contestants import (
    AT_ONCE,
    Contestant,
    Failed,
    Job,
    aria2,
    hashed_behind,
    hashed_in_a_pipe,
    hf,
    only_curl,
    paintbox,
)

SHA256SUM = ["sha256sum"]
# The one that prints like sha256sum: the digest is a word of its own.
OPENSSL = ["openssl", "dgst", "-r", "-sha256"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each tool has its turn (default: 3)")
    parser.add_argument("--files", type=int, default=4, help="how many files (default: 4)")
    parser.add_argument("--megabytes", type=int, default=2000, help="size of each (default: 2000)")
    parser.add_argument("--small", action="store_true", help="one round of four files of 100 MB, to see that all works")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where to download to")
    parser.add_argument("--on-memory", action="store_true", help="download into memory, so that no disk takes part")
    parser.add_argument("--civitai", action="store_true", help="let Paintbox get the same files from CivitAI, too")
    parser.add_argument("--only", metavar="WORD", help="only the tools whose name has this word in it")
    wanted = parser.parse_args()
    if wanted.small:
        wanted.rounds, wanted.files, wanted.megabytes = 1, 4, 100
    if min(wanted.rounds, wanted.files, wanted.megabytes) < 1:
        parser.error("rounds, files and megabytes are at least 1")
    return wanted


def checked_curl(name, hasher):
    return [
        Contestant(f"curl, {name} behind it", hashed_behind(1, hasher)),
        Contestant(f"{AT_ONCE} curls, {name} behind them", hashed_behind(AT_ONCE, hasher)),
        Contestant(f"curl | tee | {name}", hashed_in_a_pipe(1, hasher)),
        Contestant(f"{AT_ONCE} x curl | tee | {name}", hashed_in_a_pipe(AT_ONCE, hasher)),
    ]


def contestants(civitai):
    """Groups of ways to do the same, each by its name; of a group, the fastest counts."""
    groups = {"curl + sha256sum": checked_curl("sha256sum", SHA256SUM)}
    if shutil.which("openssl"):
        groups["curl + openssl"] = checked_curl("openssl", OPENSSL)
    groups["curl"] = [Contestant(f"{AT_ONCE} curls, unverified", only_curl)]
    groups["paintbox"] = [Contestant("paintbox pull", paintbox(lambda server: [f"hf:{server.repository}"]))]
    if civitai:
        from_civitai = Contestant("paintbox pull (CivitAI)", paintbox(lambda server: server.civitai_references))
        groups["paintbox (CivitAI)"] = [from_civitai]
    groups["hf download"] = [Contestant("hf download, then sha256sum", hf)]
    groups["aria2c"] = [Contestant("aria2c -x4 --checksum", aria2)]
    return groups


def take_turn(contestant, job, folder, results):
    own = folder / "own"
    own.mkdir()
    try:
        # What the one before left to be written must not be written at this one's expense.
        surroundings.flush(folder)
        took = contestant.run(job, own)
        before = time.monotonic()
        surroundings.flush(folder)
        flushed_seconds = took.seconds + time.monotonic() - before
    finally:
        shutil.rmtree(own)
    results.setdefault(contestant.name, []).append((took, flushed_seconds))
    rate = job.server.size_bytes / took.seconds / 1e6
    words = f"{took.seconds:7.1f} s {rate:6.0f} MB/s, on disk after {flushed_seconds:6.1f} s, CPU {took.cpu_seconds:6.1f} s"
    if took.download_seconds is not None:
        words += f", without its check {took.download_seconds:.1f} s"
    if took.peak_bytes is not None:
        words += f", peak {took.peak_bytes / 2**20:.0f} MiB above idle"
    print(f"  {contestant.name:32} {words}", flush=True)


def median(results, contestant, of):
    return statistics.median(map(of, results[contestant.name]))


def report(groups, results):
    def seconds(contestant):
        return median(results, contestant, lambda result: result[0].seconds)

    fastest = {}
    print("\nmedians, the fastest way of each kind")
    for group, members in groups.items():
        best = min(members, key=seconds)
        fastest[group] = seconds(best)
        flushed_seconds = median(results, best, lambda result: result[1])
        cpu_seconds = median(results, best, lambda result: result[0].cpu_seconds)
        print(f"  {best.name:32} {fastest[group]:7.1f} s, on disk {flushed_seconds:6.1f} s, CPU {cpu_seconds:6.1f} s")
    for ours in (group for group in groups if group.startswith("paintbox")):
        print(f"\nratios of {ours}")
        for group, theirs in fastest.items():
            if not group.startswith("paintbox"):
                print(f"  to {group:29} {fastest[ours] / theirs:7.2f}")
        peak_bytes = max(took.peak_bytes for took, _ in results[groups[ours][0].name])
        print(f"  peak memory above idle           {peak_bytes / 2**20:7.0f} MiB")


def load():
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def main():
    wanted = arguments()
    groups = contestants(wanted.civitai)
    if wanted.only:
        groups = {name: [one for one in group if wanted.only in one.name] for name, group in groups.items()}
        groups = {name: group for name, group in groups.items() if group}
    programs = surroundings.programs()
    file_bytes = wanted.megabytes * 1_000_000
    size_bytes = wanted.files * file_bytes
    surroundings.check_memory(size_bytes, wanted.on_memory)
    with (
        surroundings.server(programs.large_files, wanted.files, file_bytes, wanted.civitai) as server,
        surroundings.work_folder(wanted.folder, wanted.on_memory, size_bytes) as folder,
    ):
        job = Job(server, programs)
        print(f"{wanted.files} files of {wanted.megabytes} MB, {os.cpu_count()} processors, load {load()}")
        print(f"the folder takes {surroundings.disk_speed(folder, min(size_bytes, 2_000_000_000)) / 1e6:.0f} MB/s flushed")
        print(f"the server gives {surroundings.server_speed(server) / 1e6:.0f} MB/s to one curl that keeps nothing")
        results = {}
        for number in range(wanted.rounds):
            print(f"\nround {number + 1}, load {load()}", flush=True)
            for contestant in (one for group in groups.values() for one in group):
                take_turn(contestant, job, folder, results)
        report(groups, results)


if __name__ == "__main__":
    try:
        main()
    except (Failed, surroundings.Missing, subprocess.CalledProcessError) as error:
        sys.exit(f"{error}")
