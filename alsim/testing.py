"""A checker for Gymnasium's vector environments, which Gymnasium itself has for single ones only."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from numpy.typing import NDArray

AnyVectorEnv = VectorEnv[Any, Any, Any]
Array = NDArray[Any]
Seed = int | Sequence[int | None] | None
Check = TypeVar("Check", bound="Callable[[Subject], bool | None]")

FINAL = ("final_obs", "final_info")
SEED_DISTANCE = 1000  # between lanes: environments that add the lane to the seed share no learner then


class CheckError(AssertionError):
    """What is wrong with a vector environment: the check's name and a sentence."""


class Call(NamedTuple):
    """What one call handed out; a reset has neither rewards nor flags."""

    where: str
    observations: Any
    infos: Any
    rewards: Any = None
    terminated: Any = None
    truncated: Any = None

    @property
    def is_step(self) -> bool:
        """Whether the call was a step."""
        return self.rewards is not None

    @property
    def done(self) -> Array:
        """Lanes whose episode ended in this call, (N,)."""
        return np.asarray(self.terminated | self.truncated)


@dataclass(frozen=True)
class Subject:
    """The environment under test, what it is compared with, and the actions it is driven by."""

    env: Any  # a VectorEnv: Gymnasium's own types know no list of seeds
    make: Callable[[], AnyVectorEnv] | None
    single: Callable[[], gymnasium.Env[Any, Any]] | None
    seed: int
    actions: list[Any]  # of each step, for all lanes
    exclusive_flags: bool
    skipped: frozenset[str]

    @property
    def lanes(self) -> int:
        """Number of lanes N."""
        return int(self.env.num_envs)

    @property
    def mode(self) -> AutoresetMode:
        """The mode that the environment declares."""
        return AutoresetMode(self.env.metadata["autoreset_mode"])

    @property
    def seeds(self) -> list[int]:
        """A seed for each lane."""
        return [self.seed + SEED_DISTANCE * lane for lane in range(self.lanes)]

    def play(self, env: Any = None, *, seed: Seed = None, actions: Sequence[Any] | None = None) -> list[Call]:
        """Return copies of what `env` hands out from a seeded reset on."""
        driven = drive(
            self.env if env is None else env,
            self.actions if actions is None else actions,
            self.seed if seed is None else seed,
        )
        return [deepcopy(call) for call in driven]

    def rows(self, observations: Any) -> list[Any]:
        """Return copies of each lane's observation."""
        return [deepcopy(row) for row in iterate(self.env.observation_space, observations)]

    def reset_keys(self) -> set[str]:
        """Return the keys of the infos of a reset."""
        return set(self.env.reset(seed=self.seed)[1])


CHECKS: dict[str, Callable[[Subject], bool | None]] = {}
"""Every check by its name, in order. It raises CheckError, or returns False where there is nothing to check."""


def _check(function: Check) -> Check:
    """Enter a check in the registry."""
    CHECKS[function.__name__.removeprefix("check_")] = function
    return function


def check_vector_env(
    env: AnyVectorEnv,
    *,
    make: Callable[[], AnyVectorEnv] | None = None,
    single: Callable[[], gymnasium.Env[Any, Any]] | None = None,
    seed: int = 123,
    steps: int = 300,
    exclusive_flags: bool = False,
    skip: Collection[str] = (),
) -> list[str]:
    """Check that a vector environment follows Gymnasium's API, in the autoreset mode that it declares.

    env              of any class; it is driven by random actions, and closed at the end
    make             makes another one just like it: adds the check `instances`
    single           makes the single environment that a lane is: adds the check `singles`, against
                     gymnasium.vector.SyncVectorEnv under the same list of seeds
    seed             of the resets and the random actions
    steps            how long it is driven; an episode must end in that time
    exclusive_flags  the environment promises that no step both terminates and truncates
    skip             names of checks (keys of CHECKS) that are left out: the environment does not promise
                     what they check. One that hands out its own arrays skips "fresh_arrays"

    Returns the names of the checks that ran. Raises CheckError, an AssertionError, for the first that
    fails, and ValueError for a name that is no check.
    """
    if unknown := sorted(set(skip) - set(CHECKS)):
        raise ValueError(f"skip holds names of checks, {', '.join(CHECKS)}; got {unknown[0]!r}")
    if not isinstance(env, VectorEnv):
        raise CheckError(f"type: the environment is a gymnasium.vector.VectorEnv; got {type(env)}")
    subject = Subject(env, make, single, seed, [], exclusive_flags, frozenset(skip))
    ran: list[str] = []
    for name, check in CHECKS.items():
        if name in skip:
            continue
        if len(ran) > 0 and not subject.actions:  # the spaces are sound by now
            space = deepcopy(env.action_space)
            space.seed(seed)
            subject.actions.extend(space.sample() for _ in range(steps))
        try:
            applies = check(subject)
        except CheckError as error:
            raise CheckError(f"{name}: {error}") from error.__cause__
        except Exception as error:
            raise CheckError(f"{name}: the environment does what is asked of it; it raised {error!r}") from error
        if applies is not False:
            ran.append(name)
    return ran


