"""torchrun that dies with the job that started it: `python -m equipoise.training.launch OPTIONS OF TORCHRUN`."""

from equipoise.process import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    from torch.distributed.run import main

    main()
