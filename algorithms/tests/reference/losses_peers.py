#!/usr/bin/env python3
"""Numbers for the loss tests, from the programs that published them.

Random ragged batches go through TRL's own loss methods (the methods of the installed package, called on a stand-in for
the trainer that carries nothing but settings), and through verl's formulas written down here from its documentation.
Each case records its inputs, the loss and the gradient by the new log-probabilities, in float64.

Run:  pip install torch==2.11.0 trl==1.16.0 && python3 losses_peers.py ../fixtures/losses_peers.json
"""
import collections
import json
import sys
import types

import torch
import trl
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

torch.set_default_dtype(torch.float64)
torch.manual_seed(20250607)
CASES = []


class Accelerator:
    num_processes, sync_gradients, device, is_main_process = 1, True, torch.device("cpu"), True

    def gather(self, x):
        return x

    gather_for_metrics = gather

    def reduce(self, x, reduction="sum"):
        return x


class StandIn(types.SimpleNamespace):
    """A trainer without a model: settings given, everything else switched off."""

    def __getattr__(self, name):
        return None


def stand_in(**settings):
    base = dict(accelerator=Accelerator(), model=types.SimpleNamespace(training=True), _metrics=collections.defaultdict(
        lambda: collections.defaultdict(list)), aux_loss_enabled=False, _tp_size=1, _total_train_tokens=0, state=types.SimpleNamespace(num_input_tokens_seen=0))
    return StandIn(**{**base, **settings})


# ---------------------------------------------------------------------------------------------------------------------
# Ragged batches: B rows, padded to T for the peers, flat for us. Some tokens inside a row are tool output.
# ---------------------------------------------------------------------------------------------------------------------
def ragged(spread=0.35, per_token=False, lengths=(7, 3, 1, 5)):
    B, T = len(lengths), max(lengths)
    valid = torch.arange(T)[None, :] < torch.tensor(lengths)[:, None]
    tool = (torch.rand(B, T) > 0.2) | (torch.arange(T)[None, :] == 0)
    old = -3 * torch.rand(B, T) - 0.05
    new = old + spread * torch.randn(B, T)
    ref = old + 0.2 * torch.randn(B, T)
    adv = torch.randn(B, T) if per_token else torch.randn(B)
    return dict(lengths=list(lengths), valid=valid, mask=valid & tool, old=old, new=new.requires_grad_(), ref=ref, adv=adv)


def flat(batch, x):
    if x.dim() == 1:
        x = x[:, None].expand_as(batch["valid"])
    return x[batch["valid"]].tolist()


def put(name, batch, config, loss, **extra):
    (grad,) = torch.autograd.grad(loss, batch["new"])
    case = dict(
        name=name, lengths=batch["lengths"], logp_new=flat(batch, batch["new"].detach()), logp_old=flat(batch, batch["old"]),
        logp_ref=flat(batch, batch["ref"]), advantage=flat(batch, batch["adv"]), in_loss=flat(batch, batch["mask"]),
        config=config, loss=loss.item(), grad=flat(batch, grad), **extra)
    CASES.append(case)


def trl_grpo(batch, loss_type, level="token", beta=0.0, low=0.2, high=0.2, delta=None, max_len=16, weight=None, window=1.0):
    entropy = torch.zeros_like(batch["old"])
    self = stand_in(
        _get_per_token_logps_and_entropies=lambda *a, **k: (batch["new"], entropy, None), top_entropy_quantile=1.0,
        importance_sampling_level=level, beta=beta, loss_type=loss_type, epsilon_low=low, epsilon_high=high,
        max_completion_length=max_len, current_gradient_accumulation_steps=1, use_vllm=weight is not None,
        vllm_importance_sampling_correction=weight is not None, _entropy_bonus_enabled=False,
        args=types.SimpleNamespace(delta=delta, use_bias_correction_kl=False, steps_per_generation=1))
    B, T = batch["old"].shape
    ids = torch.zeros(B, T, dtype=torch.long)
    inputs = dict(
        prompt_ids=ids[:, :1], prompt_mask=ids[:, :1] + 1, completion_ids=ids, completion_mask=batch["valid"].double(),
        tool_mask=batch["mask"].double(), advantages=batch["adv"], old_per_token_logps=batch["old"],
        ref_per_token_logps=batch["ref"], num_items_in_batch=batch["mask"].sum() * window)
    if weight is not None:
        inputs["importance_sampling_ratio"] = weight
    return GRPOTrainer._compute_loss(self, None, inputs)


