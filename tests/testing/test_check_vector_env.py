"""check_vector_env passes correct environments, and reports the faults of broken ones."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

import alsim
from alsim.jit.compile import COMPILED
from alsim.testing import CHECKS, CheckError, check_vector_env

pytestmark = pytest.mark.gymnasium

NEXT_STEP, SAME_STEP, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
LONGEST, GOAL = 12, 10


class Walk(gymnasium.Env):
    """A walk of one or two per step, mostly forwards. It terminates at the goal, and is truncated after 12 steps."""

    observation_space = Box(0.0, 1.0, (2,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.steps = int(self.np_random.integers(4)), 0
        return self.seen(), {"start": self.position}

    def seen(self):
        return np.array([self.position / GOAL, self.steps / LONGEST], np.float32)

    def step(self, action):
        way = 1 + int(action)
        self.position = int(np.clip(self.position + (way if self.np_random.random() < 0.7 else -way), 0, GOAL))
        self.steps += 1
        terminated = self.position >= GOAL
        truncated = not terminated and self.steps >= LONGEST
        return self.seen(), float(action) - 0.5 * terminated, terminated, truncated, {"way": way}


class Walks(VectorEnv):
    """N walks as a vector environment, in methods that the broken environments below override."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, num_envs: int = 3, autoreset_mode: AutoresetMode = NEXT_STEP) -> None:
        self.num_envs, self.mode = num_envs, autoreset_mode
        self.metadata = {**type(self).metadata, "autoreset_mode": autoreset_mode}
        self.single_observation_space, self.single_action_space = Walk.observation_space, Walk.action_space
        self.observation_space = batch_space(Walk.observation_space, num_envs)
        self.action_space = batch_space(Walk.action_space, num_envs)
        self.walks = [Walk() for _ in range(num_envs)]
        self.over = np.zeros(num_envs, np.bool_)

    def reset(self, *, seed=None, options=None):
        mask = self.mask(options)
        seeds = self.lane_seeds(seed)
        self.seed_own(seed)
        infos: dict[str, Any] = {}
        for lane in np.flatnonzero(mask):
            self._add_info(infos, self.walks[lane].reset(seed=seeds[lane])[1], lane)
        self.over = self.over & ~mask
        return self.observations(), infos

    def seed_own(self, seed):
        seeds = [s for s in (seed if isinstance(seed, list) else [seed]) if s is not None]
        if seeds:
            super().reset(seed=seeds[0])

    def mask(self, options):
        if not options or "reset_mask" not in options:
            return np.ones(self.num_envs, np.bool_)
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError("the mask must be a bool array")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError("the mask must have one entry per lane, at least one of them True")
        return mask

    def lane_seeds(self, seed):
        if seed is None:
            return [None] * self.num_envs
        seeds = [1000 * seed + lane for lane in range(self.num_envs)] if isinstance(seed, int) else seed
        if len(seeds) != self.num_envs:
            raise ValueError("there must be one seed per lane")
        return seeds

    def observations(self):
        return np.stack([walk.seen() for walk in self.walks])

    def step(self, actions):
        if self.mode == DISABLED and self.over.any():
            raise gymnasium.error.ResetNeeded("a lane is over")
        n = self.num_envs
        rewards, terminated, truncated = np.zeros(n), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        infos: dict[str, Any] = {}
        for lane, walk in enumerate(self.walks):
            if self.over[lane] and self.mode == NEXT_STEP:
                self._add_info(infos, walk.reset()[1], lane)
                continue
            seen, rewards[lane], terminated[lane], truncated[lane], info = walk.step(actions[lane])
            if self.mode == SAME_STEP and (terminated[lane] or truncated[lane]):
                self._add_info(infos, {"final_obs": seen, "final_info": info}, lane)
                info = walk.reset()[1]
            self._add_info(infos, info, lane)
        self.over = terminated | truncated if self.mode != SAME_STEP else np.zeros(n, np.bool_)
        return self.observations(), rewards, terminated, truncated, infos


