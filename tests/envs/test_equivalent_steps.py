"""Steps into buffers, of some lanes, and from snapshots: they equal the plain step in every mode."""

import pickle
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from vector_envs import (
    DISABLED,
    SAME_STEP,
    A,
    batches,
    make,
    play,
    same,
    same_calls,
)

from alsim import AdaptiveLearningVectorEnv, Buffers
from alsim.jit.compile import COMPILED
from alsim.testing import check_vector_env
from alsim.types import BLOCK

pytestmark = pytest.mark.gymnasium


class FreshBuffers(AdaptiveLearningVectorEnv):
    """Every call writes to new arrays."""

    def reset(self, **arguments: Any) -> Any:
        return super().reset(**arguments, out=self.new_buffers())

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        out = self.new_buffers()
        returned = super().step(actions, out=out)
        assert all(a is b for a, b in zip(returned[:4], out, strict=True))
        return returned


class SameBuffers(AdaptiveLearningVectorEnv):
    """Every step writes to the same arrays, which are rows of larger ones."""

    memory: Any = None

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        if self.memory is None:
            n, width = self.observation_space.shape  # type: ignore[misc]
            arrays = (np.zeros((2, n, width), np.float32), np.zeros((2, n)), *np.zeros((2, 2, n), bool))
            self.memory = Buffers(*(array[1] for array in arrays))
        return super().step(actions, out=self.memory)


class Parts(AdaptiveLearningVectorEnv):
    """Every step is split into steps of shuffled parts of the lanes, some of them into the caller's arrays."""

    step_number = 0

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        before = self.snapshot()
        try:
            return self.by_parts(actions)
        except Exception:
            self.restore(before)  # undo the parts that were stepped
            return super().step(actions)  # raise the error for all lanes

    def by_parts(self, actions: Any) -> Any:
        self.step_number += 1
        generator = np.random.default_rng(self.step_number)
        actions, n = np.asarray(actions), self.num_envs
        if actions.shape != (n,):
            raise ValueError
        cuts = np.unique(generator.integers(1, n + 1, 2))
        parts = [part for part in np.split(generator.permutation(n), cuts) if len(part)]
        buffers = self.new_buffers()
        infos = []
        for part in parts:
            out = self.new_buffers(len(part)) if generator.random() < 0.5 else None
            *arrays, info = self.step_lanes(actions[part], part, out=out)
            infos.append(deepcopy(info))
            for array, piece in zip(buffers, arrays, strict=True):
                assert piece.shape[0] == len(part)
                array[part] = piece
        return *buffers, combine_infos(n, parts, infos)


def combine_infos(n: int, parts: list[Any], infos: list[Any]) -> dict[str, Any]:
    """Return infos of all lanes from those of parts. A lane of a part without a key has a False mask."""
    combined: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        values = [info.get(key) for info in infos]
        if isinstance(next(v for v in values if v is not None), dict):
            combined[key] = combine_infos(n, parts, [v or {} for v in values])
            continue
        kind = next(v for v in values if v is not None).dtype
        combined[key] = np.full(n, None) if kind.hasobject else np.zeros(n, kind)
        for part, value in zip(parts, values, strict=True):
            if value is not None:
                combined[key][part] = value
    return combined


class Rewound(AdaptiveLearningVectorEnv):
    """Every step is taken twice. Some snapshots are pickled; not all, since pickling the bank is slow."""

    step_number = 0

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        before = self.snapshot() if self._was_reset else None
        first = deepcopy(super().step(actions))
        if before is None:
            return first
        self.step_number += 1
        self.restore(pickle.loads(pickle.dumps(before)) if self.step_number % 16 == 1 else before)
        return super().step(actions)


class Elsewhere(AdaptiveLearningVectorEnv):
    """Every step is taken by another environment, with other settings of copy and num_threads."""

    other: Any = None

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        if not self._was_reset:
            return super().step(actions)
        if self.other is None:
            self.other = AdaptiveLearningVectorEnv(
                self.num_envs,
                config=self.config,
                bank=self.bank,
                observation=self._simulator.observation_kind,
                autoreset_mode=self.autoreset_mode,
                info=self.info,
                num_threads=3,
            )
        self.other.restore(self.snapshot())
        returned = self.other.step(actions)
        self.restore(self.other.snapshot())
        return returned

    def __getstate__(self) -> Any:
        return {**self.__dict__, "other": None}


VARIANTS = [FreshBuffers, SameBuffers, Parts, Rewound, Elsewhere]


