#!/usr/bin/env python3
"""Makes a plugin's folder a WebAssembly component.

    build.py build DIR FILE    builds DIR/src/plugin.py to FILE; does nothing when nothing has changed

What it is built with is installed from PyPI, as requirements.txt says, into DIR/.tools or $ROLECALL_PLUGIN_TOOLS. What the plugin
itself needs stands in DIR/requirements.txt: packages of pure Python.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KIT = Path(__file__).resolve().parent
WIT = KIT.parent / "wit" / "v1"
# A change of how things are built builds everything again.
FORMAT = b"1"
# What a folder has beside its sources.
SKIPPED = {"tests", "plugins", "vendor", "__pycache__"}
# How the hooks of a plugin make it one of the contract's worlds.
WORLDS = {("transform",): "transformer", ("propose",): "proposer", ("transform", "propose"): "plugin"}


class Problem(Exception):
    pass


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def files_below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in SKIPPED:
            continue
        if entry.is_dir():
            found += files_below(entry)
        elif entry.is_file():
            found.append(entry)
    return found


def digest_of(*folders: Path) -> str:
    digest = hashlib.sha256(FORMAT)
    for folder in folders:
        for file in files_below(folder):
            for part in (str(file.relative_to(folder)).encode(), file.read_bytes()):
                digest.update(part + b"\0")
    return digest.hexdigest()


def run(command: list[str | Path], problem: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Problem(f"{done.stdout.strip()}\n{problem}")
    return done.stdout


def tools(shared: Path) -> Path:
    """Installs the tools once for each list of requirements: the folder is whole when `installed` is in it."""
    requirements = KIT / "requirements.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = shared / f"python-{version}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"
    # Not moved when it is whole: a virtual environment knows where it is. Builds at the same time wait for each other.
    shared.mkdir(parents=True, exist_ok=True)
    with open(shared / ".lock", "w") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        except ImportError:
            pass
        if not (folder / "installed").exists():
            say("installing what Python plugins are built with, from PyPI (once, some 70 MB)")
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", folder], "a virtual environment can't be made: on Debian, `apt-get install python3-venv`")
            pip = [folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
            run([*pip, "--require-hashes", "--requirement", requirements], "what Python plugins are built with can't be installed")
            (folder / "installed").touch()
    return folder


def dependencies(folder: Path, python: Path) -> list[Path]:
    """Installs what the plugin needs beside the kit."""
    wanted = folder / "requirements.txt"
    if not wanted.exists():
        return []
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]
    installed = folder / ".tools" / f"packages-{digest}"
    if not installed.exists():
        say("installing the plugin's own dependencies, from PyPI")
        unfinished = installed.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        run([*pip, "--requirement", wanted, "--target", unfinished], "the plugin's dependencies can't be installed")
        unfinished.rename(installed)
    return [installed]


def hooks_of(paths: list[Path]) -> tuple[str, ...]:
    """The hooks that the plugin has, from the plugin itself: it needs no sandbox to be looked at."""
    look = """if True:
        import plugin
        found = getattr(plugin, "plugin", None)
        if found is None:
            raise SystemExit("src/plugin.py names no object `plugin`: `plugin = MyMapping()`")
        for name in ("name", "version", "reads"):
            if not hasattr(found, name):
                raise SystemExit(f"the plugin has no `{name}`")
        print("hooks:", *(hook for hook in ("transform", "propose") if callable(getattr(found, hook, None))))
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        said = run([sys.executable, "-c", look], "the plugin can't be loaded", env)
    except Problem as problem:
        missing = re.search(r"No module named '([\w.]+)'", str(problem))
        if missing is None:
            raise
        raise Problem(f"{problem}: put the package that has `{missing[1]}` into requirements.txt, beside tenant.toml") from None
    hooks = tuple(said.strip().splitlines()[-1].split()[1:])
    if not hooks:
        raise Problem("the plugin has no hook: it needs `transform`, `propose` or both")
    return hooks


def build(folder: Path, output: Path) -> None:
    source = folder / "src"
    if not (source / "plugin.py").exists():
        raise Problem(f"there is no src/plugin.py in {folder}")
    stamp = output.with_name(f".{output.name}.made-of")

    def inputs() -> str:
        made = hashlib.sha256(output.read_bytes()).hexdigest() if output.exists() else "nothing"
        return f"{digest_of(folder, KIT, WIT)} {made}\n"

    if stamp.exists() and stamp.read_text() == inputs():
        return
    shared = Path(os.environ.get("ROLECALL_PLUGIN_TOOLS") or folder / ".tools").resolve()
    installed = tools(shared)
    paths = [source, KIT, *dependencies(folder, installed / "bin" / "python")]
    hooks = hooks_of(paths)
    with tempfile.TemporaryDirectory(prefix="rolecall-plugin-") as made:
        # componentize-py takes the exports from a module whose classes are named for them.
        exports = "".join(f"\n\nclass {name}(guest.{name}):\n    plugin = plugin\n" for name in ("Info", *map(str.capitalize, hooks)))
        (Path(made) / "rolecall_exports.py").write_text(f"from plugin import plugin\nfrom rolecall_plugin import guest\n{exports}")
        say("making a component of the plugin and Python's interpreter: some ten seconds")
        output.parent.mkdir(parents=True, exist_ok=True)
        unfinished = output.with_name(f"{output.name}.unfinished")
        command = [installed / "bin" / "componentize-py", "--quiet", "--wit-path", WIT, "--world", WORLDS[hooks], "componentize"]
        for path in [Path(made), *paths]:
            command += ["--python-path", path]
        env = {**os.environ, "VIRTUAL_ENV": str(Path(made) / "none"), "PYTHONHASHSEED": "0"}
        run([*command, "--stub-wasi", "--output", unfinished, "rolecall_exports"], "the component can't be made", env)
        unfinished.rename(output)
    stamp.write_text(inputs())


def main() -> int:
    if sys.version_info < (3, 11):
        say("Python plugins are built with Python 3.11 or newer")
        return 1
    match sys.argv[1:]:
        case ["build", folder, output]:
            try:
                build(Path(folder).resolve(), Path(output).absolute())
                return 0
            except Problem as problem:
                say(str(problem))
                return 1
        case _:
            say("usage: build.py build DIR FILE")
            return 2


if __name__ == "__main__":
    sys.exit(main())
