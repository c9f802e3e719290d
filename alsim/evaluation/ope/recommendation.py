"""The estimator to believe, and the warnings that follow from the diagnosis of a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from alsim.evaluation.ope.diagnosis import LEAST_EPISODES, Diagnosis
from alsim.evaluation.ope.episodes import Warned
from alsim.evaluation.ope.estimate import Estimate

LARGEST_UNSUPPORTED = 0.05
"""Largest share of the target's actions without support for which an estimate is recommended."""
FEWEST_CARRYING = 30.0
"""Smallest effective sample size, in episodes, for which `mis` or `window` is recommended."""
WITHIN, BEYOND = ("dr", "wdr", "snpdis", "pdis"), ("mis", "window")
"""Estimators that are recommended within and beyond the budget of the diagnosis, the best first."""
LEAST_SHARE = 0.1
"""Smallest share of actions of the target that is worth a sentence, percent."""
UNCOUNTED = 1e9
"""Number of episodes from which it is not written in full."""


def recommendation(diagnosis: Diagnosis, found: Mapping[str, Estimate], *, has_memory: bool = False) -> str | None:
    """Return the estimator to believe, None if there is none.

    Within the budget of the diagnosis, a doubly robust estimator. Beyond it `mis`, or `window` for a log without
    clusters, while enough episodes carry it, and unless the target has a memory, which clusters do not contain. The
    bias of both was measured on simulated learners only.
    """
    if diagnosis.unsupported_share > LARGEST_UNSUPPORTED:
        return None
    if diagnosis.within_budget:
        return next((name for name in WITHIN if name in found), None)
    if has_memory:
        return None
    chosen = next((name for name in BEYOND if name in found), None)
    return chosen if chosen is not None and found[chosen].ess >= FEWEST_CARRYING else None


def about(diagnosis: Diagnosis, recommended: str | None, *, has_memory: bool = False) -> Iterator[Warned]:
    """Yield the warnings that follow from a diagnosis."""
    if diagnosis.unsupported_share > LARGEST_UNSUPPORTED:
        share = f"{100 * diagnosis.unsupported_share:.0f} %"
        yield Warned(
            "unsupported",
            f"{share} of the actions of the target are never taken by the policy of the log, so the log does not tell "
            "what they do: collect data with a policy that explores",
        )
    if diagnosis.within_budget:
        return
    needed, mixture = diagnosis.episodes_needed, 100 * diagnosis.largest_mixture
    cure = f"about {needed:,.0f} episodes" if needed < UNCOUNTED else "more than a billion episodes"
    cure += " would do"
    if LEAST_SHARE <= mixture <= 100 - LEAST_SHARE:
        cure += (
            f", or a target that acts as this one in {mixture:.2g} % of the steps, and else as the policy of the log"
        )
    ess = f"{diagnosis.predicted_ess:,.0f}" if diagnosis.predicted_ess >= 1 else "less than one"
    yield Warned(
        "beyond-budget",
        f"estimators with weights of histories are not reliable here: in theory {ess} of {diagnosis.episodes:,.0f} "
        f"episodes carry them, and {LEAST_EPISODES} would have to; {cure}",
    )
    if has_memory:
        yield Warned(
            "memory",
            "the target acts on its memory of earlier interactions, which neither mis nor window takes into account: "
            "their bias may be as large as the value",
        )
    if recommended is not None:
        yield Warned(
            "biased",
            f"{recommended} is biased, and its interval ignores that: the bias was measured on simulated learners only "
            "(a certificate measures it for two policies)",
        )


def about_estimates(found: Mapping[str, Estimate], undefined: Mapping[str, Sequence[str]]) -> Iterator[Warned]:
    """Yield the warnings about single estimators.

    undefined  estimators that are undefined, by reason
    """
    for reason, names in undefined.items():
        yield Warned("undefined", f"{_listed(names)} {'is' if len(names) == 1 else 'are'} undefined: {reason}")
    if empty := [name for name, one in found.items() if one.family == "importance" and one.ess == 0]:
        yield Warned(
            "no-weight",
            f"no episode of the log has only actions that the target takes, so {_listed(empty)} "
            f"{'counts' if len(empty) == 1 else 'count'} no whole episode: do not use "
            f"{'it' if len(empty) == 1 else 'them'}",
        )


def _listed(names: Sequence[str]) -> str:
    """Return names as the subject of a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


__all__ = ["about", "about_estimates", "recommendation"]
