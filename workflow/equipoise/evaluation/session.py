"""What stays alive between evaluations in one process: base model, tokenizer and lm-eval's task objects. Start-ups dominate small runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.config import Experiment
from equipoise.config_keys import UNQUANTISED
from equipoise.errors import UserError
from equipoise.evaluation.items import SuiteItems, suite_items
from equipoise.evaluation.loss_items import LossItems, loss_items
from equipoise.measures import ACCURACY, Measure
from equipoise.modelling.base import base_identity, load_base, load_tokenizer, resolve_device
from equipoise.store.digests import digest_once

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from equipoise.evaluation.language_model import LanguageModel
    from equipoise.evaluation.vllm_model import VllmModel


class Session:
    """Evaluates many runs of one experiment. Nothing of one run is left when the next begins: its adapter is taken off the base.

    base: loaded already and without an adapter between evaluations; none: loaded when it is needed.
    """

    def __init__(self, config: Experiment, base: "PreTrainedModel | None" = None):
        self.config = config
        self._bases = {} if base is None else {config.model.quantisation: base}
        self._suites: dict[str, SuiteItems] = {}
        self._loss_items: dict[str, LossItems] = {}
        self._language_models: dict[str, LanguageModel] = {}
        self._vllm_model: VllmModel | None = None

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        tokenizer = load_tokenizer(self.config.model)
        tokenizer.padding_side = "left"
        return tokenizer

    def base_of(self, suite: str) -> "PreTrainedModel":
        """The base as a suite wants it quantised."""
        kind, model = quantisation_of(self.config, suite), self.config.model
        if kind not in self._bases:
            self._bases[kind] = load_base(model, model.precision, resolve_device(model.device), kind, True)
        return self._bases[kind]

    @cached_property
    def identity(self) -> dict[str, Any]:
        return base_identity(self.config.model)

    def items(self, suite: str) -> SuiteItems:
        """The lm-eval tasks of a suite and the items of them that may be evaluated."""
        if suite not in self._suites:
            self._suites[suite] = suite_items(self.config, suite)
        return self._suites[suite]

    def loss_items(self, suite: str) -> LossItems:
        """The items of a suite whose held-out loss is measured, as tokens."""
        if suite not in self._loss_items:
            self._loss_items[suite] = loss_items(self.config, suite, self.tokenizer)
        return self._loss_items[suite]

    @contextmanager
    def language_model(self, suite: str, adapter: str | None) -> Iterator["LanguageModel"]:
        """lm-eval's model for one run: the base with the adapter saved in a folder, or the bare base for None."""
        settings = self.config.suites[suite]
        if settings.backend == "vllm":
            yield self._vllm(adapter, settings.think_end)
            return
        from equipoise.evaluation.language_model import LanguageModel

        if suite not in self._language_models:
            self._language_models[suite] = LanguageModel(self.base_of(suite), self.tokenizer, settings.batch_size, settings.think_end)
        language_model = self._language_models[suite]
        with self.adapted(suite, adapter) as model:
            language_model.model = model
            try:
                yield language_model
            finally:
                language_model.model = self.base_of(suite)

    def _vllm(self, adapter: str | None, think_end: str | None) -> "VllmModel":
        try:
            from equipoise.evaluation.vllm_model import VllmModel
        except ImportError as error:
            raise UserError(
                f"suites: backend: vllm, but it cannot be imported here ({error}); run with the environment of envs/vllm-requirements.txt, "
                "or write backend: hf"
            ) from None
        if self._vllm_model is None:
            import torch

            from equipoise.modelling.device import refuse_missing_gpus

            seen = torch.cuda.device_count()  # without starting CUDA, which vLLM does in processes of its own
            refuse_missing_gpus("cuda" if seen else "cpu", seen)
            self._vllm_model = VllmModel(self.config, self.tokenizer)
        self._vllm_model.use(adapter, think_end)
        return self._vllm_model

    @contextmanager
    def adapted(self, suite: str, adapter: str | None) -> Iterator["PreTrainedModel"]:
        """The base of a suite with the adapter saved in a folder, or as it is for None.

        The adapter is merged, but into a quantised base: a model decodes up to three times as fast so, where starting kernels is what
        takes the time.
        """
        base = self.base_of(suite)
        if adapter is None:
            yield base
            return
        from equipoise.modelling.adapter import load_adapter, merged, take_off

        if merges(self.config, suite):
            with merged(base, adapter) as model:
                yield model
            return
        adapted = load_adapter(base, adapter)
        try:
            yield adapted
        finally:
            take_off(adapted, base)


def quantisation_of(config: Experiment, suite: str) -> str:
    """How the base's linear maps are kept in a suite."""
    return config.suites[suite].quantisation or config.model.quantisation


def merges(config: Experiment, suite: str) -> bool:
    """Whether transformers compute a suite with adapters added into the base's weights: weights in few bits have no room for them."""
    return quantisation_of(config, suite) == UNQUANTISED


def applied(config: Experiment, suite: str, adapter: str | None, measure: Measure) -> list[str] | str | None:
    """What identifies an adapter, and how it is applied, in fingerprints of scores; vLLM computes it apart."""
    digest = adapter_digest(adapter)
    apart = measure is ACCURACY and config.suites[suite].backend == "vllm"
    return digest if digest is None or apart or not merges(config, suite) else [digest, "merged"]


def adapter_digest(adapter: str | None) -> str | None:
    """SHA-256 of the adapter's weights in a folder. Raises `UserError` when there are none."""
    if adapter is None:
        return None
    weights = Path(adapter) / "adapter_model.safetensors"
    if not weights.is_file():
        raise UserError(f"{adapter}: no adapter_model.safetensors; run fine_tune for this run first")
    return digest_once(weights)
