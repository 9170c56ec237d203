"""``pykafka serve``: a port on a data directory, for every Kafka client there is."""

from __future__ import annotations

import os

import click

from pykafka_cli.click_types import FILE
from pykafka_cli.env import Env
from pykafka_cli.errors import Refusal
from pykafka_cli.tool.frame import data_dir_option
from pykafka_cli.tool.options import examples
from pykafka_cli.tool.server import ADDRESS_VARIABLES, Child, is_loopback, serve_until_told
from pykafka_cli.tool.server_listeners import DEFAULT_LISTEN, is_guarded, listeners_of_options, spelled, what_it_means
from pykafka_store.open import serve_data_directory


@click.command(
    "serve",
    short_help="Open a port on the directory for Kafka clients.",
    epilog=examples(
        "pykafka serve",
        "pykafka serve --listen 127.0.0.1:0 --exec 'pytest tests'",
        "pykafka serve --data-dir DIR --listen 0.0.0.0:9092 --advertise build-7:9092 --insecure-network",
        "pykafka serve --listen SASL_SSL://0.0.0.0:9093 --certificate server.pem --users users",
    ),
)
@data_dir_option
@click.option(
    "--listen",
    metavar="[PROTOCOL://]HOST:PORT",
    multiple=True,
    default=[DEFAULT_LISTEN],
    show_default=True,
    help="Where to listen; port 0 is any that is free. PROTOCOL is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. May be "
    "given several times.",
)
@click.option(
    "--advertise",
    metavar="[PROTOCOL://]HOST:PORT",
    multiple=True,
    help="The address that clients are told to use, where it is another one than that of --listen.",
)
@click.option(
    "--users",
    type=FILE,
    metavar="FILE",
    help="Who may log in: a line user:password each, in a file that only its owner may read. Users whom "
    "kafka-configs gave SCRAM credentials may in any case.",
)
@click.option(
    "--certificate", type=FILE, metavar="FILE", help="The server's certificate and those above it, and its key: PEM."
)
@click.option("--key", type=FILE, metavar="FILE", help="The key, where it has a file of its own: PEM.")
@click.option(
    "--client-ca",
    type=FILE,
    metavar="FILE",
    help="Clients have to show a certificate too, which one of these has signed: PEM.",
)
@click.option(
    "--insecure-network",
    is_flag=True,
    help="Listen without a log-in on an address that other machines reach: whoever does may read, write and delete "
    "everything.",
)
@click.option(
    "--exec",
    "command",
    metavar="CMD",
    help=f"Run CMD in a shell once the server answers, with its address in {', '.join(ADDRESS_VARIABLES)} and the "
    "directory in PYKAFKA_DATA_DIR; end when it ends, with its exit code.",
)
@click.pass_obj
def serve(
    env: Env,
    data_dir: str | None,
    listen: tuple[str, ...],
    advertise: tuple[str, ...],
    users: str | None,
    certificate: str | None,
    key: str | None,
    client_ca: str | None,
    insecure_network: bool,
    command: str | None,
) -> None:
    """Serve the data directory to clients of Kafka's protocol: Java, librdkafka, Python, Go, JavaScript.

    They see the topics, records and groups that the shell commands see, which go on working beside the server and
    without it: the server is one process more on the directory, and nothing depends on it. It is one node for a laptop
    or for CI. Prints the address when it answers, and goes on until it is interrupted, or terminated by SIGTERM.
    Whoever is let in may do everything. Transactions and share groups are not there yet.
    """
    listeners = listeners_of_options(listen, advertise, users, certificate, key, client_ca)
    for each in listeners:
        if is_loopback(each.host):
            continue
        if not is_guarded(each) and not insecure_network:
            raise Refusal(
                f"--listen {spelled(each)} can be reached from other machines, and whoever reaches it may read, write "
                "and delete everything: say --insecure-network if that is meant, or have them log in (--users)"
            )
        if is_guarded(each) and (warning := what_it_means(each)) is not None:
            env.err(f"serve: {warning}")
    directory = env.data_directory(data_dir)
    server = serve_data_directory(directory, listeners, on_notice=lambda line: env.err(f"serve: {line}"))
    address = "{}:{}".format(*server.address)
    if command is None:  # else stdout is the command's, which knows the address
        places = ", ".join(map(spelled, server.listeners))
        env.out(f"listening on {places}, serving {os.path.abspath(directory)}")
        env.flush()
    serve_until_told(server, Child(command, address, directory, env.environ, server) if command is not None else None)
