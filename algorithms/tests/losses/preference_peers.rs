//! The preference cases of `fixtures/losses_peers.json`: TRL's DPO, CPO (SimPO), ORPO and KTO losses.

use marft_algorithms::action_logprob::{ActionLogprob, action_logprob};
use marft_algorithms::preference::{
    Dpo, DpoCurve, Ipo, Kto, KtoBatch, Orpo, PairLogps, SimPo, dpo, ipo, kto, kto_reference_point, orpo, simpo,
};
use serde_json::Value;
use tch::Tensor;

use crate::columns::{assert_close, counts, flat, gradient, leaf, mask};

fn cases(prefix: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../fixtures/losses_peers.json")).unwrap();
    let named = |case: &&Value| case["name"].as_str().unwrap().starts_with(prefix);
    let found: Vec<Value> = all["pairs"].as_array().unwrap().iter().filter(named).cloned().collect();
    assert!(!found.is_empty(), "{prefix}");
    found
}

fn number(case: &Value, key: &str) -> f64 {
    case[key].as_f64().unwrap()
}

/// From token log-probabilities to the gradient of each token, through the answers' sums or means.
#[test]
fn dpo_and_ipo() {
    for case in cases("dpo") {
        let (lengths, pairs) = (counts(&case["lengths"]), number(&case, "pairs") as i64);
        let new = leaf::<f64>(&flat(&case["logp"]));
        let reference = Tensor::from_slice(&flat(&case["logp_ref"]));
        let name = case["name"].as_str().unwrap();
        let mode = if name == "dpo ipo" { ActionLogprob::TokenMean } else { ActionLogprob::Sum };
        let in_loss = vec![true; lengths.iter().sum()];
        let answers = |logp: &Tensor| {
            let all = action_logprob(logp, &in_loss, &lengths, mode).unwrap();
            (all.narrow(0, 0, pairs), all.narrow(0, pairs, pairs))
        };
        let ((chosen, rejected), (ref_chosen, ref_rejected)) = (answers(&new), answers(&reference));
        let policy = PairLogps { chosen: &chosen, rejected: &rejected };
        let reference = PairLogps { chosen: &ref_chosen, rejected: &ref_rejected };
        let beta = number(&case, "beta");
        let curve = match name {
            "dpo robust" => DpoCurve::Robust,
            "dpo hinge" => DpoCurve::Hinge,
            _ => DpoCurve::Sigmoid,
        };
        let out = if name == "dpo ipo" {
            ipo(policy, reference, &Ipo { beta })
        } else {
            dpo(policy, reference, &Dpo { beta, curve, label_smoothing: number(&case, "label_smoothing") })
        }
        .unwrap();
        assert_close(name, &[out.value], &[number(&case, "loss")], 1e-9);
        assert_close(name, &gradient(&out.loss, &new), &flat(&case["grad"]), 1e-9);
    }
}

/// TRL computes ORPO in f32, hence the looser tolerance there.
#[test]
fn simpo_and_orpo() {
    for (name, tolerance) in [("simpo", 1e-9), ("orpo", 1e-5)] {
        let case = &cases(name)[0];
        let (chosen, rejected) = (leaf::<f64>(&flat(&case["chosen"])), leaf::<f64>(&flat(&case["rejected"])));
        let pair = PairLogps { chosen: &chosen, rejected: &rejected };
        let beta = number(case, "beta");
        let out = if name == "simpo" {
            let (gamma, label_smoothing) = (number(case, "gamma"), number(case, "label_smoothing"));
            simpo(pair, &SimPo { beta, gamma, label_smoothing })
        } else {
            orpo(pair, &Orpo { lambda: beta })
        }
        .unwrap();
        assert_close(name, &[out.value], &[number(case, "loss")], tolerance);
        assert_close(name, &gradient(&out.loss, &chosen), &flat(&case["grad_chosen"]), tolerance);
        assert_close(name, &gradient(&out.loss, &rejected), &flat(&case["grad_rejected"]), tolerance);
    }
}

#[test]
fn kto_with_a_reference_point() {
    let case = &cases("kto")[0];
    let logp = leaf::<f64>(&flat(&case["logp"]));
    let (logp_ref, good) = (flat(&case["logp_ref"]), mask(&case["good"]));
    let reference_point = kto_reference_point(&flat(&case["kl"]), &flat(&case["kl_ref"])).unwrap();
    let batch = KtoBatch { logp: &logp, logp_ref: &logp_ref, good: &good, reference_point };
    let config = Kto {
        beta: number(case, "beta"),
        good_weight: number(case, "good_weight"),
        bad_weight: number(case, "bad_weight"),
    };
    let out = kto(&batch, &config).unwrap();
    assert_close("kto", &[out.value], &[number(case, "loss")], 1e-9);
    assert_close("kto", &gradient(&out.loss, &logp), &flat(&case["grad"]), 1e-9);
}
