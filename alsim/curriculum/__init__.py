"""The curriculum: which learning outcomes come before others."""

from alsim.curriculum.graph import Curriculum, CurriculumError

__all__ = ["Curriculum", "CurriculumError"]
