"""The hot loops are vectorised, and the check fails for a loop that is not."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from alsim.jit.compile import kernel
from benchmarks import vectors
from benchmarks.vectors import AARCH64, FORMULA, MUST, PHILOX, X86_64, Count, Counted

HERE = vectors.instruction_set(platform.machine())
known_here = pytest.mark.skipif(HERE is None, reason=f"the packed instructions of {platform.machine()} are not known")

SOME, NONE = Count(9, 9, 9, 9, "128 bits", 0), Count(0, 0, 0, 9, "", 0)

INTEL = {
    "vmulps\t%zmm1, %zmm2, %zmm3": "packed float",
    "vfmadd213ps\t(%rax), %ymm2, %ymm3": "packed float",
    "mulpd\t%xmm1, %xmm2": "packed float",
    "vcmpleps\t(%rdi,%rcx,4), %ymm1, %k1": "packed float",
    "vpmuludq\t%zmm0, %zmm27, %zmm27": "product",
    "pmuludq\t%xmm0, %xmm1": "product",
    "vpaddd\t%ymm22, %ymm25, %ymm25": "packed integer",
    "vpsrlq\t$32, %zmm26, %zmm24": "packed integer",
    "vpcmpeqd\t%ymm1, %ymm4, %k1": "packed integer",
    "vpcmpltuq\t(%rdi), %zmm4, %k1": "packed integer",
    "vmulss\t%xmm1, %xmm2, %xmm3": "scalar float",
    "divsd\t%xmm1, %xmm2": "scalar float",
    "vpcmpeqd\t%ymm4, %ymm4, %ymm4": "",
    "vxorps\t%xmm0, %xmm0, %xmm0": "",
    "vmovups\t%ymm0, 848(%rsp)": "",
    "vpsrldq\t$8, %xmm1, %xmm1": "",
    "vcvtps2pd\t(%rbx), %zmm8": "",
    "addq\t$8, %rsi": "",
    "imulq\t%rsi, %rdx": "",
}

ARM = {
    "fmul\tv0.4s, v1.4s, v2.4s": "packed float",
    "fmul.4s\tv0, v1, v2": "packed float",
    "fmla\tz0.s, p0/m, z1.s, z2.s": "packed float",
    "fcmgt\tv0.2d, v1.2d, v2.2d": "packed float",
    "umull2\tv0.2d, v1.4s, v2.4s": "product",
    "umull2.2d\tv0, v1, v2": "product",
    "ushr\tv0.2d, v1.2d, #32": "packed integer",
    "add.4s\tv0, v1, v2": "packed integer",
    "fmul\ts0, s1, s2": "scalar float",
    "fmadd\td0, d1, d2, d3": "scalar float",
    "umull\tx0, w1, w2": "",
    "add\tx0, x1, #8": "",
    "mov\tv0.16b, v1.16b": "",
    "eor.16b\tv0, v1, v2": "",
}


@pytest.mark.parametrize(("known", "lines"), [(X86_64, INTEL), (AARCH64, ARM)], ids=["x86-64", "aarch64"])
def test_arithmetic_is_distinguished_from_moves_and_conversions(known: Any, lines: dict[str, str]) -> None:
    for line, kind in lines.items():
        found = vectors.count(f"\t{line}\n", known)
        kinds = ["packed float"] * found.floats + ["packed integer", "product"][found.products :][: found.integers]
        assert (kinds + ["scalar float"] * found.scalars or [""]) == [kind], line
        assert bool(found.vectors) == (kind not in ("", "scalar float")), line


def test_only_arithmetic_counts_for_the_widest_vectors() -> None:
    assert vectors.count("\tvaddps\t%ymm0, %ymm1, %ymm1\n\tvmovups\t%zmm0, (%rsp)\n", X86_64).vectors == "256 bits"
    assert vectors.count("\tfadd\tz0.s, z1.s, z2.s\n\tfadd\tv0.4s, v1.4s, v2.4s\n", AARCH64).vectors == "scalable"


def test_a_loop_without_vectors_is_reported_by_name() -> None:
    whole = [Counted("step", name, SOME) for name in MUST]
    assert vectors.faults([*whole, Counted("step", "scatter", NONE)]) == []
    assert vectors.faults([*whole, Counted("teach", "advance", NONE)]) == [
        "advance in teach has no packed arithmetic in floats: its loop is no longer vectorised"
    ]
    assert vectors.faults(whole[1:]) == [f"no compiled phase is named {whole[0].phase}"]
    assert len(vectors.faults([Counted("step", name, NONE) for name in MUST])) == sum(map(len, MUST.values()))
    assert {kind for kinds in MUST.values() for kind in kinds} == {PHILOX, FORMULA} <= set(Count._fields)


def test_a_step_that_gathers_is_reported() -> None:
    def step(name: str, gathers: int) -> Counted:
        return Counted("step", name, SOME._replace(gathers=gathers))

    phases = [step(name, 0) for name in MUST if name != vectors.WHOLE]
    assert vectors.faults([*phases, step("record", 3), step(vectors.WHOLE, 3)]) == []
    (message,) = vectors.faults([*phases, step("record", 3), step(vectors.WHOLE, 11)])
    assert message.startswith("(entire kernel) in step has 11 gathers; expected at most 3")
    (message,) = vectors.faults([*phases, step("read_actions", 2), step(vectors.WHOLE, 0)])
    assert message.startswith("read_actions in step has 2 gathers; expected at most 0")
    assert vectors.faults([*phases, step(vectors.WHOLE, 0), Counted("run_episodes", "record_ends", SOME)]) == []


def test_gathers_are_loads_from_several_addresses() -> None:
    lines = ("vgatherdps\t(%rax,%zmm1,4), %zmm2 {%k1}", "vpgatherqq\t(%rax,%zmm1,8), %zmm2 {%k1}")
    assert [vectors.count(line, X86_64).gathers for line in (*lines, "vmovups\t(%rax), %zmm1")] == [1, 1, 0]
    assert vectors.count("ld1w\t{z0.s}, p0/z, [x8, z1.s, uxtw #2]", AARCH64).gathers == 1
    assert vectors.count("ld1\t{v0.4s}, [x8]", AARCH64).gathers == 0


def test_the_exit_status_is_1_for_a_loop_without_vectors(monkeypatch: Any, capsys: Any) -> None:
    for count, status in ((SOME, 0), (NONE, 1)):
        monkeypatch.setattr(vectors, "counted", lambda count=count: [Counted("step", name, count) for name in MUST])
        assert vectors.main([]) == status
        assert ("no longer vectorised" in capsys.readouterr().err) == bool(status)


def test_an_unknown_machine_passes_with_a_message(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert vectors.main([]) == 0
    assert "instruction set of riscv64 is unknown" in capsys.readouterr().out


def independent(x: Any, y: Any) -> None:
    for i in range(len(x)):
        y[np.uint64(i)] = x[np.uint64(i)] * x[np.uint64(i)] + np.float32(1)


def sequential(x: Any, y: Any) -> None:
    last = np.float32(0)
    for i in range(len(x)):
        last = last * last + x[np.uint64(i)]
        if last > np.float32(2):
            last = np.float32(0)
        y[np.uint64(i)] = last


@pytest.mark.compiled
@known_here
@pytest.mark.parametrize(("loop", "vectorised"), [(independent, True), (sequential, False)])
def test_a_loop_that_cannot_be_vectorised_has_no_packed_arithmetic(loop: Callable[..., None], vectorised: bool) -> None:
    compiled = kernel(loop, None)
    compiled(np.ones(100, np.float32), np.ones(100, np.float32))
    (version,) = compiled.overloads.values()  # type: ignore[attr-defined]
    found = vectors.count(vectors.machine_code(version), HERE)
    assert (found.floats > 0, found.vectors != "") == (vectorised, vectorised)
    assert found.scalars > 0  # the last few entries, or all
    assert len(vectors.faults([Counted("step", name, found) for name in MUST])) >= (2 if vectorised else 6)


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.versionless
@known_here
def test_the_hot_loops_are_vectorised(record_property: Callable[[str, object], None]) -> None:
    found = vectors.counted()
    record_property("summary", f"Arithmetic in machine code\n\n{vectors.table(found)}")
    assert vectors.faults(found) == []
    assert {each.kernel for each in found} == {"step", "begin_lanes", "run_episodes"}
