"""Whether the hot loops are still vectorised: the arithmetic in each phase's machine code, packed and scalar, counted.

`python -m benchmarks.vectors`, or `nox -s vectors`, prints the counts. Its status is 1 if a loop that must be
vectorised has no packed arithmetic at all: how much it has depends on the machine and the compiler's version.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from benchmarks.child import start, told
from benchmarks.measure import machine
from benchmarks.report import markdown

HEADER = ("kernel", "phase", "packed float", "packed integer", "of these products", "scalar float", "vectors")
WHOLE = "(all of it)"

PHILOX, FORMULA = "products", "floats"
"""What tells either kind of loop: a random word is products of integers, a rule is in floats."""

MUST = {
    "draw": (PHILOX, FORMULA),
    "advance": (FORMULA,),
    "finish": (FORMULA,),
    "draw_words": (PHILOX,),
    "draw_mastery": (FORMULA,),
    "decide": (PHILOX,),
    WHOLE: (PHILOX, FORMULA),
}
"""What each phase's loops, in whichever kernel, and the kernels themselves must have packed."""


class InstructionSet(NamedTuple):
    """How an assembler writes arithmetic.

    Moves, conversions, shuffles and logic are none: scalar code has them on vector registers, too.
    """

    floats: re.Pattern[str]  # packed, and so the next two
    integers: re.Pattern[str]
    products: re.Pattern[str]  # of integers, among those
    scalars: re.Pattern[str]  # of floats
    registers: dict[str, str]  # how a vector register is written -> its size, the widest first


class Count(NamedTuple):
    """Instructions of arithmetic in some machine code."""

    floats: int  # packed, and so the next two
    integers: int
    products: int
    scalars: int
    vectors: str  # size of the widest registers in packed arithmetic, or ""


class Counted(NamedTuple):
    """A phase as compiled into a kernel; the same phase of other types is another."""

    kernel: str
    phase: str
    arithmetic: Count


_X86_FLOAT = r"v?(?:add|sub|mul|div|sqrt|min|max|cmp[a-z_]*|round|rndscale|fn?m(?:add|sub)\w*?)"
# All ones is written as a register's comparison with itself, in scalar code too.
_X86_COMPARED = r"cmp(?!eq\w?\s+(%\w+), \1\b)\w+"
X86_64 = InstructionSet(
    floats=re.compile(rf"{_X86_FLOAT}p[sd]\s"),
    integers=re.compile(rf"v?p(?:(?:add|sub|abs|sllv?|srlv?|srav?|rol|ror)[bwdq]|m(?:ul|in|ax)\w+|{_X86_COMPARED})\s"),
    products=re.compile(r"v?pmul\w+\s"),
    scalars=re.compile(rf"{_X86_FLOAT}s[sd]\s"),
    registers={"%zmm": "512 bits", "%ymm": "256 bits", "%xmm": "128 bits"},
)

_NEON = r"(?:2?\s+[vz]\d+\.\d*[bhsd]|2?\.\d+[bhsd]\s)"  # add v0.4s, …; for Apple add.4s v0, …
_ARM_FLOAT = r"f(?:add|sub|n?mul|div|sqrt|n?m(?:add|sub|l[as])|min(?:nm)?|max(?:nm)?|abd|cm[a-z]{2}|rint\w)"
_ARM_PRODUCT = r"(?:mul|ml[as]|[us]mul[lh]|[us]ml[as]l)"
AARCH64 = InstructionSet(
    floats=re.compile(_ARM_FLOAT + _NEON),
    integers=re.compile(rf"(?:{_ARM_PRODUCT}|add|sub|neg|abs|shl|shrn|[us]shl|[us]shr|[us]sra|[us](?:min|max)|cm[a-z]{{2}}){_NEON}"),
    products=re.compile(_ARM_PRODUCT + _NEON),
    scalars=re.compile(_ARM_FLOAT + r"\s+[sd]\d"),
    registers={" z": "scalable", "v": "128 bits"},
)  # fmt: skip


