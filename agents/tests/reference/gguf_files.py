"""Small GGUF files as the converters write them, and what transformers reads from them.

Writes ../fixtures/gguf/{blocks.json,qwen2.gguf,qwen3.gguf,gemma3.gguf,llama.gguf,log_probs.json}.
Made with gguf 0.19.0, transformers 5.23.0, torch 2.11.0; run: python gguf_files.py
"""

import json
import pathlib

import gguf
import numpy as np
import torch
from gguf.quants import dequantize
from transformers import AutoConfig, AutoModelForCausalLM

import seeded

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "gguf"
FORMATS = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
# Where a block keeps its half-precision scale and minimum: random bits there could be infinite.
SCALES = dict(Q4_0=[0], Q4_1=[0, 2], Q5_0=[0], Q5_1=[0, 2], Q8_0=[0], Q4_K=[0, 2], Q5_K=[0, 2], Q6_K=[208])
PIECES = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{byte:02X}>" for byte in range(0, 24)]
PIECES += list("▁abcdefghijklmnopqrstuvwxyz.,é") + ["th", "the", "▁th", "▁the", "he", "in", "▁a"]


def blocks():
    random = np.random.default_rng(7)
    cases = {}
    for name in FORMATS:
        kind = getattr(gguf.GGMLQuantizationType, name)
        values, size = gguf.GGML_QUANT_SIZES[kind]
        count = 2 if values > 1 else 16
        data = random.integers(0, 256, (count, size), dtype=np.uint8)
        if name in ("F16", "BF16"):
            data = random.standard_normal((count, 1)).astype(np.float32)
            data = data.astype(np.float16).view(np.uint8) if name == "F16" else data.view(np.uint8)[:, 2:].copy()
        for at in SCALES.get(name, []):
            scale = (random.standard_normal(count) * 0.1).astype(np.float16)
            data[:, at : at + 2] = scale.view(np.uint8).reshape(count, 2)
        floats = dequantize(data, kind).astype(np.float32).reshape(-1)
        cases[name] = dict(bytes=data.tobytes().hex(), values=[float(value) for value in floats])
    (FOLDER / "blocks.json").write_text(json.dumps(cases) + "\n")


def permuted(weight, heads):
    """The order of query and key rows in files of the llama architecture."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def model_file(family, changes):
    hf = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
              vocab_size=len(PIECES), max_position_embeddings=256, rms_norm_eps=1e-6, tie_word_embeddings=True,
              bos_token_id=2, eos_token_id=1, pad_token_id=0, **changes)
    config = AutoConfig.for_model("gemma3_text" if family == "gemma3" else family, **hf)
    model = seeded.fill(AutoModelForCausalLM.from_config(config, dtype=torch.float32), 5, family == "gemma3")
    path = FOLDER / f"{family}.gguf"
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(1e6)
    writer.add_key_length(config.head_dim if hasattr(config, "head_dim") else 8)
    writer.add_value_length(config.head_dim if hasattr(config, "head_dim") else 8)
    if family == "gemma3":
        writer.add_sliding_window(config.sliding_window)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(PIECES)
    writer.add_token_scores([-float(index) for index in range(len(PIECES))])
    writer.add_token_types([3, 3, 3, 2] + [6] * 24 + [1] * (len(PIECES) - 28))
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(3)
    writer.add_add_space_prefix(False)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, family.upper()), config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        values = tensor.numpy()
        if family == "gemma3" and name.endswith("norm.weight"):
            values = values + 1.0
        if family == "llama" and ("q_proj" in name or "k_proj" in name):
            values = permuted(values, config.num_attention_heads if "q_proj" in name else config.num_key_value_heads)
        kind = gguf.GGMLQuantizationType.F32
        if "mlp" in name and values.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
        elif "o_proj" in name:
            kind = gguf.GGMLQuantizationType.F16
        stored = values.astype(np.float16) if kind == gguf.GGMLQuantizationType.F16 else values
        if kind == gguf.GGMLQuantizationType.Q8_0:
            stored = gguf.quants.quantize(values, kind)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    # transformers takes no head width and no query scale from files of these families.
    stated = dict(config=config) if family in ("qwen3", "gemma3") else {}
    loaded = AutoModelForCausalLM.from_pretrained(FOLDER, gguf_file=path.name, dtype=torch.float32, **stated).eval()
    ids = [(index * 13 + 5) % len(PIECES) for index in range(24)]
    scores, _ = seeded.logprobs(loaded, ids)
    return dict(file=path.name, ids=ids, logprobs=scores)


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    blocks()
    gemma = dict(head_dim=32, sliding_window=8, rope_theta=1e6, hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=32)
    cases = [model_file("llama", dict(rope_theta=1e6)), model_file("qwen2", dict(rope_theta=1e6)),
             model_file("qwen3", dict(rope_theta=1e6, head_dim=16)), model_file("gemma3", gemma)]
    (FOLDER / "log_probs.json").write_text(json.dumps(cases) + "\n")


main()
