"""transformers + peft on the work of `marft bench train`, as JSON.

Needs torch, transformers and peft (run with torch 2.11.0, transformers 5.x, peft 0.21). Not part of the tests.

    OMP_NUM_THREADS=2 python benches/peers/train_step.py

64 sequences of 64 + 64 tokens, rank 16 on all linear layers, bf16, random weights in the shape of SmolLM2-135M: forward,
clipped loss on the last 64 tokens, backward in micro-batches of 8 sequences, gradient clipping, AdamW.
"""

import argparse
import json
import resource
import time

import peft
import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig

SHAPE = dict(
    hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, head_dim=64,
    vocab_size=49152, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=1e5, tie_word_embeddings=True,
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--micro", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE), dtype=torch.bfloat16)
    config = peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config, autocast_adapter_dtype=True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0, fused=True)
    length = args.prompt + args.new
    ids = torch.randint(0, SHAPE["vocab_size"], (args.sequences, length))
    advantages = torch.arange(args.sequences * args.new).float().sin().view(args.sequences, args.new)

    def step(count):
        for first in range(0, count, args.micro):
            batch, advantage = ids[first:first + args.micro], advantages[first:first + args.micro]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(input_ids=batch, logits_to_keep=args.new + 1).logits[:, :-1]
            logp = torch.log_softmax(logits.float(), -1).gather(-1, batch[:, -args.new:].unsqueeze(-1)).squeeze(-1)
            ratio = (logp - logp.detach()).exp()
            loss = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).sum() / (count * args.new)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step(args.micro)
    start = time.perf_counter()
    step(args.sequences)
    spent = time.perf_counter() - start
    print(json.dumps({
        "program": "transformers + peft", "transformers": transformers.__version__, "peft": peft.__version__,
        "torch": torch.__version__, "threads": torch.get_num_threads(), "dtype": "bf16",
        "tokens_per_s": args.sequences * length / spent,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))


if __name__ == "__main__":
    main()
