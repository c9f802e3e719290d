"""Student models whose difficulties are those that experts expect."""

from __future__ import annotations

import numpy as np

from alsim.engine.catalogue import Catalogue
from alsim.models.irt.curves import ItemParameters
from alsim.models.student.base import StudentModel
from alsim.types import Doubles


def expert_model(name: str, catalogue: Catalogue) -> StudentModel:
    """Return the model `irt`, `elo` or `glicko` with the expected difficulties of the questions, 0 where unknown."""
    from alsim.engine.models import catalogue_items
    from alsim.models.student.files import class_of

    items = catalogue_items(catalogue, by_item=True)
    values = {item.id: item for item in catalogue.items}

    def column(field: str, default: float) -> Doubles:
        found = [getattr(values[n], field) if n in values else None for n in items.names.tolist()]
        return np.array([default if value is None else value for value in found])

    difficulty, guess = column("difficulty", 0.0), column("guess", 0.0)
    if name != "irt":
        made: StudentModel = class_of(name)(items, difficulty, guess)  # type: ignore[call-arg]  # both have these
        return made
    parameters = ItemParameters(a=column("discrimination", 1.0), b=difficulty, c=guess)
    irt: StudentModel = class_of(name).of_parameters(parameters, items)  # type: ignore[attr-defined]  # AbilityModel
    return irt


__all__ = ["expert_model"]
