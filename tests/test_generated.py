"""What is derived from the commands' declarations is up to date, and the declarations are complete."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from pykafka_cli import KAFKA_TOOLS, generate, main
from pykafka_cli.tool import frame
from pykafka_cli.tool.options import KafkaCommand, examples

COMMANDS = {name: main.load_command(name) for name in main.COMMANDS} | {"pykafka": main.pykafka_group()}
KAFKA_COMMANDS = {name: command for name, command in COMMANDS.items() if isinstance(command, KafkaCommand)}


def test_man_pages_and_completions_are_what_the_commands_say() -> None:
    done = subprocess.run([sys.executable, "-m", "pykafka_cli.generate", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_check_names_what_differs_and_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for directory in ("man", "completions"):
        shutil.copytree(generate.ROOT / directory, tmp_path / directory)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    (tmp_path / "man/pykafka.1").write_text("changed")
    (tmp_path / "man/kafka-topics.1").unlink()
    (tmp_path / "man/kafka-gone.1").write_text("left behind")
    page = tmp_path / "man/kafka-dump-log.1"
    page.write_text(page.read_text().replace(' "1" "20', ' "1" "19'))  # another date is no difference
    with pytest.raises(SystemExit) as stopped:
        generate.main(["--check"], standalone_mode=False)
    assert stopped.value.code == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in told[:-1]] == ["man/kafka-gone.1", "man/kafka-topics.1", "man/pykafka.1"]
    assert told[-1] == f"run: {generate.COMMAND}"
    generate.main([], standalone_mode=False)
    assert generate.out_of_date() == []


def test_a_page_is_the_same_before_and_after_a_run_of_its_command() -> None:
    """In processes of their own: click keeps in the command what the first of the two asked for."""
    generated = "from pykafka_cli import generate\ntext = generate.generated_files()"
    ran = "from tests.support import in_process\nin_process.run('kafka-cluster', '--help')"
    told = "import hashlib\nprint(hashlib.sha256(repr([*text.values()]).encode()).hexdigest())"
    scripts = ["\n".join([generated, told]), "\n".join([ran, generated, told])]
    pages = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()[-1]
        for script in scripts
    ]
    assert pages[0] == pages[1]


def test_a_page_has_the_date_of_source_date_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert '"1970-01-02"' in generate.generated_files()[Path("man/pykafka.1")].splitlines()[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name: str) -> None:
    context = click.Context(COMMANDS[name], **COMMANDS[name].context_settings)
    options = [param for param in COMMANDS[name].get_params(context) if isinstance(param, click.Option)]
    assert [option.name for option in options if not (option.help or "").strip()] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_of_itself(name: str) -> None:
    program = f"kafka-{name}" if name in KAFKA_TOOLS else "pykafka"
    epilog = COMMANDS[name].epilog or ""
    assert epilog.startswith("\b\nExamples:\n")
    assert any(program in line for line in epilog.splitlines()[2:])


def every_command() -> list[tuple[str, click.Command]]:
    """All commands and their subcommands, each by the words that call it."""
    found = [(f"kafka-{name}" if name in KAFKA_TOOLS else f"pykafka {name}", COMMANDS[name]) for name in main.COMMANDS]
    for words, command in found:
        if isinstance(command, click.Group):
            found += [(f"{words} {name}", each) for name, each in command.commands.items()]
    return [("pykafka", COMMANDS["pykafka"]), *found]


@pytest.mark.parametrize(("words", "command"), every_command())
def test_help_fits_a_terminal_of_80_columns(words: str, command: click.Command) -> None:
    """All but the first paragraph of one of Kafka's tools, which is printed as Kafka prints it: in one line."""
    context = click.Context(command, info_name=words, terminal_width=80, **command.context_settings)
    lines = command.get_help(context).splitlines()
    assert [line for line in lines if len(line) > 80 and line != kafkas_own(command)] == []


