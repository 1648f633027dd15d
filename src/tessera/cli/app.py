# SPDX-License-Identifier: Apache-2.0
"""The `tessera` command: what can be typed, and what becomes of errors."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from tessera.cli import commands, output, run, sharing
from tessera.cli.output import Format, FormatOption
from tessera.cli.top.order import Order
from tessera.model.errors import TesseraError, UsageError
from tessera.model.lease import (
    DEFAULT_WEIGHT,
    MAX_PRIORITY,
    MAX_WEIGHT,
    Identity,
    Placement,
    Transport,
)
from tessera.model.suspension import Keep

app = typer.Typer(
    name="tessera",
    help="Run unmodified programs on a piece of a GPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain text: an error in a frame of fixed width cannot be searched for.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 no capacity or conflict, "
    "5 daemon unreachable. `tessera run` ends with the program's own exit code.",
)


# Groups of commands, whose modules take longer to load than all else that `tessera ps` does.
_GROUPS = {
    "bench": "tessera.bench.cli",
    "image": "tessera.cli.image",
    "direct": "tessera.cli.direct",
}


def _add_groups(word: str) -> None:
    """The groups that a command line which begins with `word` may mean: one, none, or all (for --help).
    Another command would wait for their modules and have no use for them."""
    others = {
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback
    }
    if word in others:
        return
    for name in [word] if word in _GROUPS else _GROUPS:
        app.add_typer(import_module(_GROUPS[name]).app, name=name)


def main() -> None:
    """Ends the process with the command's exit code."""
    _add_groups(sys.argv[1] if len(sys.argv) > 1 else "")
    try:
        app(prog_name="tessera")
    except TesseraError as error:
        run.report(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has seen enough. Python would complain once more at exit.
        sys.stderr.close()
        sys.exit(1)


def _complete_lease(incomplete: str) -> list[str]:
    try:
        with commands.client(autostart=False) as client:
            return [item.name for item in client.leases() if item.name.startswith(incomplete)]
    except TesseraError:
        return []


def _complete_gpu(incomplete: str) -> list[str]:
    try:
        with commands.client(autostart=False) as client:
            return [gpu.id for gpu in client.gpus() if gpu.id.startswith(incomplete)]
    except TesseraError:
        return []


GpuArgument = Annotated[
    str, typer.Argument(metavar="GPU", help="Such as gpu0.", autocompletion=_complete_gpu)
]

LeaseArgument = Annotated[
    str, typer.Argument(metavar="LEASE", help="Name or id.", autocompletion=_complete_lease)
]


@app.command("run", context_settings={"allow_interspersed_args": False})
def run_command(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- PROGRAM [ARGUMENTS]",
            help="What to run, and its arguments; of an image: its own when left out.",
        ),
    ] = None,
    fraction: Annotated[
        str | None, typer.Option("--fraction", "-f", help="Part of a GPU's memory: 1/4, 0.25, 25%.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", "-m", help="Memory of each GPU: 512MiB, 2GiB.")
    ] = None,
    gpus: Annotated[int, typer.Option("--gpus", "-g", min=1, help="How many GPUs.")] = 1,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Name of the lease.")] = None,
    transport: Annotated[
        Transport, typer.Option("--transport", "-t", help="How messages reach the worker.")
    ] = Transport.SHM,
    weight: Annotated[
        int,
        typer.Option(
            "--weight",
            "-w",
            min=1,
            max=MAX_WEIGHT,
            help="Of the lease, where the policy is `weighted`.",
        ),
    ] = DEFAULT_WEIGHT,
    identity: Annotated[
        Identity,
        typer.Option(help="Whose names the platform bears: Tessera's, or the device's own."),
    ] = Identity.TESSERA,
    placement: Annotated[
        Placement | None,
        typer.Option(
            help="Fill one GPU before the next, or take the emptiest; else as the host is."
        ),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option(
            "--wait", metavar="[SECONDS]", help="Wait for room, for ever when no time is given."
        ),
    ] = None,
    priority: Annotated[
        int,
        typer.Option(
            "--priority",
            min=-MAX_PRIORITY,
            max=MAX_PRIORITY,
            help="Among those who wait, higher ones come first.",
        ),
    ] = 0,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Run it in namespaces of its own, on an image.")
    ] = False,
    image: Annotated[
        str | None,
        typer.Option(
            "--image", help="The container image: name, digest or path; see `tessera image`."
        ),
    ] = None,
    mount: Annotated[
        list[str] | None,
        typer.Option(
            "--mount",
            metavar="SRC[:DST[:rw]]",
            help="A file or folder of the host in the sandbox, read-only without rw; in a machine a "
            "folder, as it is at the start.",
        ),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Let the sandbox use the host's network.")
    ] = False,
    in_vm: Annotated[
        bool, typer.Option("--vm", help="In a virtual machine of its own, from an --image.")
    ] = False,
    cpus: Annotated[int, typer.Option(min=1, max=64, help="Processors of the machine.")] = 1,
    guest_memory: Annotated[
        str, typer.Option(help="Memory of the machine, apart from its GPU's.")
    ] = "1GiB",
    direct: Annotated[
        list[str] | None,
        typer.Option(
            "--direct",
            metavar="DEVICE[,DEVICE]",
            help="Devices that the machine gets whole: a PCI address (65:00.0; 65:00 is the slot), group17, "
            "gpu0, ADDRESS/vf, PARENT/TYPE of a vGPU, or a mediated device's UUID.",
        ),
    ] = None,
    without_reset: Annotated[
        bool,
        typer.Option(
            "--without-reset",
            help="Also devices that cannot be reset: the next one finds what a machine left in them.",
        ),
    ] = False,
    huge_pages: Annotated[
        bool, typer.Option("--huge-pages", help="The machine's memory in pages of 2 MiB.")
    ] = False,
) -> None:
    """Run a program on a piece of a GPU (no size: all of it)."""
    options = run.Options(command or [])
    options.fraction, options.memory, options.name = fraction, memory, name
    options.gpus, options.transport = str(gpus), transport.value
    options.weight, options.identity = str(weight), identity.value
    options.placement = placement.value if placement else None
    options.priority, options.wait = str(priority), run.checked_wait(wait)
    if fraction and memory:
        raise UsageError(
            "A lease is sized by --fraction or by --memory, not by both.", "Leave one of them out."
        )
    if sandbox and in_vm:
        raise UsageError("A program runs in a sandbox or in a virtual machine.", "Leave one out.")
    if sandbox:
        sys.exit(_run_in_sandbox(options, image, mount or [], network))
    if network:
        raise UsageError("--network is for --sandbox.", "Add --sandbox.")
    if in_vm:
        from tessera.cli import vm

        machine = vm.checked(image, cpus, guest_memory, transport.value, mount or [])
        sys.exit(vm.main(options, vm.with_devices(machine, direct, without_reset, huge_pages)))
    if direct or without_reset or huge_pages:
        raise UsageError("--direct, --without-reset and --huge-pages are for --vm.", "Add --vm.")
    if image or mount:
        raise UsageError("--image and --mount are for --sandbox and --vm.", "Add one of them.")
    if not command:
        raise UsageError("Missing argument: the program to run.", "See `tessera run --help`.")
    sys.exit(run.main(options))