# ── the checks, in the order in which they run: what a later one relies on, an earlier one has seen ──────────


@_check
def check_spaces(s: Subject) -> None:
    """Spaces are there, and the batched ones are those of N single ones."""
    n = s.env.num_envs
    require(isinstance(n, int) and n >= 1, f"num_envs is a Python integer of at least 1; got {n!r}")
    for kind in ("observation", "action"):
        one, many = (getattr(s.env, f"{prefix}{kind}_space", None) for prefix in ("single_", ""))
        for name, space in ((f"single_{kind}_space", one), (f"{kind}_space", many)):
            require(isinstance(space, gymnasium.Space), f"{name} is a gymnasium.Space; got {space!r}")
        batched: Any = batch_space(one, n)  # type: ignore[arg-type]
        require(many == batched, f"{kind}_space is batch_space(single_{kind}_space, {n}) = {batched}; got {many}")


@_check
def check_metadata(s: Subject) -> None:
    """The metadata are the instance's own, and declare the autoreset mode."""
    metadata, base = s.env.metadata, s.env.unwrapped
    mode = metadata.get("autoreset_mode")
    require(isinstance(mode, AutoresetMode), f"metadata['autoreset_mode'] is an AutoresetMode; got {mode!r}")
    require(
        all(base.metadata is not vars(kind).get("metadata") for kind in type(base).__mro__),
        f"metadata belong to the instance; those of {type(base).__name__} are its class's, which all instances share",
    )
    declared = getattr(base, "autoreset_mode", mode)
    require(declared == mode, f"env.autoreset_mode is metadata['autoreset_mode'], {mode}; got {declared!r}")


@_check
def check_reset(s: Subject) -> None:
    """Without a seed or options, reset returns observations in the space, and an info."""
    returned = s.env.reset()
    two = isinstance(returned, tuple) and len(returned) == 2
    require(two, f"reset() returns a tuple (observations, infos); got {_kind(returned)}")
    _sound_call(s, Call("reset()", *returned))


@_check
def check_steps(s: Subject) -> None:
    """Every step returns five values of the right kinds, and episodes end."""
    s.env.reset(seed=s.seed)
    returned = s.env.step(s.actions[0])
    five = isinstance(returned, tuple) and len(returned) == 5
    require(
        five, f"step() returns a tuple of observations, rewards, terminated, truncated, infos; got {_kind(returned)}"
    )
    ended = False
    for call in drive(s.env, s.actions, s.seed):
        _sound_call(s, call)
        ended |= call.is_step and bool(call.done.any())
    require(ended, f"an episode ends in {len(s.actions)} steps of random actions; none did: give more `steps`")


@_check
def check_infos(s: Subject) -> None:
    """Infos hold an array (N, ...) for each key, or again a dict of them, beside a mask (N,)."""
    for call in drive(s.env, s.actions, s.seed):
        _sound_infos(call.infos, s.lanes, f"the infos of {call.where}")


