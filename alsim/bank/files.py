"""Banks in files: two tables, saved and loaded, and a question table completed to a bank (clause S2.5)."""

from __future__ import annotations

import csv
import os
import re
import reprlib
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alsim.bank.items import Bank, BankError, Contents, Questions, sample_contents
from alsim.bank.tables import Table, read_table
from alsim.types import DIFFICULTIES, MODALITIES, Codes, Floats, Ints

if TYPE_CHECKING:
    from alsim.config import Config

f32, i8, i32 = np.float32, np.int8, np.int32

SUFFIXES = (".csv", ".parquet")
INDEX = re.compile(r"([0-9]{1,9})(\.0)?")  # some writers make floats of a column of whole numbers

MEDIUM_FROM, HARD_FROM = -0.5, 0.5  # b, logits: the ranges of clause S2.2 meet there
MEDIUM_MIDDLE = (MEDIUM_FROM + HARD_FROM) / 2


def save_bank(bank: Bank, directory: str | Path, force: bool = False) -> None:
    """Write questions.csv and contents.csv, which `load_bank` reads back to an identical bank.

    directory  made if it is not there
    force      overwrite the bank that is there already

    Each file appears whole or not at all, and only after it was read back and found identical. Raises
    BankError if a bank is there already, if nothing can be written there, or if `bank` cannot be kept in
    tables: an id is used twice, a value is out of bounds, or the outcomes are not in the order in which
    the questions first name them.
    """
    directory = Path(directory)
    held = [name for stem in ("questions", "contents") for name in _names(stem) if (directory / name).exists()]
    if held and not force:
        raise BankError(f"{directory}: holds a bank already ({', '.join(held)}); force overwrites it")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".bank-") as staged:
            _write(Path(staged, "questions.csv"), bank.outcomes, bank.questions, "difficulty", DIFFICULTIES)
            _write(Path(staged, "contents.csv"), bank.outcomes, bank.contents, "modality", MODALITIES)
            _check_kept(bank, staged)
            for name in held:
                if name.endswith(".parquet"):  # else the directory would hold two banks
                    (directory / name).unlink()
            for name in ("contents.csv", "questions.csv"):
                os.replace(Path(staged, name), directory / name)
    except OSError as error:
        raise BankError(f"{directory}: a bank cannot be written there: {error.strerror or error}") from None


def _write(
    path: Path, outcomes: tuple[str, ...], items: Questions | Contents, level: str, words: tuple[str, ...]
) -> None:
    """Write one table; `level` is its column of words."""
    columns = {name: getattr(items, name) for name in items._fields}
    columns["learning_outcome"] = [outcomes[lo] for lo in items.learning_outcome]
    columns[level] = [words[code] for code in columns[level]]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        # str of a float32 is the shortest text that reads back to the same bits.
        writer.writerows([str(cell) for cell in row] for row in zip(*columns.values(), strict=True))


def _check_kept(bank: Bank, staged: str) -> None:
    """Refuse a bank that is not the same when it is read back."""
    try:
        same = load_bank(staged) == bank
    except BankError as error:
        raise BankError(f"the bank cannot be kept in tables: {str(error).replace(staged + os.sep, '')}") from None
    if not same:
        raise BankError(
            "the bank cannot be kept in tables: names must not begin or end with a space, and outcomes must be "
            f"in the order in which the questions first name them; the outcomes are {', '.join(bank.outcomes[:5])} …"
        )


def load_bank(source: str | Path) -> Bank:
    """Read the bank in a directory: questions and contents, each .csv or .parquet (clause S2.5).

    The columns are the fields of `alsim.bank.items.Questions` and `Contents`, in any order; difficulty and
    modality are words in any case. If every learning_outcome of both tables is a whole number, they are
    0-based indices; else they are names, numbered in the order in which the questions first name them.

    Raises BankError, which names file, row, column, value and what was expected.
    """
    source = Path(source)
    tables = [
        read_table(_find(source, stem), {name: name for name in fields})
        for stem, fields in (("questions", Questions._fields), ("contents", Contents._fields))
    ]
    for table in tables:
        table.require(table.titles)
        if table.others:
            raise BankError(
                f"{table.path}: unknown column {', '.join(map(repr, table.others))}; "
                f"the columns of a bank are {', '.join(table.titles)}"
            )
    outcomes, (of_questions, of_contents) = _outcomes(*tables)
    questions, contents = _questions(tables[0], of_questions), _contents(tables[1], of_contents)
    try:
        return Bank(outcomes, questions, contents)
    except BankError as error:
        raise BankError(f"{source}: {error}") from None


