"""equipoise: balanced and influential data selection (BIDS, arXiv 2501.12147) as a Snakemake experiment."""

__version__ = "0.1.0"
