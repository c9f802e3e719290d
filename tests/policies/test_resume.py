"""Contract of policies: an interrupted dataset, resumed, has the bits of an uninterrupted one, and of a rollout."""

from pathlib import Path

import numpy as np
import pytest

import alsim
from alsim.datasets.manifest import DatasetError
from alsim.jit.compile import COMPILED
from alsim.policies import POLICIES, EpsilonGreedy, cat, mastery_gated, oracle, thompson, zpd, zpdes
from alsim.policies.schedulers import fsrs, leitner

ELO = Path(__file__).with_name("elo-30.npz")
ARGUMENTS = {
    "epsilon-greedy": "epsilon-greedy:zpdes:0.2",
    "mix": "mix:thompson=0.5,bkt=0.5",
    "student": f"student:{ELO}",
    "engine": f"engine:{ELO.with_name('engine-3')}",
    "oracle": "oracle:2",
}
SHARED = ["linucb:1.0:0.05:true", "epsilon-greedy:(exp3:0.1:0.05:true):0.1"]
NAMES = [*(ARGUMENTS.get(name, name) for name in POLICIES), *SHARED]
LEARNERS = 6 if COMPILED else 3


class Stops(Exception):
    pass


def stop(episodes, rows):
    if episodes >= 2:
        raise Stops


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_dataset_has_the_same_bits(name, tmp_path, monkeypatch):
    """Policies that learn across learners have rounds of two learners here."""
    shared = name in SHARED
    if shared:
        monkeypatch.setattr("alsim.policies.bandits.arms.ROUND_SIZE", 2)
    num_los = 30 if name.startswith("student") else 3
    arguments = {"policy": name, "seed": 3, "config": {"num_los": num_los, "max_episode_steps": 12}}
    run = alsim.rollout(num_learners=LEARNERS, **arguments)
    arguments |= {"num_learners": LEARNERS, "episodes_per_learner": 1, "out": tmp_path / "d"}
    arguments |= {} if shared else {"episodes_per_shard": 2}
    with pytest.raises(Stops):
        alsim.generate_dataset(progress=stop, **arguments)
    data = alsim.generate_dataset(**arguments)
    assert len(data.manifest["tables"]["episodes"]["shards"]) == -(-LEARNERS // 2)
    assert data.propensity.tobytes() == run.propensity.tobytes()
    assert np.array_equal(data.arrays["action"], run.interactions.action)
    assert data.arrays["reward"].tobytes() == run.interactions.reward.tobytes()


OTHERS = {
    "zpd": [zpd.NearestChance(0.5), zpd.NearestChance(floor=0.1), zpd.NearestChance(width=0.1)],
    "zpdes": [zpdes.ZPDES(1.0), zpdes.ZPDES(floor=0.1), zpdes.ZPDES(variant="mu")],
    "cat": [cat.CATPolicy(1), cat.CATPolicy(floor=0.1), cat.CATPolicy(blueprint=(0, 1, 0))],
    "oracle": [oracle.Oracle(2), oracle.Oracle(8, 2)],
    "thompson": [thompson.Thompson(0.2), thompson.Thompson(floor=0.1), thompson.Thompson(within=3)],
    "leitner": [leitner.Leitner(4), leitner.Leitner(base_days=2.0), leitner.Leitner(first="content")],
    "fsrs": [fsrs.FSRS(0.8), fsrs.FSRS(difficulty="Hard"), fsrs.FSRS(weights=[*fsrs.fsrs.WEIGHTS[:20], 0.2])],
    "mastery-gated": [mastery_gated.MasteryGated(0.5)],
}


@pytest.mark.heavy
@pytest.mark.parametrize("name", OTHERS)
def test_a_dataset_is_not_resumed_with_other_parameters(name, tmp_path):
    """Objects with other parameters may have the same name; an epsilon of 0.1 shows that bases are compared, too."""
    arguments = {"seed": 3, "config": {"num_los": 3, "max_episode_steps": 4}, "episodes_per_shard": 2}
    first, *others = [type(OTHERS[name][0])(), *OTHERS[name]]
    for wrapped in (lambda policy: policy, lambda policy: EpsilonGreedy(policy, 0.1)):
        out = tmp_path / wrapped(first).name.replace(":", "-")
        with pytest.raises(Stops):
            alsim.generate_dataset(6, 1, policy=wrapped(first), out=out, progress=stop, **arguments)
        for other in others:
            with pytest.raises(DatasetError, match="unfinished dataset with other settings: policy"):
                alsim.generate_dataset(6, 1, policy=wrapped(other), out=out, **arguments)
