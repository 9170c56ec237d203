"""``pykafka doctor``: whether a data directory is whole, and what to do where it is not."""

from __future__ import annotations

import click

from pykafka_cli.env import Env
from pykafka_cli.output.progress import ProgressLine
from pykafka_cli.output.words import counted, size
from pykafka_cli.tool.frame import data_dir_option
from pykafka_cli.tool.options import examples
from pykafka_store.model import CheckReport, Finding, TopicPartition
from pykafka_store.open import check_data_directory


@click.command(
    "doctor",
    short_help="Check every file of a data directory.",
    epilog=examples("pykafka doctor", "pykafka doctor --repair", "pykafka doctor --data-dir DIR || exit 1"),
)
@data_dir_option
@click.option(
    "--repair",
    is_flag=True,
    help="Mend what can be mended without touching an acknowledged record, then look again. What is removed or "
    "overwritten is copied to repaired/ in the data directory first; directories are renamed to *-stray.",
)
@click.pass_context
def doctor(context: click.Context, data_dir: str | None, repair: bool) -> None:
    """Check every file of a data directory, and say what is wrong and what that means. Exit 1 if anything is.

    Looks at each batch's CRC and at how batches follow one on the other, at indexes, published states, checkpoints,
    the catalogue against the directories, replicas in sync against each other, and groups' leases. Records are not
    decoded: a batch whose CRC is right is as it was written (kafka-dump-log --deep-iteration decodes them).

    Changes nothing without --repair, and may run beside anything. A finding begins with info (a normal state, such as
    what a kill left behind), warning (something is wrong, and no record is affected) or error (records are lost, or
    can't be served); what it means is in the line below. Only warnings and errors count as problems.
    """
    env: Env = context.obj
    progress = ProgressLine(env, "doctor")

    def show(finding: Finding) -> None:
        progress.clear()
        env.out(f"{finding.severity}: {finding.where}: {finding.message}\n    {finding.meaning}")

    def looking(partition: TopicPartition | None, read: int) -> None:
        progress.show(partition or "catalogue", read)

    try:
        report = check_data_directory(
            env.data_directory(data_dir),
            repair=repair,
            on_finding=show,
            on_progress=looking if env.stderr_is_terminal else None,
        )
    finally:
        progress.clear()
    for finding in report.mended:
        env.out(f"mended: {finding.where}: {finding.message}")
    for path in report.kept:
        env.out(f"kept: {path}")
    env.out(summary(report))
    if report.problems:
        context.exit(1)


def summary(report: CheckReport) -> str:
    """The check in one line."""
    problems = "no problems" if not report.problems else counted(report.problems, "problem")
    repairable = sum(finding.repairable for finding in report.findings)
    line = (
        f"{counted(report.partitions, 'partition')}, {counted(report.replicas, 'replica')}, {size(report.bytes)} read: "
        f"{problems}"
    )
    if report.mended:
        line += f", {len(report.mended)} mended"
    elif repairable:
        line += f" ({counted(repairable, 'finding')} for --repair to mend)"
    return line
