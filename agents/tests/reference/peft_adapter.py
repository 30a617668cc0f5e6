"""An adapter made by peft on the tiny seeded llama, its log-probabilities, and one training step; reads ours back.

    python peft_adapter.py            writes ../fixtures/peft/{adapter_config.json,adapter_model.safetensors,log_probs.json}
    python peft_adapter.py FOLDER     loads the adapter in FOLDER with peft onto the same model, prints its log-probabilities

Exits with 77 and a reason on stderr where a package is missing. Made with peft 0.21.2, transformers 5.23.0, torch 2.11.0.
"""

import json
import pathlib
import sys

try:
    import peft
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    import seeded
except ImportError as error:
    print(f"{sys.executable}: {error}", file=sys.stderr)
    sys.exit(77)

SHAPE = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
             intermediate_size=128, vocab_size=320, max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=1e4,
             tie_word_embeddings=True, hidden_act="silu")
IDS = [(index * index * 7 + 3 * index + 11) % 320 for index in range(40)]


def base():
    config = AutoConfig.for_model("llama", **SHAPE)
    config._attn_implementation = "eager"
    return seeded.fill(AutoModelForCausalLM.from_config(config, dtype=torch.float32), 0, False)


def logprobs(model):
    logits = model(input_ids=torch.tensor([IDS])).logits[0, :-1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(IDS[1:]).unsqueeze(1)).squeeze(1)


def main():
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        model = peft.PeftModel.from_pretrained(base(), sys.argv[1]).eval()
        print(json.dumps(logprobs(model).tolist()))
        return
    folder = pathlib.Path(__file__).parent.parent / "fixtures" / "peft"
    config = peft.LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"],
                             task_type="CAUSAL_LM")
    model = peft.get_peft_model(base(), config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    before = logprobs(model)
    # Two steps of clipped gradient ascent on the mean log-probability.
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.01)
    norms = []
    for _ in range(2):
        (-logprobs(model).mean()).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 0.5).item())
        optimizer.step()
        optimizer.zero_grad()
    after = logprobs(model)
    record = dict(ids=IDS, logprobs=before.tolist(), grad_norms=norms, trained=after.tolist())
    (folder / "log_probs.json").write_text(json.dumps(record) + "\n")


main()
