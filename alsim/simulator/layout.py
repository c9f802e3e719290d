"""Rows of the scratch arrays of a block during an interaction: the offset of each row."""

from __future__ import annotations

from alsim.types import BLOCK

# The rows from FIRST to KIND are the fields of a CELL, those from A to ITEM the fields of a SLOT. ITEM holds the bits
# of an integer, and is not read.
WORD_0, WORD_1, WORD_2, WORD_3 = (k * BLOCK for k in range(4))
(ANSWER, NOISE, MASTERY, A, B, C, TIME_MEAN, TIME_STD, EFFECTIVENESS, IMPACT, ITEM, AFTER, GAIN, REWARD,
 OBSERVED_TIME, SECONDS) = (k * BLOCK for k in range(16))  # fmt: skip
FLOAT_ROWS = 16
QUESTION, HARD, CORRECT, ACTION, FIRST, SIZE, OUTCOME, KIND, SLOT, BREAK = (k * BLOCK for k in range(10))
INT_ROWS = 10