def instruction_set(name: str) -> InstructionSet | None:
    """Return the instruction set of a machine, as `platform.machine` names it; None if it is not known here."""
    return {"x86_64": X86_64, "amd64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}.get(name.lower())


def count(code: str, known: InstructionSet) -> Count:
    """Count the arithmetic in lines of assembly."""
    lines = [" ".join(line.split()) + " " for line in code.splitlines()]
    floats = [line for line in lines if known.floats.match(line)]
    integers = [line for line in lines if known.integers.match(line)]
    packed = floats + integers
    widest = (size for mark, size in known.registers.items() if any(mark in line for line in packed))
    return Count(
        floats=len(floats),
        integers=len(integers),
        products=sum(known.products.match(line) is not None for line in integers),
        scalars=sum(known.scalars.match(line) is not None for line in lines),
        vectors=next(widest, ""),
    )


def machine_code(version: Any) -> str:
    """Return the assembly of one compiled version of a function, without what unwraps its arguments from Python."""
    name = re.escape(version.fndesc.llvm_func_name)
    # A label that is not local, which ".L" or "L" marks, begins something else.
    body = rf'^"?_?{name}"?:.*?(?=^[^\s.L#]\S*:|\Z)'
    found = re.search(body, version.library.get_asm_str(), re.MULTILINE | re.DOTALL)
    assert found, f"no label {version.fndesc.llvm_func_name}"
    return found[0]


def compiled() -> Iterator[tuple[str, str, str]]:
    """Compile the hot kernels; yield kernel, phase and assembly of each phase that is new in it, and of all of it.

    In a process of its own that keeps no cache: what comes from there has lost its assembly.
    """
    from alsim.rollouts import kernels
    from alsim.simulator import reset
    from alsim.simulator import step as step_kernels

    seen: set[int] = set()
    hot: tuple[Any, ...] = (
        (_simulate, (step_kernels.step, step_kernels.begin_lanes)),
        (_collect, (kernels.run_episodes,)),
    )
    for make, entries in hot:
        make()
        for phase in (phase for module in (step_kernels, reset, kernels) for phase in phases(module)):
            for version in phase.overloads.values():
                if id(version) not in seen:
                    seen.add(id(version))
                    yield entries[0].__name__, phase.__name__, machine_code(version)
        for kernel in entries:
            for version in kernel.overloads.values():
                yield kernel.__name__, WHOLE, machine_code(version)


def phases(module: ModuleType) -> list[Any]:
    """Return a module's own phases: what `_jit.phase` made, known by its promise that no arrays overlap."""
    return [
        thing
        for thing in vars(module).values()
        if getattr(thing, "targetoptions", {}).get("noalias") and thing.py_func.__module__ == module.__name__
    ]


def _simulate() -> None:
    import numpy as np

    from alsim.bank.items import sample_bank
    from alsim.config import Config
    from alsim.simulator.simulator import Simulator

    simulator = Simulator(Config(), sample_bank(Config()), 1, record=True)
    simulator.begin(np.zeros(1, np.int64))


def _collect() -> None:
    from alsim.bank.items import sample_bank
    from alsim.config import Config
    from alsim.policies.uniform import Uniform
    from alsim.rollouts.collector import EpisodeBlock

    EpisodeBlock(Config(), sample_bank(Config()), Uniform(), 0, 1, observation="mastery", keep_observations=True)


def counted() -> list[Counted]:
    """Compile in a process of its own, and return what each phase has; nothing where the machine is not known."""
    if instruction_set(platform.machine()) is None:
        return []
    rows = told(start("-m", "benchmarks.vectors", "--count", ALSIM_CACHE_DIR=""))
    return [Counted(kernel, phase, Count(*found)) for kernel, phase, found in rows]


def faults(found: Sequence[Counted]) -> list[str]:
    """Return a sentence for each loop that must be vectorised and is not."""
    what = {PHILOX: "products of integers", FORMULA: "arithmetic in floats"}
    missing = [f"no compiled phase is named {name}" for name in MUST if name not in {each.phase for each in found}]
    return missing + [
        f"{each.phase} in {each.kernel} has no packed {what[kind]}: its loop is no longer vectorised"
        for each in found
        for kind in MUST.get(each.phase, ())
        if getattr(each.arithmetic, kind) == 0
    ]


def table(found: Sequence[Counted]) -> str:
    """Return the counts as a table."""
    rows = [[each.kernel, each.phase, *map(str, each.arithmetic)] for each in found]
    return markdown(HEADER, rows, left=(0, 1))


def main(arguments: Sequence[str]) -> int:
    """Print the table; return the status."""
    if list(arguments) == ["--count"]:
        known = instruction_set(platform.machine())
        assert known
        print(json.dumps([(kernel, phase, count(code, known)) for kernel, phase, code in compiled()]))
        return 0
    found = counted()
    if not found:
        print(f"What is packed on {platform.machine()} is not known here: nothing was checked.")
        return 0
    here = machine()
    print(f"Arithmetic in machine code for {here['processor']}, by numba {here['numba']}:\n\n{table(found)}")
    wrong = faults(found)
    print("\n".join(["", *wrong]), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