@pytest.mark.ci
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("copy", [True, False], ids=["copy", "own"])
@pytest.mark.parametrize("observation", ["mastery", "responses"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_variants_equal_the_plain_step(variant: Any, mode: AutoresetMode, observation: str, copy: bool) -> None:
    rules: dict[str, Any] = {"autoreset_mode": mode, "observation": observation, "info": "full"}
    steps = 150 if COMPILED else 30
    actions = batches(5, steps)
    expected = play(make(5, **rules), actions)
    same_calls(play(make(5, kind=variant, copy=copy, **rules), actions), expected)
    assert sum(int((call[2] | call[3]).sum()) for call in expected if len(call) > 2) > steps // 4


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("info", ["none", "minimal"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_variants_have_the_same_infos(variant: Any, mode: AutoresetMode, info: str) -> None:
    actions = batches(3, 60)
    rules: dict[str, Any] = {"autoreset_mode": mode, "info": info}
    same_calls(play(make(3, variant, **rules), actions), play(make(3, **rules), actions))


@pytest.mark.compiled
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_variants_with_threads(variant: Any, mode: AutoresetMode) -> None:
    lanes = 5 * BLOCK + 3
    rules: dict[str, Any] = {"autoreset_mode": mode, "info": "full"}
    actions = batches(lanes, 40)
    env = make(lanes, variant, num_threads=2, **rules)
    same_calls(play(env, actions), play(make(lanes, **rules), actions))
    env.close()


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_variants_pass_check_vector_env(variant: Any, mode: AutoresetMode) -> None:
    new = partial(make, 4, variant, autoreset_mode=mode, info="full")
    skip = ("fresh_arrays",) if variant is SameBuffers else ()
    ran = check_vector_env(new(), make=new, exclusive_flags=True, skip=skip)
    assert {"autoreset", "reset_mask", "pickling", "seed_lists", "independent_lanes"} <= set(ran)


N = 4
LANES = st.lists(st.integers(0, N - 1), min_size=1, max_size=N, unique=True)
ACTIONS = st.lists(st.integers(0, A - 1), min_size=N, max_size=N)


class CallSequence(RuleBasedStateMachine):
    """Random calls of an environment of N lanes, compared with N environments of one lane each."""

    mode: AutoresetMode

    @initialize(seed=st.integers(0, 2**64 - 1), responses=st.booleans(), copy=st.booleans())
    def begin(self, seed: int, responses: bool, copy: bool) -> None:
        rules: dict[str, Any] = {
            "autoreset_mode": self.mode,
            "info": "full",
            "observation": "responses" if responses else "mastery",
        }
        self.env = make(N, copy=copy, **rules)
        self.alone = [make(1, **rules) for _ in range(N)]
        self.saved: list[Any] = []
        self.finished = np.zeros(N, bool)
        observations, _ = self.env.reset(seed=seed)
        for lane, env in enumerate(self.alone):
            same(env.reset(seed=seed, options={"learner": lane})[0][0], observations[lane])

    def compare(self, returned: Any, lanes: list[int], actions: list[int]) -> None:
        infos = returned[4]
        for place, lane in enumerate(lanes):
            own = self.alone[lane].step([actions[lane]])
            for x, y in zip(returned[:4], own[:4], strict=True):
                same(x[place : place + 1], y)
            self.finished[lane] = own[2][0] or own[3][0]
            for mine, expected in ((infos, own[4]), (infos.get("final_info", {}), own[4].get("final_info", {}))):
                for key, value in expected.items():
                    if key not in ("final_info", "final_obs"):
                        same(mine[key][place : place + 1], value)
            if self.mode == SAME_STEP and self.finished[lane]:
                same(infos["final_obs"][place], own[4]["final_obs"][0])

    @rule(actions=ACTIONS, buffers=st.booleans())
    def step(self, actions: list[int], buffers: bool) -> None:
        if self.mode == DISABLED and self.finished.any():
            with pytest.raises(ResetNeeded):
                self.env.step(actions)
            return
        out = self.env.new_buffers() if buffers else None
        self.compare(self.env.step(actions, out=out), list(range(N)), actions)

    @rule(actions=ACTIONS, lanes=LANES, buffers=st.booleans())
    def step_lanes(self, actions: list[int], lanes: list[int], buffers: bool) -> None:
        chosen = [actions[lane] for lane in lanes]
        if self.mode == DISABLED and self.finished[lanes].any():
            with pytest.raises(ResetNeeded):
                self.env.step_lanes(chosen, lanes)
            return
        out = self.env.new_buffers(len(lanes)) if buffers else None
        self.compare(self.env.step_lanes(chosen, lanes, out=out), lanes, actions)

    @rule(lanes=LANES)
    def reset(self, lanes: list[int]) -> None:
        mask = np.zeros(N, bool)
        mask[lanes] = True
        observations, _ = self.env.reset(options={"reset_mask": mask})
        for lane in lanes:
            same(self.alone[lane].reset()[0][0], observations[lane])
        self.finished[lanes] = False

    @rule()
    def snapshot(self) -> None:
        self.saved.append((self.env.snapshot(), deepcopy(self.alone), self.finished.copy()))

    @precondition(lambda self: self.saved)
    @rule(data=st.data(), lanes=st.lists(st.integers(0, N - 1), min_size=N, max_size=N))
    def restore(self, data: Any, lanes: list[int]) -> None:
        snapshot, alone, finished = data.draw(st.sampled_from(self.saved))
        self.env.restore(snapshot.take(lanes))
        self.alone, self.finished = [deepcopy(alone[lane]) for lane in lanes], finished[lanes].copy()


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize(
    "mode",
    [
        AutoresetMode.NEXT_STEP,
        *(pytest.param(mode, marks=pytest.mark.ci) for mode in AutoresetMode if mode != AutoresetMode.NEXT_STEP),
    ],
)
def test_random_sequences_of_calls(mode: AutoresetMode) -> None:
    machine = type("CallSequence", (CallSequence,), {"mode": mode})
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=40, deadline=None))
