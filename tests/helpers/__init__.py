"""What tests share: places, rows, a tiny base, experiments, stand-ins."""
