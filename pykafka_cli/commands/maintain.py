"""``pykafka maintain``: the upkeep that brokers do in the background, in one pass over a data directory."""

from __future__ import annotations

import time

import click

from pykafka_cli.click_types import DURATION
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.output.progress import ProgressLine
from pykafka_cli.output.words import counted, size
from pykafka_cli.tool.frame import data_dir_option
from pykafka_cli.tool.options import examples
from pykafka_store.directory import DataDirectory
from pykafka_store.errors import StoreError
from pykafka_store.model import MaintenanceReport
from pykafka_store.open import open_data_directory


@click.command(
    "maintain",
    short_help="Do the upkeep: retention, compaction, replicas.",
    epilog=examples("pykafka maintain", "pykafka maintain --every 1m", "pykafka maintain --data-dir DIR"),
)
@data_dir_option
@click.option(
    "--every", metavar="TIME", type=DURATION, help="Go on, one pass each TIME (30s, 5m, 1h), until interrupted."
)
@click.pass_obj
def maintain(env: Env, data_dir: str | None, every: float | None) -> None:
    """Apply retention and compaction, and clear away what was left behind.

    Goes once over every partition of the data directory: takes away what retention.ms, retention.bytes and
    kafka-delete-records say, compacts what is due, takes members out of groups whose process is gone, and removes files
    and directories that are only waiting for it. Writers do the same for their partition whenever they roll a segment,
    so this is for partitions that nobody writes to. It may run beside anything, several times at once as well.
    """
    with open_data_directory(env.data_directory(data_dir)) as directory:
        while True:
            started = env.monotonic()
            report = _one_pass(env, directory)
            if every is None:
                break
            env.flush()
            time.sleep(max(0.0, started + every - env.monotonic()))
    if report.failures:
        raise CommandFailure(f"maintain: {counted(len(report.failures), 'partition')} could not be gone through")


def _one_pass(env: Env, directory: DataDirectory) -> MaintenanceReport:
    progress = ProgressLine(env, "maintain")
    try:
        report = directory.maintain(progress.show if env.stderr_is_terminal else None)
    finally:
        progress.clear()
    for partition, error in report.failures:
        name = error.kafka_name if isinstance(error, StoreError) else type(error).__name__
        env.report_error(f"{partition}: {name}: {error}")
    env.out(summary(report))
    return report


def summary(report: MaintenanceReport) -> str:
    """The pass in one line; what did not happen is left out, but for the three figures that always are there."""
    line = (
        f"{counted(report.partitions, 'partition')}: {report.retained_out} records removed by retention, "
        f"{report.compacted_out} by compaction, {size(report.freed)} freed"
    )
    if report.caught_up:
        line += f", {counted(report.caught_up, 'replica')} caught up"
    if report.behind:
        line += f", {counted(report.behind, 'replica')} not in sync"
    if report.aside:
        line += f", {size(report.aside)} to be freed after file.delete.delay.ms"
    if report.dead_members:
        line += f", {counted(report.dead_members, 'dead member')} of groups taken out"
    if report.leftovers:
        line += f", {counted(report.leftovers, 'deleted directory', 'deleted directories')} removed"
    if report.busy:
        line += f", {report.busy} left to another process"
    return line
