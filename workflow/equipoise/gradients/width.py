"""The projection with a width: what `gradients.projection` says, or where its dimension is auto, what `choose_dimension` found out."""

from equipoise.config import Experiment
from equipoise.config_gradients import Projection
from equipoise.errors import UserError
from equipoise.experiment import chooses_dimension
from equipoise.store.artefact import open_artefact

PILOT = 500
"""Pool rows that a width is tried on."""
NONE = "identity"
"""Kind of projection without noise."""


def projection_of(config: Experiment) -> Projection:
    """The projection with its width as a number. Raises `UserError` where it is auto and not chosen yet."""
    if not chooses_dimension(config):
        return config.gradients.projection
    chosen = open_artefact(config, "projection")
    return config.gradients.projection.model_copy(update={"kind": chosen["projection"], "dimension": chosen["dimension"]})


def known_projection(config: Experiment) -> Projection:
    """The projection for planning: where its width is auto and not chosen yet, with the default one."""
    try:
        return projection_of(config)
    except UserError:
        return config.gradients.projection.model_copy(update={"dimension": Projection.model_fields["dimension"].default})


def projected_by(config: Experiment, projection: Projection) -> Experiment:
    """The experiment with another projection."""
    return config.model_copy(update={"gradients": config.gradients.model_copy(update={"projection": projection})})
