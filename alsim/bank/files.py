"""Banks saved as two tables, and banks made from a table of questions only (clause S2.5)."""

from __future__ import annotations

import csv
import logging
import os
import re
import reprlib
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alsim.bank.items import Bank, BankError, Contents, Questions, sample_contents
from alsim.bank.tables import Table, read_questions, read_table
from alsim.types import DIFFICULTIES, MODALITIES, Codes, Floats, Ints, f32, i8, i32
from alsim.utils.file_groups import finish_group, read_group, replace_group
from alsim.utils.files import temporary_directory
from alsim.utils.locks import locked
from alsim.utils.reading import MAX_TABLE, read_bytes, reason

if TYPE_CHECKING:
    from alsim.config import Config

SUFFIXES = (".csv", ".parquet")
TABLES = tuple(stem + suffix for stem in ("questions", "contents") for suffix in SUFFIXES)
"""Possible names of the tables of a bank."""
MAIN = "questions.csv"
"""Table that `save_bank` writes first: it identifies the group of files."""
INDEX = re.compile(r"([0-9]{1,9})(\.0)?")  # some writers convert a column of integers to floats

log = logging.getLogger(__name__)


def save_bank(bank: Bank, directory: str | Path, force: bool = False) -> None:
    """Write questions.csv and contents.csv, which `load_bank` reads back to an identical bank.

    bank       bank to save
    directory  directory of the two files; it is created if it does not exist
    force      if True, an existing bank is overwritten

    The tables were read back to an identical bank before they replace others, at one moment: a kill leaves either bank.
    Other files of the directory are kept. Raises BankError if the directory already holds a bank, or tables of these
    names that are not of a bank, if it cannot be written, or if tables cannot represent `bank`: an id is used twice, a
    value is out of bounds, or the outcomes are not in the order of their first question.
    """
    directory = Path(directory)
    try:
        finish_group(directory, MAIN)
        check = partial(_check_replaceable, directory, force)
        with locked(directory):
            check()
        directory.mkdir(parents=True, exist_ok=True)
        with temporary_directory(directory / "bank") as staged:
            _write(staged / MAIN, bank.outcomes, bank.questions, "difficulty", DIFFICULTIES)
            _write(staged / "contents.csv", bank.outcomes, bank.contents, "modality", MODALITIES)
            _check_round_trip(bank, staged)
            tables = {name: read_bytes(staged / name, MAX_TABLE) for name in (MAIN, "contents.csv")}
        # Tables of the other kind are deleted: otherwise the directory would hold two banks.
        obsolete = [name for name in TABLES if name not in tables]
        replace_group(directory, tables, obsolete, check)
    except OSError as error:
        raise BankError(
            f"{directory}: a bank cannot be written there: {error.strerror or error}; choose another directory"
        ) from None


def _check_replaceable(directory: Path, force: bool) -> None:
    """Raise BankError if a directory holds a bank, without `force`, or tables of these names that are not of a bank."""
    existing = [name for name in TABLES if (directory / name).exists()]
    if existing and not force:
        raise BankError(
            f"{directory}: already holds a bank ({', '.join(existing)}); force=True (--force) overwrites it"
        )
    for name in existing:
        if not _is_table(directory / name, Questions._fields if name in _names("questions") else Contents._fields):
            raise BankError(
                f"{directory / name} is not a table of a bank, so it is not overwritten; move it, or choose another "
                "directory"
            )


def _is_table(file: Path, columns: Sequence[str]) -> bool:
    """Return whether a file is a table with exactly these columns, in any order."""
    try:
        table = read_table(file, {name: name for name in columns}, inside=file.parent)
    except BankError:
        return False
    return not table.unknown and {*table.columns} == {*columns}


def _write(
    path: Path, outcomes: tuple[str, ...], items: Questions | Contents, code: str, words: tuple[str, ...]
) -> None:
    """Write one table. The integers in the column `code` are indices into `words`, which are written instead."""
    columns = {name: getattr(items, name) for name in items._fields}
    columns["learning_outcome"] = [outcomes[lo] for lo in items.learning_outcome]
    columns[code] = [words[k] for k in columns[code]]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        # The string of a float32 is the shortest text that reads back to the same bits.
        writer.writerows([str(cell) for cell in row] for row in zip(*columns.values(), strict=True))


def _check_round_trip(bank: Bank, staged: Path) -> None:
    """Raise BankError unless the staged files read back to the same bank."""
    try:
        same = load_bank(staged) == bank
    except BankError as error:
        raise BankError(f"tables cannot represent the bank: {str(error).replace(f'{staged}{os.sep}', '')}") from None
    if not same:
        raise BankError(
            "tables cannot represent the bank: names must not begin or end with a space, and outcomes must be "
            f"in the order of their first question; the outcomes are {', '.join(bank.outcomes[:5])} …"
        )


def load_bank(source: str | Path) -> Bank:
    """Read the bank in a directory: questions and contents, each .csv or .parquet (clause S2.5).

    The columns are the fields of `alsim.bank.items.Questions` and `Contents`, in any order. Difficulty and modality
    are words in any case. If every learning_outcome of both tables is an integer, they are 0-based indices. Otherwise
    they are names, numbered in the order of their first question.

    Raises BankError, which names file, row, column, value and the expected value.
    """
    return read_bank(Path(source), inside=Path(source))


