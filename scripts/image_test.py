#!/usr/bin/env python3
"""image-test IMAGE: runs a container image of the exporter in earnest; exits 1 at the first thing that is not so.

ENGINE is the command that runs it: docker, podman or buildah, with flags if it needs some. Buildah, as root, is for
machines that can run no containers: its containers share the network and the process numbers of the machine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENGINE = shlex.split(os.environ.get("ENGINE") or "docker")
IN_BUILDAH = Path(ENGINE[0]).name == "buildah"

UID = 10186
CONFIG = "/config.yaml"
"""Where a configuration is mounted: a place that needs no folder to be made in a read-only root."""
ADDED = 58_000_000
"""Most bytes that the image may add to its base."""
STOP_WITHIN = 5.0
PATIENCE = 60.0

OPEN_IN_EVERY_BASE = {"/tmp", "/var/tmp", "/run/lock"}  # noqa: S108
"""What everybody may write to, unless the root is read-only."""

FETCH = "import sys, urllib.request as web; print(web.urlopen(sys.argv[1], timeout=10).read().decode())"
WRITABLE = """
import os
for folder, folders, files in os.walk("/"):
    folders[:] = [one for one in folders if os.path.join(folder, one) not in ("/proc", "/sys", "/dev")]
    for path in [folder, *(os.path.join(folder, one) for one in files)]:
        if os.access(path, os.W_OK) and not os.path.islink(path):
            print(path)
"""
SIZE = """
import os
print(sum(os.lstat(os.path.join(at, one)).st_size for at, _, files in os.walk("/opt/venv") for one in files))
"""
DATED = """
import os
for at, _, files in os.walk("/opt/venv"):
    for path in (os.path.join(at, one) for one in files if one.endswith(".pyc")):
        with open(path, "rb") as file:
            if file.read(8)[4:] != bytes((1, 0, 0, 0)):  # made of a source that is not looked at any more
                print(path)
"""
WITH_VENDOR = """
videotask-exporter simulate --web.listen-address={} &
vendor=$!
"$@" &
trap "kill -TERM $!" TERM
wait $! || wait $!
code=$?
kill $vendor
exit $code
"""
"""A shell's: runs its arguments beside simulated vendors; a signal goes to the former, and the latter end with it."""
WRITE = """
import sys
for folder in sys.argv[1:]:
    try:
        open(f"{folder}/written", "w").close()
        print(folder)
    except OSError:
        pass
"""


def say(what: str) -> None:
    print(f"ok: {what}", flush=True)


def demand(holds: object, what: str) -> None:
    if not holds:
        sys.exit(f"image-test: not so: {what}")
    say(what)


