"""The `clconv` command. Each subcommand is a module of its own, imported when it is called, so that `clconv --help` stays quick."""

from __future__ import annotations

import importlib

import click

from clconv.errors import ClconvError, printable

# name -> (module:function, the line shown by --help)
COMMANDS = {
    "demo": ("clconv.cli.demo:demo", "Train LeNet-5 on handwritten digits and draw what it learned."),
    "devices": ("clconv.cli.devices:devices", "List the OpenCL devices and what the library knows of them."),
    "doctor": ("clconv.cli.doctor:doctor", "Say whether this machine's OpenCL computes right and how fast, and what to do if not."),
    "source": ("clconv.cli.source:source", "Print the OpenCL C that runs for a problem."),
    "explain": ("clconv.cli.explain:explain", "Say which algorithm a problem or a network gets, and why."),
    "run": ("clconv.cli.run:run", "Run an ONNX model on a picture or an array, or list its graph."),
    "isa": ("clconv.cli.isa:isa", "Compile a problem's kernels for GPUs that are not here: registers, spills, a roofline model."),
    "tune": ("clconv.cli.tune:tune", "Time the best candidates for a problem or a network, and remember the fastest."),
    "summary": ("clconv.cli.summary:summary", "Print a network's layers: shapes, parameters, multiply-adds, receptive fields."),
    "bench": ("clconv.cli.bench:bench", "Time problems, layers and networks, also against other libraries."),
}


class Refused(click.ClickException):
    """A ClconvError as the command line shows it: the message, and exit code 2."""

    exit_code = 2


class Commands(click.Group):
    """Subcommands by name from COMMANDS; whatever the library refuses ends as one message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table above: asking the commands themselves would import them all."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ClconvError as error:
            raise Refused("\n".join(map(printable, str(error).split("\n")))) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="clconv")
def main() -> None:
    """Convolutional networks on any OpenCL device.

    A PROBLEM is written as in "conv n8c48i56x56k64f3x3s2p1": n batch, c input channels, i input size, k output channels, f kernel,
    s stride, p padding, d dilation, g groups; kinds are conv, deconv, maxpool, avgpool; then :bwd_d or :bwd_w, :f16, +bias+relu+res.
    """
