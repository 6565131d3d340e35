"""clconv bench compare."""

from __future__ import annotations

import click

json_file = click.Path(exists=True, dir_okay=False)


@click.command(short_help="What became slower between two files of rows.")
@click.argument("before", type=json_file)
@click.argument("after", type=json_file)
@click.option("--fail-over", metavar="PERCENT", help="Exit with code 1 if a row takes more than this longer: 5%.")
def compare(before: str, after: str, fail_over: str | None) -> None:
    """Compare two files that --json wrote, row by row: BEFORE and AFTER a change.

    Rows belong together if problem, algorithm, parameters, caches and device are the same. Disturbed rows are marked with "!": measure
    them again before you believe them. Without --fail-over the exit code is 0 whatever became slower.
    """
    from clconv.bench.compare import compare as compared
    from clconv.bench.compare import parse_share
    from clconv.bench.report import read_json
    from clconv.cli.bench_lists import print_comparison

    limit = None if fail_over is None else parse_share(fail_over)
    found = compared(read_json(before), read_json(after))
    print_comparison(found, limit)
    slower = [] if limit is None else found.slower(limit)
    if slower:
        raise click.ClickException(f"{len(slower)} of {len(found.changes)} rows became more than {fail_over} slower")
