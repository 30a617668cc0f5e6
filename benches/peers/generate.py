"""transformers.generate on the work of `marft bench generate`, and the bound of its own linear layers: a JSON line for each size.

Needs torch and transformers (run with torch 2.11.0, transformers 5.23.0). Not part of the tests.

    OMP_NUM_THREADS=2 python benches/peers/generate.py --rows 64,256 --new 64

Prompts of 64 tokens, groups of 8 samples of one prompt, 16 new tokens each unless told otherwise (64 are the work of the bench, and
take minutes on two cores), temperature 1, bf16, random weights in the shape of
SmolLM2-135M. One policy without adapters: transformers cannot mix adapters in a batch as cheaply, so this favours it.
"""

import argparse
import json
import time

import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig

SHAPE = dict(
    hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, head_dim=64,
    vocab_size=49152, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=1e5, tie_word_embeddings=True,
)


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bound(model, rows, prompt, new):
    """Seconds of the plain linear layers alone: one pass over all prompts, then `new - 1` passes over `rows`."""
    layers = [m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "lm_head" not in name]

    def one(count):
        inputs = {layer.in_features: torch.ones(count, layer.in_features, dtype=torch.bfloat16) for layer in layers}
        for layer in layers:
            layer(inputs[layer.in_features])
        model.lm_head(torch.ones(rows, model.config.hidden_size, dtype=torch.bfloat16))

    one(rows)
    return seconds(lambda: one(rows * prompt)) + seconds(lambda: [one(rows) for _ in range(8)]) / 8 * (new - 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="64,256")
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--new", type=int, default=16)
    parser.add_argument("--group", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE), dtype=torch.bfloat16).eval()
    with torch.inference_mode():
        for rows in map(int, args.rows.split(",")):
            prompts = torch.randint(0, SHAPE["vocab_size"], (rows // args.group, args.prompt)).repeat_interleave(args.group, 0)

            def generate(new):
                return model.generate(
                    prompts, attention_mask=torch.ones_like(prompts), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                    min_new_tokens=new, max_new_tokens=new, pad_token_id=0, use_cache=True,
                )

            generate(1)
            spent = seconds(lambda: generate(args.new))
            ideal = bound(model, rows, args.prompt, args.new)
            tokens = rows * args.new
            print(json.dumps({
                "program": "transformers.generate", "transformers": transformers.__version__, "torch": torch.__version__,
                "threads": torch.get_num_threads(), "dtype": "bf16", "rows": rows, "new_tokens": args.new,
                "tokens_per_s": tokens / spent, "bound_tokens_per_s": tokens / ideal, "bound_ratio": ideal / spent,
            }), flush=True)


if __name__ == "__main__":
    main()