def read_bank(source: Path, *, inside: Path) -> Bank:
    """Read the bank in a directory, as `load_bank` does, whose files may not lead out of the directory `inside`."""
    try:
        return read_group(source, MAIN, partial(_load, source, inside))
    except OSError as error:
        raise BankError(f"{source} cannot be read: {reason(error)}") from None


def _load(source: Path, inside: Path, path_of: Callable[[str], Path]) -> Bank:
    """Read the bank in a directory; `path_of` returns the path from which a file is read."""
    tables = [
        read_table(_find(source, stem, path_of), {name: name for name in fields}, inside=inside)
        for stem, fields in (("questions", Questions._fields), ("contents", Contents._fields))
    ]
    for table in tables:
        table.require(table.titles)
        if table.unknown:
            raise BankError(
                f"{table.path}: unknown column {', '.join(map(repr, table.unknown))}; "
                f"the columns of a bank are {', '.join(table.titles)}"
            )
    outcomes, (of_questions, of_contents) = _outcomes(*tables)
    questions, contents = _questions(tables[0], of_questions), _contents(tables[1], of_contents)
    try:
        return Bank(outcomes, questions, contents)
    except BankError as error:
        raise BankError(f"{source}: {error}") from None


def _names(stem: str) -> list[str]:
    """Return the possible file names of a table."""
    return [stem + suffix for suffix in SUFFIXES]


def _find(source: Path, stem: str, path_of: Callable[[str], Path]) -> Path:
    """Return the file of a table. Raises BankError unless exactly one exists."""
    existing = [path_of(name) for name in _names(stem) if path_of(name).exists()]
    if not existing:
        cure = f"alsim bank --questions {source} -o DIR" if source.is_file() else "alsim bank -o DIR"
        raise BankError(
            f"{source}: a bank must be a directory with {' or '.join(_names(stem))}; found neither; `{cure}` writes one"
        )
    if len(existing) > 1:
        both = " and ".join(file.name for file in existing)
        raise BankError(f"{source}: a bank must have one table of {stem}; found {both}; delete one of them")
    return existing[0]


def _questions(table: Table, learning_outcome: Ints) -> Questions:
    """Return the questions of a table with all columns."""
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
    """Return the names of the outcomes, and the outcome of each row of each table."""
    labels = [table.labels("learning_outcome") for table in tables]
    are_indices = all(INDEX.fullmatch(label) for column in labels for label in column)
    if are_indices:
        labels = [[str(int(label.removesuffix(".0"))) for label in column] for column in labels]
    names = list(dict.fromkeys(label for column in labels for label in column))
    sets = [set(column) for column in labels]
    for name in names:
        if lacking := [table.path.name for table, labels_of in zip(tables, sets, strict=True) if name not in labels_of]:
            k = next(k for k, labels_of in enumerate(sets) if name in labels_of)
            raise tables[k].fault("learning_outcome", labels[k].index(name), f"an outcome that is also in {lacking[0]}")
    if are_indices:
        names.sort(key=int)
        if gaps := set(map(str, range(len(names)))).difference(names):
            row, gap = labels[0].index(names[-1]), min(gaps, key=int)
            expected = (
                f"0-based indices without a gap, or names that are not integers; no row has {gap}: number the outcomes "
                "from 0, or name them, such as LO1"
            )
            raise tables[0].fault("learning_outcome", row, expected)
    index = {name: lo for lo, name in enumerate(names)}
    return tuple(names), [np.array([index[label] for label in column], i32) for column in labels]


