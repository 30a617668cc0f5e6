"""A tiny sharded Hugging Face folder as transformers saves it.

Writes ../fixtures/hf_folder/ (two shards, bf16) and ../fixtures/hf_folder/log_probs.json, computed in f32 from the saved
weights. Made with transformers 5.23.0, torch 2.11.0; run: python hf_folder.py
"""

import json
import pathlib

import torch
from transformers import AutoModelForCausalLM, Qwen3Config

import seeded

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "hf_folder"


def main():
    torch.set_num_threads(1)
    config = Qwen3Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                         intermediate_size=64, vocab_size=96, max_position_embeddings=256, tie_word_embeddings=False)
    model = seeded.fill(AutoModelForCausalLM.from_config(config, dtype=torch.float32), 3, False).to(torch.bfloat16)
    model.save_pretrained(FOLDER, max_shard_size="40KB")
    loaded = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    ids = [(index * 29 + 5) % 96 for index in range(32)]
    scores, _ = seeded.logprobs(loaded, ids)
    (FOLDER / "log_probs.json").write_text(json.dumps(dict(ids=ids, logprobs=scores)) + "\n")


main()