def _names(stem: str) -> list[str]:
    """Return the names of the files that may hold a table."""
    return [stem + suffix for suffix in SUFFIXES]


def _find(source: Path, stem: str) -> Path:
    """Return the one file that holds a table."""
    held = [source / name for name in _names(stem) if (source / name).exists()]
    if not held:
        raise BankError(f"{source}: a bank is a directory with {' or '.join(_names(stem))}; there is none")
    if len(held) > 1:
        raise BankError(f"{source}: holds both {held[0].name} and {held[1].name}; which is the bank's?")
    return held[0]


def _questions(table: Table, learning_outcome: Ints) -> Questions:
    """Return the questions of a table that has all columns."""
    return Questions(
        id=table.ids(),
        learning_outcome=learning_outcome,
        difficulty=table.codes("difficulty", DIFFICULTIES),
        irt_a=table.numbers("irt_a"),
        irt_b=table.numbers("irt_b"),
        irt_c=table.numbers("irt_c"),
        response_time_mean=table.numbers("response_time_mean"),
        response_time_std=table.numbers("response_time_std"),
    )


def _contents(table: Table, learning_outcome: Ints) -> Contents:
    """Return the contents of a table."""
    return Contents(
        id=table.ids(),
        learning_outcome=learning_outcome,
        modality=table.codes("modality", MODALITIES),
        duration=table.numbers("duration"),
        effectiveness=table.numbers("effectiveness"),
        engagement_impact=table.numbers("engagement_impact"),
    )


def _outcomes(*tables: Table) -> tuple[tuple[str, ...], list[Ints]]:
    """Return the outcomes' names, and of each table the outcome of each row."""
    labels = [table.labels("learning_outcome") for table in tables]
    whole = all(INDEX.fullmatch(label) for column in labels for label in column)
    if whole:
        labels = [[str(int(label.removesuffix(".0"))) for label in column] for column in labels]
    names = list(dict.fromkeys(label for column in labels for label in column))
    sets = [set(column) for column in labels]
    for name in names:
        if lacking := [table.path.name for table, held in zip(tables, sets, strict=True) if name not in held]:
            k = next(k for k, held in enumerate(sets) if name in held)
            raise tables[k].fault("learning_outcome", labels[k].index(name), f"an outcome that {lacking[0]} has too")
    if whole:
        names.sort(key=int)
        if gaps := set(map(str, range(len(names)))).difference(names):
            row, gap = labels[0].index(names[-1]), min(gaps, key=int)
            expected = f"0-based indices without a gap, or names that are no whole numbers; no row has {gap}"
            raise tables[0].fault("learning_outcome", row, expected)
    index = {name: lo for lo, name in enumerate(names)}
    return tuple(names), [np.array([index[label] for label in column], i32) for column in labels]


def complete_bank(
    questions_file: str | Path,
    config: Config,
    columns: Mapping[str, str] | None = None,
    fill_empty: bool = False,
) -> Bank:
    """Make a bank of a table of questions alone, as calibrations of real items come.

    questions_file  text with any usual delimiter, or Parquet
    config          what the table does not say
    columns         {our name: the file's name}, where they differ, such as {"irt_a": "a"}
    fill_empty      fill an empty (LO, difficulty) cell instead of refusing it

    learning_outcome, irt_a and irt_b must be there. Other columns of the file are ignored, and what is
    neither there nor in `columns` has a default:

        id                  q0, q1, ... in the order of the rows
        difficulty          Easy for b < -0.5, Hard for b >= 0.5, else Medium
        irt_c               0, the two-parameter model
        response_time_*     of `config.irt`
        irt_d               1. A column of this name or of the name d must hold nothing else

    The contents are sampled from `config`. An empty cell is filled with copies of the questions of the
    nearest difficulty of the same outcome; if Easy and Hard are equally near, of the one whose mean b is
    nearer to 0. The copy for Hard of q12 is q12@Hard; its parameters stay.

    Raises BankError, which names file, row, column, value and what was expected.
    """
    path, given = Path(questions_file), dict(columns or {})
    if unknown := [name for name in given if name not in (*Questions._fields, "irt_d")]:
        raise BankError(f"columns: {unknown[0]!r} is none of {', '.join((*Questions._fields, 'irt_d'))}")
    ours = [name for name in (*Questions._fields, "irt_d", "d") if name not in given.values()]
    table = read_table(path, {name: name for name in ours} | given)
    table.require(
        dict.fromkeys(["learning_outcome", "irt_a", "irt_b", *given]), "; columns maps a name of ours to the file's"
    )
    for name in ("irt_d", "d"):
        if name in table.columns:
            table.numbers(name, bound="irt_d")
    outcomes, (learning_outcome,) = _outcomes(table)
    questions = _completed(table, learning_outcome, config)
    if fill_empty:
        questions = _filled(questions, len(outcomes))
        repeated, count = Counter(questions.id).most_common(1)[0]
        if count > 1:
            raise BankError(f"{path}: {repeated} is the id of two questions, one of them a copy that fills a cell")
    try:
        return Bank(outcomes, questions, sample_contents(config, len(outcomes)))
    except BankError as error:
        raise BankError(f"{path}: {error}; fill_empty takes the nearest difficulty's questions") from None


