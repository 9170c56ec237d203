"""The click tree -> ``man/`` and ``completions/``: ``python -m pykafka_cli.generate [--check]``.

Both are derived from the declarations of the commands and never edited. The pages are made by click-man, the scripts
are click's own. A page that differs in nothing but its date is left alone; the date of one that is written is today's,
or that of SOURCE_DATE_EPOCH (reproducible-builds.org).
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from pykafka_cli import KAFKA_TOOLS, __version__
from pykafka_cli.main import COMMANDS, ENVIRONMENT, EXIT_STATUS, load_command, pykafka_group

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python -m pykafka_cli.generate"
_DATE = re.compile(r'(?m)^(\.TH "[^"]*" "1" )"[^"]*"')


def generated_files() -> dict[Path, str]:
    """Every file that is generated, by its path below the project's root."""
    group = pykafka_group()
    files = {Path("man/pykafka.1"): _page(group, "pykafka")}
    for name in COMMANDS:
        command, own_page = load_command(name), Path(f"man/pykafka-{name}.1")
        if name in KAFKA_TOOLS:
            files[Path(f"man/kafka-{name}.1")] = _page(command, f"kafka-{name}")
            files[own_page] = f".so man1/kafka-{name}.1\n"
        else:
            files[own_page] = _page(command, f"pykafka {name}")
    programs: dict[str, click.Command] = {"pykafka": group}
    programs |= {f"kafka-{name}": load_command(name) for name in KAFKA_TOOLS}
    for program, command in programs.items():
        for shell, file_name in (("bash", program), ("zsh", f"_{program}"), ("fish", f"{program}.fish")):
            files[Path("completions", shell, file_name)] = _completion(shell, program, command)
    return files


def out_of_date() -> list[Path]:
    """The files that are missing or not what would be generated, and those that nothing generates any more."""
    wanted = generated_files()
    present = {
        path.relative_to(ROOT)
        for directory in ("man", "completions")
        for path in (ROOT / directory).rglob("*")
        if path.is_file()
    }
    changed = [path for path, text in wanted.items() if path not in present or not _same(path, text)]
    return sorted([*changed, *(present - wanted.keys())])


def _same(path: Path, text: str) -> bool:
    """Whether a file holds that text, be it with another date."""
    return _DATE.sub(r"\1", (ROOT / path).read_text("utf-8")) == _DATE.sub(r"\1", text)


def _completion(shell: str, program: str, command: click.Command) -> str:
    kind = get_completion_class(shell)
    assert kind is not None
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    # Of the class, not ``source()``: bash's looks for a bash on this machine, and this text is for all.
    return kind.source_template % kind(command, {}, program, variable).source_vars()


def _page(command: click.Command, program: str) -> str:
    from click_man.man import ManPage

    # With its own settings, as a run has: click keeps the option of help that the first context asks for.
    context = click.Context(command, info_name=program, **command.context_settings)
    page = ManPage(program)
    page.version = f"pykafka {__version__}"
    page.short_help = _roff(command.get_short_help_str(limit=120).rstrip("."))
    page.synopsis = " ".join(command.collect_usage_pieces(context))
    page.description = _roff(_unwrapped(command.help or ""))
    page.options = [
        (record[0], _roff(record[1]))
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)) is not None
    ]
    if isinstance(command, click.Group):
        subcommands = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
        page.commands = [(name, _roff(each.get_short_help_str(limit=120))) for name, each in subcommands if each]
    return str(page) + _examples(command) + _exit_status() + _environment() + _see_also(program)


def _examples(command: click.Command) -> str:
    lines = [line.removeprefix("  ") for line in (command.epilog or "").replace("\b", "").splitlines()]
    shown = [_roff(line) for line in lines if line and line != "Examples:"]
    return "".join(f"{line}\n" for line in [".SH EXAMPLES", ".nf", *shown, ".fi"])


def _exit_status() -> str:
    return ".SH EXIT STATUS\n" + "".join(f".TP\n\\fB{code}\\fP\n{_roff(text)}\n" for code, text in EXIT_STATUS)


def _environment() -> str:
    return ".SH ENVIRONMENT\n" + "".join(f".TP\n\\fB{name}\\fP\n{_roff(text)}\n" for name, text in ENVIRONMENT)


def _see_also(program: str) -> str:
    pages = ["pykafka", *(f"kafka-{name}" for name in KAFKA_TOOLS)]
    return ".SH SEE ALSO\n" + ",\n".join(f"\\fB{_roff(page)}\\fP(1)" for page in pages if page != program) + "\n"


def _unwrapped(text: str) -> str:
    """Paragraphs of one line each, so that no line begins with a word that roff takes for a request."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _roff(text: str) -> str:
    """Text that roff prints as it is: a dash that can be copied, a backslash, and a dot or quote that begins a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^(?=[.'])", r"\\&", escaped)


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file is not what would be generated.")
def main(check: bool) -> None:
    """Write man/ and completions/ from the declarations of the commands."""
    changed = out_of_date()
    if check:
        for path in changed:
            click.echo(f"{path} is not what the commands say", err=True)
        if changed:
            click.echo(f"run: {COMMAND}", err=True)
            sys.exit(1)
        return
    wanted = generated_files()
    for path in changed:
        target = ROOT / path
        if path in wanted:
            os.makedirs(target.parent, exist_ok=True)
            target.write_text(wanted[path], "utf-8")
            click.echo(f"wrote {path}")
        else:
            target.unlink()
            click.echo(f"removed {path}")


if __name__ == "__main__":
    main()
