"""Makes a tiny random chat model and serves it by `transformers serve`, for the test of the remote client.

    python tiny_server.py FOLDER PORT      (needs torch, transformers, fastapi, uvicorn; tried with transformers 5.23.0)

Exits with 77 and a reason on stderr where a package is missing.
"""

import os
import sys

try:
    import fastapi  # noqa: F401
    import torch
    import uvicorn  # noqa: F401
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
except ImportError as error:
    print(f"{sys.executable}: {error}", file=sys.stderr)
    sys.exit(77)

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def main():
    folder, port = sys.argv[1:]
    torch.manual_seed(0)
    letters = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    chat = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    chat.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    chat.chat_template = TEMPLATE
    chat.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(chat), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=chat.eos_token_id, pad_token_id=chat.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    program = [sys.executable, "-m", "transformers.cli.transformers", "serve", folder, "--port", port, "--device", "cpu"]
    os.execv(sys.executable, program)


main()
