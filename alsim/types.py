"""Structs of the simulator, with their axes and units.

Axis letters of the simulator: N learners or lanes, M some of the lanes, L learning outcomes, Q questions, C contents,
A actions, R entries of an observation, B lanes of a block, E episodes, T steps of an episode. A class with a
singular name (`Learner`, `Item`) holds the scalars of one learner or item; a class with a collective name
(`LearnerArrays`, `ItemTable`) holds arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from enum import IntEnum
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

# Separate assignments: type checkers do not accept names from a tuple assignment as types.
f32 = np.float32
f64 = np.float64
i8 = np.int8
i16 = np.int16
i32 = np.int32
i64 = np.int64
u32 = np.uint32
u64 = np.uint64

# Typed constants of compiled code, where a Python literal would widen the type of an expression.
ZERO, HALF, ONE, NAN = f32(0), f32(0.5), f32(1), f32(np.nan)
I0, I1 = i32(0), i32(1)
U0, U1 = u32(0), u32(1)
WORD_BITS = u64(32)
HOURS_PER_SECOND = f64(1 / 3600)

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Codes = NDArray[np.int8]
Words = NDArray[np.uint32]
Keys = NDArray[np.uint64]


Class = TypeVar("Class", bound=type[Any])
LONGEST_VALUE, LONGEST_REPR = 60, 320
"""Largest length of one value in a `repr`, and of all values, in characters."""


def describe(value: Any) -> str:
    """Return a short text for a value: shape and type of an array, length of a long collection."""
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, np.generic):
        value = value.item()
    is_collection = isinstance(value, tuple | list | dict | set | frozenset) and not hasattr(value, "_fields")
    if is_collection and len(value) > 4:
        return f"<{type(value).__name__} of {len(value)}>"
    text = f"[{', '.join(map(describe, value))}]" if type(value) is list else repr(value)
    if len(text) <= LONGEST_VALUE and " at 0x" not in text and "\n" not in text:
        return text
    if isinstance(value, str):
        return f"{value[: LONGEST_VALUE - 20]!r}…"
    return f"<{type(value).__name__} of {len(value)}>" if is_collection else f"{type(value).__name__}(…)"


def safe_repr(text: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a `__repr__` that returns `text(self)`, or only the name of the class if that raises an exception."""

    def representation(self: Any) -> str:
        """Return a short text that describes the object."""
        try:
            return text(self)
        except Exception:
            return f"{type(self).__name__}(…)"

    return representation


@safe_repr
def fields_repr(self: Any) -> str:
    """Return the class and its fields: arrays by shape and type, other values by a short text."""
    names = self._fields if isinstance(self, tuple) else [field.name for field in fields(self)]  # type: ignore[attr-defined]
    texts: list[str] = []
    for name in names:
        value = getattr(self, name)
        texts.append(f"{name}{' ' if isinstance(value, np.ndarray) else '='}{describe(value)}")
    kept = len(texts)
    while sum(map(len, texts[:kept])) > LONGEST_REPR:
        kept -= 1
    more = [f"… {len(texts) - kept} more"] if kept < len(texts) else []
    return f"{type(self).__name__}({', '.join(texts[:kept] + more)})"


def short_repr(cls: Class) -> Class:
    """Return a NamedTuple or a dataclass, with a `repr` of at most a few lines that never raises an exception."""
    cls.__repr__ = fields_repr  # type: ignore[assignment]  # a function becomes a method
    return cls


class Purpose(IntEnum):
    """Purpose of a random number: the low 16 bits of the last word of its counter (clause S11.1).

    The high 16 bits count blocks of four words, for a purpose that needs more than one block.
    """

    START = 1
    INTERACTION = 2
    POLICY = 3
    BANK = 4
    BOOTSTRAP = 5
    ASSIGNMENT = 6
    OWN_START = 7  # state of a dynamics' own
    ROW = 8  # of a population
    CLASS = 9  # effects that the learners of a class share
    LOOKAHEAD = 10  # keys of simulated copies of learners
    BOUND = 11  # interactions that gain as much as any can, see evaluation.bounds
    ENGINE = 12  # recommendations to students, whose names are hashed to (learner, episode)
    CANARY = 13  # coin flips in place of answers, see evaluation.scorecards


class Reason(IntEnum):
    """Reason for the end of an episode (clause S7.1); NONE until it ends."""

    NONE = 0
    MASTERY_ACHIEVED = 1
    STEP_LIMIT = 2
    CRITICAL_FRUSTRATION = 3

    @property
    def word(self) -> str | None:
        """The specification's word, None for NONE."""
        return self.name.lower() if self else None


