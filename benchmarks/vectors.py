"""Counts of packed and scalar arithmetic in the machine code of each phase, to check that hot loops are vectorised.

`python -m benchmarks.vectors`, or `nox -s vectors`, prints the counts. Its status is 1 if a loop that must be
vectorised has no packed arithmetic, or if a step gathers items again. The counts depend on the machine and on the
version of the compiler.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from benchmarks.child import output_of, start
from benchmarks.measure import machine
from benchmarks.report import markdown

HEADER = ("kernel", "phase", "packed float", "packed integer", "integer products", "scalar float", "vectors", "gathers")
WHOLE = "(entire kernel)"

PHILOX, FORMULA = "products", "floats"
"""Arithmetic of the two kinds of loops: random words use products of integers, rules use floats."""

MUST = {
    "draw": (PHILOX, FORMULA),
    "advance": (FORMULA,),
    "finish": (FORMULA,),
    "draw_words": (PHILOX,),
    "pick_items": (PHILOX,),
    "draw_mastery": (FORMULA,),
    "decide": (PHILOX,),
    WHOLE: (PHILOX, FORMULA),
}
"""Kinds of arithmetic that must be packed: by phase, in every kernel that contains it, and in each entire kernel."""


CONTIGUOUS = ("draw_words", "draw", "read_actions", "pick_items", "advance", "finish")
"""Phases of a step that must not gather: on AMD's Zen, a gather is slower than loads of whole records."""


class InstructionSet(NamedTuple):
    """Patterns of arithmetic in assembly.

    Moves, conversions, shuffles and logic do not count, because scalar code uses them on vector registers as well.
    """

    floats: re.Pattern[str]  # packed arithmetic in floats
    integers: re.Pattern[str]  # packed arithmetic in integers, including products
    products: re.Pattern[str]  # packed products of integers
    scalars: re.Pattern[str]  # scalar arithmetic in floats
    gathers: re.Pattern[str]  # loads of a vector from several addresses
    registers: dict[str, str]  # size of a vector register by its prefix, widest first


class Count(NamedTuple):
    """Numbers of arithmetic instructions in machine code, as in `InstructionSet`."""

    floats: int
    integers: int
    products: int
    scalars: int
    vectors: str  # size of the widest registers in packed arithmetic, or ""
    gathers: int  # loads of a vector from several addresses


class Counted(NamedTuple):
    """A phase compiled into a kernel for certain types."""

    kernel: str
    phase: str
    arithmetic: Count


_X86_FLOAT = r"v?(?:add|sub|mul|div|sqrt|min|max|cmp[a-z_]*|round|rndscale|fn?m(?:add|sub)\w*?)"
# A comparison of a register with itself sets all bits. Scalar code uses it too, so it does not count.
_X86_COMPARED = r"cmp(?!eq\w?\s+(%\w+), \1\b)\w+"
X86_64 = InstructionSet(
    floats=re.compile(rf"{_X86_FLOAT}p[sd]\s"),
    integers=re.compile(rf"v?p(?:(?:add|sub|abs|sllv?|srlv?|srav?|rol|ror)[bwdq]|m(?:ul|in|ax)\w+|{_X86_COMPARED})\s"),
    products=re.compile(r"v?pmul\w+\s"),
    scalars=re.compile(rf"{_X86_FLOAT}s[sd]\s"),
    gathers=re.compile(r"vp?gather\w+\s"),
    registers={"%zmm": "512 bits", "%ymm": "256 bits", "%xmm": "128 bits"},
)

_NEON = r"(?:2?\s+[vz]\d+\.\d*[bhsd]|2?\.\d+[bhsd]\s)"  # add v0.4s, …; on Apple add.4s v0, …
_ARM_FLOAT = r"f(?:add|sub|n?mul|div|sqrt|n?m(?:add|sub|l[as])|min(?:nm)?|max(?:nm)?|abd|cm[a-z]{2}|rint\w)"
_ARM_PRODUCT = r"(?:mul|ml[as]|[us]mul[lh]|[us]ml[as]l)"
AARCH64 = InstructionSet(
    floats=re.compile(_ARM_FLOAT + _NEON),
    integers=re.compile(rf"(?:{_ARM_PRODUCT}|add|sub|neg|abs|shl|shrn|[us]shl|[us]shr|[us]sra|[us](?:min|max)|cm[a-z]{{2}}){_NEON}"),
    products=re.compile(_ARM_PRODUCT + _NEON),
    scalars=re.compile(_ARM_FLOAT + r"\s+[sd]\d"),
    gathers=re.compile(r"ld1\w+\s+\{.*\[x\w+, z"),
    registers={" z": "scalable", "v": "128 bits"},
)  # fmt: skip


