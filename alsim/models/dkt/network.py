"""The recurrent network in NumPy: forecasts from trained weights, without PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.models.dkt.sequences import Sequences
from alsim.types import Doubles, Floats, Longs, f64
from alsim.utils.npz import Shapes

STUDENTS_PER_BLOCK = 256
"""Number of students that are forecast together, so that their gates stay in the L2 cache."""


class Weights(NamedTuple):
    """Trained weights for K skills, embedding size E and hidden size H. Gates are in PyTorch's order i, f, g, o.

    embedding    (2K + 1, E)  row skill + K * correct is the input after that response; the last row is the input
                              before the first response
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
    """The network for U units, in float64; the rounding error of a forecast is below 1e-12.

    The units are the K skills followed by an unknown skill, or the sets of skills that occur in a log.

    responses    (2, U, E)  embeddings of a wrong and of a correct response to each unit
    start        (E,)       input before the first response
    into         (E, 4H)    from the embedding to the gates
    again        (H, 4H)    from the hidden state to the gates
    gate_bias    (4H,)
    output       (U, H)     from the hidden state to the logit of each unit
    output_bias  (U,)       logits
    """

    responses: Doubles
    start: Doubles
    into: Doubles
    again: Doubles
    gate_bias: Doubles
    output: Doubles
    output_bias: Doubles

    def of_sets(self, members: Longs, share: Doubles) -> Network:
        """Return the network whose units are sets of skills, each the weighted mean of its members.

        members  (U, M) numbers of the skills in each set
        share    (U, M) weights of these skills in the mean
        """
        return self._replace(
            responses=np.einsum("um,cume->cue", share, self.responses[:, members]),
            output=np.einsum("um,umh->uh", share, self.output[members]),
            output_bias=(share * self.output_bias[members]).sum(axis=1),
        )


def network_of(weights: Weights, counts: Longs) -> Network:
    """Return the network whose units are the K skills and an unknown skill.

    weights  trained weights
    counts   (K,) number of training responses to each skill, by which the mean for the unknown skill is weighted
    """
    num_skills = len(weights.output)
    responses = weights.embedding[:-1].reshape(2, num_skills, -1).astype(f64)
    output, output_bias = weights.output.astype(f64), weights.output_bias.astype(f64)
    share = counts / counts.sum()
    return Network(
        responses=np.concatenate([responses, np.einsum("k,cke->ce", share, responses)[:, None]], axis=1),
        start=weights.embedding[-1].astype(f64),
        into=np.ascontiguousarray(weights.into.T, f64),
        again=np.ascontiguousarray(weights.again.T, f64),
        gate_bias=weights.gate_bias.astype(f64),
        output=np.concatenate([output, (share @ output)[None]]),
        output_bias=np.append(output_bias, share @ output_bias),
    )


def logistic(logit: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-logit)) without overflow; absolute error below 1e-15.

    `alsim.models.logistic.logistic` also has a small relative error; the last bits of the two may differ.
    """
    return 0.5 + 0.5 * np.tanh(0.5 * logit)


def times(rows: Doubles, matrix: Doubles) -> Doubles:
    """Return the product of rows (N, A), or of one row (A,), and a matrix (A, B).

    One row is multiplied by `einsum`, because NumPy's `@` distributes even this product over threads. On a busy machine
    it then waits for the slowest thread: at the 99.9th percentile, the wait is 30 times as long as the product takes.
    """
    return np.einsum("a,ab->b", rows, matrix) if rows.ndim == 1 else rows @ matrix


def step(network: Network, x: Doubles, hidden: Doubles, cell: Doubles) -> tuple[Doubles, Doubles]:
    """Return the hidden states (..., H) and cells (..., H) of a long short-term memory after one input.

        i, f, o = logistic(x W + h U + b),  g = tanh(x W + h U + b),  c' = f c + i g,  h' = o tanh(c')

    x             (..., E) inputs
    hidden, cell  (..., H) h and c

    Source: Hochreiter & Schmidhuber (1997), with the forget gate of Gers, Schmidhuber & Cummins (2000).
    """
    gates = times(x, network.into) + times(hidden, network.again) + network.gate_bias
    i, f, g, o = np.split(gates, 4, axis=-1)
    cell = logistic(f) * cell + logistic(i) * np.tanh(g)
    return logistic(o) * np.tanh(cell), cell


def initial_state(network: Network, *students: int) -> tuple[Doubles, Doubles]:
    """Return the hidden states and cells before the first input, all 0.

    students  number of students, S, for arrays (S, H); without it, the arrays are (H,)
    """
    shape = (*students, len(network.again))
    return np.zeros(shape), np.zeros(shape)


def forecasts(network: Network, sequences: Sequences) -> Doubles:
    """Return the probability (R,) that each response is correct, given the student's earlier responses.

    The state of a student is carried through all responses of `sequences`.
    """
    over_sets = network.of_sets(sequences.members, sequences.share)
    lengths = np.diff(sequences.start)
    longest_first = np.argsort(-lengths, kind="stable")
    out = np.empty(len(sequences.correct))
    for begin in range(0, len(lengths), STUDENTS_PER_BLOCK):
        _forecast_block(over_sets, sequences, longest_first[begin : begin + STUDENTS_PER_BLOCK], out)
    return out


def _forecast_block(network: Network, sequences: Sequences, students: NDArray[np.intp], out: Doubles) -> None:
    """Write the forecasts of some students into `out` (R,).

    students  in order of decreasing length
    """
    first = sequences.start[students]
    lengths = sequences.start[students + 1] - first
    hidden, cell = initial_state(network, len(students))
    x = np.broadcast_to(network.start, (len(students), len(network.start)))
    for t in range(lengths[0]):
        remaining = int(np.count_nonzero(lengths > t))
        hidden, cell = step(network, x[:remaining], hidden[:remaining], cell[:remaining])
        place = first[:remaining] + t
        skill_set = sequences.skill_set[place]
        out[place] = logistic((hidden * network.output[skill_set]).sum(axis=1) + network.output_bias[skill_set])
        x = network.responses[sequences.correct[place], skill_set]