def _run_in_sandbox(
    options: run.Options, image: str | None, mounts: list[str], network: bool
) -> int:
    from tessera.sandbox import run as in_sandbox
    from tessera.sandbox.plan import Plan, parse_mount

    if image is None:
        raise UsageError(
            "A sandbox runs an image, and none is named.",
            "Add --image IMAGE; `tessera image list` lists yours.",
        )
    plan = Plan(image, tuple(parse_mount(text) for text in mounts), network)
    return in_sandbox.main(options, plan)


@app.command()
def gpus(output_format: FormatOption = Format.TABLE) -> None:
    """List the GPUs of this host and their free memory."""
    commands.show_gpus(output_format)


@app.command()
def ps(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Released leases, too.")] = False,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """List the leases."""
    commands.show_leases(everything, output_format)


@app.command()
def show(lease: LeaseArgument, output_format: FormatOption = Format.TABLE) -> None:
    """Show all about one lease."""
    commands.show_lease(lease, output_format)


@app.command()
def stats(
    leases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LEASE]...", help="All when left out.", autocompletion=_complete_lease
        ),
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Show the sessions of leases and their counters."""
    commands.show_stats(leases or [], output_format)


@app.command()
def top(
    interval: Annotated[
        float, typer.Option("--delay", "-d", min=0.1, max=3600, help="Seconds between two looks.")
    ] = 2.0,
    looks: Annotated[
        int | None, typer.Option("--number", "-n", min=1, help="End after so many looks.")
    ] = None,
    batch: Annotated[
        bool, typer.Option("--batch", "-b", help="Plain text, as when piped: for files.")
    ] = False,
    sort: Annotated[Order, typer.Option(help="What to sort leases by.")] = Order.SHARE,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Smallest first.")] = False,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw one look into an SVG file and end.")
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Show who uses the GPUs, again and again; q ends it.

    BUSY and DUTY are device time per time, SHARE is of the device time of all leases on a GPU, P99 of the
    waits for it. With -o json: one object per look and line.
    """
    from tessera.cli.top import run as top_run

    plan = top_run.Plan(interval, looks, sort, reverse)
    if svg:
        top_run.write_picture(plan, svg)
    elif output_format is Format.JSON:
        top_run.print_json(plan)
    elif batch or not (sys.stdin.isatty() and sys.stdout.isatty()):
        top_run.print_text(plan)
    else:
        top_run.show(plan)


@app.command()
def advise(
    leases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LEASE]...",
            help="All with one GPU when left out.",
            autocompletion=_complete_lease,
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", "-s", min=0.1, max=3600, help="How long to measure.")
    ] = 5.0,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Predict what running leases would lose and gain on one GPU.

    DUTY is the part of the time in which the device computes for a lease, SLOWDOWN the time that it
    would need more. A job that waits for its input or its host has a small duty, and shares well.
    """
    from tessera.cli import advise as advice

    advice.show_advice(leases or [], seconds, output_format)


@app.command()
def policy(
    gpu: Annotated[
        str | None,
        typer.Argument(metavar="[GPU]", help="All when left out.", autocompletion=_complete_gpu),
    ] = None,
    chosen: Annotated[
        str | None,
        typer.Option("--set", metavar="POLICY", help="best-effort, equal, fixed or weighted."),
    ] = None,
    time_slice: Annotated[
        str | None, typer.Option("--slice", metavar="TIME", help="1ms to 30ms, or auto.")
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Show or set how leases share the time of a GPU.

    best-effort: whoever waits longest; equal: the same for all that run; weighted: by the leases'
    weights; fixed: what each has of the memory, and no more.
    """
    sharing.policy(gpu, chosen, time_slice, output_format)


@app.command()
def resize(
    lease: LeaseArgument,
    memory: Annotated[
        str | None,
        typer.Option("--memory", "-m", help="Memory of each of its GPUs: 512MiB, 2GiB."),
    ] = None,
    fraction: Annotated[
        str | None, typer.Option("--fraction", "-f", help="Part of a GPU's memory: 1/4, 0.25, 25%.")
    ] = None,
    weight: Annotated[
        int | None,
        typer.Option(
            "--weight", min=1, max=MAX_WEIGHT, help="Part of the time under the policy weighted."
        ),
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Change the memory or weight of a lease that lives."""
    commands.resize_lease(lease, memory, fraction, weight, output_format)


@app.command()
def trace(
    gpu: GpuArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For chrome://tracing and Perfetto (JSON).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A picture: .png, .svg or .pdf.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", "-s", min=0.001, help="Only the latest so many.")
    ] = None,
) -> None:
    """Write who held a GPU when; without a file, to standard output.

    A GPU remembers its last 8,191 grants.
    """
    sharing.trace(gpu, out, plot, seconds)


@app.command()
def stop(
    leases: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LEASE]...", help="Names or ids.", autocompletion=_complete_lease),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Stop every lease.")] = False,
    grace: Annotated[
        float,
        typer.Option(
            min=0, max=3600, help="Seconds a workload may take to end before it is killed."
        ),
    ] = 10.0,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """End leases and the programs that hold them."""
    if bool(leases) == everything:
        raise UsageError("Name the leases to stop, or use --all.", "`tessera ps` lists them.")
    commands.stop_leases(leases or [], grace, output_format)


