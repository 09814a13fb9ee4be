"""A table with everything a format must show: groups, marks, spreads, signs, missing values, characters to escape."""

import pandas as pd

from equipoise.reporting.table import Column, Table

FRAME = pd.DataFrame(
    {
        "group": ["5 %", "5 %", "5 %", "5 %", "10 %", "10 %"],
        "label": ["Random", "LESS", "BIDS & co_1", "Oracle", "Random", "BIDS & co_1"],
        "gsm": [41.04, 42.51, 42.49, 60.0, 40.0, float("nan")],
        "gsm_sd": [0.5, float("nan"), 1.25, 0.1, 0.2, float("nan")],
        "gain": [0.0, -1.0, 2.0, 3.0, -0.04, 1.0],
        "competes": [True, True, True, False, True, True],
        "secret": [1 / 3] * 6,
    }
)


COLUMNS = (Column("label", "Selector"), Column("gsm", "gsm", 1, "gsm_sd", best=True), Column("gain", "Gain %", 1, sign=True))


TABLE = Table("A < B & C at 5 %.", FRAME, COLUMNS, group="group", competes="competes", name="scores_of_gsm", title="Scores_of gsm")
