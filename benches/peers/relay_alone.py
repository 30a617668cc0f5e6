"""examples/relay/alone.toml by TRL: one agent that sees everything, SFTTrainer and then GRPOTrainer. JSON lines.

Needs torch, transformers, peft, gguf and trl (run with torch 2.11.0, transformers 5.23.0, peft 0.21.2, trl 1.16.0). Not part of the tests.

    OMP_NUM_THREADS=2 python benches/peers/relay_alone.py SmolLM2-135M-Instruct.Q4_1.gguf

6 supervised updates on 24 demonstrations, then 16 updates of 12 questions with 8 samples each. Evaluations are not counted in
`seconds`.
"""

import json
import tempfile
import time

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

import relay


def prompt(row):
    return relay.chat(relay.ALONE, f"{row['facts']}\n\n{row['question']}")


def main():
    args = relay.arguments(micro=48)
    train, held = relay.tasks(args.held_out)
    begin = time.perf_counter()
    model, tokenizer = relay.model(args.gguf, ["default"])
    loading, spent = time.perf_counter() - begin, 0.0
    common = dict(
        output_dir=tempfile.mkdtemp(), seed=args.seed, lr_scheduler_type="constant", bf16=True, use_cpu=True, report_to=[],
        save_strategy="no", logging_steps=1, disable_tqdm=True, gradient_checkpointing=False,
    )

    def evaluate(step):
        model.eval()
        scores = []
        for first in range(0, len(held), 50):
            rows = held[first:first + 50]
            texts = relay.generate(model, tokenizer, [prompt(row) for row in rows], 16, False)[2]
            scores += [relay.exact(text, row["answer"]) for text, row in zip(texts, rows)]
        model.train()
        line = dict(step=step, seconds=round(spent, 1), score=sum(scores) / len(scores), peak_mib=round(relay.peak_mib()))
        print(json.dumps(dict(line, loading=round(loading, 1))), flush=True)

    class Clock(TrainerCallback):
        """Counts the seconds of steps, and evaluates between them."""

        def on_step_end(self, _args, state, control, **_kwargs):
            nonlocal spent, begin
            spent += time.perf_counter() - begin
            if state.global_step % args.every == 0:
                evaluate(state.global_step)
            begin = time.perf_counter()

    by_id = {row["id"]: row for row in train}
    shown = [
        dict(prompt=prompt(by_id[row["id"]]), completion=[dict(role="assistant", content=row["says"]["keeper"])])
        for row in relay.rows("alone-demonstrations.jsonl")[:24]
    ]
    begin = time.perf_counter()
    settings = SFTConfig(
        per_device_train_batch_size=8, num_train_epochs=2, learning_rate=5e-4, completion_only_loss=True, max_length=None, **common
    )
    SFTTrainer(model=model, args=settings, train_dataset=Dataset.from_list(shown), processing_class=tokenizer).train()
    spent += time.perf_counter() - begin
    evaluate(0)

    def earned(completions, answer, **_kwargs):
        return [relay.reward(said[0]["content"], gold) for said, gold in zip(completions, answer)]

    questions = Dataset.from_list([dict(prompt=prompt(row), answer=row["answer"]) for row in train])
    begin = time.perf_counter()
    settings = GRPOConfig(
        per_device_train_batch_size=args.micro, gradient_accumulation_steps=96 // args.micro, num_generations=8,
        max_completion_length=16, learning_rate=3e-4, max_steps=args.steps, beta=0.0, temperature=1.0, top_k=0, **common
    )
    GRPOTrainer(
        model=model, reward_funcs=earned, args=settings, train_dataset=questions, processing_class=tokenizer, callbacks=[Clock()]
    ).train()


main()