@_check
def check_episode_key(s: Subject) -> None:
    """The key `episode` is left to RecordEpisodeStatistics, which refuses infos that hold it."""
    for call in drive(s.env, s.actions, s.seed):
        absent = "episode" not in call.infos and "_episode" not in call.infos
        require(absent, f"infos leave the key 'episode' to RecordEpisodeStatistics; those of {call.where} hold it")


@_check
def check_determinism(s: Subject) -> None:
    """The same seed and actions give the same bits; a reset without a seed goes on from there."""
    expect_same(s.play(), s.play(), "the same seed and actions give the same", "once", "again")
    onward = []
    for _ in range(2):
        s.env.reset(seed=s.seed)
        onward.append(deepcopy(s.env.reset()[0]))
    require(same(*onward), f"reset() after reset(seed={s.seed}) goes on from there, to the same observations each time")


@_check
def check_np_random(s: Subject) -> None:
    """np_random is seeded by reset, and is one generator or one a lane."""
    states = []
    for _ in range(2):
        s.env.reset(seed=s.seed)
        held = s.env.np_random
        generators = held if isinstance(held, tuple) else (held,)
        for generator in generators:
            require(isinstance(generator, np.random.Generator), f"np_random is of generators; got {generator!r}")
        states.append([generator.bit_generator.state for generator in generators])
    rule = f"np_random is the same after each reset(seed={s.seed}), by super().reset(seed=seed)"
    require(same(*states), f"{rule}; it is not")


@_check
def check_fresh_arrays(s: Subject) -> None:
    """What a call returns is the caller's: no later call writes to it, and writing to it changes nothing."""
    rule = "writing to what earlier calls returned changes nothing"
    recent: list[tuple[Call, list[tuple[str, Array]]]] = []
    expected = s.play()
    for call, clean in zip(drive(s.env, s.actions, s.seed), expected, strict=True):
        leaves = _leaves(call)
        for (name, one), (other, two) in combinations(leaves, 2):
            require(not np.may_share_memory(one, two), f"{name} and {other} of {call.where} share memory")
        for before, earlier in recent:
            require(call.infos is not before.infos, f"{before.where} and {call.where} return the same info dict")
            for name, one in earlier:
                for other, two in leaves:
                    if np.may_share_memory(one, two):
                        raise CheckError(f"{name} of {before.where} and {other} of {call.where} share memory")
        _expect_same_call(call, clean, rule, "after it", "without it")
        _scribble(call, leaves)
        recent = [*recent[-2:], (call, leaves)]


@_check
def check_actions_kept(s: Subject) -> None:
    """A step does not write to the actions that it is given."""
    given = deepcopy(s.actions[0])
    s.env.reset(seed=s.seed)
    s.env.step(given)
    require(same(given, s.actions[0]), "step() leaves the caller's actions as they are; it wrote to them")


@_check
def check_autoreset(s: Subject) -> None:
    """Lanes whose episode ended begin the next one as the mode says."""
    by_mode = {
        AutoresetMode.NEXT_STEP: _next_step,
        AutoresetMode.SAME_STEP: _same_step,
        AutoresetMode.DISABLED: _disabled,
    }
    by_mode[s.mode](s)


def _next_step(s: Subject) -> None:
    ended, begins = np.zeros(s.lanes, np.bool_), s.reset_keys()
    for call in drive(s.env, s.actions, s.seed):
        _no_final_keys(call, "NEXT_STEP")
        if not call.is_step:
            continue
        for lane in np.flatnonzero(ended).tolist():
            where = f"NEXT_STEP: lane {lane} ended before {call.where}, which only resets it"
            require(call.rewards[lane] == 0, f"{where}: the reward is 0; got {call.rewards[lane]}")
            require(not call.terminated[lane], f"{where}: terminated is False; got True")
            require(not call.truncated[lane], f"{where}: truncated is False; got True")
            if more := _keys_of(call.infos, lane) - begins:
                raise CheckError(f"{where}: its infos are those of reset(); there is {min(more)!r} too")
        ended = call.done