Activation = Literal["tanh", "relu"]
"""Activation functions of networks."""
Observation = Literal["mastery", "responses"]
OBSERVATIONS: tuple[Observation, ...] = ("mastery", "responses")
"""Kinds of observation: clauses S8.1 and S8.2."""

MAX_LEARNERS = 2**32
"""Number of learners per seed: a learner's index is a word of the random counter (clause S11.1)."""

DIFFICULTIES = ("Easy", "Medium", "Hard")
MODALITIES = ("video", "PPT", "text", "blog", "article", "handout")

FIRST_HELD_OUT = 2**31
"""Learners from here to 2**32 - 1 are held out for evaluation (clause S11.4)."""

BLOCK = 64
"""Learners per block. A block goes through the phases of a step together; its scratch rows fit in the L1 cache."""


class Learner(NamedTuple):
    """Part of a learner's state that an interaction with an item may change."""

    mastery: f32  # of the item's learning outcome (LO), in [0, 1]
    ability: f32  # theta, logits; latent
    frustration: f32  # in [0, 1]
    response_time: f32  # of the last question, seconds
    fail_streak: i32  # wrong answers since the last correct one or content
    lo_state: Any = ()  # state of the dynamics' own, of the item's LO; () if it declares none
    learner_state: Any = ()  # state of the dynamics' own, of the learner


class Item(NamedTuple):
    """One question or content, as a learner meets it; the fields of the other kind are 0."""

    is_question: bool
    is_hard: bool
    a: f32  # discrimination, 1/logit
    b: f32  # difficulty, logits
    c: f32  # pseudo-guessing, in [0, 1)
    response_time_mean: f32  # seconds; of a content, its duration
    response_time_std: f32  # seconds
    effectiveness: f32  # expected mastery gain at mastery 0 and frustration 0
    impact: f32  # change of frustration
    unready: Any = ZERO  # f32, sum over the parents of its LO of 1 - mastery; 0 unless the dynamics reads parents
    hours: Any = ()  # f32, hours since the episode began; () unless the dynamics reads the clock


class Draws(NamedTuple):
    """Random numbers of one interaction."""

    answer: f32  # uniform on (0, 1)
    noise: f32  # standard normal
    further: Any = ()  # four more, uniform on (0, 1); () unless the dynamics asks for them


class Outcome(NamedTuple):
    """Result of one interaction, in addition to the new state of the learner."""

    correct: bool | np.bool_  # False for content
    gain: f32  # increase of mastery, after clipping at 1


class RewardWeights(NamedTuple):
    """Weights of the reward (clauses S6.1, S6.2)."""

    correctness: f32
    mastery_gain: f32
    frustration_penalty: f32
    post_content_gain: f32
    engagement: f32


class Termination(NamedTuple):
    """Conditions for the end of an episode (clause S7.1)."""

    mastery_threshold: f64  # of the mean mastery
    max_frustration: f32
    max_steps: i32


class MasteryStart(NamedTuple):
    """Distribution of starting mastery (clause S1.1): a table of Beta quantiles."""

    offset: i32  # first segment of the table in Start.quantiles
    detail: i32  # numerics.beta.BetaTable.detail


class AbilityStart(NamedTuple):
    """Distribution of starting ability (clause S1.2)."""

    mean: f32  # logits
    std: f32  # logits


class Start(NamedTuple):
    """Starting distributions."""

    quantiles: Floats  # coefficients of numerics.beta.BetaTable, of one table or of several
    mastery: MasteryStart
    ability: AbilityStart


class Scale(NamedTuple):
    """Shapes and units of observations (clauses S8.1, S8.2)."""

    num_los: i64
    max_time: f32  # response time that is observed as 1, seconds


CELL = np.dtype(
    [
        ("first", i32),  # first slot of the cell
        ("size", i32),  # number of items in the cell
        ("learning_outcome", i32),
        ("kind", i32),  # 0 for a content, 1 for a question, 3 for a hard question
    ],
)
"""Record of an action, 16 bytes; the four fields are transposed together."""

SLOT = np.dtype(
    [
        ("a", f32),  # see Item, as for the fields below
        ("b", f32),
        ("c", f32),
        ("response_time_mean", f32),
        ("response_time_std", f32),
        ("effectiveness", f32),
        ("impact", f32),
        ("item", i32),  # index in the bank
    ],
)
"""Record of an item, 32 bytes; the eight fields are transposed together."""


