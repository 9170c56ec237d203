"""``kafka-acls``: who may do what. A data directory keeps and shows ACLs, and enforces none (SECURITY.md).

Source: org.apache.kafka.tools.AclCommand of Kafka 4.3. Kafka shows resources and entries in the order of a hash table,
which changes from run to run; here they are sorted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from pykafka_cli.click_types import FILE, GROUP, TOPIC
from pykafka_cli.commands.acls.asked import asked, check_options, principals, resources, to_add
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.frame import (
    check_admin_config,
    connection_options,
    controller_option,
    failing_as,
    open_cluster,
)
from pykafka_cli.tool.options import KafkaCommand, Options, examples
from pykafka_cli.tool.unenforced import UNENFORCED, tell_unenforced
from pykafka_store.access import Acl, AclEntry, AclFilter, ResourcePattern
from pykafka_store.errors import StoreError

if TYPE_CHECKING:
    from pykafka_store.api import Admin

_LOGGER = "org.apache.kafka.tools.AclCommand"


@click.command(
    "acls",
    cls=KafkaCommand,
    epilog=examples(
        "kafka-acls --add --allow-principal User:bob --operation read --topic orders",
        "kafka-acls --add --allow-principal User:bob --producer --topic orders- --resource-pattern-type prefixed",
        "kafka-acls --list --principal User:bob",
        "kafka-acls --remove --topic orders --force",
    ),
)
@connection_options
@controller_option
@click.option(
    "--command-config",
    metavar="FILE",
    type=FILE,
    is_flag=False,
    flag_value="",
    help="Property file of the admin client. A data directory needs none of its settings.",
)
@click.option("--add", is_flag=True, help="Add ACLs.")
@click.option("--remove", is_flag=True, help="Remove ACLs.")
@click.option("--list", is_flag=True, help="List the ACLs of the resources that are named, or all.")
@click.option("--topic", metavar="TOPIC", type=TOPIC, multiple=True, help="A topic; '*' for all.")
@click.option("--cluster", is_flag=True, help="The cluster.")
@click.option("--group", metavar="GROUP", type=GROUP, multiple=True, help="A consumer group; '*' for all.")
@click.option("--transactional-id", metavar="ID", multiple=True, help="A transactional id; '*' for all.")
@click.option("--delegation-token", metavar="ID", multiple=True, help="A delegation token, by its id; '*' for all.")
@click.option("--user-principal", metavar="PRINCIPAL", multiple=True, help="A user, as a resource.")
@click.option(
    "--resource-pattern-type",
    metavar="TYPE",
    type=click.Choice(("any", "match", "literal", "prefixed"), case_sensitive=False),
    default="LITERAL",
    show_default=True,
    help="How the names of resources are meant. To add: literal or prefixed. To list or remove also any (this name, of "
    "either type) and match (whatever has a say in resources of this name).",
)
@click.option(
    "--operation",
    metavar="NAME",
    multiple=True,
    help="What is allowed or denied: Read, Write, Create, Delete, Alter, Describe, ClusterAction, DescribeConfigs, "
    "AlterConfigs, IdempotentWrite, CreateTokens, DescribeTokens, TwoPhaseCommit or All, which is the default.",
)
@click.option("--allow-principal", metavar="PRINCIPAL", multiple=True, help="Who is allowed it: User:NAME, User:'*'.")
@click.option("--deny-principal", metavar="PRINCIPAL", multiple=True, help="Who is denied it.")
@click.option(
    "--principal",
    metavar="PRINCIPAL",
    multiple=True,
    is_flag=False,
    flag_value="",
    help="With --list: only the ACLs of this principal.",
)
@click.option("--allow-host", metavar="HOST", multiple=True, help="From where it is allowed. Without it: anywhere.")
@click.option("--deny-host", metavar="HOST", multiple=True, help="From where it is denied. Without it: anywhere.")
@click.option("--producer", is_flag=True, help="What a producer needs: Write, Describe and Create on the topic.")
@click.option(
    "--consumer", is_flag=True, help="What a consumer needs: Read and Describe on the topic, Read on the group."
)
@click.option("--idempotent", is_flag=True, help="With --producer: IdempotentWrite on the cluster, for old brokers.")
@click.option("--force", is_flag=True, help="Remove without asking.")
def acls(env: Env, options: Options) -> None:
    """This tool helps to manage acls on kafka.

    A data directory keeps ACLs and shows them; it enforces none, for who may read and write its files says the file
    system.
    """
    check_options(options)
    with failing_as(_failure):
        if options.maybe_text("command-config") == "":
            env.out("Did not load any properties since the property file is not specified")
        else:
            check_admin_config(env, options)
        with open_cluster(env, options) as cluster:
            admin = cluster.admin()
            if options.has("list"):
                _list(env, options, admin)
            elif options.has("add"):
                _add(env, options, admin)
            else:
                _remove(env, options, admin)


def _failure(error: Refusal | StoreError) -> CommandFailure:
    what = exception_line(error) if isinstance(error, StoreError) else str(error)
    return CommandFailure(f"Error while executing ACL command: {what}", stream="stdout")


def _list(env: Env, options: Options, admin: Admin) -> None:
    wanted = [AclFilter(*each) for each in resources(options)] or [AclFilter()]
    who = principals(options, "principal")
    found: dict[ResourcePattern, set[AclEntry]] = {}
    for each in wanted:
        for acl in admin.describe_acls(each):
            found.setdefault(acl.resource, set()).add(acl.entry)
    if not who:
        _show(env, found)
    for principal in who:
        env.out(f"ACLs for principal `{principal}`")
        own = {
            resource: {entry for entry in entries if entry.principal == principal}
            for resource, entries in found.items()
        }
        _show(env, {resource: entries for resource, entries in own.items() if entries})


def _show(env: Env, found: dict[ResourcePattern, set[AclEntry]]) -> None:
    for resource, entries in sorted(found.items()):
        env.out(f"Current ACLs for resource `{_resource(resource)}`:\n{_lines(entries)}\n")


def _add(env: Env, options: Options, admin: Admin) -> None:
    told = False
    for resource, entries in to_add(options).items():
        there = {acl.entry for acl in admin.describe_acls(AclFilter(*resource))}
        for entry in sorted(entries & there):
            env.out(f"Acl (pattern={_resource(resource)}, entry={_entry(entry)}) already exists.")
        missing = sorted(entries - there)
        if not missing:
            continue
        env.out(f"Adding ACLs for resource `{_resource(resource)}`: \n {_lines(missing)}\n")
        for problem in admin.create_acls([Acl(resource, entry) for entry in missing]):
            if problem is not None:
                raise problem
        if not told:
            tell_unenforced(env, options, f"ACLs {UNENFORCED}", _LOGGER)
            told = True


def _remove(env: Env, options: Options, admin: Admin) -> None:
    for resource, entries in asked(options).items():
        where = f"resource filter `{_resource(resource)}`? (y/n)"
        if not entries:
            question = f"Are you sure you want to delete all ACLs for {where}"
        else:
            question = f"Are you sure you want to remove ACLs: \n {_lines(sorted(entries))}\n from {where}"
        if options.has("force") or _confirmed(env, question):
            filters = [_filter(resource, entry) for entry in sorted(entries)] or [AclFilter(*resource)]
            for answer in admin.delete_acls(filters):
                if isinstance(answer, StoreError):
                    raise answer


def _filter(resource: ResourcePattern, entry: AclEntry) -> AclFilter:
    return AclFilter(*resource, entry.principal, entry.host, entry.operation, entry.permission)


def _confirmed(env: Env, question: str) -> bool:
    """Kafka's tool asks at a terminal, and fails where there is none; here the answer may come from anywhere, as it
    could before Kafka 4.
    """
    env.out(question)
    env.flush()
    answer = env.stdin.readline()
    if not answer:
        raise Refusal("standard input has no answer: --force asks nothing")
    return answer.strip().lower() == b"y"


def _resource(resource: ResourcePattern) -> str:
    kind, name, pattern = resource
    return f"ResourcePattern(resourceType={kind.name}, name={name}, patternType={pattern.name})"


def _entry(entry: AclEntry) -> str:
    return (
        f"(principal={entry.principal}, host={entry.host}, operation={entry.operation.name}, "
        f"permissionType={entry.permission.name})"
    )


def _lines(entries: Iterable[AclEntry]) -> str:
    return "\n".join(f"\t{_entry(entry)}" for entry in sorted(entries))
