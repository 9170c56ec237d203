"""Click types: names that complete, and check nothing, for what a value means is for the command to say; durations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pykafka_cli.env import Env
    from pykafka_store.api import Admin

DIRECTORY = click.Path(file_okay=False)
FILE = click.Path(dir_okay=False)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_LONGEST = 100 * 365 * 86400.0
"""What is longer than a century does not end either, and the system's clocks can't count so far."""


class TopicName(click.ParamType[str]):
    """The name of a topic, completed from the data directory that the command line and the environment name."""

    name = "topic"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """The topics that begin so. Changes nothing, and answers nothing rather than fail: a user is typing."""
        from click.shell_completion import CompletionItem

        env = ctx.find_root().obj
        try:
            return [CompletionItem(name) for name in self._names(env, ctx) if name.startswith(incomplete)]
        except Exception:
            if env.environ.get("PYKAFKA_DEBUG") == "1":
                raise
            return []

    def _names(self, env: Env, ctx: click.Context) -> list[str]:
        from pykafka_cli.errors import UsageProblem

        bootstrap_server, data_dir = ctx.params.get("bootstrap_server"), ctx.params.get("data_dir")
        try:
            address = env.address(bootstrap_server, data_dir)
        except UsageProblem:
            return []
        if not address.startswith("file:"):
            return []  # a cluster is too far away to be asked between two key strokes
        with env.open_cluster(bootstrap_server, data_dir, create=False, read_only=True) as cluster:
            return self._listed(cluster.admin())

    def _listed(self, admin: Admin) -> list[str]:
        return [topic.name for topic in admin.list_topics()]


class GroupName(TopicName):
    """The id of a consumer group, completed likewise."""

    name = "group"

    def _listed(self, admin: Admin) -> list[str]:
        return [group.group_id for group in admin.list_groups()]


class Duration(click.ParamType[float]):
    """A time such as 30s, 5m or 1h; seconds where there is no unit."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?", str(value).strip())
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is no duration: write 30s, 5m or 1h", param, ctx)
        return min(float(match[1]) * _UNITS[match[2] or "s"], _LONGEST)


TOPIC = TopicName()
GROUP = GroupName()
DURATION = Duration()