@app.command()
def suspend(
    lease: LeaseArgument,
    to: Annotated[Keep, typer.Option("--to", help="Where its state is kept.")] = Keep.MEMORY,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether it can be done, and what it takes.")
    ] = False,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Free the GPUs of a lease; its program waits until it is resumed."""
    if check:
        commands.check_suspend(lease, output_format)
    else:
        commands.suspend_lease(lease, to, output_format)


@app.command()
def resume(
    lease: LeaseArgument,
    gpu: Annotated[
        list[str] | None,
        typer.Option("--gpu", help="Where to; once for each GPU of the lease. See `tessera gpus`."),
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Put a suspended lease back on its GPUs, or on others."""
    commands.resume_lease(lease, gpu or [], output_format)


@app.command()
def doctor(output_format: FormatOption = Format.TABLE) -> None:
    """Check this host and say what to do about it."""
    from tessera.cli import doctor as checks

    findings = checks.examine()
    if output_format is Format.JSON:
        output.print_json(findings)
    else:
        checks.print_findings(findings)
    sys.exit(checks.exit_code(findings))


@app.command()
def daemon(
    background: Annotated[
        bool, typer.Option("--background", "-b", help="Start it and return when it is ready.")
    ] = False,
    stop_it: Annotated[
        bool, typer.Option("--stop", help="End the daemon; its leases go on without it.")
    ] = False,
    group: Annotated[
        str | None, typer.Option(help="Let the members of this group use the daemon.")
    ] = None,
    idle_exit: Annotated[
        float | None, typer.Option(min=1, help="End after so many seconds without use.")
    ] = None,
) -> None:
    """Run the host daemon in the foreground.

    Commands start one by themselves when none runs; this is for systemd and for looking at its log.
    """
    if background and (stop_it or group or idle_exit):
        raise UsageError("--background goes with no other flag.", "See `tessera daemon --help`.")
    if stop_it:
        commands.stop_daemon()
    elif background:
        commands.start_daemon()
    else:
        commands.run_daemon(group, idle_exit)


@app.command()
def version(output_format: FormatOption = Format.TABLE) -> None:
    """Tell the versions of command and daemon."""
    commands.show_version(output_format)
