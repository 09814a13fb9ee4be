"""The embedded experiment over many pools: what estimators and selectors are worth when the pool is another."""
