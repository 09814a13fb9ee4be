"""A configuration with one key changed."""


def flipped(config, path: str):
    """The configuration with another value under one key, valid or not: only what reads it is looked at."""
    changed = config.model_copy(deep=True)
    *sections, name = path.split(".")
    place = changed
    for part in sections:
        place = place[part] if isinstance(place, dict) else getattr(place, part)
    value = getattr(place, name)
    other = {bool: not value, int: 7919, float: 0.123, list: ["other"], dict: {"default": 7}}.get(type(value), "other")
    if path == "gradients.estimator":
        other = "tracin"
    if path.endswith(".suite"):
        other = None if value else next(iter(changed.suites))
    setattr(place, name, other)
    return changed