def call(*command: str | Path) -> str:
    """What a command prints. Its errors go where ours go."""
    done = subprocess.run([str(one) for one in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"image-test: exit code {done.returncode} of {shlex.join(str(one) for one in command)}\n{done.stdout}")
    return done.stdout


class Data:
    """What is mounted at /data: a volume. Buildah's containers have one of their own; a folder for notes is enough."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder) if IN_BUILDAH else f"image-test-{os.getpid()}"
        self.at = "/notes" if IN_BUILDAH else "/data"

    def __enter__(self) -> Data:
        if IN_BUILDAH:
            Path(self.name).mkdir()
            os.chown(self.name, UID, UID)
        else:
            call(*ENGINE, "volume", "create", self.name)
        return self

    def __exit__(self, *_: object) -> None:
        if not IN_BUILDAH:
            call(*ENGINE, "volume", "rm", "--force", self.name)


class Container:
    """A container of the image, in which commands run as the image says: as its user, with a read-only root."""

    def __init__(self, image: str, data: Data | None, mounts: dict[Path, str], *, read_only: bool = True) -> None:
        self._image = image
        self._data = data
        self._mounts = [f"--volume={source}:{target}:ro" for source, target in mounts.items()]
        self._read_only = read_only
        self._name = f"image-test-{os.getpid()}-{id(self)}"
        self._made = ""
        self.port = free_port() if IN_BUILDAH else 10186

    def __enter__(self) -> Container:
        if IN_BUILDAH:
            self._made = call(*ENGINE, "from", self._image).strip()
            if self._read_only:
                top = sorted(Path(call(*ENGINE, "mount", self._made).strip()).iterdir())
                kept = [one for one in top if one.is_dir() and not one.is_symlink()]
                own = ("data", "dev", "etc", "proc", "run", "sys")  # which buildah itself fills
                self._mounts[:0] = [f"--volume={one}:/{one.name}:ro" for one in kept if one.name not in own]
        return self

    def __exit__(self, *_: object) -> None:
        if IN_BUILDAH:
            call(*ENGINE, "rm", self._made)

    def command(self, *command: str, **variables: str) -> list[str]:
        """What runs a command in it, and ends when that does, with its exit code."""
        data = [f"--volume={self._data.name}:{self._data.at}"] if self._data else []
        env = [f"--env={name}={value}" for name, value in variables.items()]
        if IN_BUILDAH:
            return [*ENGINE, "run", "--isolation=chroot", *env, *self._mounts, *data, self._made, "--", *command]
        flags = [f"--name={self._name}", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        flags += ["--read-only"] if self._read_only else []
        entrypoint, *arguments = command
        started = [*ENGINE, "run", "--rm", *flags, *env, *self._mounts, *data, f"--entrypoint={entrypoint}"]
        return [*started, self._image, *arguments]

    def run(self, *command: str, **variables: str) -> str:
        """What a command that ends by itself prints."""
        return call(*self.command(*command, **variables))

    def beside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command beside the one that runs."""
        inside = self.command(*command) if IN_BUILDAH else [*ENGINE, "exec", self._name, *command]
        return subprocess.run(inside, capture_output=True, text=True, check=False)

    def metrics(self) -> str:
        return self.beside("python3", "-c", FETCH, f"http://127.0.0.1:{self.port}/metrics").stdout

    @contextmanager
    def running(self, *command: str) -> Iterator[Callable[[], None]]:
        """Runs a command of the exporter while the block lasts. What it gives ends it, and demands a good end."""
        # Where there is no engine that hands a signal on, the number of the process is the machine's.
        numbered = ("sh", "-c", 'echo $$ >/notes/pid && exec "$@"', "sh", *command) if IN_BUILDAH else command
        with subprocess.Popen(self.command(*numbered)) as process:

            def terminate() -> None:
                number = int((Path(self._data.name) / "pid").read_text()) if IN_BUILDAH and self._data else process.pid
                os.kill(number, signal.SIGTERM)

            def end() -> None:
                began = time.monotonic()
                terminate()
                code, took = process.wait(PATIENCE), time.monotonic() - began
                demand(code == 0, f"SIGTERM ends it with exit code 0 ({code})")
                demand(took < STOP_WITHIN, f"within {STOP_WITHIN:g} s ({took:.1f} s)")

            try:
                yield end
            finally:
                if process.poll() is None:
                    if IN_BUILDAH:
                        terminate()
                    else:
                        subprocess.run([*ENGINE, "rm", "--force", self._name], stdout=subprocess.DEVNULL, check=False)
                    process.wait(PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(what: str, holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"image-test: waited {PATIENCE:g} s in vain: {what}")
        time.sleep(0.2)
    say(what)


def settings_of(image: str) -> dict[str, Any]:
    """The image's own configuration, by the names that Docker gives its parts."""
    if IN_BUILDAH:
        shown = json.loads(call(*ENGINE, "inspect", "--type=image", image))
        return dict(shown["OCIv1"]["config"], Healthcheck=shown["Docker"]["config"].get("Healthcheck"))
    (shown,) = json.loads(call(*ENGINE, "image", "inspect", image))
    return dict(shown["Config"], Healthcheck=shown["Config"].get("Healthcheck") or shown.get("HealthCheck"))


def look_at_settings(settings: dict[str, Any], version: str) -> list[str]:
    """Demands what the image says of itself; the command that looks after its health."""
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in settings["Labels"].items()}
    wanted = {"title", "description", "licenses", "version", "revision", "created", "source"}
    demand(wanted <= labels.keys(), f"labels: {', '.join(sorted(wanted))}")
    demand(labels["version"] in ("", version), f"its label says version {version}, or none was given to its build")
    demand(settings["User"] == f"{UID}:{UID}", f"user {UID}")
    demand(list(settings["Volumes"]) == ["/data"], "one volume, /data")
    demand(list(settings["ExposedPorts"]) == ["10186/tcp"], "port 10186")
    demand(settings["Entrypoint"] == ["videotask-exporter"], "it runs the exporter")
    if settings["Healthcheck"] is None:
        print("skipped: the image's own health check; it was built in OCI's format, which has none", flush=True)
        return ["videotask-exporter", "check-health"]
    test: list[str] = settings["Healthcheck"]["Test"]
    kind, *health = test
    demand(kind == "CMD", f"health check: {' '.join(health)}")
    return health


def look_inside(image: str, version: str) -> None:
    with Container(image, None, {}, read_only=False) as container:
        told = container.run("videotask-exporter", "--version")
        demand(told.startswith(f"videotask-exporter {version} "), f"--version: {told.strip()}")
        demand(container.run("id", "-u").strip() == str(UID), f"commands run as {UID}")
        writable = set(container.run("python3", "-c", WRITABLE).split("\n")) - {""}
        excess = {one for one in writable - OPEN_IN_EVERY_BASE if one != "/data" and not one.startswith("/data/")}
        demand(not excess, f"its user may write to /data alone, and what everybody may write to ({sorted(excess)})")
        demand(not container.run("python3", "-c", DATED), "its bytecode depends on no file's time")
        added = int(container.run("python3", "-c", SIZE))
        demand(added < ADDED, f"it adds {added / 1e6:.1f} MB to its base, less than {ADDED / 1e6:g}")


def check_example(image: str) -> None:
    example = ROOT / "config.example.yaml"
    made_up = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", example.read_text(encoding="utf-8")), "x")
    with Container(image, None, {example: CONFIG}) as container:
        told = container.run("videotask-exporter", "check-config", f"--config.file={CONFIG}", **made_up)
        demand(": good; providers: 4" in told, f"check-config: {told.strip()}")


def run_demo(image: str, data: Data, health: list[str]) -> None:
    with Container(image, data, {}) as container:
        opened = container.run("python3", "-c", WRITE, "/", "/tmp", "/opt/venv", "/etc", "/data")  # noqa: S108
        demand(opened.split() == ["/data"], "with a read-only root, /data alone can be written to")
        listen = f"--web.listen-address=:{container.port}"
        with container.running("videotask-exporter", "demo", listen) as end:
            well = [*health, *([] if container.port == 10186 else [listen])]
            wait_for(f"{shlex.join(well)}: exit code 0", lambda: container.beside(*well).returncode == 0)
            up = re.compile(r"(?m)^videotask_up\{.*\} 1(\.0)?$")
            wait_for("/metrics of the demo: all nine feeds are up", lambda: len(up.findall(container.metrics())) == 9)
            end()


def restart(image: str, data: Data, folder: Path) -> None:
    finished = re.compile(r'(?m)^videotask_finished_total\{.*state="succeeded"\} (\S+)$')
    config = folder / "config.yaml"
    config.touch()
    with Container(image, data, {config: CONFIG}) as container:
        program = "from exporter.simulator import Credentials; print(Credentials().facewap_token)"
        token = container.run("python3", "-c", program).strip()
        vendor = free_port()
        account = f'{{name: swaps, type: facewap, base_url: "http://127.0.0.1:{vendor}/facewap", token: {token}}}'
        config.write_text(f"poll_interval: 500ms\nproviders: [{account}]\n", encoding="utf-8")
        config.chmod(0o644)
        listen = f"--web.listen-address=:{container.port}"
        exporter = ["videotask-exporter", f"--config.file={CONFIG}", listen]
        with_vendor = WITH_VENDOR.format(f"127.0.0.1:{vendor}")

        def succeeded() -> float:
            return sum(map(float, finished.findall(container.metrics())))

        with container.running("sh", "-c", with_vendor, "sh", *exporter) as end:
            wait_for("tasks of a simulated vendor are counted", succeeded)
            end()
        demand("videotask.sqlite3" in container.run("ls", "/data").split(), "the ledger is in /data")
        with container.running(*exporter) as end:  # without the vendor: what it knows, it knows from the ledger
            wait_for("after a restart, what was counted is still known", succeeded)
            end()


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    image = sys.argv[1]
    version = re.findall(r'__version__ = "(.+)"', (ROOT / "exporter" / "__init__.py").read_text(encoding="utf-8"))[0]
    if not shutil.which(ENGINE[0]):
        sys.exit(f"image-test: no {ENGINE[0]} on PATH; name a container engine: ENGINE=podman")
    health = look_at_settings(settings_of(image), version)
    look_inside(image, version)
    check_example(image)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        data = stack.enter_context(Data(folder / "data"))
        run_demo(image, data, health)
        restart(image, data, folder)
    print(f"{image} is as it should be")


if __name__ == "__main__":
    main()
