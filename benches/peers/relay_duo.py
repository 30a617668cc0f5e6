"""examples/relay by hand with transformers and peft: two agents, a LoRA adapter each, a supervised start and GRPO. JSON lines.

Needs torch, transformers, peft and gguf (run with torch 2.11.0, transformers 5.23.0, peft 0.21.2). Not part of the tests.

    OMP_NUM_THREADS=2 python benches/peers/relay_duo.py SmolLM2-135M-Instruct.Q4_1.gguf

The work, sizes and rates of examples/relay/grpo.toml: 6 supervised updates on 24 demonstrations, then 16 updates of 6 questions with 8
samples each. Evaluations are not counted in `seconds`.
"""

import json
import random
import time

import torch

import relay


def prompts(kind, row, note=None):
    if kind == "asker":
        return relay.chat(relay.ASKER, row["question"])
    return relay.chat(relay.KEEPER, f"{row['facts']}\n\nPartner: {note}")


def update(model, tokenizer, optimizer, sequences, micro):
    """One step on (prompt ids, completion ids, weight of a token) triples of the active adapter."""
    total = sum(len(completion) for _, completion, _ in sequences)
    for first in range(0, len(sequences), micro):
        part = sequences[first:first + micro]
        width = max(len(head) + len(completion) for head, completion, _ in part)
        ids = torch.full((len(part), width), tokenizer.pad_token_id)
        weights, mask = torch.zeros(len(part), width), torch.zeros(len(part), width, dtype=torch.long)
        for row, (head, completion, weight) in enumerate(part):
            ids[row, :len(head) + len(completion)] = torch.tensor(head + completion)
            mask[row, :len(head) + len(completion)] = 1
            weights[row, len(head):len(head) + len(completion)] = weight
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        logp = torch.log_softmax(logits.float(), -1).gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
        # on policy: the ratio is one, and its gradient that of the log-probs
        ratio = (logp - logp.detach()).exp()
        (-(ratio * weights[:, 1:]).sum() / total).backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def main():
    args = relay.arguments(micro=16)
    chance = random.Random(args.seed)
    train, held = relay.tasks(args.held_out)
    begin = time.perf_counter()
    model, tokenizer = relay.model(args.gguf, ["asker", "keeper"])
    optimizers = {}
    for name in ("asker", "keeper"):
        model.set_adapter(name)
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizers[name] = torch.optim.AdamW(parameters, lr=5e-4, weight_decay=0.0, fused=True)
    loading, spent = time.perf_counter() - begin, 0.0

    def say(name, rows, notes, new, sample):
        model.set_adapter(name)
        model.eval()
        return relay.generate(model, tokenizer, [prompts(name, row, note) for row, note in zip(rows, notes)], new, sample)

    def episodes(rows, sample):
        heads, notes, texts = say("asker", rows, [None] * len(rows), 12, sample)
        answers = say("keeper", rows, texts, 16, sample)
        return (heads, notes), answers[:2], answers[2]

    def learn(name, sequences, rate):
        model.set_adapter(name)
        model.train()
        optimizers[name].param_groups[0]["lr"] = rate
        update(model, tokenizer, optimizers[name], sequences, args.micro)

    def evaluate(step, mean):
        scores = []
        for first in range(0, len(held), 50):
            rows = held[first:first + 50]
            scores += [relay.exact(text, row["answer"]) for text, row in zip(episodes(rows, False)[2], rows)]
        line = dict(step=step, seconds=round(spent, 1), score=sum(scores) / len(scores), reward=mean, peak_mib=round(relay.peak_mib()))
        print(json.dumps(dict(line, loading=round(loading, 1))), flush=True)

    by_id = {row["id"]: row for row in train}
    shown = relay.rows("demonstrations.jsonl")[:24]
    end = [tokenizer.eos_token_id]
    for _ in range(2):
        chance.shuffle(shown)
        for first in range(0, len(shown), 8):
            begin = time.perf_counter()
            for name in ("asker", "keeper"):
                lessons = []
                for row in shown[first:first + 8]:
                    prompt = prompts(name, by_id[row["id"]], row["says"]["asker"])
                    head = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
                    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (head, row["says"][name])]
                    lessons.append((ids[0], ids[1] + end, 1.0))
                learn(name, lessons, 5e-4)
            spent += time.perf_counter() - begin
    evaluate(0, None)
    for step in range(1, args.steps + 1):
        begin = time.perf_counter()
        rows = [row for row in chance.sample(train, 6) for _ in range(8)]
        asked, answered, texts = episodes(rows, True)
        rewards = torch.tensor([relay.reward(text, row["answer"]) for text, row in zip(texts, rows)])
        groups = rewards.view(6, 8)
        advantages = ((groups - groups.mean(1, True)) / (groups.std(1, keepdim=True) + 1e-4)).flatten().tolist()
        for name, (heads, completions) in (("asker", asked), ("keeper", answered)):
            learn(name, list(zip(heads, completions, advantages)), 3e-4)
        spent += time.perf_counter() - begin
        if step % args.every == 0:
            evaluate(step, float(rewards.mean()))


main()
