"""Fields of structs of arrays, from their annotations: element type, and number of entries per lane."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from alsim.types import ONE_EACH, Interaction, LearnerArrays, PerLane


class Field(NamedTuple):
    """Element type and length of a field."""

    dtype: Any
    per_lane: PerLane


def fields_of(struct: type[Any]) -> dict[str, Field]:
    """Return the fields of a struct of arrays by name; a field without PerLane has one entry per lane.

    Fields whose type is not declared are left out: the dynamics decides on them.
    """
    fields = {}
    for name, annotation in get_type_hints(struct, include_extras=True).items():
        if annotation is Any:
            continue
        array, *per_lane = get_args(annotation) if get_origin(annotation) is Annotated else (annotation, ONE_EACH)
        element = get_args(array)[-1]  # dtype[T]; from NumPy 2.5 on, T
        fields[name] = Field((get_args(element) or (element,))[0], per_lane[0])
    return fields


LEARNER_FIELDS = fields_of(LearnerArrays)
INTERACTION_FIELDS = fields_of(Interaction)
