"""Finds further finished experiments: the two that `equipoise compare` sets side by side, and the second model of Table 4."""

from pathlib import Path

from equipoise.config import Experiment
from equipoise.config_file import read_config
from equipoise.errors import UserError
from equipoise.experiment import measured, score_files
from equipoise.layout import Layout


def find_experiment(name: str, results: str = "results") -> Experiment:
    """The configuration of an experiment given by name, by its results folder or by a YAML file.

    A results folder is read where it lies, also when it was computed elsewhere and copied. Raises `UserError` that lists the
    experiments there are when it is none of these.
    """
    for folder in (Path(name), Path(Layout(results, name, "").experiment_root)):
        if (folder / "config.yaml").is_file():
            config = read_config(folder / "config.yaml")
            return config.model_copy(update={"results": str(folder.parent)}) if folder.name == config.experiment else config
    if Path(name).is_file():
        return read_config(name)
    known = sorted(path.parent.name for path in Path(results).glob("*/config.yaml"))
    choice = f"write one of {', '.join(known)}," if known else "there is none yet; write"
    raise UserError(f"no experiment {name!r} in {results}; {choice} a results folder or a YAML file")


def second_model(config: Experiment) -> Experiment | None:
    """The experiment whose model stands beside this one's in Table 4; none unless `report.second_model` names one.

    Raises `UserError` when there is no such experiment, when it is of the same model, evaluates other tasks or is not finished.
    """
    name = config.report.second_model
    if name is None:
        return None
    try:
        other = find_experiment(name, config.results)
    except UserError as error:
        raise UserError(f"report.second_model: {error}") from None
    if other.model.name == config.model.name:
        raise UserError(f"report.second_model: {name} is of {other.model.name} as well; name an experiment with another model")
    if measured(config) != measured(other):
        named = [" and ".join(measure.name for measure in measured(c)) for c in (other, config)]
        raise UserError(f"report.second_model: {name} measures {named[0]}, this experiment {named[1]}; Table 4 needs the same")
    tasks, others = (sorted(task for task, settings in c.tasks.items() if settings.suite) for c in (config, other))
    if tasks != others:
        raise UserError(
            f"report.second_model: {name} evaluates {', '.join(others)}, this experiment {', '.join(tasks)}; Table 4 needs the same tasks"
        )
    missing = [path for path in score_files(other) if not Path(path).exists()]
    if missing:
        raise UserError(f"report.second_model: {missing[0]} is missing; finish that experiment first, or leave the key out until then")
    return other