def _completed(table: Table, learning_outcome: Ints, config: Config) -> Questions:
    """Return the questions of a table, with defaults for the columns that it lacks."""
    n = len(table.places)
    irt_b = table.numbers("irt_b")

    def numbers(column: str, default: float) -> Floats:
        return table.numbers(column) if column in table.columns else np.full(n, default, f32)

    def difficulty() -> Codes:
        if "difficulty" in table.columns:
            return table.codes("difficulty", DIFFICULTIES)
        return np.digitize(irt_b, [MEDIUM_FROM, HARD_FROM]).astype(i8)

    return Questions(
        id=table.ids() if "id" in table.columns else tuple(f"q{k}" for k in range(n)),
        learning_outcome=learning_outcome,
        difficulty=difficulty(),
        irt_a=table.numbers("irt_a"),
        irt_b=irt_b,
        irt_c=numbers("irt_c", 0.0),
        response_time_mean=numbers("response_time_mean", config.irt.response_time_mean),
        response_time_std=numbers("response_time_std", config.irt.response_time_std),
    )


def _filled(questions: Questions, num_los: int) -> Questions:
    """Return the questions with copies of the nearest difficulty's in every empty cell."""
    rows, levels = [np.arange(len(questions.id))], [questions.difficulty]
    for lo in range(num_los):
        cells = [
            np.flatnonzero((questions.learning_outcome == lo) & (questions.difficulty == level))
            for level in range(len(DIFFICULTIES))
        ]
        for level in (level for level, cell in enumerate(cells) if not len(cell)):
            nearest = min(
                (near for near, cell in enumerate(cells) if len(cell)),
                key=lambda near: (abs(near - level), abs(questions.irt_b[cells[near]].mean() - MEDIUM_MIDDLE)),
            )
            rows.append(cells[nearest])
            levels.append(np.full(len(cells[nearest]), level, i8))
    row, difficulty = np.concatenate(rows), np.concatenate(levels)
    copies = list(zip(row, difficulty, strict=True))[len(questions.id) :]
    return Questions(
        id=questions.id + tuple(f"{questions.id[k]}@{DIFFICULTIES[level]}" for k, level in copies),
        learning_outcome=questions.learning_outcome[row],
        difficulty=difficulty,
        irt_a=questions.irt_a[row],
        irt_b=questions.irt_b[row],
        irt_c=questions.irt_c[row],
        response_time_mean=questions.response_time_mean[row],
        response_time_std=questions.response_time_std[row],
    )


def bank_from_rows(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Bank:
    """Return the bank of {"questions": rows, "contents": rows}, each row a mapping with the columns of S2.5.

    So a bank can be part of JSON, such as an environment's spec. Raises BankError, as `load_bank` does.
    """
    stems = ("questions", "contents")
    if set(tables) != set(stems):
        raise BankError(f"a bank is a mapping with the keys 'questions' and 'contents'; got {sorted(map(str, tables))}")
    with tempfile.TemporaryDirectory(prefix="alsim-bank-") as staged:
        for stem in stems:
            rows = tables[stem]
            if isinstance(rows, str) or not isinstance(rows, Sequence) or not all(isinstance(r, Mapping) for r in rows):
                raise BankError(f"bank[{stem!r}] is a list of mappings, one an item; got {reprlib.repr(rows)}")
            columns = list(dict.fromkeys(key for row in rows for key in row))
            with Path(staged, f"{stem}.csv").open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream)
                writer.writerow(columns)
                writer.writerows([row.get(key, "") for key in columns] for row in rows)
        try:
            return load_bank(staged)
        except BankError as error:
            # The file is gone by the time anybody reads this; its line 2 is row 1.
            raise BankError(f"the bank given as rows: {str(error).replace(staged + os.sep, '')}") from None
