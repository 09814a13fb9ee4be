"""What an experiment needs that only its files, its base and its lm-eval tasks can tell: tried before anything is paid for."""
