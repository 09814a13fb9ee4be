"""Bad inputs as data: what is made in a folder of sound inputs, the command that reads it, and what its one line must say."""

from helpers.bad_inputs import bases, configurations, matrices, options, outputs, picks, pools, scores
from helpers.bad_inputs.case import Case

ROOMS = (matrices, scores, options, pools, configurations, bases, picks, outputs)
CASES: list[Case] = [case for room in ROOMS for case in room.CASES]
"""Every case, rooms in order; names are unique."""
