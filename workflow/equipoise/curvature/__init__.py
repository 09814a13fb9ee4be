"""What estimators fit at an epoch before their rows can be made: EK-FAC's curvature, TRAK's kernel."""
