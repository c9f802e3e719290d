"""Description of the directory of a training, for `alsim info` and `alsim show`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alsim.cli.output import print_facts, printable, write_report
from alsim.cli.rules import learner_facts, other_differences
from alsim.cli.training_seeds import print_seeds_info
from alsim.errors import AlsimError
from alsim.utils.reading import read_json, reason


def is_training(directory: Path) -> bool:
    """Return whether a directory holds a training, finished or not."""
    from alsim.training.directory import SETTINGS

    return (directory / SETTINGS).is_file()


def print_training(directory: Path, report: Path | None) -> None:
    """Print the settings and the evaluation of a training, and write them as JSON if `report` is given."""
    from alsim.cli.training import print_policies
    from alsim.training.directory import EVALUATION, SETTINGS, checkpoint_steps
    from alsim.training.seeds_directory import is_seeds_directory

    if is_seeds_directory(directory):
        print_seeds_info(directory, report)
        return
    settings = read_stored(directory / SETTINGS)
    finished = (directory / EVALUATION).is_file()
    evaluation = read_stored(directory / EVALUATION) if finished else None
    with stored_training(directory):
        facts = _facts(settings, evaluation, checkpoint_steps(directory))
        print(printable(str(directory)))
        print_facts(facts)
        if evaluation is not None:
            print()
            print(f"Mean ± standard error over {evaluation['learners']['num_learners']:,} held-out learners:")
            print_policies(evaluation["policies"])
    write_report(report, {"settings": settings, "evaluation": evaluation})


@contextmanager
def stored_training(directory: Path) -> Iterator[None]:
    """Raise AlsimError, which names the directory, if a file of a training lacks a key within the context."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AlsimError(
            f"{directory} is no training of this version of alsim: {type(error).__name__}: {error}; train again"
        ) from None


def training_rules(directory: Path) -> str:
    """Return the algorithm, the rules and the observation of a training as text."""
    from alsim.training.directory import SETTINGS

    settings = read_stored(directory / SETTINGS)
    try:
        return f"{settings['algorithm']}, observation {settings['observation']}, {rules_of(settings)}"
    except (AttributeError, KeyError, TypeError):
        raise AlsimError(f"{directory / SETTINGS} lacks the settings of a training; train again") from None


def _facts(settings: Any, evaluation: Any, checkpoint: int | None) -> list[tuple[str, str]]:
    """Return the settings and the progress of a training as labels and texts."""
    total = settings["hyperparameters"]["steps"]
    if evaluation is None:
        progress = (
            f"unfinished, at {checkpoint or 0:,} of {total:,} interactions; the same alsim train command resumes it"
        )
    else:
        run = evaluation["training"]
        progress = f"{run['steps']:,} interactions in {run['seconds']:,.0f} s; best evaluation at {run['best_steps']:,}"
    return [
        ("policy", f"{settings['name']}, trained by {settings['algorithm']}, seed {settings['seed']}"),
        ("training", progress),
        ("origin", f"observation {settings['observation']}, {settings['config']['num_los']:,} learning outcomes"),
        ("rules", rules_of(settings)),
        *learner_facts(settings["config"]),
    ]


def rules_of(settings: Any) -> str:
    """Return the dynamics of a training, and the values of its configuration that differ from the defaults."""
    from alsim.evaluation.dataset_summary import config_differences

    name, differences = settings["config"]["dynamics"]["name"], config_differences(settings["config"])
    if not differences:
        return f"dynamics {name}; default configuration"
    others = [f"{key} {value}" for key, value in other_differences(differences).items()]
    return "; ".join([f"dynamics {name}", *([", ".join(others)] if others else [])])


def read_stored(file: Path) -> Any:
    """Return the content of a JSON file. Raises AlsimError."""
    try:
        return read_json(file, inside=file.parent)
    except (OSError, ValueError) as error:
        raise AlsimError(f"{file} cannot be read: {reason(error)}; train again") from None


__all__ = ["is_training", "print_training", "read_stored", "rules_of", "stored_training", "training_rules"]
