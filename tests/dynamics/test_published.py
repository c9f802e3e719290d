"""Numbers that others published or computed: DASH, KSS, and the closed form of knowledge tracing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import dash
import numpy as np
import pytest

import alsim
from alsim.jit.compile import COMPILED
from alsim.jit.interpreted import interpreted
from alsim.types import f32


def test_dash_reproduces_the_recall_of_deeptutor(published: Path) -> None:
    """Reviews 5 hours and 3 steps apart; a window of 40 steps is 200 / 3 hours. All recalls within 1e-5."""
    traces = json.loads((published / "learners" / "deeptutor.json").read_text())["traces"]["DASH"]
    observe, practised = interpreted(dash.observe), interpreted(dash.practised)
    compared = 0
    for trace in traces:
        given = trace["parameters"]
        assert (given["n_windows"], given["window_size"], trace["steps_per_review"]) == (5, 40, 3)
        assert given["window_cw"] == given["window_nw"]
        constants = [given["delay_coef"], 200 / 3, *given["window_cw"][:4]]
        items = [
            dash.Dash(*map(f32, (given["student_ability"] - d, math.exp(given["student_decay_exp"] - e), *constants)))
            for d, e in zip(given["item_difficulties"], given["item_decay_exps"], strict=True)
        ]
        states = [dash.Counts(hours=f32(hours)) for hours in given["last_review_before_start"]]
        expected = {row[0]: row[1:] for row in trace["recall_after_review_t"]}
        for number, (item, outcome, hours) in enumerate(trace["reviews"]):
            states[item] = practised(items[item], states[item], f32(hours), bool(outcome))
            if number in expected:
                recall = [observe(p, f32(0), state, f32(hours)) for p, state in zip(items, states, strict=True)]
                np.testing.assert_allclose(recall, expected[number], rtol=0, atol=1e-5)
                compared += len(recall)
    assert compared == 2 * 10 * 30


def test_kss_reproduces_the_abilities_of_edusim(published: Path) -> None:
    """KSS, the ancestor of the dynamics `prerequisites`, by its own rule: a gain spreads to the children (README)."""
    data = json.loads((published / "learners" / "edusim_kss.json").read_text())
    children: dict[int, list[int]] = {k: [] for k in range(10)}
    parents: dict[int, list[int]] = {k: [] for k in range(10)}
    for parent, child in data["edges"]:
        children[parent].append(child)
        parents[child].append(parent)

    def raise_below(abilities: list[float], item: int, rise: float) -> None:
        for child in children[item]:
            abilities[child] += rise / 2
            raise_below(abilities, child, rise / 2)

    compared = 0
    for trace in data["traces"]:
        abilities = list(trace["start"])
        for item, learnt, after in trace["steps"]:
            if learnt:
                missing = sum(5 - abilities[parent] for parent in parents[item])
                rise = 0.5 * (5 - abilities[item]) * math.exp(-missing)
                abilities[item] += rise
                raise_below(abilities, item, rise)
                abilities = [min(5.0, a) for a in abilities]
            np.testing.assert_allclose(abilities, after, rtol=0, atol=1e-6)
            compared += 1
    assert compared == 15 * 20


LEARNERS = 10**6 if COMPILED else 2000


@pytest.mark.ci
@pytest.mark.parametrize("forget", [0.0, 0.05])
def test_knowledge_tracing_has_its_closed_form(forget: float) -> None:
    """Share of learners who know an outcome, and of correct answers, after t questions about it.

    With T = p_learn and F = p_forget: P_t = pi + (P_0 - pi) (1 - T - F)**t, pi = T / (T + F), and the share of correct
    answers is g + (1 - s - g) P_t. Differences are below 4 standard errors; of 2 * 24 comparisons with independent
    errors, one exceeds this with a probability of 0.3 %. The seed is fixed.
    """
    p_init, learn, guess, slip = 0.3, 0.1, 0.2, 0.1
    calm = {"frustration_rise": 0.0, "hard_rise": 0.0}  # no learner gives up
    config: dict[str, Any] = {"num_los": 16, "dynamics": {"name": "bkt", "p_forget": forget, **calm}}
    config |= {"termination": {"mastery_threshold": 1.0}}
    env = alsim.AdaptiveLearningVectorEnv(LEARNERS, config=config, info="full", autoreset_mode="Disabled")
    env.reset(seed=7)
    stable = learn / (learn + forget)
    for t in range(12):
        known = stable + (p_init - stable) * (1 - learn - forget) ** t
        found = env.truth()["mastery"][:, 0].astype(float).mean()
        assert abs(found - known) < 4 * math.sqrt(known * (1 - known) / LEARNERS)
        correct = env.step(np.zeros(LEARNERS, np.int64))[4]["correct"]
        p = guess + (1 - slip - guess) * known
        assert abs(correct.mean() - p) < 4 * math.sqrt(p * (1 - p) / LEARNERS)
