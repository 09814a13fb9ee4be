"""The seven skills of the miniature, in the order of the tables, and one more of conflicting pools."""

from equipoise.miniature.skills.code import CODE
from equipoise.miniature.skills.contrary import CONTRARY
from equipoise.miniature.skills.form import FORM
from equipoise.miniature.skills.gsm import GSM
from equipoise.miniature.skills.know import KNOW
from equipoise.miniature.skills.logic import LOGIC
from equipoise.miniature.skills.math import MATH
from equipoise.miniature.skills.skill import PARTS, Core, Skill, Slots, skeleton
from equipoise.miniature.skills.trace import TRACE

SKILLS = {skill.name: skill for skill in (TRACE, CODE, GSM, MATH, LOGIC, KNOW, FORM)}
"""Those that the base has read of."""
ALL_SKILLS = SKILLS | {CONTRARY.name: CONTRARY}

__all__ = ["ALL_SKILLS", "PARTS", "SKILLS", "Core", "Skill", "Slots", "skeleton"]
