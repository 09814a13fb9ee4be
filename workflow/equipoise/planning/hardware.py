"""GPUs that a plan can be made for, and how much of their rates is reached."""

from dataclasses import dataclass

from equipoise.errors import UserError

BANDWIDTH_REACHED = 0.7  # share of the data sheet's bandwidth that elementwise operations and decoding reach


@dataclass(frozen=True)
class Gpu:
    """Peak rates of one GPU (dense, no sparsity): operations and bytes per second; memory in bytes."""

    name: str
    bf16: float
    fp32: float
    fp64: float
    bandwidth: float
    memory: float

    def peak(self, precision: str) -> float:
        """Operations per second in `bf16` or `fp32` (true fp32, torch's default for matrix products)."""
        return {"bf16": self.bf16, "fp32": self.fp32}[precision]


@dataclass(frozen=True)
class Speed:
    """What is reached of a GPU's rates; mfu: share of the peak rate that matrix products reach, 0 to 1."""

    gpu: Gpu
    mfu: float

    @property
    def bandwidth(self) -> float:
        """Bytes per second that elementwise operations and decoding reach."""
        return self.gpu.bandwidth * BANDWIDTH_REACHED

    def seconds(self, operations: float, precision: str) -> float:
        """Of one GPU, for the operations of matrix products."""
        return operations / (self.gpu.peak(precision) * self.mfu)


# SXM variants with the largest memory, from NVIDIA's data sheets of A100 (2021), H100 (2023) and H200 (2024).
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("A100", bf16=312e12, fp32=19.5e12, fp64=19.5e12, bandwidth=2.039e12, memory=80e9),
        Gpu("H100", bf16=989e12, fp32=67e12, fp64=67e12, bandwidth=3.35e12, memory=80e9),
        Gpu("H200", bf16=989e12, fp32=67e12, fp64=67e12, bandwidth=4.8e12, memory=141e9),
    )
}


def gpu(name: str) -> Gpu:
    """The GPU called `name`, in any case. Raises `UserError` listing the known ones."""
    try:
        return GPUS[name.upper()]
    except KeyError:
        raise UserError(f"--gpu {name}: unknown; write one of {', '.join(GPUS)}") from None
