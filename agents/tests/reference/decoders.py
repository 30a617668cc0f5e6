"""Log-probabilities of tiny seeded models of every architecture, computed by Hugging Face transformers in f32.

Writes ../fixtures/decoders.json. Made with transformers 5.23.0, torch 2.11.0, numpy 2.4.6; run: python decoders.py
"""

import json
import pathlib

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import seeded

SMALL = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128,
             vocab_size=320, max_position_embeddings=2048, rms_norm_eps=1e-5, tie_word_embeddings=True, hidden_act="silu")
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
GEMMA = dict(head_dim=32, num_key_value_heads=1, num_hidden_layers=6, rms_norm_eps=1e-6, hidden_act=None,
             hidden_activation="gelu_pytorch_tanh", sliding_window=8, query_pre_attn_scalar=24, pad_token_id=0,
             eos_token_id=1, bos_token_id=2)

CASES = {
    "llama": ("llama", dict(rope_theta=1e4)),
    "llama untied with biases": ("llama", dict(rope_theta=5e5, tie_word_embeddings=False, attention_bias=True, mlp_bias=True)),
    "llama 3 rope": ("llama", dict(rope_theta=5e5, rope_scaling=LLAMA3)),
    "llama yarn rope": ("llama", dict(rope_theta=1e4, rope_scaling=YARN)),
    "llama linear rope": ("llama", dict(rope_theta=1e4, rope_scaling=dict(rope_type="linear", factor=4.0))),
    "qwen2": ("qwen2", dict(rope_theta=1e6)),
    "qwen2 late windows": ("qwen2", dict(rope_theta=1e6, use_sliding_window=True, sliding_window=8, max_window_layers=1)),
    "qwen3": ("qwen3", dict(rope_theta=1e6, head_dim=32)),
    "gemma3": ("gemma3_text", GEMMA),
    "gemma3 linear rope": ("gemma3_text", dict(GEMMA, rope_scaling=dict(rope_type="linear", factor=8.0))),
}


def main():
    torch.set_num_threads(1)
    ids = [(index * index * 7 + 3 * index + 11) % 320 for index in range(48)]
    cases = []
    for seed, (name, (family, changes)) in enumerate(CASES.items()):
        stated = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
        # transformers changes the dictionaries that it is given.
        config = AutoConfig.for_model(family, **json.loads(json.dumps(stated)))
        config._attn_implementation = "eager"
        model = seeded.fill(AutoModelForCausalLM.from_config(config, dtype=torch.float32), seed, family.startswith("gemma"))
        scores, logits = seeded.logprobs(model, ids)
        # Both spellings of a configuration must be read: as published, and as transformers 5 writes it.
        for config_json in (dict(stated, model_type=family), json.loads(config.to_json_string())):
            cases.append(dict(name=name, config=config_json, seed=seed, ids=ids, logprobs=scores, last_logits=logits))
    path = pathlib.Path(__file__).parent.parent / "fixtures" / "decoders.json"
    path.write_text(json.dumps(cases, indent=None) + "\n")


main()
