"""Proximal policy optimization: sampling, advantages and the gradient of the loss.

Source: Schulman et al. (2017), Proximal policy optimization algorithms, arXiv:1707.06347; advantages: Schulman et al.
(2016), arXiv:1506.02438.
"""

from __future__ import annotations

from alsim.jit.compile import kernel, phase, wide_vectors
from alsim.numerics.elementary import exp, log
from alsim.types import ONE, ZERO, Bools, Floats, Longs, f32, u64

TINY = f32(1e-30)


@phase
def softmax(row: Floats, count: int, shares: Floats) -> f32:
    """Write e**(x - max) of the first `count` entries of a row; return the maximum."""
    wide_vectors()
    largest = row[0]
    for j in range(count):
        largest = max(largest, row[u64(j)])
    for j in range(count):
        shares[u64(j)] = exp(row[u64(j)] - largest)
    return largest


@phase
def total_of(row: Floats, count: int, sums: Floats) -> f32:
    """Return the sum of the first `count` entries, which is the same for any vector width."""
    wide_vectors()
    width = len(sums)
    for j in range(width):
        sums[u64(j)] = ZERO
    whole = count - count % width
    for begin in range(0, whole, width):
        for j in range(width):
            sums[u64(j)] += row[u64(begin + j)]
    for j in range(whole, count):
        sums[u64(j - whole)] += row[u64(j)]
    total = ZERO
    for j in range(width):
        total += sums[u64(j)]
    return total


@kernel
def sample(outputs: Floats, num_actions: int, uniforms: Floats, actions: Longs, log_probabilities: Floats, shares: Floats, sums: Floats) -> None:
    """Draw an action of each row from the softmax of its logits.

    outputs            (N, M); the first `num_actions` columns are logits
    uniforms           (N,) uniform random numbers in [0, 1)
    actions            (N,), written
    log_probabilities  (N,), written
    shares, sums       (M,) and (16,), scratch
    """
    for n in range(len(outputs)):
        row = outputs[n]
        largest = softmax(row, num_actions, shares)
        total = total_of(shares, num_actions, sums)
        left = uniforms[n] * total
        action = 0
        left -= shares[0]
        while left >= ZERO and action + 1 < num_actions:
            action += 1
            left -= shares[action]
        actions[n] = action
        log_probabilities[n] = row[action] - largest - log(total)


@kernel
def estimate_advantages(rewards: Floats, values: Floats, terminated: Bools, ended: Bools, gamma: f32, decay: f32, advantages: Floats) -> None:
    """Write generalised advantage estimates.

    rewards, terminated, ended, advantages  (T, N); `ended` says whether an episode ended, terminated or truncated
    values                                  (T + 1, N), of the observations before each step and after the last one
    gamma, decay                            discount, and weight of later advantages, gamma * lambda
    """
    steps, lanes = rewards.shape
    for n in range(lanes):
        estimate = ZERO
        for t in range(steps - 1, -1, -1):
            future = ZERO if terminated[t, n] else gamma * values[t + 1, n]
            carried = ZERO if ended[t, n] else decay * estimate
            estimate = rewards[t, n] + future - values[t, n] + carried
            advantages[t, n] = estimate


@phase
def policy_gradient(row: Floats, count: int, shares: Floats, scale: f32, entropy_weight: f32, entropy: f32, weight: f32, shift: f32) -> None:
    """Replace logits by the gradient of the loss, without the term of the chosen action."""
    wide_vectors()
    for j in range(count):
        p = shares[u64(j)] * scale
        log_p = row[u64(j)] - shift
        row[u64(j)] = p * (weight + entropy_weight * (log_p + entropy))


@phase
def entropy_of(row: Floats, count: int, shares: Floats, products: Floats, shift: f32) -> None:
    """Write the products of shares and logarithms of the probabilities."""
    wide_vectors()
    for j in range(count):
        products[u64(j)] = shares[u64(j)] * (row[u64(j)] - shift)


@kernel
def differentiate_loss(
    outputs: Floats, num_actions: int, actions: Longs, old_log_probabilities: Floats, advantages: Floats, targets: Floats,
    clip: f32, entropy_weight: f32, value_weight: f32, shares: Floats, products: Floats, sums: Floats,
) -> None:
    """Replace the outputs (N, M) of a network by the gradient of the loss of PPO with respect to them.

    The loss is the mean over rows of: value_weight * (value - target)**2, minus the smaller of ratio * advantage and
    clipped ratio * advantage, minus entropy_weight * entropy.
    """
    rows, width = outputs.shape
    each = ONE / f32(rows)
    for n in range(rows):
        row = outputs[n]
        action, advantage = actions[n], advantages[n]
        largest = softmax(row, num_actions, shares)
        total = total_of(shares, num_actions, sums)
        shift = largest + log(total)
        scale = ONE / total
        entropy_of(row, num_actions, shares, products, shift)
        entropy = -total_of(products, num_actions, sums) * scale
        ratio = exp(row[action] - shift - old_log_probabilities[n])
        is_clipped = (ratio > ONE + clip and advantage > ZERO) or (ratio < ONE - clip and advantage < ZERO)
        gain = ZERO if is_clipped else ratio * advantage
        policy_gradient(row, num_actions, shares, scale, entropy_weight * each, entropy, gain * each, shift)
        row[action] -= gain * each
        row[num_actions] = f32(2) * value_weight * each * (row[num_actions] - targets[n])
        for j in range(num_actions + 1, width):
            row[j] = ZERO