def instruction_set(name: str) -> InstructionSet | None:
    """Return the instruction set of a machine by its name in `platform.machine`; None for other machines."""
    return {"x86_64": X86_64, "amd64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}.get(name.lower())


def count(code: str, known: InstructionSet) -> Count:
    """Return the counts of arithmetic in lines of assembly."""
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
        gathers=sum(known.gathers.match(line) is not None for line in lines),
    )


def machine_code(version: Any) -> str:
    """Return the assembly of one compiled version of a function, without the wrapper for calls from Python."""
    name = re.escape(version.fndesc.llvm_func_name)
    # A label that is not local (without the prefix ".L" or "L") starts another function.
    body = rf'^"?_?{name}"?:.*?(?=^[^\s.L#]\S*:|\Z)'
    match = re.search(body, version.library.get_asm_str(), re.MULTILINE | re.DOTALL)
    assert match, f"no label {version.fndesc.llvm_func_name}"
    return match[0]


def compiled() -> Iterator[tuple[str, str, str]]:
    """Compile the hot kernels; yield kernel, phase and assembly of each new phase, and of each entire kernel.

    It must run in a process without a cache, because cached code has no assembly.
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
            for version in phase.callee.overloads.values():
                if id(version) not in seen:
                    seen.add(id(version))
                    yield entries[0].__name__, phase.__name__, machine_code(version)
        for kernel in entries:
            for version in kernel.overloads.values():
                yield kernel.__name__, WHOLE, machine_code(version)


def phases(module: ModuleType) -> list[Any]:
    """Return the functions that a module defines with `@phase`, identified by the option `noalias`."""
    return [
        function
        for function in vars(module).values()
        if getattr(function, "targetoptions", {}).get("noalias") and function.py_func.__module__ == module.__name__
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
    from alsim.rollouts.plan import RolloutPlan

    plan = RolloutPlan(
        config=Config(),
        bank=sample_bank(Config()),
        policy=Uniform(),
        observation="mastery",
        keep_observations=True,
        seed=0,
        first_learner=0,
        num_learners=1,
        episodes_per_learner=1,
        num_threads=1,
    )
    EpisodeBlock(plan, 1)


def counted() -> list[Counted]:
    """Compile in a new process, and return the counts of each phase; empty on an unknown machine."""
    if instruction_set(platform.machine()) is None:
        return []
    rows = output_of(start("-m", "benchmarks.vectors", "--count", ALSIM_CACHE_DIR=""))
    return [Counted(kernel, phase, Count(*counts)) for kernel, phase, counts in rows]


def faults(counts: Sequence[Counted]) -> list[str]:
    """Return one message for each loop that must be vectorised but is not, and for each that must not gather but does.

    The kernel `step` reads items between its phases: it must have no more gathers than its phases.
    """
    instructions = {PHILOX: "products of integers", FORMULA: "arithmetic in floats"}
    missing = [f"no compiled phase is named {name}" for name in MUST if name not in {each.phase for each in counts}]
    scalar = [
        f"{each.phase} in {each.kernel} has no packed {instructions[kind]}: its loop is no longer vectorised"
        for each in counts
        for kind in MUST.get(each.phase, ())
        if getattr(each.arithmetic, kind) == 0
    ]
    step = [each for each in counts if each.kernel == "step"]
    allowed = sum(each.arithmetic.gathers for each in step if each.phase not in (*CONTIGUOUS, WHOLE))
    gathering = [
        f"{each.phase} in {each.kernel} has {each.arithmetic.gathers} gathers; expected at most {limit}: transpose "
        "records instead (alsim.jit.transpose)"
        for each in step
        for limit in [allowed if each.phase == WHOLE else 0]
        if each.phase in (*CONTIGUOUS, WHOLE) and each.arithmetic.gathers > limit
    ]
    return missing + scalar + gathering


def table(counts: Sequence[Counted]) -> str:
    """Return the counts as a table."""
    rows = [[each.kernel, each.phase, *map(str, each.arithmetic)] for each in counts]
    return markdown(HEADER, rows, left=(0, 1))


def main(arguments: Sequence[str]) -> int:
    """Print the table, and return the exit status: 1 if a loop is no longer vectorised or gathers, else 0."""
    if list(arguments) == ["--count"]:
        known = instruction_set(platform.machine())
        assert known
        print(json.dumps([(kernel, phase, count(code, known)) for kernel, phase, code in compiled()]))
        return 0
    counts = counted()
    if not counts:
        print(f"The instruction set of {platform.machine()} is unknown: nothing was checked.")
        return 0
    here = machine()
    print(f"Arithmetic in machine code for {here['processor']}, by numba {here['numba']}:\n\n{table(counts)}")
    messages = faults(counts)
    print("\n".join(["", *messages]), file=sys.stderr)
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
