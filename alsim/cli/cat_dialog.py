"""Adaptive test of one examinee in the terminal: items are shown, answers are read and scored."""

from __future__ import annotations

import string
import sys
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from alsim.cli.cat_record import UNFINISHED, Reply, Request, is_record, write_test
from alsim.cli.output import WIDTH, counted, fixed_point, printable

if TYPE_CHECKING:
    from alsim.models.cat import CATRun, Session

CORRECT, WRONG = ("1", "y", "yes"), ("0", "n", "no")
UNKNOWN = "unknown"
"""Text in place of an estimate that is not finite."""
QUIT, UNDO = ("q", "quit"), ("u", "undo")


class Ended(NamedTuple):
    """A test that ended, by its own rules or earlier."""

    tests: CATRun
    reason: str  # one of alsim.models.cat.STOP_REASONS, or "quit", "end of input" or "interrupted"
    replies: Sequence[Reply]


class Dialog:
    """A dialog with one examinee, or with the person who scores the answers.

    request  the test; its report is written after each answer
    replies  answers that were given before, of a test that is resumed
    """

    def __init__(self, request: Request, replies: Sequence[Reply]) -> None:
        self._request, self._cat, self._items = request, request.cat, request.items
        self._replies = list(replies)
        names = self._items.item_parameters.names
        self._row = {str(name): row for row, name in enumerate(names)}  # a test may leave items out

    def run(self) -> Ended:
        """Administer the test until it ends, the examinee quits, the input ends, or Ctrl-C is pressed."""
        reason = ""
        try:
            reason = self._converse()
        except EOFError:
            print()
            reason = "end of input"
        except KeyboardInterrupt:
            print()
            reason = "interrupted"
        tests = self._replay().result()  # not of the last session, which Ctrl-C may have interrupted in an answer
        return Ended(tests, reason or str(self._cat.stop_reasons(tests)[0]), self._replies)

    def _converse(self) -> str:
        """Administer items until the test ends, and return ""; or "quit" if the examinee quits."""
        session = self._replay()
        if self._replies:
            print(f"Resumed after {counted(len(self._replies), 'answer')}:")
            self._print_estimate(session)
        while (name := session.next_names()[0]) is not None:
            self._show(name)
            reply = self._ask(name)
            if reply == "quit":
                return "quit"
            if isinstance(reply, Reply):
                session.answer(reply.correct, name)
                self._replies.append(reply)
            elif self._replies:
                self._replies.pop()
                session = self._replay()
                print("  the last answer was removed")
            else:
                print("  there is no answer to undo")
                continue
            if is_record(self._request.report):
                write_test(self._request, session.result(), UNFINISHED, self._replies)
            if isinstance(reply, Reply):
                self._print_estimate(session)
        return ""

    def _replay(self) -> Session:
        """Return a session with the answers so far; the items of a test depend only on the seed and the answers."""
        session = self._cat.session(seed=self._request.seed)
        for reply in self._replies:
            session.next_items()
            session.answer(reply.correct)
        return session

    def _print_estimate(self, session: Session) -> None:
        """Print the current estimate of ability."""
        print(f"  ability {estimate(session.theta[0], session.se[0], self._cat.bounds)}")

    def _show(self, name: str) -> None:
        """Print the name, the text and the options of an item."""
        row = self._row[name]
        print(f"item {len(self._replies) + 1}: {printable(name)}")
        for line in self._items.text[row].splitlines():
            print("\n".join(wrap(printable(line), WIDTH, initial_indent="  ", subsequent_indent="  ")))
        for letter, option in zip(string.ascii_uppercase, self._items.options[row], strict=False):
            print(f"  {letter}) {printable(option)}")

    def _ask(self, name: str) -> Reply | str:
        """Return the answer to an item, "quit" or "undo"; ask again until the reply is one of them."""
        row = self._row[name]
        key, options = self._items.answer[row], self._items.options[row]
        while True:
            reply = _read("  answer [q quit, u undo]: " if key else "  correct? [1/0, q quit, u undo] ").strip()
            word = reply.lower()
            is_answer = word in {text.lower() for text in (key, *options)}
            if word in (*QUIT, *UNDO) and not is_answer:
                return "quit" if word in QUIT else "undo"
            correct = _score(reply, key, options) if key else _correctness(word)
            if correct is not None:
                return Reply(name, reply, correct)
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
    return f"{fixed_point(theta, 2, UNKNOWN)} ± {fixed_point(se, 2, UNKNOWN)} logits{at_bound(theta, bounds)}"


def at_bound(theta: float, bounds: tuple[float, float]) -> str:
    """Return the bound of ability that an estimate has reached, as text; "" between the bounds."""
    return ", at the lower bound" if theta <= bounds[0] else ", at the upper bound" if theta >= bounds[1] else ""