@short_repr
class ItemTable(NamedTuple):
    """Item bank as arrays for the batch loop.

    The items of an action are a cell. Slots are positions of items that are sorted by cell. Arrays of records, since
    a lane reads all fields of one record (decision 21).
    """

    cells: NDArray[np.void]  # (A,) of CELL
    slots: NDArray[np.void]  # (Q + C,) of SLOT


@short_repr
class Course(NamedTuple):
    """Part of a bank and of a configuration that a policy may know in advance: plain arrays, without learners.

    The questions are in the order of the bank, so that their indices are those of `View.items`.
    """

    num_los: int
    learning_outcome: Longs  # (Q,) index of the LO of each question
    difficulty: Longs  # (Q,) 0 Easy, 1 Medium, 2 Hard
    a: Doubles  # (Q,) discrimination, 1/logit
    b: Doubles  # (Q,) difficulty, logits
    c: Doubles  # (Q,) pseudo-guessing, in [0, 1)
    blueprint: tuple[float, float, float] = (0.2, 0.6, 0.2)  # target shares of Easy, Medium and Hard (S9.2)
    prerequisites: tuple[tuple[int, ...], ...] = ()  # parents of each LO; empty without a curriculum
    outcomes: tuple[str, ...] = ()  # names of the LOs; empty if they are unknown
    items: tuple[str, ...] = ()  # ids of the Q questions and then of the C contents; empty if they are unknown
    content_outcome: Longs | tuple[int, ...] = ()  # (C,) index of the LO of each content
    modality: Longs | tuple[int, ...] = ()  # (C,) index into MODALITIES


class PerLane(NamedTuple):
    """Length of a field of the learners, in entries per lane: los * L + more."""

    los: int = 0
    more: int = 0
    reset: bool = False  # set to 0 at the start of an episode; the other fields are set by specific rules
    responses: bool = False  # only for observations of responses (clause S8.2); otherwise the array is empty

    def width(self, num_los: int, responses: bool) -> int:
        """Return the entries per lane."""
        return self.los * num_los + self.more if responses or not self.responses else 0


ONE_EACH, RESET = PerLane(more=1), PerLane(more=1, reset=True)


@short_repr
class LearnerArrays(NamedTuple):
    """The learners of all lanes. Two-dimensional fields are stored flat, row after row.

    Allocation, reset, copies of lanes and snapshots derive from this table: type, entries per lane, meaning.
    """

    rows: Annotated[Floats, PerLane(los=1, more=2)]  # mastery of each LO, frustration, response time / max_time: S8.1
    ability: Annotated[Floats, ONE_EACH]  # logits
    frustration: Annotated[Floats, RESET]  # in [0, 1]
    response_time: Annotated[Floats, RESET]  # seconds
    fail_streak: Annotated[Ints, RESET]  # wrong answers since the last correct one or content
    mastery_sum: Annotated[Doubles, RESET]  # over LOs; float64, so that the running sum equals the sum
    key: Annotated[Keys, ONE_EACH]  # seed
    learner: Annotated[Words, ONE_EACH]  # index within the seed
    episode: Annotated[Words, ONE_EACH]  # number of the learner's episode, from 0
    step: Annotated[Words, RESET]  # interactions in this episode
    finished: Annotated[Bools, RESET]  # the episode has ended, and the next one has not begun
    asked: Annotated[Ints, PerLane(los=1, responses=True)]  # number of questions asked
    right: Annotated[Ints, PerLane(los=1, responses=True)]  # number of questions answered correctly
    responses: Annotated[Floats, PerLane(los=2, more=2, responses=True)]  # observation S8.2
    hours: Any = ()  # (N,) float64, since the episode began: clause S13.1; () unless something reads the clock
    row: Any = ()  # (N,) int32, row of the population; () for one row, as the next field
    parameters: Any = ()  # (N,) each: parameters of the dynamics
    lo_state: Any = ()  # (N * L,) each: state of the dynamics' own, of each LO; () if it declares none
    learner_state: Any = ()  # (N,) each: state of the dynamics' own
    recall: Any = ()  # (N,) float64, sum over LOs of the recall after a delay; () unless the reward needs it: S6.3


