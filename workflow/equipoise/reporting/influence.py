"""What the attribution matrix says about the pool and about every selection: frames behind the figures.

The matrix is read by blocks, once a frame. What is kept of a pool is one number a row, of a selection one a pick and task, and the rows
of samples whose size does not depend on the pool.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from equipoise.attribution.analyses import Average, normality, thi_instance, thi_task_mean
from equipoise.config import Experiment
from equipoise.experiment import selection_seeds
from equipoise.reporting.arms import ABLATION, LESS, STUDIED, UNNORMALIZED
from equipoise.reporting.sealed_matrix import Matrix, read_matrix
from equipoise.selectors import selector
from equipoise.store.artefact import open_artefact

NORMAL_COLUMNS = 5  # sampled columns per task, as in the paper's Figure 5
NORMAL_ROWS = 50_000  # shapes and axes need no more
NORMAL_BINS = np.linspace(-5, 5, 41)
CURVE_POINTS = 120
STEP_BINS = 40


@dataclass(frozen=True)
class Ranking:
    """A selector's ranking at one selection seed: rows in order and the column each served (-1 none), int64 [depth]."""

    rows: np.ndarray
    columns: np.ndarray


class Influence:
    """The sealed influence matrix of an experiment with its rankings."""

    def __init__(self, config: Experiment):
        self.config = config
        self.matrix: Matrix = read_matrix(config, "influence")
        self.tasks = list(config.tasks)
        self.task_of = np.array([self.tasks.index(column["task"]) for column in self.matrix.columns])

    @cached_property
    def selectors(self) -> list[str]:
        """Selectors that choose, in config order."""
        return [name for name in self.config.selectors if selector(name).chooses]

    def ranking(self, name: str) -> Ranking:
        """Ranking of a selector at its first selection seed."""
        import pyarrow.parquet as pq

        ranking = open_artefact(self.config, "ranking", selector=name, selection_seed=selection_seeds(self.config, name)[0])
        table = pq.read_table(ranking.only_file(), columns=["row", "column"])
        return Ranking(table["row"].to_numpy(), table["column"].to_numpy())

    def selected(self, name: str, rows: int) -> np.ndarray:
        """Rows of the selection with `rows` examples: a prefix of the ranking."""
        return self.ranking(name).rows[:rows]

    @cached_property
    def largest_normalised(self) -> tuple[np.ndarray, np.ndarray]:
        """Largest normalised influence of every column over the valid rows, NaN without spread, and of every row, -inf in flagged ones."""
        columns, rows = np.full(len(self.matrix.columns), -np.inf), np.full(self.matrix.source.rows, -np.inf)
        valid = np.flatnonzero(self.matrix.valid)
        for part in self.matrix.source.parts(valid):
            values = self.matrix.normalised(part.values)
            columns, rows[valid[part.places]] = np.maximum(columns, values.max(axis=0)), np.nanmax(values, axis=1)
        return columns, rows

    def mean_normalised(self, *lists: np.ndarray) -> list[np.ndarray]:
        """AID of lists of rows after z-scoring, float64 [columns] each."""
        averages = [Average() for _ in lists]
        for part in self.matrix.source.parts(*lists):
            averages[part.of].add(self.matrix.normalised(part.values))
        return [average.mean() for average in averages]

    def _columns(self) -> pd.DataFrame:
        return pd.DataFrame({"task": [c["task"] for c in self.matrix.columns], "validation_id": [c["id"] for c in self.matrix.columns]})

    def aid_pool(self) -> pd.DataFrame:
        """Figures 1 and 6: raw AID of all valid pool rows, one line per validation example."""
        average = Average()
        for part in self.matrix.source.parts(np.flatnonzero(self.matrix.valid)):
            average.add(part.values)
        return self._columns().assign(aid=average.mean())

    def aid_normalised(self, rows: int) -> pd.DataFrame:
        """Figures 4 and 9: AID of the ablation's selections after z-scoring, one column per selector."""
        names = self._ablation()
        means = self.mean_normalised(*(self.selected(name, rows) for name in names))
        return self._columns().assign(**dict(zip(names, means, strict=True)))

    def thi_less(self, rows: int) -> pd.DataFrame:
        """Figures 2 and 7: THI of LESS's choice in the task-mean form."""
        counts = np.zeros(len(self.tasks), np.int64)
        for part in self.matrix.source.parts(self.selected(LESS, rows)):
            counts += thi_task_mean(part.values, self.task_of, len(self.tasks))
        return pd.DataFrame({"task": self.tasks, LESS: counts})

    def thi_ablation(self, rows: int) -> pd.DataFrame:
        """Figures 3 and 8: THI of the ablation's selections in the instance form.

        The unnormalised selector is counted on raw influence, the two others on z-scored influence: each on what it ranks.
        """
        names = self._ablation()
        counts = np.zeros((len(names), len(self.tasks)), np.int64)
        for part in self.matrix.source.parts(*(self.selected(name, rows) for name in names)):
            values = part.values if names[part.of] == UNNORMALIZED else self.matrix.normalised(part.values)
            counts[part.of] += thi_instance(values, self.task_of, len(self.tasks))
        return pd.DataFrame({"task": self.tasks, **dict(zip(names, counts, strict=True))})

    def _ablation(self) -> list[str]:
        return [name for name in ABLATION if name in self.config.selectors]

    def normality(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Figure 5: sampled columns after z-scoring, and the shape of all columns.

        Returns curves (kind, task, validation_id, x, y: density of a bin, or observed against normal quantile) of the sampled columns,
        and moments (task, validation_id, skew, excess_kurtosis, sampled) of all columns with spread.
        """
        valid = np.flatnonzero(self.matrix.valid)
        generator = np.random.default_rng(seed)
        rows = valid if len(valid) <= NORMAL_ROWS else np.sort(generator.choice(valid, NORMAL_ROWS, replace=False))
        usable = np.flatnonzero(self.matrix.std > 0)
        (held,) = self.matrix.taken(rows)
        normal = self.matrix.normalised(held)[:, usable]
        drawn = [places[generator.permutation(len(places))[:NORMAL_COLUMNS]] for places in self._places(usable)]
        sampled = np.sort(np.concatenate(drawn))
        shape = normality(normal, NORMAL_BINS, quantiles=1)
        moments = self._columns().iloc[usable].assign(skew=shape.skew, excess_kurtosis=shape.excess_kurtosis, sampled=False)
        moments.iloc[sampled, moments.columns.get_loc("sampled")] = True
        shown = normality(normal[:, sampled], NORMAL_BINS, quantiles=min(999, len(rows)))
        middles = (shown.edges[1:] + shown.edges[:-1]) / 2
        curves = []
        for number, column in enumerate(usable[sampled]):
            name = self.matrix.columns[column]
            for kind, x, y in (("density", middles, shown.density[number]), ("quantile", shown.expected, shown.observed[number])):
                curves.append(pd.DataFrame({"kind": kind, "task": name["task"], "validation_id": name["id"], "x": x, "y": y}))
        return pd.concat(curves, ignore_index=True), moments.reset_index(drop=True)

    def _places(self, usable: np.ndarray) -> list[np.ndarray]:
        """Per task, the places of its columns in `usable`."""
        return [np.flatnonzero(self.task_of[usable] == number) for number in range(len(self.tasks))]

    def along_ranking(self, rows: int) -> pd.DataFrame:
        """Mean z-scored influence on each task over the first picks: selector, task, picks, mean."""
        chosen = {name: self.selected(name, rows) for name in self.selectors}
        means = [np.empty((len(self.tasks), len(ranking))) for ranking in chosen.values()]
        for part in self.matrix.source.parts(*chosen.values()):
            normal = self.matrix.normalised(part.values)
            for number in range(len(self.tasks)):
                means[part.of][number, part.places] = np.nanmean(normal[:, self.task_of == number], axis=1)
        frames = []
        for (name, ranking), by_task in zip(chosen.items(), means, strict=True):
            picks = np.unique(np.geomspace(max(1, min(10, len(ranking))), len(ranking), CURVE_POINTS).astype(int))
            for number, task in enumerate(self.tasks):
                running = np.cumsum(by_task[number]) / np.arange(1, len(ranking) + 1)
                frames.append(pd.DataFrame({"selector": name, "task": task, "picks": picks, "mean": running[picks - 1]}))
        return pd.concat(frames, ignore_index=True)

    def steps_served(self, rows: int) -> pd.DataFrame:
        """Which task each step of BIDS served: from, to (picks, 1-based), task, share of the steps between."""
        served = self.task_of[self.ranking(STUDIED).columns[:rows]]
        edges = np.unique(np.linspace(0, len(served), min(STEP_BINS, len(served)) + 1).astype(int))
        lines = []
        for start, stop in pairwise(edges):
            shares = np.bincount(served[start:stop], minlength=len(self.tasks)) / (stop - start)
            lines += [{"from": start + 1, "to": stop, "task": t, "share": s} for t, s in zip(self.tasks, shares, strict=True)]
        return pd.DataFrame(lines)

    def overlap(self, rows: int) -> pd.DataFrame:
        """Jaccard overlap of every two selections of `rows` examples: selector, other, jaccard."""
        chosen = {name: self.selected(name, rows) for name in self.selectors}
        lines = []
        for one, own in chosen.items():
            for other, others in chosen.items():
                shared = len(np.intersect1d(own, others, assume_unique=True))
                lines.append({"selector": one, "other": other, "jaccard": shared / (len(own) + len(others) - shared)})
        return pd.DataFrame(lines)

    def pool_map(self, sources: tuple[np.ndarray, np.ndarray], rows: int, seed: int, points: int = 12_000) -> pd.DataFrame:
        """First two principal components of the z-scored rows: row, source, x, y, and one boolean column per selector. The frame's
        attribute `variance` is the share of the variance of either component.

        Pools above `points` rows are thinned at random; all selections keep the rows that remain.
        """
        codes, names = sources
        valid = np.flatnonzero(self.matrix.valid)
        usable = self.matrix.std > 0
        generator = np.random.default_rng(seed)
        basis = valid if len(valid) <= NORMAL_ROWS else generator.choice(valid, NORMAL_ROWS, replace=False)
        shown = valid if len(valid) <= points else np.sort(generator.choice(valid, points, replace=False))
        of_basis, of_shown = self.matrix.taken(basis, shown)
        values, vectors = np.linalg.eigh(np.corrcoef(of_basis[:, usable], rowvar=False))
        axes = vectors[:, [-1, -2]]
        axes = axes * np.where(axes.sum(axis=0) < 0, -1, 1)  # an eigenvector's sign is arbitrary
        place = self.matrix.normalised(of_shown)[:, usable] @ axes
        frame = pd.DataFrame({"row": shown, "source": names[codes[shown]], "x": place[:, 0], "y": place[:, 1]})
        for name in self.selectors:
            frame[name] = np.isin(shown, self.selected(name, rows))
        frame.attrs["variance"] = [float(share) for share in values[[-1, -2]] / values.sum()]
        return frame

    def sources(self, sources: tuple[np.ndarray, np.ndarray], rows: int) -> pd.DataFrame:
        """Source composition: source, share of the valid pool, then the share of each selection, largest sources first.

        sources: the number of every row's source, and the names.
        """
        codes, names = sources
        counts = np.bincount(codes[self.matrix.valid], minlength=len(names))
        order = [at for at in np.argsort(-counts, kind="stable") if counts[at]]
        frame = pd.DataFrame({"source": names[order], "pool": counts[order] / counts.sum()})
        for name in self.selectors:
            chosen = self.selected(name, rows)
            frame[name] = np.bincount(codes[chosen], minlength=len(names))[order] / len(chosen)
        return frame
