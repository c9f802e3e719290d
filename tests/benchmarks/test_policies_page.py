"""The page that compares all policies has the measured figures, and its sentences agree with them."""

import json

import pytest

from alsim.dynamics import DYNAMICS
from alsim.policies import POLICIES
from benchmarks import policies

SAVED = json.loads(policies.RESULTS.read_text(encoding="utf-8"))
FIGURES = SAVED["metrics"]
OTHERS = [name for name in policies.POLICIES if not name.startswith("oracle")]


LASTING = [name for name, dynamics in DYNAMICS.items() if dynamics.observe is None]
"""Dynamics without forgetting; docs/memory.md has the others."""
SCHEDULERS = {name for name, made in POLICIES.items() if made.__module__.startswith("alsim.policies.schedulers")}


def means(metric, dynamics):
    return {policy: FIGURES[metric][policy][dynamics]["mean"] for policy in policies.POLICIES}


def test_the_page_has_the_measured_figures():
    page = policies.PAGE.read_text(encoding="utf-8")
    assert page == policies.page_of(page, SAVED)
    assert f"{SAVED['learners']:,} [held-out learners]" in page
    assert SAVED["learners"] == policies.LEARNERS == 1000
    assert SAVED["first_learner"] == 2**31


def test_every_policy_under_every_dynamics_is_measured():
    # What an engine teaches depends on its catalogue: docs/engine/simulator.md has its figures.
    assert {name.partition(":")[0] for name in policies.POLICIES} == set(POLICIES) - {"engine"} - SCHEDULERS
    assert len(SCHEDULERS) == 5 and set(policies.DYNAMICS) == set(LASTING)
    for by_policy in FIGURES.values():
        assert set(by_policy) == set(policies.POLICIES)
        assert all(set(by_dynamics) == set(LASTING) for by_dynamics in by_policy.values())


@pytest.mark.parametrize("dynamics", LASTING)
def test_the_oracle_learns_at_least_as_much_as_the_others(dynamics):
    for policy in OTHERS:
        difference = FIGURES["below-oracle"][policy][dynamics]
        assert difference["n"] == 1000
        assert difference["ci"][1] >= 0, policy
        learning = means("learning", dynamics)
        assert learning["oracle"] - learning[policy] == pytest.approx(difference["mean"], abs=1e-9)


def test_the_sentences_agree_with_the_figures():
    rewarded, learned = means("return", "standard"), means("learning", "standard")
    assert max(rewarded, key=rewarded.get) == "weakest"
    assert learned["weakest"] < learned["oracle"] / 2
    gap = {dynamics: FIGURES["below-oracle"]["video-weakest"][dynamics]["mean"] for dynamics in LASTING}
    assert all(value < 0.2 for dynamics, value in gap.items() if dynamics != "prerequisites")
    assert gap["prerequisites"] > 4
    for bandit in ("thompson", "lints", "ucb1", "linucb", "softmax", "igw", "exp3"):
        assert learned[bandit] < learned["video-weakest"]


@pytest.mark.compiled
@pytest.mark.versionless
@pytest.mark.ci
@pytest.mark.parametrize("policy", ["uniform", "weakest", "zpd", "student:FILE"])
def test_the_figures_are_those_of_this_version(policy):
    measured = policies.measure(policy, "linked")
    for metric in ("return", "learning"):
        assert measured[metric].mean() == pytest.approx(FIGURES[metric][policy]["linked"]["mean"], rel=1e-9)
