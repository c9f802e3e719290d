"""Student models that follow many students at once, for policies and for engines of recommendation."""

from __future__ import annotations

from alsim.models.student.ability import Ability, AbilityModel
from alsim.models.student.alosi import AlosiModel
from alsim.models.student.base import BaseStudentModel, StudentModel, Students, TimedStudentModel
from alsim.models.student.bkt import BKTModel
from alsim.models.student.dkt import DKTModel
from alsim.models.student.elo import EloModel
from alsim.models.student.files import load_student_model
from alsim.models.student.fits import forecasts, student_model
from alsim.models.student.fsrs import FSRSModel
from alsim.models.student.glicko import GlickoModel
from alsim.models.student.hlr import HLRModel
from alsim.models.student.items import Items, as_items
from alsim.models.student.pfa import PFAModel

__all__ = [
    "Ability",
    "AbilityModel",
    "AlosiModel",
    "BKTModel",
    "BaseStudentModel",
    "DKTModel",
    "EloModel",
    "FSRSModel",
    "GlickoModel",
    "HLRModel",
    "Items",
    "PFAModel",
    "StudentModel",
    "Students",
    "TimedStudentModel",
    "as_items",
    "forecasts",
    "load_student_model",
    "student_model",
]