def _same_step(s: Subject) -> None:
    begins = s.reset_keys()
    moved = []
    for call in drive(s.env, s.actions, s.seed):
        if not call.is_step:
            continue
        for key in FINAL:
            mask = call.infos.get(f"_{key}", np.zeros(s.lanes, np.bool_))
            if not same(mask, call.done):
                raise CheckError(f"SAME_STEP: infos['_{key}'] of {call.where} is what ended, {call.done}; got {mask}")
        rows = s.rows(call.observations) if call.done.any() else []
        for lane in np.flatnonzero(call.done).tolist():
            last = call.infos["final_obs"][lane]
            where = f"SAME_STEP: infos['final_obs'][{lane}] of {call.where}"
            if last not in s.env.single_observation_space:
                raise CheckError(f"{where} is in single_observation_space; got {last!r}")
            moved.append(not same(np.asarray(last), np.asarray(rows[lane])))
            if more := _keys_of(call.infos, lane) - begins - set(FINAL):
                rule = f"SAME_STEP: infos of a lane that ended, {lane} in {call.where}, are those of reset()"
                raise CheckError(f"{rule}, and the step's are in final_info; there is {min(more)!r} too")
    # One episode may end as the next begins; all of them, nobody would believe.
    require(any(moved), "SAME_STEP: observations are the first of the next episode; they are always final_obs too")


def _disabled(s: Subject) -> None:
    for call in drive(s.env, s.actions, s.seed):
        _no_final_keys(call, "DISABLED")
    s.env.reset(seed=s.seed)
    for actions in s.actions:
        done = Call("", *_in_order(s.env.step(actions))).done.copy()
        if done.any():
            break
    rule = f"DISABLED: a step raises while lane {np.argmax(done)} has ended and was not reset"
    try:
        s.env.step(s.actions[0])
    except Exception:
        s.env.reset(options={"reset_mask": done})
        s.env.step(s.actions[0])
    else:
        raise CheckError(f"{rule}; it did not")


@_check
def check_ignored_actions(s: Subject) -> bool:
    """NEXT_STEP: the action of a lane that is about to be reset changes nothing."""
    if s.mode != AutoresetMode.NEXT_STEP:
        return False
    others = deepcopy(s.env.single_action_space)
    others.seed(s.seed + 1)
    _compare_ignored(s, others.sample, "")
    return True


@_check
def check_ignored_invalid_actions(s: Subject) -> bool:
    """NEXT_STEP: nor does it where it is invalid."""
    dtype, shape = s.env.single_action_space.dtype, s.env.single_action_space.shape
    if s.mode != AutoresetMode.NEXT_STEP or dtype is None:
        return False
    invalid = np.nan if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).min
    _compare_ignored(s, lambda: np.full(shape, invalid, dtype), ", even an invalid one")
    return True


def _compare_ignored(s: Subject, replacement: Callable[[], Any], kind: str) -> None:
    """Play again with other actions in the lanes that are only reset."""
    rule = f"NEXT_STEP: the action of a lane that is about to be reset is ignored{kind}"
    expected = s.play()
    ended, changed = np.zeros(s.lanes, np.bool_), []
    for actions, call in zip(s.actions, expected[1:], strict=True):
        changed.append(_replace(s, actions, {lane: replacement() for lane in np.flatnonzero(ended).tolist()}))
        ended = call.done
    try:
        got = s.play(actions=changed)
    except Exception as error:
        raise CheckError(f"{rule}; step() raised {error!r}") from error
    expect_same(got, expected, rule, "with another", "with the first")


