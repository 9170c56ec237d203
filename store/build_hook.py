"""hatchling's build hook: mypyc compiles the hot modules, which pyproject.toml lists, where there is a C compiler.

They are the same typed source, which runs unchanged where it is not compiled; nothing but speed may differ.

``PYKAFKA_PURE=1``     nothing is compiled, and no compiler asked for.
``PYKAFKA_COMPILE=1``  it is an error if nothing can be compiled, and an editable installation is compiled, too, in
                       place. Without it that one is not: whoever edits a module wants it to run.

Modules compiled in place stay what they were when their source changes. ``store/pykafka_compiled.json`` holds the
checksums of the sources they were made of; the tests refuse to run where these differ (tests/conftest.py).
"""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
GROUP = "pykafka_compiled"
"""The one library that holds all the code. Beside each source stands a small one, which leads to it."""
CHECKSUMS = ROOT / "store" / f"{GROUP}.json"


class CompiledModules(BuildHookInterface[Any]):
    """Puts the compiled modules into a wheel, beside their sources."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if _why_pure() else ["mypy~=2.4.0", "setuptools>=77"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        in_place = version == "editable"
        if in_place:
            _clean()
        why = _why_pure() or ("" if _is_set("PYKAFKA_COMPILE") or not in_place else "an editable installation")
        if not why:
            with tempfile.TemporaryDirectory(prefix="pykafka-build-") as scratch:
                why = self._compile(Path(scratch), in_place, build_data)
        self.app.display_info(f"pykafka: pure Python ({why})" if why else "pykafka: the hot modules are compiled")

    def _compile(self, scratch: Path, in_place: bool, build_data: dict[str, Any]) -> str:
        """Compile, and say where the results belong; returns why there are none, if so."""
        modules: list[str] = self.config["modules"]
        try:
            built = _compiled(modules, scratch)
        except (Exception, SystemExit) as error:  # mypy, mypyc and the compiler each have their own
            if _is_set("PYKAFKA_COMPILE"):
                raise
            return f"compiling failed: {error}"
        # What mypyc's own types are made of: the compiled modules ask for it when they are loaded, their sources don't.
        build_data["dependencies"].append(f"librt>={metadata.version('librt')}")
        if in_place:
            for path in built:
                shutil.copy2(path, _place_in_tree(path.relative_to(scratch / "lib")))
            CHECKSUMS.write_text(json.dumps({each: zlib.crc32((ROOT / each).read_bytes()) for each in modules}))
            return ""
        kept = Path(self.directory) / ".compiled"  # hatchling reads them after this hook
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(scratch / "lib", kept)
        for path in built:
            name = path.relative_to(scratch / "lib")
            build_data["force_include"][str(kept / name)] = str(name)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        return ""

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - theirs
        shutil.rmtree(Path(self.directory) / ".compiled", ignore_errors=True)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "") not in {"", "0"}


def _why_pure() -> str:
    """Why nothing is to be compiled here; "" where it is."""
    if _is_set("PYKAFKA_PURE"):
        return "PYKAFKA_PURE is set"
    if _is_set("PYKAFKA_COMPILE"):
        return ""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    if shutil.which(compiler.split()[0]) is None:
        return f"there is no C compiler: {compiler.split()[0]}"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python's C headers are not installed"
    return ""


def _compiled(modules: list[str], scratch: Path) -> list[Path]:
    """The libraries made of those modules, below ``scratch/lib`` as they lie below a directory of packages."""
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    class BuildOnAllCores(build_ext):
        """Compiles the files of an extension side by side: setuptools does so with extensions, and we have one."""

        def build_extensions(self) -> None:
            compile_in_turn = self.compiler.compile

            def compile_at_once(sources: list[str], *args: Any, **kwargs: Any) -> list[str]:
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    made = pool.map(lambda source: compile_in_turn([source], *args, **kwargs), sources)
                    return [each for of_one in made for each in of_one]

            self.compiler.compile = compile_at_once
            super().build_extensions()

    os.chdir(ROOT)
    os.environ["MYPYPATH"] = "store"
    from mypyc.build import mypycify

    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", f"--cache-dir={scratch / 'm'}"]
    # A C file a module: one file of all takes gcc twice as long on one core, and no command is faster for it.
    extensions = mypycify(
        [*options, *modules],
        opt_level="3",
        debug_level="0",
        multi_file=True,
        group_name=GROUP,
        target_dir=str(scratch / "c"),
    )
    for extension in extensions:  # or no function is put into another: from elsewhere it might be replaced
        extension.extra_compile_args.append("-fno-semantic-interposition")
    command = BuildOnAllCores(Distribution({"name": GROUP, "ext_modules": extensions}))
    command.build_lib, command.build_temp = str(scratch / "lib"), str(scratch / "o")
    command.ensure_finalized()
    command.run()
    return sorted(path for path in (scratch / "lib").rglob("*") if path.is_file())


def _place_in_tree(name: Path) -> Path:
    return ROOT / name if name.parts[0] == "pykafka_cli" else ROOT / "store" / name


def _clean() -> None:
    """Take away what an earlier installation compiled in place."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for directory in ("pykafka_cli", "store"):
        for path in (ROOT / directory).rglob(f"*{suffix}"):
            path.unlink()
    CHECKSUMS.unlink(missing_ok=True)
