"""What transformers makes of published GGUF files: log-probabilities in f32, token ids, rendered conversations.

Writes ../fixtures/NAME.json. Made with transformers 5.23.0, tokenizers 0.23.3, gguf 0.19.0, torch 2.11.0;
run: python published.py smollm2-135m-instruct SmolLM2-135M-Instruct.Q4_1.gguf
     python published.py qwen2.5-coder-0.5b-instruct qwen2.5-coder-0.5b-instruct.gguf
"""

import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import seeded

TEXTS = [
    "Hello, world!",
    "The capital of France is Paris.",
    "  two  spaces\tand a tab\n\n\nthree lines   \n",
    "123 + 4567 = 4690; 3.14159",
    "don't we'll I'M THEY'VE",
    "naïve façade — “quotes” … 日本語 한국어 العربية 🦀👩‍💻 é",
    "def f(x):\n    return x ** 2  # square\n",
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|>",
    "<tool_call>{\"name\": \"f\"}</tool_call>",
    "\u00a0\u2003odd spaces\r\nand line ends\r",
    "",
]
TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look a <word> up & say what it's worth.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string", "description": "naïve"}}, "required": ["word"]},
    },
}
USER = {"role": "user", "content": "What is the capital of France?"}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"type": "function", "function": {"name": "lookup", "arguments": {"word": "France", "n": 1, "deep": [True, None]}}}]}
CONVERSATIONS = [
    dict(messages=[USER], add_generation_prompt=True),
    dict(messages=[{"role": "system", "content": "Be brief."}, USER], add_generation_prompt=True),
    dict(messages=[USER, {"role": "assistant", "content": "Paris."}, {"role": "user", "content": "Sure?"}],
         add_generation_prompt=True),
    dict(messages=[USER, {"role": "assistant", "content": "Paris."}], add_generation_prompt=False),
    dict(messages=[USER], tools=[TOOL], add_generation_prompt=True),
    dict(messages=[{"role": "system", "content": "Use tools."}, USER, CALL, {"role": "tool", "content": "Paris"},
                   {"role": "tool", "content": "{\"ok\": true}"}], tools=[TOOL], add_generation_prompt=True),
]


def main():
    name, path = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    conversations = []
    for conversation in CONVERSATIONS:
        rest = {key: value for key, value in conversation.items() if key != "messages"}
        text = tokenizer.apply_chat_template(conversation["messages"], tokenize=False, **rest)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        conversations.append(dict(conversation, text=text, ids=ids))
    texts = [dict(text=text, ids=tokenizer(text, add_special_tokens=False)["input_ids"]) for text in TEXTS]
    scored = []
    for ids in [conversations[0]["ids"], texts[6]["ids"], [index * 97 % 40000 for index in range(1, 65)]]:
        scores, _ = seeded.logprobs(model, ids)
        scored.append(dict(ids=ids, logprobs=scores))
    fixture = dict(texts=texts, conversations=conversations, scored=scored)
    folder = pathlib.Path(__file__).parent.parent / "fixtures"
    (folder / f"{name}.json").write_text(json.dumps(fixture, ensure_ascii=False) + "\n")


main()