@_check
def check_reset_mask(s: Subject) -> None:
    """options['reset_mask'] resets the lanes that it names; one that cannot be is refused, and changes nothing."""
    expected = s.play(actions=s.actions[:2])
    wrong: list[tuple[Any, type[Exception], str]] = [
        ([True] * s.lanes, TypeError, "that is a list"),
        (np.ones(s.lanes, np.int64), TypeError, "of integers"),
        (np.ones(s.lanes + 1, np.bool_), ValueError, "of a wrong shape"),
        (np.zeros(s.lanes, np.bool_), ValueError, "that names no lane"),
    ]
    s.env.reset(seed=s.seed)
    for refused, error, words in wrong:
        _expect_error(lambda o: s.env.reset(options=o), {"reset_mask": refused}, error, f"a reset_mask {words}")
    first = Call("step 1", *_in_order(s.env.step(s.actions[0])))
    _expect_same_call(first, expected[1], "a refused reset_mask changes nothing", "after it", "without it")

    before, mask = s.rows(first.observations), np.arange(s.lanes) == 0
    partial = Call("a reset by reset_mask", *s.env.reset(options={"reset_mask": mask.copy()}))
    _sound_call(s, partial)
    _sound_infos(partial.infos, s.lanes, f"the infos of {partial.where}")
    for lane, row in enumerate(s.rows(partial.observations)):
        require(mask[lane] or same(row, before[lane]), f"a reset_mask leaves lane {lane}, not named in it, as it is")
    for key, value in partial.infos.items():
        if key.startswith("_") and (value & ~mask).any():
            raise CheckError(f"infos of a reset are of the lanes that reset_mask names; {key!r} has others, {value}")


@_check
def check_options(s: Subject) -> None:
    """Reset does not change the options that it is given."""
    mask = {} if "reset_mask" in s.skipped else {"reset_mask": np.ones(s.lanes, np.bool_)}
    for options in ({}, mask):
        given = deepcopy(options)
        s.env.reset(options=given)
        if not same(given, options):
            raise CheckError(f"reset() leaves the caller's options as they are, {options}; it made them {given}")


@_check
def check_seed_lists(s: Subject) -> None:
    """A list of seeds seeds each lane; None in it lets that lane go on."""
    seeds = s.seeds
    expect_same(s.play(seed=seeds), s.play(seed=seeds), "a list of seeds gives the same", "once", "again")
    longer = [*seeds, s.seed]
    _expect_error(lambda seed: s.env.reset(seed=seed), longer, ValueError, "a list of seeds of a wrong length")
    seeded = s.rows(s.env.reset(seed=seeds)[0])
    onward = s.rows(s.env.reset()[0])
    s.env.reset(seed=seeds)
    mixed = [seed if lane % 2 else None for lane, seed in enumerate(seeds)]
    for lane, row in enumerate(s.rows(s.env.reset(seed=mixed)[0])):
        if mixed[lane] is None:
            require(same(row, onward[lane]), f"None in a list of seeds lets lane {lane} go on, as reset() does")
        else:
            require(same(row, seeded[lane]), f"a seed beside None seeds lane {lane} as it does beside seeds")


@_check
def check_independent_lanes(s: Subject) -> None:
    """A lane's episodes hang on its seed and its actions, not on its place or on the other lanes."""
    if "seed_lists" not in s.skipped:
        here = [call for call in s.play(seed=s.seeds) if call.is_step]
        rolled = [_roll(s, actions) for actions in s.actions]
        there = [call for call in s.play(seed=[s.seeds[-1], *s.seeds[:-1]], actions=rolled) if call.is_step]
        for lane in range(s.lanes):
            other = (lane + 1) % s.lanes
            rule = f"the same seed and actions give the same in lanes {lane} and {other}"
            _expect_same_lane(s, here, lane, there, other, rule)
    if "reset_mask" not in s.skipped:
        lane_0, early = np.arange(s.lanes) == 0, len(s.actions) // 3
        whole = [call for call in s.play() if call.is_step]
        driven = drive(s.env, s.actions, s.seed, interrupt=lambda number, call: lane_0 if number == early else None)
        parted = [deepcopy(call) for call in driven if call.is_step]
        for lane in range(1, s.lanes):
            rule = f"resetting lane 0 by a reset_mask leaves lane {lane} as it is"
            _expect_same_lane(s, parted, lane, whole, lane, rule)


@_check
def check_pickling(s: Subject) -> None:
    """A copy by pickle goes on as the environment itself does."""
    half = len(s.actions) // 2
    s.play(actions=s.actions[:half])
    try:
        twin = pickle.loads(pickle.dumps(s.env))
    except Exception as error:
        raise CheckError(f"the environment can be pickled; {error!r}") from error
    its, mine = ([deepcopy(c) for c in drive(env, s.actions[half:], reset=False)] for env in (twin, s.env))
    expect_same(its, mine, "a pickled environment goes on with the same", "in the copy", "in the original")
    twin.close()


