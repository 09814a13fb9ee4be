"""What an experiment costs, before anything is submitted: tokens, FLOPs, GPU-hours, GPU memory and disk, stage by stage."""
