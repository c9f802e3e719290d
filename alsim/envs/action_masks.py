"""Action masks of an environment: the allowed actions of each lane, and masked actions that are refused."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from alsim.envs.infos import InfoBuilder
from alsim.errors import AlsimError
from alsim.jit.structs import is_absent
from alsim.policies.action_masks import ActionMask, FixedMask, MaskRules, read_action_mask
from alsim.policies.base import View
from alsim.simulator.simulator import Simulator
from alsim.types import Bools, Codes, Floats, Longs

ACTION_MASK = "action_mask"
"""Key of the masks in infos, as in the environments of Gymnasium and PettingZoo."""
MASKED_ACTIONS = ("refuse", "allow")
"""Treatments of an action that the mask does not allow."""


class NoHistory(list[Any]):
    """History of a view of an environment. It has no entries, and reading it raises an error."""

    def _raise(self, *_: Any) -> NoReturn:
        raise AlsimError(
            "an environment keeps no history of its lanes, so view.step, actions, items, correct, seconds, asked and "
            "shown are unknown in its action mask; read view.observation (observation='responses' counts questions), "
            "or use the mask in a rollout"
        )

    __len__ = __iter__ = __getitem__ = __contains__ = __reversed__ = _raise


class LaneMasks:
    """Masks of the lanes of a simulator.

    mask       allowed actions as a function of the view
    simulator  the simulator of all lanes
    refuse     whether `before_step` refuses actions that are not allowed
    single     whether errors need not name the lane
    """

    def __init__(self, mask: ActionMask, simulator: Simulator, *, refuse: bool, single: bool = False) -> None:
        self._mask, self._simulator = mask, simulator
        self._refuse, self._single = refuse, single
        self._current: Bools | None = None

    def current(self) -> Bools:
        """Return True for each allowed action in the current state, (N, A), in an array that must not be changed.

        In lanes whose episode is over, all actions are allowed, because they have no effect. The result is kept until
        `changed` is called.
        """
        if self._current is None:
            finished = self._simulator.learners.finished
            allowed = self._mask.allowed(self._view())
            self._current = allowed | finished[:, np.newaxis] if finished.any() else allowed
        return self._current

    def changed(self) -> None:
        """Note that the state of the simulator changes."""
        self._current = None

    def before_step(self, actions: Longs, lanes: Longs | None = None) -> None:
        """Raise AlsimError if an action is masked and masked actions are refused; otherwise, call `changed`.

        actions  (M,), which may be invalid: the kernel checks them
        lanes    (M,) lanes of the actions; None: all lanes
        """
        if self._refuse:
            allowed = self.current()
            rows = np.arange(len(allowed)) if lanes is None else lanes
            known = (actions >= 0) & (actions < allowed.shape[1])
            masked = known & ~allowed[rows, np.where(known, actions, 0)]
            if masked.any():
                index = int(np.argmax(masked))
                place = "" if self._single else f" in lane {rows[index]}"
                raise AlsimError(
                    f"the action mask does not allow action {actions[index]}{place}; choose an action that "
                    "action_masks() allows, or create the environment with masked_actions='allow'"
                )
        self.changed()

    def _view(self) -> View:
        """Return a view of the current state, without a history."""
        simulator, learners = self._simulator, self._simulator.learners
        return View(
            observation=_read_only(simulator.observation),
            kind=simulator.observation_kind,
            num_los=simulator.bank.num_los,
            active=~learners.finished,
            last_seconds=_read_only(learners.response_time),
            actions=NoHistory(),
            items=NoHistory(),
            correct=NoHistory(),
            seconds=NoHistory(),
            clock=None if is_absent(learners.hours) else _read_only(learners.hours),
        )


class MaskInfoBuilder(InfoBuilder):
    """Builder of infos that also contain the masks, under the key "action_mask".

    infos  builder of the other infos
    masks  masks of the environment
    """

    def __init__(self, infos: InfoBuilder, masks: LaneMasks) -> None:
        self._infos, self._masks = infos, masks

    def at_reset(self, simulator: Simulator, was_reset: Bools) -> dict[str, Any]:
        """Return the infos of a reset of some lanes, see `InfoBuilder.at_reset`."""
        infos = self._infos.at_reset(simulator, was_reset)
        return infos | {ACTION_MASK: self._masks.current().copy(), f"_{ACTION_MASK}": was_reset.copy()}

    def build(
        self,
        simulator: Simulator,
        reason: Codes,
        live: Bools,
        final: Floats,
        count: int,
        lanes: Longs | None = None,
    ) -> dict[str, Any]:
        """Return the infos of a step, see `InfoBuilder.build`. The masks of every lane are valid.

        A lane whose episode ended has the mask of its next episode under SAME_STEP, and may take any action otherwise.
        """
        infos = self._infos.build(simulator, reason, live, final, count)
        masks = self._masks.current()
        masks = masks.copy() if lanes is None else masks[lanes]
        if "final_info" in infos:
            ended = infos["_final_info"]
            every = np.broadcast_to(ended[:, np.newaxis], masks.shape).copy()
            infos["final_info"] |= {ACTION_MASK: every, f"_{ACTION_MASK}": ended.copy()}
        return infos | {ACTION_MASK: masks, f"_{ACTION_MASK}": np.ones(len(masks), np.bool_)}


def read_lane_masks(
    action_mask: Any, masked_actions: str, mask_in_info: bool, simulator: Simulator, *, single: bool = False
) -> LaneMasks | None:
    """Return the masks of an environment; None if it has no mask, and no mask in its infos. Raises AlsimError.

    action_mask     mask in one of the forms of `read_action_mask`, or None
    masked_actions  "refuse" or "allow"
    mask_in_info    whether the infos contain the masks; without a mask, all actions are allowed
    """
    if masked_actions not in MASKED_ACTIONS:
        raise AlsimError(
            f"masked_actions must be 'refuse', which raises an error for an action that the mask does not allow, or "
            f"'allow', which executes it; got {masked_actions!r}"
        )
    if action_mask is None and not mask_in_info:
        return None
    config = simulator.config
    rules = MaskRules(
        outcomes=simulator.bank.outcomes,
        curriculum=config.curriculum,
        mastered=config.termination.mastery_threshold,
        kind=simulator.observation_kind,
        rows=simulator.lanes,
        unit="lane",
    )
    mask = read_action_mask(action_mask, rules) or FixedMask(np.ones(simulator.num_actions, np.bool_), rules)
    return LaneMasks(mask, simulator, refuse=masked_actions == "refuse", single=single)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view


__all__ = ["ACTION_MASK", "LaneMasks", "MaskInfoBuilder", "NoHistory", "read_lane_masks"]
