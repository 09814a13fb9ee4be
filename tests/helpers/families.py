"""Tiny random models of every family that must work: layers of every kind the family has, windows shorter than the examples."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VOCABULARY = 97
LONGEST = 24
WINDOW = 6
LLAMA = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
WIDE = LLAMA | {"head_dim": 16}  # heads that together are wider than the hidden state
QKVO = "self_attn.k_proj self_attn.o_proj self_attn.q_proj self_attn.v_proj"
LINEAR_ATTENTION = "linear_attn.in_proj_ba linear_attn.in_proj_qkvz linear_attn.out_proj"
MLA = "self_attn.kv_a_proj_with_mqa self_attn.kv_b_proj self_attn.o_proj self_attn.q_a_proj self_attn.q_b_proj"
SLIDING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


class Family(NamedTuple):
    """A configuration by the `model_type` of transformers, what `attention` matches, below the layer, and whether the head is bare."""

    kind: str
    values: dict[str, Any]
    attention: str = QKVO
    bare_head: bool = True


FAMILIES = {
    "llama": Family("llama", LLAMA | {"attention_bias": True, "tie_word_embeddings": True}),
    "llama4": Family(
        "llama4_text",
        WIDE
        | {
            "num_hidden_layers": 4,
            "intermediate_size_mlp": 40,
            "num_local_experts": 4,
            "moe_layers": [1, 3],
            "attention_chunk_size": WINDOW,
        }
        | {"no_rope_layers": [1, 1, 1, 0], "floor_scale": 4},
    ),
    "mistral": Family("mistral", LLAMA | {"sliding_window": WINDOW}),
    "ministral": Family("ministral", WIDE | SLIDING),
    "ministral3": Family(
        "ministral3",
        WIDE
        | {"sliding_window": WINDOW}
        | {
            "rope_parameters": {
                **{"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16},
                **{"llama_4_scaling_beta": 0.5, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0},
            }
        },
    ),
    "mixtral": Family("mixtral", LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": WINDOW}),
    "qwen2": Family(
        "qwen2", LLAMA | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1, "tie_word_embeddings": True}
    ),
    "qwen2_moe": Family(
        "qwen2_moe", LLAMA | EXPERTS | {"num_hidden_layers": 3, "mlp_only_layers": [1], "shared_expert_intermediate_size": 24}
    ),
    "qwen3": Family("qwen3", WIDE),
    "qwen3_moe": Family("qwen3_moe", WIDE | EXPERTS | {"mlp_only_layers": [1], "norm_topk_prob": True}),
    "qwen3_next": Family(
        "qwen3_next",
        WIDE
        | EXPERTS
        | {"layer_types": ["linear_attention", "full_attention"], "shared_expert_intermediate_size": 24, "linear_num_key_heads": 2}
        | {"linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_conv_kernel_dim": 3},
        f"{LINEAR_ATTENTION} {QKVO}",
    ),
    "gemma": Family("gemma", WIDE | {"num_key_value_heads": 1}),
    "gemma2": Family(
        "gemma2",
        WIDE | SLIDING | {"query_pre_attn_scalar": 4, "attn_logit_softcapping": 1.0, "final_logit_softcapping": 2.0},
        bare_head=False,
    ),
    "gemma3": Family("gemma3_text", WIDE | SLIDING | {"query_pre_attn_scalar": 4, "final_logit_softcapping": 2.0}, bare_head=False),
    "phi": Family("phi", LLAMA | {"partial_rotary_factor": 0.5}, "self_attn.dense self_attn.k_proj self_attn.q_proj self_attn.v_proj"),
    "phi3": Family("phi3", LLAMA | {"sliding_window": WINDOW}, "self_attn.o_proj self_attn.qkv_proj"),
    "olmo2": Family("olmo2", LLAMA),
    "olmo3": Family("olmo3", LLAMA | SLIDING),
    "stablelm": Family("stablelm", LLAMA | {"use_qkv_bias": True, "qk_layernorm": True, "use_parallel_residual": True}),
    "smollm3": Family("smollm3", LLAMA | {"no_rope_layers": [1, 0], "use_sliding_window": True, **SLIDING, "tie_word_embeddings": True}),
    "granite": Family(
        "granite",
        LLAMA | {"embedding_multiplier": 12.0, "logits_scaling": 0.05, "residual_multiplier": 0.22, "attention_multiplier": 1.5},
        bare_head=False,
    ),
    "cohere2": Family("cohere2", LLAMA | SLIDING | {"logit_scale": 8.0, "tie_word_embeddings": True}, bare_head=False),
    "glm4": Family("glm4", WIDE | {"partial_rotary_factor": 0.5}),
    "nemotron": Family("nemotron", LLAMA | {"partial_rotary_factor": 0.5}),
    "starcoder2": Family("starcoder2", LLAMA | {"sliding_window": WINDOW}),
    "gpt2": Family("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}, "attn.c_attn attn.c_proj"),
    "gpt_neox": Family(
        "gpt_neox",
        {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
        "attention.dense attention.query_key_value",
    ),
    "falcon": Family(
        "falcon",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_kv_heads": 2, "new_decoder_architecture": True},
        "self_attention.dense self_attention.query_key_value",
    ),
    "falcon_alibi": Family(
        "falcon",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True, "parallel_attn": False, "bias": True},
        "self_attention.dense self_attention.query_key_value",
    ),
    "opt": Family(
        "opt",
        {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
        "self_attn.k_proj self_attn.out_proj self_attn.q_proj self_attn.v_proj",
    ),
    "opt_projected": Family(
        "opt",
        {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 16}
        | {"do_layer_norm_before": False},
        "self_attn.k_proj self_attn.out_proj self_attn.q_proj self_attn.v_proj",
    ),
    "bloom": Family("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, "self_attention.dense self_attention.query_key_value"),
    "gptj": Family(
        "gptj",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_positions": 64},
        "attn.k_proj attn.out_proj attn.q_proj attn.v_proj",
    ),
    "gpt_oss": Family("gpt_oss", WIDE | SLIDING | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "deepseek_v3": Family(
        "deepseek_v3",
        {**LLAMA, "num_key_value_heads": 4, "moe_intermediate_size": 16, "n_routed_experts": 4, "n_shared_experts": 1, "n_group": 2}
        | {"topk_group": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1, "kv_lora_rank": 8, "q_lora_rank": 12}
        | {"qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8},
        MLA,
    ),
    "lfm2": Family(
        "lfm2",
        LLAMA | {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
        "conv.in_proj conv.out_proj self_attn.k_proj self_attn.out_proj self_attn.q_proj self_attn.v_proj",
    ),
    "mamba": Family(
        "mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "time_step_rank": 4}, "mixer.in_proj mixer.x_proj"
    ),
}


def tiny_model(family: Family, seed: int = 3, vocabulary: int = VOCABULARY) -> "PreTrainedModel":
    """A random model of the family, frozen, in eval mode; weights so large that every cap and scale shows."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shared = {"vocab_size": vocabulary, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(family.kind, **{"max_position_embeddings": 64} | family.values | shared)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "conv" not in name and "A_log" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
            elif "sinks" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model