@_check
def check_spec(s: Subject) -> bool:
    """Gymnasium makes the same environment again from its spec, also after a journey through JSON."""
    if s.env.spec is None:
        return False
    try:
        specs = {"spec": s.env.spec, "spec.to_json()": EnvSpec.from_json(s.env.spec.to_json())}
    except Exception as error:
        raise CheckError(f"the spec goes to JSON and back; {error!r}") from error
    expected = s.play()
    for name, spec in specs.items():
        try:
            twin = gymnasium.make_vec(spec)
        except Exception as error:
            raise CheckError(f"gymnasium.make_vec makes an environment of {name}; {error!r}") from error
        for attribute in ("num_envs", "observation_space", "action_space", "metadata"):
            mine, its = getattr(s.env, attribute), getattr(twin, attribute)
            require(mine == its, f"the environment made of {name} has the same {attribute}, {mine}; got {its}")
        expect_same(s.play(twin), expected, f"the environment made of {name} gives the same", "there", "here")
        twin.close()
    return True


@_check
def check_instances(s: Subject) -> bool:
    """Environments made alike are alike, and share nothing."""
    if s.make is None:
        return False
    one, two = s.make(), s.make()
    require(one.unwrapped.metadata is not two.unwrapped.metadata, "two environments have two metadata; they share one")
    expected = s.play()
    expect_same(s.play(one), expected, "an environment made anew gives the same", "there", "here")
    disturbed, other = [], drive(two, s.actions, s.seed + 1)
    for call in drive(one, s.actions, s.seed):
        disturbed.append(deepcopy(call))
        next(other, None)
    expect_same(disturbed, expected, "stepping another environment changes nothing", "beside it", "alone")
    one.close()
    two.close()
    return True


@_check
def check_singles(s: Subject) -> bool:
    """The environment is N single ones, reset as the mode says, in all but the rest of the infos."""
    if s.single is None:
        return False
    rule = f"{s.mode.name}: the environment gives what SyncVectorEnv makes of single ones"
    singles = SyncVectorEnv([s.single] * s.lanes, autoreset_mode=s.mode)
    interrupt = None if "reset_mask" in s.skipped else _reset_some(s.lanes)
    for mine, its in zip(
        *(drive(env, s.actions, s.seeds, interrupt=interrupt) for env in (s.env, singles)), strict=True
    ):
        if its.is_step:
            its = its._replace(rewards=its.rewards.astype(mine.rewards.dtype))
        _expect_same_call(mine._replace(infos=None), its._replace(infos=None), rule, "here", "there")
        for lane in np.flatnonzero(its.infos.get("_final_obs", [])):
            last, expected = mine.infos["final_obs"][lane], its.infos["final_obs"][lane]
            if not same(np.asarray(last), np.asarray(expected)):
                raise CheckError(f"{rule}: infos['final_obs'][{lane}] of {mine.where} is {last} here, {expected} there")
    singles.close()
    return True


def _reset_some(lanes: int) -> Callable[[int, Call], Array | None]:
    """After steps of even number, reset what ended, which then does not wait for the next step, and lane 0."""
    lane_0 = np.arange(lanes) == 0
    return lambda number, call: call.done | lane_0 if number % 2 == 0 and call.done.any() else None


@_check
def check_close(s: Subject) -> None:
    """The environment can be closed, and once more."""
    s.env.close()
    require(s.env.closed, "env.closed is True after close(); it is False: override close_extras, not close")
    try:
        s.env.close()
    except Exception as error:
        raise CheckError(f"a second close() does nothing; it raised {error!r}") from error


# ── driving an environment ───────────────────────────────────────────────────────────────────────────────────


