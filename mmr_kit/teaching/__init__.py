"""The exercises of the teaching notebooks and their checks."""

from mmr_kit.teaching.exercises import Exercise, Verdict
from mmr_kit.teaching.lessons import Lesson

__all__ = ["Exercise", "Lesson", "Verdict"]
