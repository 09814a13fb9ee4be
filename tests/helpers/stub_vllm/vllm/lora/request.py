"""Adapters of requests."""

from dataclasses import dataclass


@dataclass
class LoRARequest:
    """An adapter's name, number and folder."""

    lora_name: str
    lora_int_id: int
    lora_path: str
