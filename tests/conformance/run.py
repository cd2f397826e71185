#!/usr/bin/env python3
"""Plays suites and clients that are not ours at `rolecall dev`: run.py BINARY [--database-url URL] (scripts/conformance calls it)."""
import argparse
import json
import os
import pathlib
import subprocess
import sys

from scim2_tester import check_server
from scim2_tester.utils import Status

import clients

HERE = pathlib.Path(__file__).parent
# What the suites skip because nobody has it: drafts that are not part of SCIM 2.0.
SKIPPED = ("Agent", "AgenticApplication")
# How long one suite may take: they need seconds.
LIMIT_S = 300


def tester(server):
    """scim2-tester: everything is as the RFCs say, or better. Gives how many checks passed, and what is wrong."""
    results = check_server(clients.connect(server))
    fine = (Status.SUCCESS, Status.COMPLIANT)
    wrong = [f"{one.status.name} {one.resource_type or ''} {one.title}: {one.reason} {one.data or ''}" for one in results if one.status not in fine]
    return len(results) - len(wrong), wrong


def sanity(server):
    """scim-sanity, strict: no failure and no warning."""
    probe = [pathlib.Path(sys.executable).with_name("scim-sanity"), "probe", server["base_url"], "--strict", "--json-output", "--i-accept-side-effects"]
    run = subprocess.run([*probe, "--token", server["token"]], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    try:
        results = json.loads(run.stdout)["results"]
    except (ValueError, KeyError):
        return 0, [f"scim-sanity ended with {run.returncode}: {run.stdout}{run.stderr}"]
    skipped = [one for one in results if one["status"] == "skip" and one["name"].startswith(SKIPPED)]
    passed = [one for one in results if one["status"] == "pass"]
    return len(passed), [f"{one['status']} {one['name']}: {one.get('message')}" for one in results if one not in passed + skipped]


def python_client(server):
    """scim2-client's lifecycle."""
    clients.lifecycle(server)
    return 1, []


def npm_clients(server):
    """The lifecycle of the libraries from npm."""
    node = ["node", HERE / "clients.mjs", server["base_url"]]
    run = subprocess.run(node, env={**os.environ, "ROLECALL_TOKEN": server["token"]}, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if run.returncode != 0:
        return 0, [run.stderr]
    return int(run.stdout.split()[0]), []


def main():
    """Starts a server, plays everything, and ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--database-url")
    arguments = parser.parse_args()
    database = ["--database-url", arguments.database_url] if arguments.database_url else []
    with subprocess.Popen([arguments.binary, "dev", *database], stdout=subprocess.PIPE, text=True) as process:
        try:
            server = json.loads(process.stdout.readline())
            counts = [0, 0]
            for play in (tester, sanity, python_client, npm_clients):
                passed, wrong = play(server)
                print(f"{play.__name__}: {passed} passed, {len(wrong)} failed", flush=True)
                for line in wrong:
                    print(f"  {line}", flush=True)
                counts = [counts[0] + passed, counts[1] + len(wrong) + (passed == 0)]
        finally:
            process.terminate()
    print(f"test result: {'FAILED' if counts[1] else 'ok'}. {counts[0]} passed; {counts[1]} failed")
    return 1 if counts[1] else 0


if __name__ == "__main__":
    sys.exit(main())
