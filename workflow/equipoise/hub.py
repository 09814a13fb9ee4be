"""Errors of the hub, and of reading what came from it, in one clause: what is wrong and what to do."""

import os

from equipoise.errors import first_line
from equipoise.files import full_disk

UNREACHABLE = {"OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectionError", "ConnectError", "ConnectTimeout", "ReadTimeout"}


def hub_reason(error: BaseException) -> str:
    """What an error of huggingface_hub, datasets or lm-eval means: the cause is looked for along its chain, by class name."""
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    if type(error).__name__ == "UndefinedError" or isinstance(error, KeyError):  # a template or function of a task's definition
        return f"its data lack a column that is read ({first_line(error)}); check the data set's id and revision"
    names = {parent.__name__ for link in chain for parent in type(link).__mro__}
    if full_disk(error):
        return "no space left where the hub's cache lies (HF_HOME); free some and run again"
    if "GatedRepoError" in names or any("is a gated dataset" in str(link) for link in chain):
        return "it is gated; accept its terms on its page, then set HF_TOKEN"
    if "RevisionNotFoundError" in names:
        return "it has no such revision; write a branch, tag or commit of it"
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return "the hub has no such id (or it is private); check its spelling"
    if os.environ.get("HF_HUB_OFFLINE") or os.environ.get("HF_DATASETS_OFFLINE"):
        what = "it is not in the local cache" if names & UNREACHABLE else first_line(error)
        return f"{what}; this stage is offline, run `equipoise fetch` first"
    if names & UNREACHABLE:
        return "the hub cannot be reached; check the network (and HF_ENDPOINT) and run again"
    return first_line(error)