b = ragged(); put("trl grpo", b, dict(), trl_grpo(b, "grpo"))
b = ragged(); put("trl grpo beta", b, dict(beta=0.04, epsilon=0.1, epsilon_high=0.3), trl_grpo(b, "grpo", beta=0.04, low=0.1, high=0.3))
b = ragged(per_token=True); put("trl grpo per-token advantages", b, dict(), trl_grpo(b, "grpo"))
b = ragged(spread=1.5); put("trl grpo delta", b, dict(delta=2.0), trl_grpo(b, "grpo", delta=2.0))
b = ragged(); put("trl dr_grpo", b, dict(max_completion_length=16), trl_grpo(b, "dr_grpo", max_len=16))
b = ragged(); put("trl dapo", b, dict(epsilon=0.2, epsilon_high=0.28), trl_grpo(b, "dapo", high=0.28))
b = ragged(); put("trl bnpo", b, dict(), trl_grpo(b, "bnpo"))
b = ragged(spread=1.2); put("trl cispo", b, dict(ratio_max=2.0), trl_grpo(b, "cispo", high=2.0))
b = ragged(); put("trl sequence", b, dict(epsilon=0.05, epsilon_high=0.06), trl_grpo(b, "grpo", level="sequence", low=0.05, high=0.06))
b = ragged(); w = torch.rand(4, 7) * 2
put("trl grpo weighted", b, dict(beta=0.1), trl_grpo(b, "grpo", beta=0.1, weight=w), weight=flat(b, w))


# ---------------------------------------------------------------------------------------------------------------------
# verl, from its documented formulas
# ---------------------------------------------------------------------------------------------------------------------
def verl_agg(x, mask, mode, norm=None):
    mask = mask.double()
    n = mask.sum(-1)
    if mode == "token-mean":
        return (x * mask).sum() / mask.sum()
    seq = (x * mask).sum(-1)
    if mode == "seq-mean-token-mean":
        seq = seq / n.clamp(min=1)
    if mode == "seq-mean-token-sum-norm":
        seq = seq / norm
    return seq.sum() / (n > 0).sum()


def verl_vanilla(batch, mode, low=0.2, high=0.2, c=3.0, norm=None):
    adv = batch["adv"][:, None] if batch["adv"].dim() == 1 else batch["adv"]
    ratio = torch.exp(torch.clamp(batch["new"] - batch["old"], -20, 20))
    clipped = torch.maximum(-adv * ratio, -adv * torch.clamp(ratio, 1 - low, 1 + high))
    dual = torch.minimum(-adv * c, clipped)
    return verl_agg(torch.where(adv < 0, dual, clipped), batch["mask"], mode, norm)


def verl_gspo(batch, low, high):
    mask = batch["mask"].double()
    log_ratio = ((batch["new"] - batch["old"]) * mask).sum(-1) / mask.sum(-1).clamp(min=1)
    combined = torch.clamp(batch["new"] - batch["new"].detach() + log_ratio.detach()[:, None], max=10.0)
    s = torch.exp(combined)
    adv = batch["adv"][:, None] if batch["adv"].dim() == 1 else batch["adv"]
    return verl_agg(torch.maximum(-adv * s, -adv * torch.clamp(s, 1 - low, 1 + high)), batch["mask"], "seq-mean-token-mean")


def verl_cispo(batch, low, high):
    ratio = torch.exp(torch.clamp(batch["new"] - batch["old"], -20, 20))
    weight = torch.clamp(ratio, 1 - low, 1 + high).detach()
    return verl_agg(-weight * batch["adv"][:, None] * batch["new"], batch["mask"], "token-mean")


for mode in ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"]:
    b = ragged(spread=1.5, per_token=True)
    norm = 12.0 if mode.endswith("norm") else None
    named = {mode: norm} if norm else mode
    put("verl vanilla " + mode, b, dict(clip_ratio_low=0.2, clip_ratio_high=0.28, clip_ratio_c=3.0, loss_agg_mode=named),
        verl_vanilla(b, mode, high=0.28, norm=norm))
b = ragged(per_token=True); put("verl gspo", b, dict(clip_ratio_low=0.02, clip_ratio_high=0.03), verl_gspo(b, 0.02, 0.03))
b = ragged(spread=1.0); put("verl cispo", b, dict(ratio_min=0.0, ratio_max=1.2), verl_cispo(b, 10.0, 0.2))
b = ragged(); put("verl kl low_var_kl", b, dict(kl_loss_coef=0.3, kl_loss_type="low_var_kl"),
                  0.3 * verl_agg(torch.exp(b["ref"] - b["new"]) - (b["ref"] - b["new"]) - 1, b["mask"], "token-mean"))
b = ragged(); put("verl kl mse", b, dict(kl_loss_coef=1.0, kl_loss_type="mse"),
                  verl_agg(0.5 * (b["new"] - b["ref"]) ** 2, b["mask"], "token-mean"))
# Value loss of verl and of TRL's PPO: half the masked mean of the larger square. Here old = old values, ref = returns.
b = ragged(spread=1.0)
clipped = torch.clamp(b["new"], b["old"] - 0.5, b["old"] + 0.5)
put("value clipped mse", b, dict(cliprange_value=0.5, vf_coef=0.1),
    0.1 * 0.5 * verl_agg(torch.maximum((b["new"] - b["ref"]) ** 2, (clipped - b["ref"]) ** 2), b["mask"], "token-mean"))

