"""The weights of `random:` models (agents/src/model/random.rs) in numpy: SplitMix64 in counter mode per tensor name."""

import numpy as np
import torch

MASK = (1 << 64) - 1


def fnv1a(text):
    hash = 0xCBF29CE484222325
    for byte in text.encode():
        hash = ((hash ^ byte) * 0x100000001B3) & MASK
    return hash


def values(seed, name, shape, offset_norm):
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.uint64(seed ^ fnv1a(name)) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    deviation = shape[-1] ** -0.5 if len(shape) > 1 else 0.1
    mean = 1.0 if name.endswith("norm.weight") and not offset_norm else 0.0
    return (mean + deviation * 3**0.5 * (2.0 * unit - 1.0)).astype(np.float32).reshape(shape)


def fill(model, seed, offset_norm):
    """Gives a transformers model the weights of `seed`; tied heads follow the embedding."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(values(seed, name, tuple(parameter.shape), offset_norm)))
    return model.eval()


def logprobs(model, ids):
    """Log-probability of every id after the first, and the logits after the last."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].float()
    scores = torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return scores.tolist(), logits[-1].tolist()
