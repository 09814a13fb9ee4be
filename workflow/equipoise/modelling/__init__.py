"""What training, gradients and evaluation share: base model, adapter, tokenizer, chat format and masking."""
