"""Click types that know how to complete a value. They check nothing: what a value means is for the command to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pykafka_cli.env import Env
    from pykafka_store.api import Admin

DIRECTORY = click.Path(file_okay=False)
FILE = click.Path(dir_okay=False)


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


TOPIC = TopicName()
GROUP = GroupName()
