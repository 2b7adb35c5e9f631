"""A stand-in for the command `docker` that the SDK's local mode calls: an image is a virtual
environment, a container a set of namespaces.

STAND_IN_IMAGE is the environment that every image's name stands for, STAND_IN_LOG the file that
gets what the containers write.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from tests.toolkits.containers import Container, Host, network

GRACE_SECONDS = 10.0  # as `docker compose` has it, between SIGTERM and SIGKILL


def main(arguments: list[str]) -> int:
    if arguments == ["compose", "version"]:
        print("Docker Compose version v2 (a stand-in without Docker)")
        return 0
    if arguments[:2] == ["compose", "-f"] and arguments[3] == "up":
        content = yaml.safe_load(Path(arguments[2]).read_text())
        return up(content["services"])
    print(f"the stand-in for docker knows no {' '.join(arguments)}", file=sys.stderr)
    return 1


def up(services: dict[str, Any]) -> int:
    """Start all; the first that ends ends the others, and gives its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = sorted(services)
    with ExitStack() as stack:
        if len(names) > 1:
            hosts = stack.enter_context(network(names))
        else:
            hosts = [Host(names[0], "", "127.0.0.1")]
        containers = []
        for host in hosts:
            ml = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            container = start(services[host.name], ml, host, hosts)
            containers.append(stack.enter_context(container))
        while True:
            ended = [c.process.returncode for c in containers if c.process.poll() is not None]
            if ended:
                break
            time.sleep(0.1)
        stop(containers)
        with open(os.environ["STAND_IN_LOG"], "a", encoding="utf-8") as log:
            log.writelines(container.log for container in containers)
        return ended[0]


def start(service: dict[str, Any], ml: Path, host: Host, hosts: list[Host]) -> Container:
    volumes = [volume.split(":") for volume in service["volumes"]]
    for source, *_ in volumes:
        Path(source).mkdir(parents=True, exist_ok=True)
    environment = dict(pair.split("=", 1) for pair in service["environment"])
    for port in service.get("ports", ()):
        environment["SAGEMAKER_BIND_TO_PORT"] = port.split(":")[0]
    return Container(
        [service["command"]],
        ml,
        Path(os.environ["STAND_IN_IMAGE"]),
        environment,
        host=host,
        hosts=hosts,
        mounts={target: Path(source) for source, target, *_ in sorted(volumes, key=lambda v: v[1])},
    )


def stop(containers: list[Container]) -> None:
    running = [container for container in containers if container.process.poll() is None]
    for container in running:
        container.signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(c.process.poll() is None for c in running):
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