@pytest.mark.parametrize(("words", "command"), every_command())
def test_examples_fit_a_manual_of_80_columns(words: str, command: click.Command) -> None:
    """What stands elsewhere in a manual is wrapped by ``man``, which indents it by seven."""
    lines = [line.removeprefix("  ") for line in (command.epilog or "").splitlines()]
    assert [line for line in lines if len(line) > 73] == []


def kafkas_own(command: click.Command) -> str:
    return " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())


def test_a_long_example_is_folded_where_a_shell_takes_it_for_one_line() -> None:
    long = "printf '%s,' 'a -- b | c' --topic logs --compression-codec zstd --batch-size 1 | tee --append /dev/null"
    folded = "\n".join(examples(long).splitlines()[2:])
    assert folded == (
        "  printf '%s,' 'a -- b | c' --topic logs --compression-codec zstd \\\n"
        "      --batch-size 1 | tee --append /dev/null"
    )
    told = [subprocess.run(["sh", "-c", each], capture_output=True, text=True).stdout for each in (long, folded)]
    assert told == ["a -- b | c,--topic,logs,--compression-codec,zstd,--batch-size,1,"] * 2


def names_of(command: click.Command) -> set[str]:
    return {opt.removeprefix("--") for param in command.params for opt in param.opts}


READ_BY_THE_FRAME = {"help", "version", *frame.CONNECTION}


def source_of(module: str) -> str:
    """By its path: of a compiled module, ``inspect`` finds none."""
    path = generate.ROOT / module.replace(".", "/")
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")


def room_of(command: click.Command) -> list[ast.Module]:
    """The module that declares a command; where that is a package, its other modules as well."""
    assert command.callback is not None
    file = Path(inspect.getfile(import_module(command.callback.__module__)))
    files = sorted(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]
    return [ast.parse(each.read_text("utf-8")) for each in files]


@pytest.mark.parametrize("name", KAFKA_COMMANDS)
def test_every_option_that_a_command_reads_is_declared(name: str) -> None:
    """Reading one that is not is an assertion, which must not wait for a user to meet it."""
    command = KAFKA_COMMANDS[name]
    read = {
        call.args[0].value
        for module in room_of(command)
        for call in ast.walk(module)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"has", "text", "maybe_text", "texts", "integer", "maybe_integer"}
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    assert read or names_of(command) == READ_BY_THE_FRAME
    assert read - names_of(command) == set()


@pytest.mark.parametrize("name", KAFKA_COMMANDS)
def test_every_declared_option_is_read_by_its_command(name: str) -> None:
    """An option that nothing reads would be ignored in silence: its name must stand in the code beside the declaration.

    What the frame reads (the connection) and what the parser itself does (help, version) is known.
    """
    command = KAFKA_COMMANDS[name]
    room = room_of(command)
    declared = names_of(command)
    declarations = {
        id(argument)
        for module in room
        for call in ast.walk(module)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "option"
        for argument in ast.walk(call)
    }
    # A tool with much to say has a module of its own beside the command: what that reads counts as well.
    helpers = {
        node.module
        for module in room
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pykafka_cli.")
    } - {"pykafka_cli.tool.options", "pykafka_cli.tool.frame"}
    sources = [*room, *(ast.parse(source_of(helper)) for helper in sorted(helpers))]
    read = {
        node.value
        for source in sources
        for node in ast.walk(source)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in declarations
    }
    assert declared - read - READ_BY_THE_FRAME == set()


@pytest.mark.parametrize("page", sorted((generate.ROOT / "man").glob("*.1")), ids=lambda page: page.name)
def test_man_shows_the_page_without_a_warning(page: Path, tmp_path: Path) -> None:
    if sys.platform != "linux" or shutil.which("man") is None or shutil.which("troff") is None:
        pytest.skip("no man-db or no troff on this machine")
    manuals = tmp_path / "man1"
    shutil.copytree(page.parent, manuals)
    environ = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPATH": str(tmp_path)}
    done = subprocess.run(
        ["man", "--warnings=w", "-l", str(manuals / page.name)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "EXIT STATUS" in done.stdout
