"""torchrun that dies with the job that started it: `python -m equipoise.training.launch OPTIONS OF TORCHRUN`.

It ends with the status of the training process that failed first, which has said why; torchrun's own summary of that is left out.
"""

import sys

from equipoise.process import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    try:
        main()
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        sys.exit(first.exitcode if first.exitcode > 0 else 1)