@pytest.mark.ci
@pytest.mark.parametrize("mode", AutoresetMode)
def test_correct_environment_passes(mode: AutoresetMode) -> None:
    make = partial(Walks, 3, mode)
    ran = check_vector_env(make(), make=make, single=Walk, exclusive_flags=True, steps=100)
    only_next_step = {"ignored_actions", "ignored_invalid_actions"}
    assert set(CHECKS) - set(ran) == {"spec"} | (only_next_step if mode != NEXT_STEP else set())


@pytest.mark.ci
@pytest.mark.parametrize("num_envs", [1, 2])
def test_few_lanes_pass(num_envs: int) -> None:
    check_vector_env(Walks(num_envs), single=Walk)


@pytest.mark.ci
@pytest.mark.parametrize("mode", AutoresetMode)
def test_sync_vector_env_passes(mode: AutoresetMode) -> None:
    cart_pole = partial(gymnasium.make, "CartPole-v1")
    make = partial(SyncVectorEnv, [cart_pole] * 3, autoreset_mode=mode)
    with pytest.raises(CheckError, match="options: reset\\(\\) must not change the caller's options"):
        check_vector_env(make(), make=make, single=cart_pole, skip=set(CHECKS) - {"spaces", "reset_mask", "options"})
    skip = {"options"}
    if make().metadata is make().metadata:  # Gymnasium before 1.4
        skip |= {"metadata", "instances"}
    check_vector_env(make(), make=make, single=cart_pole, skip=skip)


