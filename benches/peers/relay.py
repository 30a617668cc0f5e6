"""What the two relay peers share: the tasks, split and rewards of examples/relay, and its model with LoRA adapters."""

import argparse
import collections
import hashlib
import json
import pathlib
import re
import resource
import string

import peft
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "examples" / "relay"
ASKER = "You help a partner who holds a fact sheet. Send the partner one short message that says which fact is wanted."
KEEPER = "You hold a fact sheet. A partner tells you which fact is wanted. Answer with the value alone."
ALONE = "You hold a fact sheet. Answer the question with the value alone."


def arguments(micro):
    """What both programs are told; `micro` is how many sequences go through the model at a time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--held-out", type=int, default=100)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--micro", type=int, default=micro)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    return args


def rows(name):
    with open(FOLDER / name, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def tasks(held_out):
    """Rows to train on, and `held_out` rows of held-out countries."""
    sides = collections.defaultdict(list)
    for row in rows("tasks.jsonl"):
        word = int.from_bytes(hashlib.sha256(row["country"].encode()).digest()[:8], "big") >> 11
        sides[word / 2**53 < 0.3].append(row)
    held = sides[True]
    return sides[False], [held[i * len(held) // held_out] for i in range(held_out)]


def normal(text):
    """As SQuAD normalises an answer."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact(text, answer):
    return float(normal(text) == normal(answer))


def reward(text, answer):
    words = f" {normal(text)} "
    return 0.5 * exact(text, answer) + 0.5 * float(f" {normal(answer)} " in words)


def chat(role, text):
    return [{"role": "system", "content": role}, {"role": "user", "content": text}]


def model(gguf, adapters):
    """The model of a GGUF file in bf16 with these adapters of rank 16 on all linear layers, and its tokenizer."""
    path = pathlib.Path(gguf)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    plain = GgufConfig(dequantize=True)
    base = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16, quantization_config=plain)
    # it was dequantised on loading; the trainers would refuse it by its mark
    base.is_quantized, base.hf_quantizer = False, None
    vars(base).pop("quantization_method", None)
    vars(base.config).pop("quantization_config", None)
    config = peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(base, config, adapter_name=adapters[0])
    for name in adapters[1:]:
        wrapped.add_adapter(name, config)
    return wrapped, tokenizer


def generate(model, tokenizer, prompts, new, sample):
    """Token ids of one completion per prompt, cut after the end of the turn, and their texts."""
    rendered = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
    batch = tokenizer(rendered, return_tensors="pt", padding=True, add_special_tokens=False)
    end = tokenizer.eos_token_id
    with torch.inference_mode():
        out = model.generate(
            **batch, max_new_tokens=new, do_sample=sample, temperature=1.0 if sample else None, top_k=0 if sample else None,
            top_p=1.0 if sample else None, eos_token_id=end, pad_token_id=tokenizer.pad_token_id,
        )[:, batch["input_ids"].shape[1]:]
    completions = [ids[:ids.index(end) + 1] if end in ids else ids for ids in out.tolist()]
    heads = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in rendered]
    return heads, completions, tokenizer.batch_decode(completions, skip_special_tokens=True)


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