def complete_bank(
    questions_file: str | Path,
    config: Config,
    columns: Mapping[str, str] | None = None,
    fill_empty: bool = False,
    encoding: str | None = None,
) -> Bank:
    """Return a bank made from a table of questions only, such as the results of an IRT calibration.

    questions_file  text file with any usual delimiter, or Parquet; or a fitted item response model in JSON
    config          configuration from which contents are sampled and missing response times are taken
    columns         {alsim's name: name in the file} of columns with another name, such as {"irt_a": "disc"}. The names
                    are those of `Questions`, irt_d and intercept
    fill_empty      if True, empty (LO, difficulty) cells are filled with copies of questions; otherwise they raise
                    BankError
    encoding        encoding of a text file, such as latin-1. Default: that of the byte order mark, or UTF-8

    Only a difficulty is required. The parameters may have the names that alsim, catR, catsim, ltm and mirt use, see
    `alsim.models.irt.read_items`. Unknown columns of the file are ignored. Columns that are neither in the file nor in
    `columns` have defaults:

        id                  0, 1, ... in the order of the rows, as in `alsim cat`
        learning_outcome    one outcome for all questions
        difficulty          from b: Easy, Medium and Hard below, between and from the limits of `level_limits`, by
                            default -0.5 and 0.5
        irt_a               1, the Rasch model
        irt_c               0, the two-parameter model
        response_time_*     from `config.irt`
        irt_d               1; an upper asymptote must be 1 in every row

    A column `difficulty` of numbers is b, one of words is the level. Assumptions and conversions are logged by the
    logger "alsim.bank", with level INFO.

    With `fill_empty`, an empty cell gets copies of the questions of the nearest difficulty of the same outcome. If Easy
    and Hard are equally near, the one whose mean b is nearer to the middle of Medium is copied. A copy has the
    parameters of the original, and its id names the cell: q12@Hard is the copy of q12 in a Hard cell.

    Raises BankError, which names file, row, column, value and the expected value.
    """
    path = Path(questions_file)
    table, notes = read_questions(path, columns or {}, encoding)
    if "irt_d" in table.columns:
        table.numbers("irt_d")
    outcomes, (learning_outcome,) = _outcomes(table)
    questions = _completed(table, learning_outcome, config)
    for note in notes:
        log.info("%s: %s", path.name, note)
    if fill_empty:
        questions = _filled(questions, len(outcomes), sum(level_limits(config)) / 2)
        repeated, count = Counter(questions.id).most_common(1)[0]
        if count > 1:
            raise BankError(
                f"{path}: ids must be unique; {repeated} is the id of a question of the file and of a copy that fills "
                "an empty cell; rename the question"
            )
    try:
        return Bank(outcomes, questions, sample_contents(config, len(outcomes)))
    except BankError as error:
        raise BankError(
            f"{path}: {error}; fill_empty=True (--fill-empty) copies questions of the nearest difficulty"
        ) from None


def level_limits(config: Config) -> tuple[float, float]:
    """Return the difficulties b, logits, from which questions without a level are Medium and Hard.

    They are midway between the ranges of b of neighbouring levels in `config.irt.difficulty_ranges` (clause S2.2).
    """
    ranges = config.irt.difficulty_ranges
    low, high = sorted([(ranges.easy[1] + ranges.medium[0]) / 2, (ranges.medium[1] + ranges.hard[0]) / 2])
    return low, high


def _completed(table: Table, learning_outcome: Ints, config: Config) -> Questions:
    """Return the questions of a table, with defaults for missing columns."""
    n = len(table.places)
    irt_b = table.numbers("irt_b")

    def numbers(column: str, default: float) -> Floats:
        return table.numbers(column) if column in table.columns else np.full(n, default, f32)

    def difficulty() -> Codes:
        if "difficulty" in table.columns:
            return table.codes("difficulty", DIFFICULTIES)
        return np.digitize(irt_b, level_limits(config)).astype(i8)

    return Questions(
        id=table.ids() if "id" in table.columns else tuple(map(str, range(n))),
        learning_outcome=learning_outcome,
        difficulty=difficulty(),
        irt_a=table.numbers("irt_a"),
        irt_b=irt_b,
        irt_c=numbers("irt_c", 0.0),
        response_time_mean=numbers("response_time_mean", config.irt.response_time_mean),
        response_time_std=numbers("response_time_std", config.irt.response_time_std),
    )


def _filled(questions: Questions, num_los: int, middle: float) -> Questions:
    """Return the questions and, for each empty cell, copies of the questions of the nearest difficulty.

    middle  middle of the range of b of Medium questions, logits
    """
    rows, levels = [np.arange(len(questions.id))], [questions.difficulty]
    for lo in range(num_los):
        cells = [
            np.flatnonzero((questions.learning_outcome == lo) & (questions.difficulty == level))
            for level in range(len(DIFFICULTIES))
        ]
        for level in (level for level, cell in enumerate(cells) if not len(cell)):
            nearest = min(
                (near for near, cell in enumerate(cells) if len(cell)),
                key=lambda near: (abs(near - level), abs(questions.irt_b[cells[near]].mean() - middle)),
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
    """Return the bank in a mapping {"questions": rows, "contents": rows}.

    A row is a mapping from the columns of clause S2.5 to values. This form can be part of JSON, such as the spec of an
    environment. Raises BankError, as `load_bank` does.
    """
    stems = ("questions", "contents")
    if set(tables) != set(stems):
        raise BankError(
            f"a bank must be a mapping with the keys 'questions' and 'contents'; got {sorted(map(str, tables))}"
        )
    with tempfile.TemporaryDirectory(prefix="alsim-bank-") as staged:
        for stem in stems:
            rows = tables[stem]
            if isinstance(rows, str) or not isinstance(rows, Sequence) or not all(isinstance(r, Mapping) for r in rows):
                raise BankError(f"bank[{stem!r}] must be a list of mappings, one per item; got {reprlib.repr(rows)}")
            columns = list(dict.fromkeys(key for row in rows for key in row))
            with Path(staged, f"{stem}.csv").open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream)
                writer.writerow(columns)
                writer.writerows([row.get(key, "") for key in columns] for row in rows)
        try:
            return load_bank(staged)
        except BankError as error:
            # The temporary file no longer exists; its line 2 is row 1.
            raise BankError(f"the bank passed as rows: {str(error).replace(staged + os.sep, '')}") from None