# ---------------------------------------------------------------------------------------------------------------------
# Preferences, through TRL's trainers. Rows 0..n-1 are chosen, n..2n-1 rejected; per-token log-probs, the first is no
# prediction.
# ---------------------------------------------------------------------------------------------------------------------
PAIRS = []


def model_outputs(logp):
    zeros = torch.zeros_like(logp)
    return types.SimpleNamespace(log_probs=logp, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())



def trl_dpo(loss_type, beta, smoothing=0.0):
    n, lengths = 3, [4, 2, 5, 3, 3, 1]
    T = max(lengths)
    mask = torch.arange(T)[None, :] < torch.tensor(lengths)[:, None]
    logp = (-2 * torch.rand(2 * n, T) * mask).requires_grad_()
    ref = -2 * torch.rand(2 * n, T) * mask
    full = torch.cat([torch.zeros(2 * n, 1, dtype=torch.bool), mask], 1).long()
    outputs = model_outputs(logp)
    self = stand_in(
        precompute_ref_logps=True, f_divergence_type="reverse_kl", loss_types=[loss_type], loss_weights=[1.0], beta=beta,
        label_smoothing=smoothing, use_weighting=False)
    sums = lambda x: x.sum(-1)
    inputs = dict(input_ids=full, attention_mask=full, completion_mask=full, ref_chosen_logps=sums(ref)[:n],
                  ref_rejected_logps=sums(ref)[n:])
    loss = DPOTrainer._compute_loss(self, lambda **k: outputs, inputs, False)
    (grad,) = torch.autograd.grad(loss, logp)
    unpad = lambda x: x[mask].tolist()
    PAIRS.append(dict(name="dpo " + loss_type, beta=beta, label_smoothing=smoothing, pairs=n, lengths=lengths,
                      logp=unpad(logp.detach()), logp_ref=unpad(ref), loss=loss.item(), grad=unpad(grad)))


def trl_simpo_orpo():
    n = 4
    for name in ["simpo", "orpo"]:
        chosen, rejected = (-2 * torch.rand(n) - 0.05).requires_grad_(), (-2 * torch.rand(n) - 0.05).requires_grad_()
        self = stand_in(beta=2.0 if name == "simpo" else 0.1, alpha=0.0, loss_type="simpo", simpo_gamma=0.5, label_smoothing=0.05)
        if name == "simpo":
            loss = CPOTrainer.cpo_loss(self, chosen, rejected)[0].mean()
        else:  # TRL computes this one in float32
            loss = chosen.neg().mean() - ORPOTrainer.odds_ratio_loss(self, chosen, rejected)[0].double().mean()
        grads = torch.autograd.grad(loss, [chosen, rejected])
        PAIRS.append(dict(name=name, chosen=chosen.tolist(), rejected=rejected.tolist(), beta=self.beta, gamma=0.5,
                          label_smoothing=0.05, loss=loss.item(), grad_chosen=grads[0].tolist(), grad_rejected=grads[1].tolist()))


def trl_kto():
    n = 5
    logp, ref = (-6 * torch.rand(n, 1)).requires_grad_(), -6 * torch.rand(n, 1)
    kl, ref_kl = -6 * torch.rand(n), -6 * torch.rand(n)
    label = torch.tensor([True, False, True, True, False])
    ids = torch.ones(n, 2, dtype=torch.long)
    outputs = model_outputs(logp)
    self = stand_in(calculate_KL=True, precompute_ref_logps=True, loss_type="kto", beta=0.3, desirable_weight=1.0,
                    undesirable_weight=1.5, _compute_kl_logps=lambda *a: kl)
    batch = dict(input_ids=ids, attention_mask=ids, completion_mask=ids, label=label, ref_logps=ref[:, 0], ref_KL_logps=ref_kl)
    loss = KTOTrainer._compute_loss(self, lambda **k: outputs, batch, False)
    (grad,) = torch.autograd.grad(loss, logp)
    PAIRS.append(dict(name="kto", logp=logp[:, 0].tolist(), logp_ref=ref[:, 0].tolist(), kl=kl.tolist(), kl_ref=ref_kl.tolist(),
                      good=label.tolist(), beta=0.3, good_weight=1.0, bad_weight=1.5, loss=loss.item(), grad=grad[:, 0].tolist()))


trl_dpo("sigmoid", 0.1)
trl_dpo("robust", 0.3, 0.1)
trl_dpo("hinge", 0.5)
trl_dpo("ipo", 0.2)
trl_simpo_orpo()
trl_kto()

with open(sys.argv[1], "w") as out:
    json.dump(dict(made_by="tests/reference/losses_peers.py", torch=torch.__version__, trl=trl.__version__, tokens=CASES, pairs=PAIRS), out, indent=1)
print(len(CASES), "token cases,", len(PAIRS), "preference cases ->", sys.argv[1])