@pytest.mark.ci
@pytest.mark.parametrize("observation", ["mastery", "responses"])
@pytest.mark.parametrize("info", ["none", "minimal", "full"] if COMPILED else ["full"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_alsim_passes(mode: AutoresetMode, info: str, observation: str) -> None:
    rules = {"config": {"max_episode_steps": 9, "num_los": 4}, "observation": observation}
    one = "alsim/AdaptiveLearning-v0"
    make = partial(gymnasium.make_vec, one, 3, autoreset_mode=mode.value, info=info, **rules)
    ran = check_vector_env(
        make(), make=make, single=partial(gymnasium.make, one, **rules), exclusive_flags=True, steps=60
    )
    assert {"spec", "singles", "instances"} <= set(ran)


@pytest.mark.compiled
def test_alsim_passes_at_the_defaults() -> None:
    check_vector_env(alsim.AdaptiveLearningVectorEnv(2), single=alsim.AdaptiveLearningEnv, exclusive_flags=True)


@pytest.mark.heavy
@pytest.mark.parametrize("mode", AutoresetMode)
def test_environment_that_returns_its_own_arrays_skips_fresh_arrays(mode: AutoresetMode) -> None:
    make = partial(alsim.AdaptiveLearningVectorEnv, 3, config={"max_episode_steps": 9}, copy=False, autoreset_mode=mode)
    with pytest.raises(
        CheckError, match="fresh_arrays: observations of reset.* and observations of step 1 must not share memory"
    ):
        check_vector_env(make(), steps=30)
    check_vector_env(make(), make=make, skip={"fresh_arrays"}, steps=60)


@pytest.mark.ci
def test_wrapped_environment_passes() -> None:
    check_vector_env(gymnasium.wrappers.vector.ClipReward(Walks(), 0.0, 0.5), skip={"pickling"})  # it has a lambda


class Named(gymnasium.vector.VectorObservationWrapper):
    """A wrapper with observations in a Dict space."""

    def __init__(self, env):
        super().__init__(env)
        self.single_observation_space = Dict({"walk": env.single_observation_space, "twice": Box(0.0, 2.0, (1,))})
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def observations(self, observations):
        return {"walk": observations, "twice": 2 * observations[:, :1].astype(np.float32)}


@pytest.mark.ci
def test_dict_observations() -> None:
    check_vector_env(Named(Walks()))

    class Strided(Named):
        def observations(self, observations):
            return {"walk": np.asfortranarray(observations), "twice": 2 * observations[:, :1]}

    with pytest.raises(
        CheckError, match=r"reset: observations\['walk'\] of reset\(\) must be C-contiguous; got strides"
    ):
        check_vector_env(Strided(Walks()))


# ── broken environments, each with the expected message ──


def steps_with(change: Callable[..., Any]) -> type[Walks]:
    """Return Walks whose step returns `change(env, observations, rewards, terminated, truncated, infos)`."""

    class Changed(Walks):
        def step(self, actions):
            return change(self, *super().step(actions))

    return Changed


def resets_with(change: Callable[..., Any]) -> type[Walks]:
    """Return Walks whose reset returns `change(env, observations, infos, options)`."""

    class Changed(Walks):
        def reset(self, *, seed=None, options=None):
            return change(self, *super().reset(seed=seed, options=options), options)

    return Changed


class OwnSpace(Walks):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.observation_space = self.single_observation_space


class WordMode(Walks):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.metadata["autoreset_mode"] = self.mode.value


class ClassMetadata(Walks):
    metadata: ClassVar[dict[str, Any]] = {}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        del self.metadata
        type(self).metadata["autoreset_mode"] = self.mode


class OtherAttribute(Walks):
    autoreset_mode = DISABLED


class NoInfo(Walks):
    def reset(self, **arguments: Any) -> Any:
        return super().reset(**arguments)[0]


class OldStep(Walks):
    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, infos = super().step(actions)
        return observations, rewards, terminated | truncated, infos


class Endless(Walks):
    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, infos = super().step(actions)
        return observations, rewards, terminated & False, truncated & False, infos


class Unseeded(Walks):
    def lane_seeds(self, seed: Any) -> Any:
        super().lane_seeds(seed)
        return [None] * self.num_envs


class Reseeding(Walks):
    """reset() without a seed takes a new one, as if from the operating system; but the same ones in each run."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._entropy = np.random.default_rng(0)
        super().__init__(*arguments, **options)

    def lane_seeds(self, seed: Any) -> Any:
        return super().lane_seeds(int(self._entropy.integers(2**30)) if seed is None else seed)


class NoSuper(Walks):
    """reset(seed=...) does not seed np_random."""

    def reset(self, *, seed=None, options=None):
        observations, infos = super().reset(seed=seed, options=options)
        self.np_random = np.random.default_rng()
        return observations, infos


class OwnByOneSeed(Walks):
    """A list of seeds does not seed np_random."""

    def seed_own(self, seed):
        super().seed_own(None if isinstance(seed, list) else seed)


class OneBuffer(Walks):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen = np.zeros((self.num_envs, 2), np.float32)

    def observations(self):
        self.seen[:] = super().observations()
        return self.seen


class TwoBuffers(OneBuffer):
    """Observations alternate between two arrays."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.other = np.zeros_like(self.seen)

    def observations(self):
        self.seen, self.other = self.other, self.seen
        return super().observations()


class FlagBuffer(Walks):
    flags = None

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, infos = super().step(actions)
        self.flags = terminated if self.flags is None else self.flags
        self.flags[:] = terminated
        return observations, rewards, self.flags, truncated, infos


class SharedInfos(Walks):
    infos: dict[str, Any]

    def step(self, actions: Any) -> Any:
        *rest, infos = super().step(actions)
        if not hasattr(self, "infos"):
            self.infos = {}
        self.infos.clear()
        self.infos.update(infos)
        return *rest, self.infos


class OwnFlags(Walks):
    """The returned flags are the array that decides which lanes are reset."""

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, infos = super().step(actions)
        self.over = terminated | truncated
        return observations, rewards, self.over, truncated & False, infos


class WritesActions(Walks):
    def step(self, actions: Any) -> Any:
        returned = super().step(actions)
        actions[:] = 1 - actions
        return returned


class ReadsAll(Walks):
    """An action changes a lane that is about to be reset."""

    def step(self, actions: Any) -> Any:
        for lane in np.flatnonzero(self.over):
            for _ in range(int(actions[lane])):
                self.walks[lane].np_random.random()
        return super().step(actions)


class Strict(Walks):
    def step(self, actions: Any) -> Any:
        assert actions in self.action_space
        return super().step(actions)


class LateReset(Walks):
    """In mode NEXT_STEP, it resets lanes in the step itself, like SAME_STEP."""

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, infos = super().step(actions)
        for lane in np.flatnonzero(self.over):
            self.walks[lane].reset()
        self.over[:] = False
        return self.observations(), rewards, terminated, truncated, infos


class Declares(Walks):
    """It declares another mode than the one that it implements."""

    actual, declared = SAME_STEP, NEXT_STEP

    def __init__(self, num_envs: int = 3, autoreset_mode: AutoresetMode = NEXT_STEP) -> None:
        super().__init__(num_envs, self.actual)
        self.metadata["autoreset_mode"] = self.declared


class SaysSameStep(Declares):
    actual, declared = NEXT_STEP, SAME_STEP


class SaysDisabled(Declares):
    actual, declared = NEXT_STEP, DISABLED


class Lenient(Walks):
    """In mode DISABLED, it steps lanes whose episode is over."""

    def step(self, actions: Any) -> Any:
        self.over[:] = False
        return super().step(actions)


def no_final_obs(env, observations, rewards, terminated, truncated, infos):
    infos = {key: value for key, value in infos.items() if not key.endswith("final_obs")}
    return observations, rewards, terminated, truncated, infos


def no_final_info(env, observations, rewards, terminated, truncated, infos):
    infos = {key: value for key, value in infos.items() if not key.endswith("final_info")}
    return observations, rewards, terminated, truncated, infos


def last_observation(env, observations, rewards, terminated, truncated, infos):
    for lane in np.flatnonzero(terminated | truncated):
        observations[lane] = infos["final_obs"][lane]
    return observations, rewards, terminated, truncated, infos


def final_obs_of_the_next(env, observations, rewards, terminated, truncated, infos):
    for lane in np.flatnonzero(terminated | truncated):
        infos["final_obs"][lane] = observations[lane].copy()
    return observations, rewards, terminated, truncated, infos


def keeps_step_infos(env, observations, rewards, terminated, truncated, infos):
    if "way" in infos:
        infos["_way"][:] = True
    return observations, rewards, terminated, truncated, infos


def reward_of_the_reset(env, observations, rewards, terminated, truncated, infos):
    rewards[(observations[:, 1] == 0) & (rewards == 0)] = 1.0
    return observations, rewards, terminated, truncated, infos


class WipesAll(Walks):
    """reset_mask resets every lane."""

    def mask(self, options):
        super().mask(options)
        return np.ones(self.num_envs, np.bool_)


class WipesQuietly(Walks):
    """reset_mask advances the generator of every lane, which has an effect only later."""

    def reset(self, *, seed=None, options=None):
        observations, infos = super().reset(seed=seed, options=options)
        for walk in self.walks:
            walk.np_random.random()
        return observations, infos


class PopsOptions(Walks):
    def mask(self, options):
        mask = super().mask(options)
        if options:
            options.pop("reset_mask", None)
        return mask


class AnyMask(Walks):
    def mask(self, options):
        if not options:
            return np.ones(self.num_envs, np.bool_)
        return np.resize(np.asarray(options["reset_mask"], np.bool_), self.num_envs)


class HalfDone(Walks):
    """An invalid reset_mask resets lane 0 before the error."""

    def mask(self, options):
        if options:
            self.walks[0].reset()
        return super().mask(options)


class NoLists(Walks):
    def lane_seeds(self, seed):
        return super().lane_seeds(int(np.sum([s or 0 for s in seed])) if isinstance(seed, list) else seed)


class RefusesLists(Walks):
    def lane_seeds(self, seed):
        if isinstance(seed, list):
            raise gymnasium.error.Error("one seed only")
        return super().lane_seeds(seed)


class AnyLength(Walks):
    def lane_seeds(self, seed):
        return super().lane_seeds(seed[: self.num_envs] if isinstance(seed, list) else seed)


class NoneIsZero(Walks):
    def lane_seeds(self, seed):
        return [s or 0 for s in super().lane_seeds(seed)] if isinstance(seed, list) else super().lane_seeds(seed)


class ByPlace(Walks):
    """The lane's index is added to its seed in a list."""

    def lane_seeds(self, seed):
        seeds = super().lane_seeds(seed)
        return [None if s is None else s + lane for lane, s in enumerate(seeds)]


class Unpicklable(Walks):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.hook = lambda: None


class Forgetful(Walks):
    def __setstate__(self, state):
        self.__dict__.update(state)
        self.walks[-1].steps += 1


class SharedWalks(Walks):
    """All instances step the same walks."""

    shared: ClassVar[list[Any]] = []

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.shared.extend(self.walks[len(self.shared) :])
        self.walks = self.shared


class OneMetadata(Walks):
    shared: ClassVar[dict[str, Any]] = {}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.shared.update(self.metadata)
        self.metadata = self.shared


class OtherRules(Walks):
    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        return observations, 2 * rewards, *rest


class WaitsAfterMask(Walks):
    """In mode NEXT_STEP, a lane that a mask has reset is reset again by its next step."""

    def reset(self, *, seed=None, options=None):
        over = self.over.copy()
        returned = super().reset(seed=seed, options=options)
        if options:
            self.over = over
        return returned


class OneClose(Walks):
    def close(self, **arguments):
        assert not self.closed
        super().close(**arguments)


class NeverClosed(Walks):
    def close(self, **arguments):
        pass


def with_infos(change: Callable[[dict[str, Any], int], Any]) -> type[Walks]:
    def changed(env, observations, rewards, terminated, truncated, infos):
        change(infos, env.num_envs)
        return observations, rewards, terminated, truncated, infos

    return steps_with(changed)


BROKEN: dict[str, tuple[Any, AutoresetMode, str]] = {
    "own space": (OwnSpace, NEXT_STEP, "spaces: observation_space must be batch_space(single_observation_space, 3)"),
    "mode as a string": (
        WordMode,
        NEXT_STEP,
        "metadata: metadata['autoreset_mode'] must be an AutoresetMode; got 'NextStep'",
    ),
    "class metadata": (
        ClassMetadata,
        NEXT_STEP,
        "metadata: metadata must belong to the instance; all instances of ClassMetadata",
    ),
    "another attribute": (
        OtherAttribute,
        NEXT_STEP,
        "metadata: env.autoreset_mode must equal metadata['autoreset_mode']",
    ),
    "reset without infos": (NoInfo, NEXT_STEP, "reset: reset() must return a tuple (observations, infos); got"),
    "infos as a list": (
        resets_with(lambda env, seen, infos, options: (seen, [infos])),
        NEXT_STEP,
        "reset: the infos of reset() must be a dict; got <class 'list'>",
    ),
    "four values": (OldStep, NEXT_STEP, "steps: step() must return a tuple (observations"),
    "float64 observations": (
        steps_with(lambda env, seen, *rest: (seen.astype(np.float64), *rest)),
        NEXT_STEP,
        "steps: observations of step 1 must have dtype float32; got float64",
    ),
    "transposed observations": (
        steps_with(lambda env, seen, *rest: (np.asfortranarray(seen), *rest)),
        NEXT_STEP,
        "steps: observations of step 1 must be C-contiguous; got strides (4, 12)",
    ),
    "observations out of bounds": (
        steps_with(lambda env, seen, *rest: (seen + np.float32(1), *rest)),
        NEXT_STEP,
        "steps: the observations of step 1 must be in observation_space; they are not",
    ),
    "a lane too few": (
        steps_with(lambda env, seen, *rest: (seen[1:].copy(), *rest)),
        NEXT_STEP,
        "steps: observations of step 1 must have shape (3, 2); got (2, 2)",
    ),
    "rewards in a list": (
        steps_with(lambda env, seen, rewards, *rest: (seen, list(rewards), *rest)),
        NEXT_STEP,
        "steps: rewards of step 1 must be a NumPy array; got <class 'list'>",
    ),
    "integer rewards": (
        steps_with(lambda env, seen, rewards, *rest: (seen, rewards.astype(int), *rest)),
        NEXT_STEP,
        "steps: rewards of step 1 must have dtype floating; got int64",
    ),
    "integer flags": (
        steps_with(lambda env, seen, rewards, a, b, infos: (seen, rewards, a.astype(np.uint8), b, infos)),
        NEXT_STEP,
        "steps: terminated of step 1 must have dtype bool; got uint8",
    ),
    "flags in a column": (
        steps_with(lambda env, seen, rewards, a, b, infos: (seen, rewards, a, b[:, None], infos)),
        NEXT_STEP,
        "steps: truncated of step 1 must have shape (3,); got (3, 1)",
    ),
    "both flags": (
        steps_with(lambda env, seen, rewards, a, b, infos: (seen, rewards, a, b | a, infos)),
        NEXT_STEP,
        "steps: a lane must not be both terminated and truncated; lane",
    ),
    "no end": (Endless, NEXT_STEP, "steps: an episode must end in 100 steps of random actions; none did"),
    "a missing mask": (
        with_infos(lambda infos, n: infos.pop("_way", None)),
        NEXT_STEP,
        "infos: the infos of step 1 must have a mask for every key; got 'way' without '_way'",
    ),
    "a mask of integers": (
        with_infos(lambda infos, n: infos.update(_way=np.ones(n, int))),
        NEXT_STEP,
        "infos: the mask '_way' of the infos of step 1 must be a bool array (3,); got",
    ),
    "a mask without a key": (
        with_infos(lambda infos, n: infos.update(_nothing=np.ones(n, bool))),
        NEXT_STEP,
        "infos: the infos of step 1 must not have a mask without its key; got '_nothing'",
    ),
    "a scalar in the infos": (
        with_infos(lambda infos, n: infos.update(total=1.0, _total=np.ones(n, bool))),
        NEXT_STEP,
        "infos: 'total' of the infos of step 1 must be an array (3, ...) or a dict of such arrays; got 1.0",
    ),
    "a list in the infos": (
        with_infos(lambda infos, n: infos.update(names=["a"] * n, _names=np.ones(n, bool))),
        NEXT_STEP,
        "infos: 'names' of the infos of step 1 must be an array (3, ...) or a dict of such arrays; got ['a', 'a', 'a']",
    ),
    "a key that is not a string": (
        with_infos(lambda infos, n: infos.update({1: np.ones(n)})),
        NEXT_STEP,
        "infos: keys of the infos of step 1 must be strings; got 1",
    ),
    "final_info in a list": (
        with_infos(lambda infos, n: infos.update(final_info=[None] * n) if "final_info" in infos else None),
        SAME_STEP,
        "infos: 'final_info' of the infos of step",
    ),
    "final_info without masks": (
        with_infos(lambda infos, n: infos.get("final_info", {}).pop("_way", None)),
        SAME_STEP,
        "under 'final_info' must have a mask for every key; got 'way' without '_way'",
    ),
    "episode in the infos": (
        with_infos(lambda infos, n: infos.update(episode=np.ones(n), _episode=np.ones(n, bool))),
        NEXT_STEP,
        "episode_key: infos must leave the key 'episode' to RecordEpisodeStatistics; those of step 1 have it",
    ),
    "a seed that seeds nothing": (Unseeded, NEXT_STEP, "determinism: the same seed and actions must give the same"),
    "a reset that seeds itself": (
        Reseeding,
        SAME_STEP,
        "determinism: reset() after reset(seed=123) must give the same observations",
    ),
    "no super().reset": (NoSuper, NEXT_STEP, "np_random: np_random must be the same after each reset(seed=123)"),
    "np_random not seeded by a list": (
        OwnByOneSeed,
        NEXT_STEP,
        "np_random: np_random must be the same after each reset with the same list of seeds",
    ),
    "one buffer": (
        OneBuffer,
        NEXT_STEP,
        "observations of reset(seed=123) and observations of step 1 must not share memory",
    ),
    "two buffers": (
        TwoBuffers,
        NEXT_STEP,
        "observations of reset(seed=123) and observations of step 2 must not share memory",
    ),
    "one array of flags": (
        FlagBuffer,
        NEXT_STEP,
        "terminated of step 1 and terminated of step 2 must not share memory",
    ),
    "the flags in the infos": (
        steps_with(
            lambda env, seen, rewards, a, b, infos: (seen, rewards, a, b, infos | {"ended": a, "_ended": a | ~a})
        ),
        NEXT_STEP,
        "fresh_arrays: infos['ended'] and terminated of step 1 must not share memory",
    ),
    "one info dict": (SharedInfos, NEXT_STEP, "fresh_arrays: step 1 and step 2 must not return the same info dict"),
    "its own flags": (OwnFlags, NEXT_STEP, "fresh_arrays: writing to arrays of earlier calls must change nothing"),
    "writes to the actions": (WritesActions, NEXT_STEP, "actions_kept: step() must not write to the caller's actions"),
    "resets at once": (LateReset, NEXT_STEP, "which only resets it"),
    "SAME_STEP that says NEXT_STEP": (
        Declares,
        NEXT_STEP,
        "autoreset: NEXT_STEP: infos must not have the key 'final_obs'",
    ),
    "NEXT_STEP that says SAME_STEP": (SaysSameStep, SAME_STEP, "autoreset: SAME_STEP: infos['_final_obs'] of step"),
    "NEXT_STEP that says DISABLED": (SaysDisabled, DISABLED, "was not reset; it did not"),
    "a reward for the reset": (
        steps_with(reward_of_the_reset),
        NEXT_STEP,
        "which only resets it: the reward must be 0; got 1.0",
    ),
    "step infos of a reset lane": (
        steps_with(keeps_step_infos),
        NEXT_STEP,
        "its infos must be those of reset(); got 'way' too",
    ),
    "step infos of a lane that ended": (
        steps_with(keeps_step_infos),
        SAME_STEP,
        "must be those of reset(); got 'way' too: put the infos of the step into final_info",
    ),
    "no final_obs": (steps_with(no_final_obs), SAME_STEP, "autoreset: SAME_STEP: infos['_final_obs'] of step"),
    "no final_info": (steps_with(no_final_info), SAME_STEP, "autoreset: SAME_STEP: infos['_final_info'] of step"),
    "the last observation twice": (steps_with(last_observation), SAME_STEP, "they always equal final_obs"),
    "the next observation twice": (steps_with(final_obs_of_the_next), SAME_STEP, "they always equal final_obs"),
    "steps past the end": (Lenient, DISABLED, "autoreset: DISABLED: step() must raise while lane"),
    "actions that are not ignored": (ReadsAll, NEXT_STEP, "ignored_actions: NEXT_STEP: the action of a lane that"),
    "actions that must be valid": (
        Strict,
        NEXT_STEP,
        "must be ignored, even an invalid one; step() raised AssertionError",
    ),
    "masks of any kind": (
        AnyMask,
        NEXT_STEP,
        "reset_mask: a reset_mask that is a list must raise TypeError; it raised nothing",
    ),
    "a mask that resets all": (
        WipesAll,
        NEXT_STEP,
        "reset_mask: a reset_mask must not change lane 1, where it is False",
    ),
    "a mask that half resets": (HalfDone, NEXT_STEP, "reset_mask: an invalid reset_mask must change nothing"),
    "infos of other lanes": (
        resets_with(
            lambda env, seen, infos, options: (seen, {k: v | True if k[0] == "_" else v for k, v in infos.items()})
        ),
        NEXT_STEP,
        "infos of a reset must only have lanes of reset_mask; '_start' has others",
    ),
    "removed options": (PopsOptions, NEXT_STEP, "options: reset() must not change the caller's options"),
    "lists of any length": (
        AnyLength,
        NEXT_STEP,
        "seed_lists: a list of seeds of a wrong length must raise ValueError; it raised nothing",
    ),
    "None that is zero": (
        NoneIsZero,
        NEXT_STEP,
        "seed_lists: None in a list of seeds must start the next episode in lane 0, as reset() does",
    ),
    "no lists": (
        RefusesLists,
        NEXT_STEP,
        "seed_lists: the environment must not raise an error here; it raised Error('one seed",
    ),
    "lists that are one seed": (NoLists, NEXT_STEP, "seed_lists: "),
    "seeds that depend on the lane": (
        ByPlace,
        NEXT_STEP,
        "independent_lanes: the same seed and actions must give the same results in lanes 0 and 1",
    ),
    "a mask with a later effect": (
        WipesQuietly,
        NEXT_STEP,
        "independent_lanes: resetting lane 0 by a reset_mask must not change lane 1",
    ),
    "no pickle": (Unpicklable, NEXT_STEP, "pickling: the environment must be picklable; "),
    "a pickle that forgets": (
        Forgetful,
        NEXT_STEP,
        "pickling: a pickled environment must continue with the same results",
    ),
    "one metadata for all": (OneMetadata, NEXT_STEP, "instances: two environments must not share one metadata dict"),
    "one state for all": (SharedWalks, NEXT_STEP, "instances: stepping another instance must change nothing"),
    "other rules": (
        OtherRules,
        NEXT_STEP,
        "singles: NEXT_STEP: the environment must give the same results as SyncVectorEnv",
    ),
    "another reset after a mask": (
        WaitsAfterMask,
        NEXT_STEP,
        "singles: NEXT_STEP: the environment must give the same results as",
    ),
    "one close": (OneClose, NEXT_STEP, "close: a second close() must do nothing; it raised AssertionError"),
    "never closed": (NeverClosed, NEXT_STEP, "close: env.closed must be True after close()"),
}


@pytest.mark.ci
@pytest.mark.parametrize("name", BROKEN)
def test_broken_environment_fails(name: str) -> None:
    kind, mode, message = BROKEN[name]
    make = partial(kind, 3, mode)
    with pytest.raises(CheckError) as caught:
        check_vector_env(make(), make=make, single=Walk, exclusive_flags=True, steps=100)
    assert message in str(caught.value)
    assert isinstance(caught.value, AssertionError)


@pytest.mark.ci
@pytest.mark.parametrize(
    "name", ["one buffer", "removed options", "no lists", "no pickle", "actions that must be valid"]
)
def test_failing_check_can_be_skipped(name: str) -> None:
    kind, mode, message = BROKEN[name]
    skipped = {"one buffer": "fresh_arrays", "actions that must be valid": "ignored_invalid_actions"}
    check = skipped.get(name, message.split(":")[0])
    assert check not in check_vector_env(kind(3, mode), skip={check})


@pytest.mark.heavy
def test_spec_of_another_environment() -> None:
    env: Any = gymnasium.make_vec("alsim/AdaptiveLearning-v0", 2, config={"max_episode_steps": 9})
    env.spec.kwargs["num_envs"] = 3
    with pytest.raises(CheckError, match="spec: the environment from spec must have the same num_envs, 2; got 3"):
        check_vector_env(env, steps=40)
    env = gymnasium.make_vec("alsim/AdaptiveLearning-v0", 2, config={"max_episode_steps": 9})
    env.spec.kwargs["config"] = {"max_episode_steps": 8}
    with pytest.raises(CheckError, match="spec: the environment from spec must give the same"):
        check_vector_env(env, steps=40)
    env = gymnasium.make_vec("alsim/AdaptiveLearning-v0", 2, config=alsim.Config(max_episode_steps=9))
    assert "spec" in check_vector_env(env, steps=40)
    env.spec.kwargs["config"] = object()
    with pytest.raises(CheckError, match="spec: the spec must be convertible to JSON and back"):
        check_vector_env(env, steps=40)


def test_unknown_check() -> None:
    with pytest.raises(ValueError, match="skip must contain names of checks, spaces, metadata, .*; got 'colours'"):
        check_vector_env(Walks(), skip={"colours"})


def test_single_environment_fails() -> None:
    with pytest.raises(CheckError, match=r"the environment must be a gymnasium.vector.VectorEnv; got .*Walk"):
        check_vector_env(Walk())  # type: ignore[arg-type]
