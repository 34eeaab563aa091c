"""Tiny random models of transformers' classes, made from configurations; nothing is downloaded."""

import torch
import transformers

FEW = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = FEW | {"intermediate_size": 48, "num_key_value_heads": 2}
MOE = LLAMA | {"moe_intermediate_size": 48, "num_experts": 4, "num_experts_per_tok": 2}
DEEPSEEK = MOE | {
    "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 16,
    "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "num_key_value_heads": 4,
}  # fmt: skip
BERT = FEW | {"intermediate_size": 48}
GPT = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
T5 = {
    "vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
    "decoder_start_token_id": 0,
}  # fmt: skip
BART = {
    "vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "pad_token_id": 0,
    "decoder_start_token_id": 0,
}  # fmt: skip
VISION = {"image_size": 8, "patch_size": 4, "num_channels": 3}
IMAGES = BERT | VISION
CLIP = {
    "text_config": BERT | {"eos_token_id": 2},
    "vision_config": {k: v for k, v in IMAGES.items() if k != "vocab_size"},
    "projection_dim": 16,
}
SOUND = BERT | {
    "conv_dim": [8, 8], "conv_stride": [5, 2], "conv_kernel": [10, 3], "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
SHORT = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
EXPERTS = {"num_local_experts": 4}

#: Class, what its configuration has, and how many tensors are exported: with one scale or one a row, and in
#: blocks, in which experts are not.
MODELS = {
    "llama": ("LlamaForCausalLM", LLAMA, 14),
    "llama tied": ("LlamaForCausalLM", LLAMA | {"tie_word_embeddings": True}, 14),
    "qwen2": ("Qwen2ForCausalLM", LLAMA | {"tie_word_embeddings": True}, 14),
    "qwen3": ("Qwen3ForCausalLM", LLAMA | {"head_dim": 8}, 14),
    "gemma": ("GemmaForCausalLM", LLAMA | {"head_dim": 8}, 14),
    "gemma3": ("Gemma3ForCausalLM", LLAMA | {"head_dim": 8}, 14),
    "phi": ("PhiForCausalLM", BERT, 12),
    "phi3": ("Phi3ForCausalLM", LLAMA | {"pad_token_id": 0}, 8),
    "opt": ("OPTForCausalLM", FEW | {"ffn_dim": 48, "word_embed_proj_dim": 32}, 12),
    "gpt-neox": ("GPTNeoXForCausalLM", BERT, 8),
    "gpt-j": ("GPTJForCausalLM", GPT | {"rotary_dim": 4}, 12),
    "falcon": ("FalconForCausalLM", FEW, 8),
    "falcon new": (
        "FalconForCausalLM", FEW | {"new_decoder_architecture": True, "num_kv_heads": 2}, 8,
    ),
    "bloom": ("BloomForCausalLM", {"vocab_size": 64, "hidden_size": 32, "n_layer": 2, "n_head": 4}, 4),
    "mpt": ("MptForCausalLM", {"vocab_size": 64, "d_model": 32, "n_layers": 2, "n_heads": 4}, 8),
    "cohere": ("CohereForCausalLM", LLAMA, 14),
    "granite": ("GraniteForCausalLM", LLAMA, 14),
    "olmo2": ("Olmo2ForCausalLM", LLAMA | {"pad_token_id": 0}, 14),
    "stablelm": ("StableLmForCausalLM", LLAMA, 14),
    "starcoder2": ("Starcoder2ForCausalLM", LLAMA, 12),
    "glm4": ("Glm4ForCausalLM", LLAMA | {"head_dim": 8, "pad_token_id": 0}, 12),
    "smollm3": ("SmolLM3ForCausalLM", LLAMA | {"pad_token_id": 0}, 14),
    "nemotron": ("NemotronForCausalLM", LLAMA, 12),
    "lfm2": ("Lfm2ForCausalLM", LLAMA | {"layer_types": ["conv", "full_attention"]}, 12),
    "mamba": ("MambaForCausalLM", FEW | {"state_size": 4}, 2),
    "mamba2": (
        "Mamba2ForCausalLM",
        {
            "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 4, "head_dim": 16,
            "state_size": 4, "n_groups": 1, "chunk_size": 4,
        },
        2,
    ),
    "mixtral": ("MixtralForCausalLM", LLAMA | EXPERTS, 32, 8),
    "qwen2 moe": ("Qwen2MoeForCausalLM", MOE | {"shared_expert_intermediate_size": 48}, 38, 14),
    "qwen3 moe": ("Qwen3MoeForCausalLM", MOE | {"head_dim": 8}, 32, 8),
    "deepseek v3": ("DeepseekV3ForCausalLM", DEEPSEEK, 28, 16),
    "olmoe": ("OlmoeForCausalLM", LLAMA | {"num_experts": 4, "num_experts_per_tok": 2}, 32, 8),
    "phimoe": ("PhimoeForCausalLM", LLAMA | EXPERTS, 32, 8),
    "granite moe": ("GraniteMoeForCausalLM", LLAMA | EXPERTS, 8),
    "gpt-oss": ("GptOssForCausalLM", LLAMA | EXPERTS | {"head_dim": 8, "num_experts_per_tok": 2}, 8),
    "dbrx": (
        "DbrxForCausalLM",
        {
            "vocab_size": 64, "d_model": 32, "n_layers": 2, "n_heads": 4,
            "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 1e4},
        },
        6,
    ),
    "jamba": (
        "JambaForCausalLM",
        LLAMA | {
            "num_experts": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
            "expert_layer_offset": 1, "use_mamba_kernels": False, "mamba_d_state": 4, "mamba_dt_rank": 4,
        },
        22, 10,
    ),
    "bert": ("BertModel", BERT, 13),
    "bert masked": ("BertForMaskedLM", BERT, 12),
    "bert classes": ("BertForSequenceClassification", BERT, 13),
    "roberta": ("RobertaForMaskedLM", BERT, 12),
    "distilbert": (
        "DistilBertForMaskedLM",
        {"vocab_size": 64, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
        12,
    ),
    "electra": ("ElectraForPreTraining", BERT | {"embedding_size": 16}, 13),
    "albert": ("AlbertForMaskedLM", BERT | {"embedding_size": 16}, 7),
    "deberta v2": (
        "DebertaV2ForMaskedLM",
        BERT | {
            "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8,
            "share_att_key": True,
        },
        12,
    ),
    "mpnet": ("MPNetForMaskedLM", BERT, 12),
    "modernbert": ("ModernBertForMaskedLM", BERT | SHORT | {"cls_token_id": 1, "sep_token_id": 2}, 8),
    "t5": ("T5ForConditionalGeneration", T5, 28),
    "bart": ("BartForConditionalGeneration", BART, 32),
    "marian": ("MarianMTModel", BART, 32),
    "whisper": (
        "WhisperForConditionalGeneration",
        BART | {"num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 16},
        32,
    ),
    "wav2vec2": ("Wav2Vec2ForCTC", SOUND, 13),
    "hubert": ("HubertModel", SOUND, 13),
    "vit": ("ViTForImageClassification", IMAGES, 12),
    "beit": ("BeitModel", IMAGES, 12),
    "swin": (
        "SwinModel",
        {
            "image_size": 8, "patch_size": 1, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2],
            "window_size": 2,
        },
        13,
    ),
    "clip": ("CLIPModel", CLIP, 26),
    "siglip": ("SiglipModel", CLIP, 27),
    "qwen2 vl": (
        "Qwen2VLForConditionalGeneration",
        {
            "text_config": LLAMA | {
                "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
            },
            "vision_config": {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
        },
        20,
    ),
}  # fmt: skip

#: Those whose class transformers' quantizer cannot load, as it is.
UNREAD = {
    "llama4": (
        "Llama4ForCausalLM",
        LLAMA | EXPERTS | {"head_dim": 8, "intermediate_size_mlp": 48, "pad_token_id": 0},
    ),
    "dinov2": ("Dinov2Model", IMAGES),
}


def made(name, folder, **save):
    """Make a model's folder."""
    kind, config = (MODELS | UNREAD)[name][:2]
    kind = getattr(transformers, kind)
    torch.manual_seed(0)
    model = kind(kind.config_class(**config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
            if parameter.ndim == 2:  # so that rows and blocks have biases of their own
                rows, columns = (torch.linspace(-1.5, 1.5, n) for n in parameter.shape)
                parameter *= torch.exp2(rows[:, None] + columns)
    model.save_pretrained(folder, **save)
    return model
