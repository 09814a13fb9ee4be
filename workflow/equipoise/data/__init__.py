"""The pool, the target tasks' validation examples and hold-outs, the shard and batch plan."""