def drive(
    env: Any,
    actions: Sequence[Any],
    seed: Seed = None,
    *,
    reset: bool = True,
    interrupt: Callable[[int, Call], Array | None] | None = None,
) -> Iterator[Call]:
    """Yield what reset and each step hand out, as it is, not copied.

    seed       of the first reset; with reset=False there is none
    interrupt  names lanes to reset after a step, by the step's number and its Call

    Without autoreset, lanes that ended are reset after the step.
    """
    disabled = env.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    if reset:
        yield Call(f"reset(seed={seed})", *env.reset(seed=seed))
    for number, batch in enumerate(actions, 1):
        call = Call(f"step {number}", *_in_order(env.step(deepcopy(batch))))
        named = call.done.copy() if disabled else np.zeros(env.num_envs, np.bool_)
        if interrupt is not None and (more := interrupt(number, call)) is not None:
            named |= more
        yield call
        if named.any():
            yield Call(f"the reset after step {number}", *env.reset(options={"reset_mask": named}))


def _in_order(returned: Any) -> tuple[Any, ...]:
    """What step returned, in a Call's order."""
    observations, rewards, terminated, truncated, infos = returned
    return observations, infos, rewards, terminated, truncated


def _replace(s: Subject, actions: Any, replacements: dict[int, Any]) -> Any:
    """Return `actions` with those of some lanes replaced."""
    one = s.env.single_action_space
    each = [replacements.get(lane, action) for lane, action in enumerate(iterate(s.env.action_space, actions))]
    empty: Any = create_empty_array(one, n=s.lanes)
    return deepcopy(concatenate(one, each, empty))


def _roll(s: Subject, actions: Any) -> Any:
    """Return `actions` with each lane's moved to the next."""
    each = enumerate(iterate(s.env.action_space, actions))
    return _replace(s, actions, {(lane + 1) % s.lanes: action for lane, action in each})


# ── what is asked of one call ────────────────────────────────────────────────────────────────────────────────


def require(condition: Any, sentence: str) -> None:
    """Raise CheckError with the sentence unless the condition holds."""
    if not condition:
        raise CheckError(sentence)


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else repr(type(value))


def _sound_call(s: Subject, call: Call) -> None:
    """Types, shapes and dtypes of what one call returned."""
    space = s.env.observation_space
    require(isinstance(call.infos, dict), f"the infos of {call.where} are a dict; got {type(call.infos)}")
    for name, array in _arrays(call.observations, "observations"):
        require(array.flags.c_contiguous, f"{name} of {call.where} are C-contiguous; got strides {array.strides}")
    if isinstance(space, gymnasium.spaces.Box):
        _sound_array("observations", call, space.shape, space.dtype)
    require(call.observations in space, f"the observations of {call.where} are in observation_space; they are not")
    if not call.is_step:
        return
    for name, dtype in (("rewards", np.floating), ("terminated", np.bool_), ("truncated", np.bool_)):
        _sound_array(name, call, (s.lanes,), dtype)
    both = call.terminated & call.truncated
    rule = "a lane is terminated or truncated, not both"
    require(not (s.exclusive_flags and both.any()), f"{rule}; lane {np.argmax(both)} in {call.where} is both")


def _sound_array(name: str, call: Call, shape: tuple[int, ...], dtype: Any) -> None:
    array = getattr(call, name)
    require(isinstance(array, np.ndarray), f"{name} of {call.where} are a NumPy array; got {type(array)}")
    require(array.shape == shape, f"{name} of {call.where} have shape {shape}; got {array.shape}")
    wanted = getattr(dtype, "__name__", dtype)
    require(np.issubdtype(array.dtype, dtype), f"{name} of {call.where} have dtype {wanted}; got {array.dtype}")


def _sound_infos(infos: dict[str, Any], n: int, where: str) -> None:
    """Arrays (N, ...) or dicts of such, each beside its mask."""
    for key, value in infos.items():
        require(isinstance(key, str), f"keys of {where} are strings; got {key!r}")
        if key.startswith("_"):
            require(key[1:] in infos, f"{where} hold the mask {key!r} of a key that is not there")
            continue
        mask = infos.get(f"_{key}")
        require(mask is not None, f"{where} hold {key!r} without its mask '_{key}'")
        if not (isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (n,)):
            raise CheckError(f"the mask '_{key}' of {where} is a bool array ({n},); got {mask!r}")
        if isinstance(value, dict):
            _sound_infos(value, n, f"{where} under {key!r}")
        elif not (isinstance(value, np.ndarray) and value.ndim > 0 and len(value) == n):
            raise CheckError(f"{key!r} of {where} is an array ({n}, ...) or a dict of such; got {value!r}")


