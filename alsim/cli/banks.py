"""Command `alsim bank`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.cli.app import app
from alsim.cli.options import COLUMNS_METAVAR, ConfigOption, ForceOption, read_mapping
from alsim.errors import AlsimError


@app.command("bank", short_help="Write an item bank as two CSV files.")
def bank_command(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Directory to write.")],
    questions: Annotated[
        Path | None, typer.Option("--questions", metavar="FILE", help="3PL table of questions, as text or Parquet.")
    ] = None,
    columns: Annotated[
        str,
        typer.Option("--columns", metavar=COLUMNS_METAVAR, help="Column names of the table, such as irt_a=a,irt_b=b."),
    ] = "",
    fill_empty: Annotated[
        bool,
        typer.Option(
            "--fill-empty", help="Fill each empty cell (outcome, difficulty) with questions of the nearest difficulty."
        ),
    ] = False,
    config: ConfigOption = None,
    force: ForceOption = False,
) -> None:
    """Write an item bank as questions.csv and contents.csv.

    Questions and contents are drawn from the distributions of the configuration. With --questions, the questions are
    read from a table instead.
    """
    from alsim.bank.files import complete_bank, save_bank
    from alsim.bank.items import sample_bank
    from alsim.config import Config

    settings = Config.read(config)
    if questions is None and (columns or fill_empty):
        raise AlsimError("--columns and --fill-empty apply to a table only; add --questions FILE")
    if questions is None:
        bank = sample_bank(settings)
    else:
        bank = complete_bank(questions, settings, columns=read_mapping(columns), fill_empty=fill_empty)
    save_bank(bank, out, force=force)
    print(f"{out}: {bank.num_questions} questions and {bank.num_contents} contents on {bank.num_los} learning outcomes")
