"""The sections `model`, `lora` and `training` of the configuration: the base, its adapter, and how both are trained."""

from typing import Annotated, Literal

from pydantic import Field

from equipoise.config_keys import ATTENTION, NO_EFFECT, OWN, PAPER, PLACE, UNQUANTISED, Name, Quantisation, Section, Source, TargetModules


class Model(Section):
    """The base model that selects (M_s) and is tuned (M_t)."""

    name: Annotated[Name, PLACE] = Field(description="Folder name of this model's results.")
    base: Source = Field(description="Base model: a folder (safetensors and tokenizer), a hub id, or `miniature`, the embedded one.")
    revision: Source = Field("main", description="Branch, tag or commit of a hub id; ignored for a folder.")
    precision: Literal["fp32", "bf16"] = Field("bf16", description="Number format of training and evaluation.")
    quantisation: Quantisation = Field(
        UNQUANTISED, description="nf4: the base's linear maps in 4 bits (bitsandbytes), a quarter of bf16's memory; none: as precision."
    )
    attention: Literal["auto", "sdpa", "eager"] = Field(
        "auto", description="How attention is computed; auto: sdpa where the architecture has it, else eager."
    )
    chat_template: Source = Field(
        PAPER, description="Chat template: paper (<|user|>, <|assistant|>), own (the base's; instruct bases), or a Jinja file's path."
    )
    max_length: int = Field(2048, ge=8, description="Longest example in tokens; longer ones are cut at the end.")
    device: Annotated[str, NO_EFFECT] = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto (a GPU if there is one), cpu, cuda or cuda:N."
    )
    device_map: Annotated[Literal["none", "auto"], NO_EFFECT] = Field(
        "none", description="auto: a base larger than one GPU lies over the jobs.gpus of a job that collects gradients or evaluates."
    )
    deterministic: Annotated[bool, NO_EFFECT] = Field(
        False,
        description="torch's deterministic algorithms: on GPUs of one model the same bytes every time, slower. CPUs give them anyway.",
    )

    @property
    def template_file(self) -> str | None:
        """Path of the chat template, where it is a file's."""
        return None if self.chat_template in (PAPER, OWN) else self.chat_template


class Lora(Section):
    """The LoRA adapter of warm-up and fine-tuning (PEFT)."""

    rank: int = Field(128, ge=1, le=65536, description="Rank r.")
    alpha: int = Field(512, ge=1, description="Scale alpha; the adapter's output is multiplied by alpha / r.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout on the adapter's input while training.")
    target_modules: TargetModules = Field(
        ATTENTION, description="Linear maps with an adapter: attention (all of its projections), all-linear, or a list of names."
    )


class Training(Section):
    """Hyper-parameters shared by warm-up and fine-tuning (HF Trainer)."""

    batch_size: int = Field(128, ge=1, description="Examples per optimizer step, over all processes.")
    micro_batch_size: int = Field(4, ge=1, description="Examples per forward pass and process; accumulation is derived.")
    loss: Literal["example", "token"] = Field(
        "example", description="Over a batch. example: mean of the examples' own means, as in gradients; token: of all tokens."
    )
    loss_on: Literal["all_turns", "last_turn"] = Field(
        "all_turns", description="Turns with a loss, also in gradients: all of the assistant's, or its last one."
    )
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate.")
    schedule: Literal["cosine", "linear"] = Field("cosine", description="Decay after the linear warm-up.")
    warmup_ratio: float = Field(0.03, ge=0, lt=1, description="Share of the steps that warm the learning rate up.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    activation_checkpointing: bool = Field(False, description="Recompute activations in the backward pass to save memory.")
    processes: int = Field(1, ge=1, description="Training processes, one per GPU (torchrun when above 1).")
    sharding: Literal["none", "fsdp"] = Field(
        "none", description="fsdp: each process holds its part of base, adapter and moments (fully_shard); none: all of them."
    )
    save_steps: Annotated[int, NO_EFFECT] = Field(500, ge=1, description="Steps between the snapshots that a killed training resumes from.")
    report_to: Annotated[list[Literal["tensorboard", "wandb"]], NO_EFFECT] = Field(["tensorboard"], description="Where training curves go.")

    @property
    def last_turn(self) -> bool:
        """Whether the last assistant turn alone has a loss."""
        return self.loss_on == "last_turn"

    @property
    def accumulation(self) -> int:
        """Forward passes per optimizer step and process; `batch_size` is a multiple (config_checks.py)."""
        return self.batch_size // (self.micro_batch_size * self.processes)
