"""Command `alsim bank`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import (
    COLUMNS_METAVAR,
    ConfigOption,
    EncodingOption,
    ForceOption,
    ImportOption,
    JsonOption,
    read_mapping,
)
from alsim.cli.output import counted, log_to_stderr, print_sentence, print_table, printable, shortened, write_report
from alsim.errors import AlsimError

MAX_ROWS, MAX_NAME = 10, 16  # outcomes that the table shows, and columns for their names

PARAMETERS = {"irt_a": "a, 1/logit", "irt_b": "b, logits", "irt_c": "c"}
"""Columns of parameters, and their headings with units."""


@app.command(
    "bank",
    short_help="Write an item bank as two CSV files.",
    epilog=examples("alsim bank -o my-bank", "alsim bank --questions items.csv --fill-empty -o real-bank"),
)
def bank_command(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Directory to write.")],
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions", metavar="FILE", help="Table of item parameters a, b and c, or a fit of alsim fit irt."
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option("--columns", metavar=COLUMNS_METAVAR, help="Column names of the table, such as irt_a=disc."),
    ] = "",
    encoding: EncodingOption = None,
    fill_empty: Annotated[
        bool,
        typer.Option(
            "--fill-empty", help="Fill each empty cell (outcome, difficulty) with questions of the nearest difficulty."
        ),
    ] = False,
    config: ConfigOption = None,
    imports: ImportOption = None,
    force: ForceOption = False,
    report: JsonOption = None,
) -> None:
    """Write an item bank as questions.csv and contents.csv.

    Questions and contents are drawn from the distributions of the configuration. With --questions, the questions are
    read from a text or Parquet file with one row per item instead. The column names of catR, catsim, ltm and mirt are
    recognized. Without learning outcomes, all questions have the same one.
    """
    from alsim.bank.files import complete_bank, save_bank
    from alsim.bank.items import sample_bank
    from alsim.config import Config

    settings = Config.read(config)
    if questions is None and (columns or fill_empty or encoding):
        raise AlsimError("--columns, --encoding and --fill-empty apply to a table only; add --questions FILE")
    if questions is None:
        bank = sample_bank(settings)
    else:
        with log_to_stderr("alsim.bank"):
            bank = complete_bank(
                questions, settings, columns=read_mapping(columns), fill_empty=fill_empty, encoding=encoding
            )
    save_bank(bank, out, force=force)
    rows = bank.summary()
    size = f"{counted(bank.num_questions, 'question')} and {counted(bank.num_contents, 'content')}"
    print(f"{printable(str(out))}: {size} on {counted(bank.num_los, 'learning outcome')}")
    _print_rows(rows)
    num_copies = sum(f"@{level}" in id for id in bank.questions.id for level in rows[0]["questions"])
    copies = f", {num_copies} of them copied to fill empty cells" if fill_empty and num_copies else ""
    print_sentence(f"Every outcome has questions of each difficulty{copies}.")
    print_sentence(f"The option --bank {out} of other commands uses this bank.")
    write_report(report, {"questions": bank.num_questions, "contents": bank.num_contents, "outcomes": rows})


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the first outcomes and the total as a table."""
    *outcomes, total = rows
    shown = outcomes[:MAX_ROWS] if len(outcomes) > 1 else []
    lines = []
    for row in (*shown, total):
        name = row["outcome"]
        if row is total and len(outcomes) > len(shown) > 0:
            lines.append(
                [f"and {len(outcomes) - len(shown):,} more", *[""] * (len(total["questions"]) + len(PARAMETERS))]
            )
        counts = [f"{count:,}" for count in row["questions"].values()]
        ranges = ["{:.2f} to {:.2f}".format(*row[column]) for column in PARAMETERS]
        lines.append([shortened(name, MAX_NAME), *counts, *ranges])
    print_table(["outcome", *total["questions"], *PARAMETERS.values()], lines)
