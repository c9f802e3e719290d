"""Recommenders of the engine: presets by name, any policy of `alsim.policies`, and those of users."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from alsim.engine.catalogue import Catalogue
from alsim.engine.errors import EngineError
from alsim.engine.recommenders.base import EXPERIMENT, Counts, Group, Interaction, Recommender, Situation
from alsim.errors import AlsimError, did_you_mean
from alsim.types import describe
from alsim.utils.plugins import import_object

if TYPE_CHECKING:
    from alsim.assignment import Experiment

PRESETS = {
    "guide": "alsim.engine.recommenders.guide:Guide",
    "alosi": "alsim.engine.recommenders.alosi:Alosi",
    "thompson": "alsim.engine.recommenders.thompson:Thompson",
}
"""Module and class of each preset."""
PREFIX = "policy:"
"""Begin of the name of a policy of `alsim.policies`."""


def make_recommender(
    policy: Any, catalogue: Catalogue, experiments: Mapping[str, Experiment] | None = None
) -> Recommender:
    """Return a recommender for a catalogue.

    policy       name of a preset, which numbers may follow, as in "thompson:8"; "policy:NAME", where NAME is any name
                 of `alsim.policies.make_policy`; NAME alone, if it is registered and no preset; "experiment:NAME";
                 "module:Class"; or a class or an object: a Recommender, or a policy
    experiments  experiments by name

    Raises EngineError for anything else, and for a policy that an engine cannot use.
    """
    if isinstance(policy, str) and policy.startswith(EXPERIMENT):
        return _experiment(policy.removeprefix(EXPERIMENT), catalogue, experiments or {})
    if isinstance(policy, str):
        return _named(policy, catalogue)
    if isinstance(policy, type) and issubclass(policy, Recommender):
        return policy(catalogue)
    if isinstance(policy, Recommender):
        if policy.catalogue.digest != catalogue.digest:
            raise EngineError(f"the recommender {policy.name!r} was made for another catalogue: pass its class instead")
        return policy
    if isinstance(policy, type) and callable(getattr(policy, "act", None)):
        return _of_policy(policy(), catalogue)
    if callable(getattr(policy, "act", None)):
        return _of_policy(policy, catalogue)
    expected = "a name, a Recommender or a policy of alsim.policies"
    raise EngineError(f"there is no policy {describe(policy)} of the engine; expected {expected}")


def _named(name: str, catalogue: Catalogue) -> Recommender:
    """Return the recommender with a name. Raises EngineError."""
    head, colon, rest = name.partition(":")
    if head in PRESETS:
        made: Recommender = _preset(head, rest.split(":") if colon else [], catalogue)
        return made
    if name.startswith(PREFIX):
        return _of_policy(rest, catalogue)
    from alsim.policies.names import known_policies

    policies = known_policies()
    if head in policies:
        return _of_policy(name, catalogue)
    if colon:
        reference = ":".join([head, rest.partition(":")[0]])
        try:
            found = import_object(reference)
        except AlsimError as error:
            raise EngineError(f"there is no policy {name!r:.100} of the engine: {error}") from None
        is_recommender = isinstance(found, Recommender) or (isinstance(found, type) and issubclass(found, Recommender))
        return make_recommender(found, catalogue) if is_recommender else _of_policy(name, catalogue)
    cure = did_you_mean(name, [*PRESETS, *policies]) or (
        f"; expected {', '.join(map(repr, PRESETS))}, 'policy:NAME' with a policy of alsim.policies, or 'module:Class'"
    )
    raise EngineError(f"there is no policy {name!r:.100} of the engine{cure}")


def _experiment(name: str, catalogue: Catalogue, experiments: Mapping[str, Experiment]) -> Recommender:
    """Return the recommender of an experiment. Raises EngineError."""
    from alsim.engine.recommenders.experiment import ExperimentRecommender

    if name not in experiments:
        known = f"expected {', '.join(map(repr, experiments))}" if experiments else "define it in experiments"
        raise EngineError(f"there is no experiment {name!r:.100}{did_you_mean(name, experiments) or f'; {known}'}")
    return ExperimentRecommender(catalogue, experiments[name], make_recommender)


def _preset(name: str, arguments: list[str], catalogue: Catalogue) -> Any:
    """Return a preset. Raises EngineError for arguments that it does not take."""
    module, _, class_name = PRESETS[name].partition(":")
    cls = getattr(import_module(module), class_name)
    parameters = list(inspect.signature(cls).parameters.values())[1:]
    form = ":".join([name, *(f"[{p.name.upper()}]" for p in parameters)])
    if len(arguments) > len(parameters):
        raise EngineError(f"the policy {name!r} takes {len(parameters)} arguments; got {arguments}: write {form}")
    try:
        values = [type(p.default)(text) for p, text in zip(parameters, arguments, strict=False)]
    except ValueError:
        raise EngineError(
            f"the arguments of the policy {name!r} must be numbers; got {arguments}: write {form}"
        ) from None
    return cls(catalogue, *values)


def _of_policy(policy: Any, catalogue: Catalogue) -> Recommender:
    """Return the recommender of a policy of `alsim.policies`. Raises EngineError."""
    from alsim.engine.recommenders.policy import PolicyRecommender

    return PolicyRecommender(catalogue, policy)


__all__ = ["PREFIX", "PRESETS", "Counts", "Group", "Interaction", "Recommender", "Situation", "make_recommender"]
