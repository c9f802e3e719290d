"""Adaptive test of one examinee in the terminal: items are shown, answers are read and scored."""

from __future__ import annotations

import math
import string
import sys
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from alsim.cli.output import printable

if TYPE_CHECKING:
    from alsim.models.cat import CAT, CATRun, Session
    from alsim.models.irt import CalibratedItems

CORRECT, WRONG = ("1", "y", "yes"), ("0", "n", "no")
WIDTH = 80  # columns
QUIT, UNDO = ("q", "quit"), ("u", "undo")


class Ended(NamedTuple):
    """A test that ended, by its own rules or earlier."""

    tests: CATRun
    reason: str  # one of alsim.models.cat.STOP_REASONS, or "quit", "end of input" or "interrupted"
    replies: list[str]  # text of each answer


class Dialog:
    """A dialog with one examinee, or with the person who scores the answers."""

    def __init__(self, cat: CAT, items: CalibratedItems, seed: int) -> None:
        self._cat, self._items, self._seed = cat, items, seed
        self._correct: list[int] = []
        self._replies: list[str] = []
        names = items.item_parameters.names
        self._row = {str(name): row for row, name in enumerate(names)}  # a test may leave items out

    def run(self) -> Ended:
        """Administer the test until it ends, the examinee quits, the input ends, or Ctrl-C is pressed."""
        session, reason = self._replay(), ""
        try:
            while (name := session.next_names()[0]) is not None:
                self._show(name)
                reply = self._ask(name)
                if reply is None:
                    reason = "quit"
                    break
                if isinstance(reply, str):
                    session = self._undo()
                    continue
                session.answer(reply, name)
                self._correct.append(reply)
                print(f"  ability {estimate(session.theta[0], session.se[0], self._cat.bounds)}")
        except EOFError:
            print()
            reason = "end of input"
        except KeyboardInterrupt:
            print()
            reason = "interrupted"
        tests = session.result()
        return Ended(tests, reason or str(self._cat.stop_reasons(tests)[0]), self._replies[: len(self._correct)])

    def _replay(self) -> Session:
        """Return a session with the answers so far; the items of a test depend only on the seed and the answers."""
        session = self._cat.session(seed=self._seed)
        for correct in self._correct:
            session.next_items()
            session.answer(correct)
        return session

    def _undo(self) -> Session:
        """Remove the last answer, and return the session before it."""
        if not self._correct:
            print("  there is no answer to undo")
        else:
            self._correct.pop()
            self._replies.pop()
            print("  the last answer was removed")
        return self._replay()

    def _show(self, name: str) -> None:
        """Print the name, the text and the options of an item."""
        row = self._row[name]
        print(f"item {len(self._correct) + 1}: {printable(name)}")
        for line in self._items.text[row].splitlines():
            print("\n".join(wrap(printable(line), WIDTH, initial_indent="  ", subsequent_indent="  ")))
        for letter, option in zip(string.ascii_uppercase, self._items.options[row], strict=False):
            print(f"  {letter}) {printable(option)}")

    def _ask(self, name: str) -> int | str | None:
        """Return 1 or 0 for an answer, "undo", or None to quit; ask again until the reply is one of them."""
        row = self._row[name]
        key, options = self._items.answer[row], self._items.options[row]
        while True:
            reply = _read("  answer [q quit, u undo]: " if key else "  correct? [1/0, q quit, u undo] ").strip()
            word = reply.lower()
            is_answer = word in {text.lower() for text in (key, *options)}
            if word in QUIT and not is_answer:
                return None
            if word in UNDO and not is_answer:
                return "undo"
            correct = _score(reply, key, options) if key else _correctness(word)
            if correct is not None:
                self._replies.append(reply)
                return correct
            expected = "an option or its letter" if options and key else "an answer" if key else "1 or 0"
            print(f"  {printable(reply[:20])!r} is not an answer; type {expected}, u to undo, or q to quit")


def _read(prompt: str) -> str:
    """Return a line of the input. A line that does not come from a terminal is printed, as the terminal would."""
    try:
        line = input(prompt)
    except UnicodeDecodeError:
        line = "?"  # asked again
    if not sys.stdin.isatty():
        print(printable(line))
    return line


def _correctness(word: str) -> int | None:
    """Return the correctness that a word stands for; None for another word."""
    return 1 if word in CORRECT else 0 if word in WRONG else None


def _score(reply: str, key: str, options: tuple[str, ...]) -> int | None:
    """Return 1 if the reply is the key, else 0; None for an empty reply, and for one that is not among the options.

    Case is ignored, and numbers are compared as numbers. The letter of an option stands for the option, in replies and
    in keys.
    """
    from alsim.models.irt.items import option_index, same_answer

    if not options:
        return None if not reply else int(same_answer(reply, key))
    chosen, right = option_index(reply, options), option_index(key, options)
    return None if chosen is None else int(chosen == right)


def estimate(theta: float, se: float, bounds: tuple[float, float]) -> str:
    """Return an estimate of ability and its standard error as text with the unit, and whether it is at a bound."""
    return f"{rounded(theta)} ± {rounded(se)} logits{at_bound(theta, bounds)}"


def at_bound(theta: float, bounds: tuple[float, float]) -> str:
    """Return the bound of ability that an estimate has reached, as text; "" between the bounds."""
    return ", at the lower bound" if theta <= bounds[0] else ", at the upper bound" if theta >= bounds[1] else ""


def rounded(value: float | None, decimals: int = 2) -> str:
    """Return a number as text, without a sign for zero; "unknown" for none, or for one that is not finite."""
    return "unknown" if value is None or not math.isfinite(value) else f"{round(value, decimals) + 0.0:.{decimals}f}"
