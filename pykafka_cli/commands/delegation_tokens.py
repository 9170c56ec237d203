"""``kafka-delegation-tokens``: make, renew, expire and describe delegation tokens. A data directory keeps and shows
them; nobody has to log in to it.

Source: org.apache.kafka.tools.DelegationTokenCommand of Kafka 4.3.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal, UsageProblem
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.frame import (
    command_config_option,
    connection_options,
    failing_as,
    not_with,
    opened,
    require,
)
from pykafka_cli.tool.options import LONG, KafkaCommand, Options, examples
from pykafka_cli.tool.unenforced import UNENFORCED, tell_unenforced
from pykafka_store.errors import StoreError

if TYPE_CHECKING:
    from pykafka_store.access import DelegationToken
    from pykafka_store.api import Admin

_ACTIONS = ("create", "renew", "expire", "describe")
_COLUMNS = ("TOKENID", "HMAC", "OWNER", "REQUESTER", "RENEWERS", "ISSUEDATE", "EXPIRYDATE", "MAXDATE")
_WIDTHS = (15, 30, 15, 15, 25, 15, 15, 15)


@click.command(
    "delegation-tokens",
    cls=KafkaCommand,
    epilog=examples(
        "kafka-delegation-tokens --create --max-life-time-period -1 --renewer-principal User:bob --command-config "
        "admin.properties",
        "kafka-delegation-tokens --describe --command-config admin.properties",
    ),
)
@connection_options
@command_config_option
@click.option("--create", is_flag=True, help="Make a token.")
@click.option("--renew", is_flag=True, help="Have a token expire later.")
@click.option("--expire", is_flag=True, help="Have a token expire.")
@click.option("--describe", is_flag=True, help="Describe the tokens of --owner-principal.")
@click.option(
    "--owner-principal", metavar="PRINCIPAL", multiple=True, is_flag=False, flag_value="", help="The owner: User:NAME."
)
@click.option(
    "--renewer-principal",
    metavar="PRINCIPAL",
    multiple=True,
    is_flag=False,
    flag_value="",
    help="Who may renew it besides: User:NAME.",
)
@click.option(
    "--max-life-time-period",
    metavar="MS",
    type=LONG,
    is_flag=False,
    flag_value="",
    help="How long it may live, in ms; -1 for the default, a week.",
)
@click.option(
    "--renew-time-period",
    metavar="MS",
    type=LONG,
    is_flag=False,
    flag_value="",
    help="For how long it is renewed, in ms; -1 for the default, a day.",
)
@click.option(
    "--expiry-time-period",
    metavar="MS",
    type=LONG,
    is_flag=False,
    flag_value="",
    help="In how many ms it is to expire; -1 for at once.",
)
@click.option("--hmac", metavar="HMAC", is_flag=False, flag_value="", help="The token's HMAC.")
def delegation_tokens(env: Env, options: Options) -> None:
    """This tool helps to create, renew, expire, or describe delegation tokens.

    A data directory keeps tokens and shows them; nobody has to log in to it.
    """
    _check(options)
    with failing_as(_failure), opened(env, options) as admin:
        if options.has("create"):
            _create(env, options, admin)
        elif options.has("describe"):
            _describe(env, options, admin)
        else:
            _move_expiry(env, options, admin)


def _check(options: Options) -> None:
    """Source: DelegationTokenCommandOptions#checkArgs. Raises UsageProblem."""
    if sum(map(options.has, _ACTIONS)) != 1:
        raise UsageProblem("Command must include exactly one action: --create, --renew, --expire or --describe")
    require(options, "command-config")
    if options.has("create"):
        require(options, "max-life-time-period")
    if options.has("renew"):
        require(options, "hmac", "renew-time-period")
    if options.has("expire"):
        require(options, "hmac", "expiry-time-period")
    not_with(options, "create", "hmac", "renew-time-period", "expiry-time-period")
    not_with(options, "renew", "renewer-principal", "max-life-time-period", "expiry-time-period", "owner-principal")
    not_with(options, "expire", "renew", "max-life-time-period", "renew-time-period", "owner-principal")
    not_with(options, "describe", "renew-time-period", "max-life-time-period", "hmac", "expiry-time-period")


def _failure(error: Refusal | StoreError) -> CommandFailure:
    return CommandFailure(exception_line(error) if isinstance(error, StoreError) else str(error))


def _create(env: Env, options: Options, admin: Admin) -> None:
    renewers, lifetime = _principals(options, "renewer-principal"), options.integer("max-life-time-period")
    env.out(f"Calling create token operation with renewers :[{', '.join(renewers)}] , max-life-time-period :{lifetime}")
    owners = _principals(options, "owner-principal")
    token = admin.create_delegation_token(renewers, owner=owners[0] if owners else None, max_lifetime_ms=lifetime)
    tell_unenforced(env, options, f"Delegation tokens {UNENFORCED}", "org.apache.kafka.tools.DelegationTokenCommand")
    env.out(f"Created delegation token with tokenId : {token.token_id}")
    _print(env, "", [token])


def _describe(env: Env, options: Options, admin: Admin) -> None:
    owners = _principals(options, "owner-principal")
    if owners:
        env.out(f"Calling describe token operation for owners: [{', '.join(owners)}]")
    else:
        env.out("Calling describe token operation for current user.")
    found = admin.describe_delegation_tokens(owners)  # a broker understands no owner as none, too
    _print(env, f"Total number of tokens : {len(found)}", found)


def _move_expiry(env: Env, options: Options, admin: Admin) -> None:
    """Renew a token, or have it expire."""
    renewing = options.has("renew")
    deed = "renew" if renewing else "expire"
    option = "renew-time-period" if renewing else "expiry-time-period"
    period, text = options.integer(option), options.text("hmac")
    env.out(f"Calling {deed} token operation with hmac :{text} , {deed}-time-period :{period}")
    try:
        hmac = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(f"--hmac is no base64: {text}") from None
    change = admin.renew_delegation_token if renewing else admin.expire_delegation_token
    expiry = change(hmac, period)
    env.write(f"Completed {deed} operation. New expiry date : {_date(expiry)}".encode())


def _principals(options: Options, option: str) -> list[str]:
    """Raises Refusal for one that is no ``Type:name``."""
    found = [text.strip() for text in options.texts(option)]
    for principal in found:
        if ":" not in principal:
            raise Refusal(f"expected a string in format principalType:principalName but got {principal}")
    return found


def _print(env: Env, before: str, tokens: Sequence[DelegationToken]) -> None:
    """The table of Kafka's tool, with an empty line above each row."""
    env.out(before)
    env.out(_row(_COLUMNS))
    for token in tokens:
        hmac, renewers = base64.b64encode(token.hmac).decode(), f"[{', '.join(token.renewers)}]"
        dates = [_date(each) for each in (token.issued_ms, token.expires_ms, token.max_ms)]
        env.out("\n" + _row((token.token_id, hmac, token.owner, token.requester, renewers, *dates)))


def _row(cells: Sequence[str]) -> str:
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))


def _date(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M", time.localtime(milliseconds // 1000))
