"""The nouns, their axes and their units.

Axis letters, everywhere: N learners or lanes, L learning outcomes, Q questions, C contents, A actions,
B block, T steps. A singular name (`Learner`, `Item`) is the scalars of one; a collective (`Population`,
`ItemTable`) holds the same fields as arrays.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

# One assignment each, so that type checkers take them for types.
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

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Codes = NDArray[np.int8]
Words = NDArray[np.uint32]
Keys = NDArray[np.uint64]


class Purpose(IntEnum):
    """What a random number is for: the low 16 bits of the counter's last word (clause S11.1).

    The high 16 bits count blocks of four words, for a purpose that needs more than one block.
    """

    START = 1
    INTERACTION = 2
    POLICY = 3
    BANK = 4
    BOOTSTRAP = 5
    ASSIGNMENT = 6


class Reason(IntEnum):
    """Why an episode ended (clause S7.1); NONE while it goes on."""

    NONE = 0
    MASTERY_ACHIEVED = 1
    STEP_LIMIT = 2
    CRITICAL_FRUSTRATION = 3

    @property
    def word(self) -> str | None:
        """The specification's word, None for NONE."""
        return self.name.lower() if self else None


Observation = Literal["mastery", "responses"]
OBSERVATIONS: tuple[Observation, ...] = ("mastery", "responses")
"""Kinds of observation: clauses S8.1 and S8.2."""

MAX_LEARNERS = 2**32
"""Number of learners of a seed: a learner's index is a word of the random counter (clause S11.1)."""

DIFFICULTIES = ("Easy", "Medium", "Hard")
MODALITIES = ("video", "PPT", "text", "blog", "article", "handout")

FIRST_HELD_OUT = 2**31
"""Learners from here to 2**32 - 1 are held out for evaluation (clause S11.4)."""

BLOCK = 64
"""Learners that go through the phases of a step together: their scratch rows fit in the L1 cache."""


class Learner(NamedTuple):
    """What an interaction may change about one learner, in the learning outcome (LO) it is about."""

    mastery: f32  # of the LO in play, in [0, 1]
    ability: f32  # theta, logits; latent
    frustration: f32  # in [0, 1]
    response_time: f32  # of the last question, seconds
    fail_streak: i32  # wrong answers since the last correct one or content


class Item(NamedTuple):
    """One question or content; a field of the other kind is 0."""

    is_question: bool
    is_hard: bool
    a: f32  # discrimination, 1/logit
    b: f32  # difficulty, logits
    c: f32  # pseudo-guessing, in [0, 1)
    response_time_mean: f32  # seconds
    response_time_std: f32  # seconds
    effectiveness: f32  # mastery gained by an unfrustrated beginner
    impact: f32  # on frustration


class Draws(NamedTuple):
    """The randomness of one interaction."""

    answer: f32  # uniform on (0, 1)
    noise: f32  # standard normal


class Outcome(NamedTuple):
    """What came of one interaction, beside the learner after it."""

    correct: bool | np.bool_  # False for content
    gain: f32  # of mastery, after the bound at 1


class RewardWeights(NamedTuple):
    """Weights of the reward (clauses S6.1, S6.2)."""

    correctness: f32
    mastery_gain: f32
    frustration_penalty: f32
    post_content_gain: f32
    engagement: f32


class Termination(NamedTuple):
    """When an episode ends (clause S7.1)."""

    mastery_threshold: f64  # of the mean mastery
    max_frustration: f32
    max_steps: i32


class Start(NamedTuple):
    """How a learner starts (clauses S1.1, S1.2): mastery by a table of Beta quantiles, ability normal."""

    quantiles: Floats  # as numerics.beta.BetaTable
    detail: i32
    ability_mean: f32  # logits
    ability_std: f32  # logits


class Scale(NamedTuple):
    """Shapes and units of what is observed (clauses S8.1, S8.2)."""

    num_los: i64
    max_time: f32  # seconds that are observed as 1


class ItemTable(NamedTuple):
    """The bank as the loop reads it: items in order of their cell, and where each action's cell begins."""

    first: Ints  # (A,) first slot of the action's cell
    size: Words  # (A,) items in it
    learning_outcome: Ints  # (A,)
    is_hard: Bools  # (A,)
    item: Ints  # (Q + C,) slot -> index in the bank
    a: Floats  # (Q + C,) and so the rest, as in Item
    b: Floats
    c: Floats
    response_time_mean: Floats
    response_time_std: Floats
    effectiveness: Floats
    impact: Floats


class Population(NamedTuple):
    """The learners in all lanes; what is two-dimensional lies flat, row after row."""

    rows: Floats  # (N * (L + 2),) mastery of each LO, frustration, response time / max_time: observation S8.1
    ability: Floats  # (N,) logits
    frustration: Floats  # (N,)
    response_time: Floats  # (N,) seconds
    fail_streak: Ints  # (N,)
    mastery_sum: Doubles  # (N,) over LOs; float64, so that a sum kept step by step is the sum
    key: Keys  # (N,) seed
    learner: Words  # (N,) index within the seed
    episode: Words  # (N,)
    step: Words  # (N,) interactions in this episode
    finished: Bools  # (N,) the episode ended, and no other has begun
    asked: Ints  # (N * L,) questions asked, for observation S8.2; else (0,)
    right: Ints  # (N * L,) of them answered correctly
    responses: Floats  # (N * (2 L + 2),) observation S8.2; else (0,)


class Interaction(NamedTuple):
    """What happened in each lane's last step, and how it left the learner; (0,) where nobody asks."""

    item: Ints  # (N,) index in the bank, questions first
    correct: Bools  # (N,) False for content
    gain: Floats  # (N,) of mastery
    seconds: Floats  # (N,) response time of a question, NaN for content
    frustration: Floats  # (N,)
    fail_streak: Ints  # (N,)
    ability: Floats  # (N,) logits
    mastery_sum: Doubles  # (N,) over LOs
    step: Ints  # (N,) interactions so far, this one included


class Output(NamedTuple):
    """What a step hands out."""

    observation: Floats  # (N * R,), or (0,) where nobody wants a copy
    reward: Doubles  # (N,)
    terminated: Bools  # (N,)
    truncated: Bools  # (N,)
    reason: Codes  # (N,) Reason
    live: Bools  # (N,) the lane took a step, and was not begun anew instead
    final: Floats  # (N * R,) last observation of the lanes that ended, under SAME_STEP; else (0,)


class Buffers(NamedTuple):
    """Arrays of a caller's own that a step of M lanes writes to, in place of the environment's.

    Each is C-contiguous, aligned and writeable, and overlaps neither another nor the actions.
    """

    observations: Floats  # (M, R)
    rewards: Doubles | Floats  # (M,); float32 is rounded from the float64 that a step computes
    terminated: Bools  # (M,)
    truncated: Bools  # (M,)


class Scratch(NamedTuple):
    """Rows of one block, at constant offsets in one array a type, and lanes that wait for something."""

    words: Words
    floats: Floats
    ints: Ints
    listed: Longs


class World(NamedTuple):
    """All that a step reads and writes."""

    parameters: NamedTuple
    weights: RewardWeights
    termination: Termination
    start: Start
    scale: Scale
    items: ItemTable
    population: Population
    interaction: Interaction
    scratch: Scratch