def _no_final_keys(call: Call, mode: str) -> None:
    for key in FINAL:
        require(key not in call.infos, f"{mode}: infos hold no {key!r}, a key of SAME_STEP; those of {call.where} do")


def _keys_of(infos: dict[str, Any], lane: int) -> set[str]:
    """Keys that the infos hold for a lane."""
    return {key for key in infos if f"_{key}" in infos and infos[f"_{key}"][lane]}


def _expect_error(call: Callable[[Any], Any], argument: Any, error: type[Exception], what: str) -> None:
    """Raise CheckError unless the call raises `error`, or AssertionError, as Gymnasium's own did before 1.4."""
    try:
        call(argument)
    except (error, AssertionError):
        return
    except Exception as other:
        raise CheckError(f"{what} raises {error.__name__}; it raised {other!r}") from other
    raise CheckError(f"{what} raises {error.__name__}; it was taken")


# ── comparing and writing ────────────────────────────────────────────────────────────────────────────────────


def same(one: Any, two: Any) -> bool:
    """Whether two structures of arrays are the same in kind, shape, dtype and value, NaN like NaN."""
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        if one.dtype != two.dtype or one.shape != two.shape:
            return False
        if one.dtype == object:
            return all(same(a, b) for a, b in zip(one.flat, two.flat, strict=True))
        return bool(np.array_equal(one, two, equal_nan=one.dtype.kind in "fc"))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return type(one) is type(two) and bool(one == two or (one != one and two != two))


def expect_same(got: list[Call], expected: list[Call], rule: str, here: str, there: str) -> None:
    """Raise CheckError with the rule and the first difference between two runs."""
    for one, two in zip(got, expected, strict=False):
        _expect_same_call(one, two, rule, here, there)
    require(len(got) == len(expected), f"{rule} number of calls; {len(got)} {here}, {len(expected)} {there}")


def _expect_same_call(got: Call, expected: Call, rule: str, here: str, there: str) -> None:
    for name in Call._fields[1:]:
        one, two = getattr(got, name), getattr(expected, name)
        if not same(one, two):
            raise CheckError(f"{rule}; {name} of {got.where} are {one} {here}, {two} {there}")


def _expect_same_lane(s: Subject, got: list[Call], lane: int, expected: list[Call], other: int, rule: str) -> None:
    """Raise CheckError unless lane `lane` of one run is lane `other` of the other."""
    for one, two in zip(got, expected, strict=True):
        mine = (s.rows(one.observations)[lane], one.rewards[lane], one.terminated[lane], one.truncated[lane])
        its = (s.rows(two.observations)[other], two.rewards[other], two.terminated[other], two.truncated[other])
        for name, a, b in zip(("observations", "rewards", "terminated", "truncated"), mine, its, strict=True):
            if not same(a, b):
                raise CheckError(f"{rule}; {name} of {one.where} are {a} and {b}")


def _arrays(value: Any, name: str) -> Iterator[tuple[str, Array]]:
    """Yield the arrays that a structure holds, with what they are called."""
    if isinstance(value, np.ndarray):
        yield name, value
        if value.dtype == object:
            for k, entry in enumerate(value.flat):
                yield from _arrays(entry, f"{name}[{k}]")
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _arrays(entry, f"{name}[{key!r}]")
    elif isinstance(value, tuple | list):
        for k, entry in enumerate(value):
            yield from _arrays(entry, f"{name}[{k}]")


def _leaves(call: Call) -> list[tuple[str, Array]]:
    """The arrays that a call handed out."""
    return [pair for name in Call._fields[1:] for pair in _arrays(getattr(call, name), name)]


def _scribble(call: Call, leaves: list[tuple[str, Array]]) -> None:
    """Write to all that a call handed out, as wrappers and users may."""
    for _, array in leaves:
        if array.flags.writeable:
            array[...] = None if array.dtype == object else np.ones((), array.dtype)
    call.infos.clear()
