"""The recurrent network in NumPy, for forecasts: what has been learnt needs no PyTorch to be used."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.models.dkt.sequences import Sequences
from alsim.types import Doubles, Floats, Longs, f64
from alsim.utils.npz import Shapes

AT_ONCE = 256
"""Students whose forecasts are made in step: a block's gates stay in the L2 cache."""


class Weights(NamedTuple):
    """What training learns, K skills, embedding size E, hidden size H; gates in PyTorch's order i, f, g, o.

    embedding    (2K + 1, E)  of skill + K * correct, as the one-hot code of (skill, correct) counts; last the start
    into         (4H, E)      from the embedding to the gates
    again        (4H, H)      from the hidden state to the gates
    gate_bias    (4H,)
    output       (K, H)       from the hidden state to the logit of each skill
    output_bias  (K,)         logits
    """

    embedding: Floats
    into: Floats
    again: Floats
    gate_bias: Floats
    output: Floats
    output_bias: Floats


def shapes_of(num_skills: int, embedding: int, hidden: int) -> Shapes:
    """Return the shape of each array of Weights."""
    gates = 4 * hidden
    return {
        "embedding": (2 * num_skills + 1, embedding),
        "into": (gates, embedding),
        "again": (gates, hidden),
        "gate_bias": (gates,),
        "output": (num_skills, hidden),
        "output_bias": (num_skills,),
    }


class Network(NamedTuple):
    """The same network over U things that are answered, in float64: a forecast's rounding is below 1e-12.

    The things are the K skills and, last, an unknown one; or those sets of skills that a log's responses have.

    answered   (2, U, E)  what a wrong and what a correct response to a thing is read as
    begin      (E,)       what is read before the first response
    into       (E, 4H)
    again      (H, 4H)
    gate_bias  (4H,)
    asked      (U, H)     from the hidden state to the logit of a thing
    ease       (U,)       logits
    """

    answered: Doubles
    begin: Doubles
    into: Doubles
    again: Doubles
    gate_bias: Doubles
    asked: Doubles
    ease: Doubles

    def of_sets(self, members: Longs, share: Doubles) -> Network:
        """Return the network over U sets of M skills at most, each of which counts by its share (U, M)."""
        return self._replace(
            answered=np.einsum("um,cume->cue", share, self.answered[:, members]),
            asked=np.einsum("um,umh->uh", share, self.asked[members]),
            ease=(share * self.ease[members]).sum(axis=1),
        )


def network_of(weights: Weights, counts: Longs) -> Network:
    """Return the network over the K skills and an unknown one.

    counts  (K,) responses to each that the weights were learnt from: an unknown skill is the mean of all, so weighted
    """
    num_skills = len(weights.output)
    by_answer = weights.embedding[:-1].reshape(2, num_skills, -1).astype(f64)
    asked, ease = weights.output.astype(f64), weights.output_bias.astype(f64)
    share = counts / counts.sum()
    return Network(
        answered=np.concatenate([by_answer, np.einsum("k,cke->ce", share, by_answer)[:, None]], axis=1),
        begin=weights.embedding[-1].astype(f64),
        into=np.ascontiguousarray(weights.into.T, f64),
        again=np.ascontiguousarray(weights.again.T, f64),
        gate_bias=weights.gate_bias.astype(f64),
        asked=np.concatenate([asked, (share @ asked)[None]]),
        ease=np.append(ease, share @ ease),
    )


def logistic(logit: Doubles) -> Doubles:
    """1 / (1 + exp(-logit)), which never overflows; absolute error below 1e-15."""
    return 0.5 + 0.5 * np.tanh(0.5 * logit)


def times(rows: Doubles, matrix: Doubles) -> Doubles:
    """Return rows (N, A) or one row (A,) times a matrix (A, B).

    NumPy's `@` shares even the product of one row among threads: on a busy machine a student would wait for the
    slowest, at the 99.9th percentile 30 times as long as the product takes.
    """
    return np.einsum("a,ab->b", rows, matrix) if rows.ndim == 1 else rows @ matrix


def read(network: Network, x: Doubles, hidden: Doubles, cell: Doubles) -> tuple[Doubles, Doubles]:
    """Let the long short-term memory of some students read one input each; return their hidden states and cells.

        i, f, o = logistic(x W + h U + b),  g = tanh(x W + h U + b),  c' = f c + i g,  h' = o tanh(c')

    x             (..., E) inputs
    hidden, cell  (..., H) h and c

    Source: Hochreiter & Schmidhuber (1997), with the forget gate of Gers, Schmidhuber & Cummins (2000).
    """
    gates = times(x, network.into) + times(hidden, network.again) + network.gate_bias
    i, f, g, o = np.split(gates, 4, axis=-1)
    cell = logistic(f) * cell + logistic(i) * np.tanh(g)
    return logistic(o) * np.tanh(cell), cell


def at_rest(network: Network, *students: int) -> tuple[Doubles, Doubles]:
    """Return the hidden states and cells (students, H) before anything is read."""
    shape = (*students, len(network.again))
    return np.zeros(shape), np.zeros(shape)


def forecasts(network: Network, sequences: Sequences) -> Doubles:
    """Return the probability (R,) that each response is correct, of the student's responses before it.

    A student's state is carried through all of their responses, however many.
    """
    over_sets = network.of_sets(sequences.members, sequences.share)
    lengths = np.diff(sequences.start)
    longest_first = np.argsort(-lengths, kind="stable")
    out = np.empty(len(sequences.correct))
    for begin in range(0, len(lengths), AT_ONCE):
        _forecast_block(over_sets, sequences, longest_first[begin : begin + AT_ONCE], out)
    return out


def _forecast_block(network: Network, sequences: Sequences, students: NDArray[np.intp], out: Doubles) -> None:
    """Write the forecasts of students' responses, the students in order of falling length."""
    first = sequences.start[students]
    lengths = sequences.start[students + 1] - first
    hidden, cell = at_rest(network, len(students))
    x = np.broadcast_to(network.begin, (len(students), len(network.begin)))
    for t in range(lengths[0]):
        going = int(np.count_nonzero(lengths > t))
        hidden, cell = read(network, x[:going], hidden[:going], cell[:going])
        place = first[:going] + t
        which = sequences.which[place]
        out[place] = logistic((hidden * network.asked[which]).sum(axis=1) + network.ease[which])
        x = network.answered[sequences.correct[place], which]