class Interaction(NamedTuple):
    """Record of each lane's last interaction and of the learner's new state; arrays (0,) if nothing is recorded."""

    item: Ints  # (N,) index in the bank, questions first
    correct: Bools  # (N,) False for content
    gain: Floats  # (N,) increase of mastery
    seconds: Floats  # (N,) response time of a question, NaN for content
    frustration: Floats  # (N,) in [0, 1]
    fail_streak: Ints  # (N,)
    ability: Floats  # (N,) logits
    mastery_sum: Doubles  # (N,) sum over LOs
    step: Ints  # (N,) interactions of the episode, including this one


class Output(NamedTuple):
    """Outputs of a step."""

    observation: Floats  # (N * R,), or (0,) without a copy
    reward: Doubles  # (N,)
    terminated: Bools  # (N,)
    truncated: Bools  # (N,)
    reason: Codes  # (N,) Reason
    live: Bools  # (N,) False for a lane that was reset instead of stepped
    final: Floats  # (N * R,) last observation of the lanes that ended, under SAME_STEP; else (0,)


@short_repr
class Buffers(NamedTuple):
    """Output arrays of the caller; a step of M lanes writes to them instead of to the environment's arrays.

    Each is C-contiguous, aligned and writeable, and overlaps neither the others nor the actions.
    """

    observations: Floats  # (M, R)
    rewards: Doubles | Floats  # (M,); a step computes float64, and rounds it for a float32 array
    terminated: Bools  # (M,)
    truncated: Bools  # (M,)


class Scratch(NamedTuple):
    """Scratch arrays of one block: one array per type, with rows at constant offsets, and a list of lanes.

    The others are () unless the dynamics or the population needs them.
    """

    words: Words
    floats: Floats
    ints: Ints
    listed: Longs  # lanes to reset
    lo_state: Any = ()  # (B,) each: own state of the LO of the interaction
    mastery_start: Any = ()  # MasteryStart of (B,), by counter; () for one row of the population, as the next field
    ability_start: Any = ()  # AbilityStart of (B,), by learner
    unready: Any = ()  # (B,) float32: see Item.unready
    further: Any = ()  # four of (B,) float32: see Draws.further
    observed: Any = ()  # (L,) float32, what is observed of each LO of one learner


class Beginning(NamedTuple):
    """Values that the dynamics sets at the start of an episode."""

    lo_state: Any  # start values; () if it declares no such state
    learner_state: Any
    draws: Any  # () unless it has a rule `begin`


class Sessions(NamedTuple):
    """Breaks within an episode (clause S13.1)."""

    interactions: i32  # between two breaks
    hours: f64  # length of a break


class Delay(NamedTuple):
    """Delay of delayed retention (clause S13.3)."""

    hours: f64


class RecallReward(NamedTuple):
    """Reward of recall after a delay (clause S6.3)."""

    weight: f32  # of the change of its sum over LOs
    hours: f64  # delay


class Rows(NamedTuple):
    """The S rows of a population."""

    thresholds: Keys  # (S,) see Population.thresholds
    parameters: Any  # (S,) each: parameters of the dynamics
    mastery: MasteryStart  # of arrays (S,)
    ability: AbilityStart  # of arrays (S,)


GRAPH_GROUP = 4
"""Places for parents per group of a Graph."""


class Classes(NamedTuple):
    """Effects that the learners of a class share (clause S12.2)."""

    size: u64  # learners per class
    mastery_std: f32  # of the shift of starting masteries, logits
    ability_std: f32  # of the shift of starting ability, logits


class Graph(NamedTuple):
    """The prerequisites of each LO: places first[lo] to first[lo + 1] - 1, in whole groups, at least one."""

    first: Ints  # (L + 1,)
    parents: Ints  # (P,) LOs
    weights: Floats  # (P,) 1 for a parent, 0 for a place that is not used


class World(NamedTuple):
    """Everything that a step reads and writes."""

    parameters: NamedTuple
    weights: RewardWeights
    termination: Termination
    start: Start
    scale: Scale
    items: ItemTable
    learners: LearnerArrays
    interaction: Interaction
    scratch: Scratch
    beginning: Beginning
    rows: Any = ()  # Rows; () for a population of one row
    classes: Any = ()  # Classes; () for learners without classes
    graph: Any = ()  # Graph; () unless the dynamics reads parents
    sessions: Any = ()  # Sessions; () for one session
    retention: Any = ()  # Delay; () unless the dynamics says what is observed of mastery
    recall: Any = ()  # RecallReward; () unless the reward has it and the dynamics says what is observed of mastery
    observed_after_each: Any = ()  # () unless the dynamics observes all LOs after each interaction
    observed_after_breaks: Any = ()  # () unless the dynamics says what is observed, and there are breaks
