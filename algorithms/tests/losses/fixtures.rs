//! `fixtures/fixtures.json`, made by `reference/gen_fixtures.py`: every entry about losses, in f64 to 1e-9 and f32 to
//! 1e-5.

use marft_algorithms::action_logprob::{ActionLogprob, action_logprob};
use marft_algorithms::kl::{KlEstimator, KlGate};
use marft_algorithms::loss::{
    Decoupled, EntropyBonus, Lane, PolicyBatch, PpoClip, Reinforce, Totals, decoupled, entropy_bonus, ppo_clip,
    reinforce,
};
use marft_algorithms::value::{ValueBatch, ValueCurve, ValueLossConfig, value_loss};
use serde_json::Value;
use tch::Tensor;

use crate::columns::{assert_close, cast, counts, flat, gradient, leaf, mask};

fn fixture(name: &str) -> (Value, Value) {
    let all: Value = serde_json::from_str(include_str!("../fixtures/fixtures.json")).unwrap();
    (all[name]["inputs"].clone(), all[name]["expected"].clone())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Runs a check in both floats, with the tolerance each must meet.
macro_rules! in_both_floats {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn in_f64() {
                super::$name::<f64>(1e-9);
            }
            #[test]
            fn in_f32() {
                super::$name::<f32>(1e-5);
            }
        }
    )+};
}
in_both_floats!(ppo_action, ppo_token, value, decoupled_ppo, kl_estimators, accumulation, factor, from_logits);

fn ppo_case<F: Lane>(name: &str, in_loss: &[bool], tolerance: f64) {
    let (inputs, want) = fixture(name);
    let new = leaf::<F>(&flat(&inputs["logp_new"]));
    let (old, advantage) = (cast::<F>(&flat(&inputs["logp_old"])), cast::<F>(&flat(&inputs["advantages"])));
    let lengths = [in_loss.len()];
    let config = PpoClip { clip_low: number(&inputs["eps"]), ..PpoClip::default() };
    let out = ppo_clip(&new, &PolicyBatch::new(&old, &advantage, in_loss, &lengths), &config).unwrap();

    let entropy = leaf::<F>(&flat(&inputs["entropy"]));
    let bonus = EntropyBonus { coefficient: number(&inputs["entropy_coef"]), ..EntropyBonus::default() };
    let bonus = entropy_bonus::<F>(&entropy, in_loss, &lengths, None, &bonus).unwrap();
    assert_close("loss", &[out.value + bonus.value], &[number(&want["loss"])], tolerance);
    assert_close("loss tensor", &[(&out.loss + &bonus.loss).double_value(&[])], &[number(&want["loss"])], tolerance);
    assert_close("kl", &[out.diagnostics.approx_kl], &[number(&want["approx_kl"])], tolerance);
    assert_close("gradient", &gradient(&out.loss, &new), &flat(&want["dloss_dlogp"]), tolerance);
    if let Some(entropy) = want["entropy"].as_f64() {
        assert_close("entropy", &[bonus.mean], &[entropy], tolerance);
    }
    // Alone, an item shows its own ratio and its own term.
    let ratios = flat(&want["ratio"]);
    for item in (0..in_loss.len()).filter(|&item| in_loss[item]) {
        let batch = PolicyBatch::new(&old[item..=item], &advantage[item..=item], &[true], &[1]);
        let out = ppo_clip(&new.narrow(0, item as i64, 1), &batch, &config).unwrap();
        assert_close("ratio", &[out.diagnostics.ratio_mean], &[ratios[item]], tolerance);
        if let Some(terms) = want.get("per_item") {
            assert_close("item", &[out.value], &[flat(terms)[item]], tolerance);
        }
    }
}

fn ppo_action<F: Lane>(tolerance: f64) {
    ppo_case::<F>("ppo_action_level", &[true; 4], tolerance);
}

fn ppo_token<F: Lane>(tolerance: f64) {
    let in_loss = mask(&fixture("ppo_token_level").0["mask"]);
    ppo_case::<F>("ppo_token_level", &in_loss, tolerance);
}

fn value<F: Lane>(tolerance: f64) {
    let (inputs, want) = fixture("value_loss");
    let column = |key: &str| flat(&inputs[key]);
    let (old, returns) = (cast::<F>(&column("v_old")), cast::<F>(&column("returns")));
    let delta = number(&inputs["delta"]);
    let curves = [
        ("huber_correct", ValueCurve::Huber(delta)),
        ("huber_legacy", ValueCurve::HuberOneSided(delta)),
        ("mse", ValueCurve::Mse),
    ];
    for (name, curve) in curves {
        let config = ValueLossConfig { clip: Some(number(&inputs["eps"])), curve, ..ValueLossConfig::default() };
        let batch = ValueBatch::new(&old, &returns, &[true; 5], &[5]);
        let new = leaf::<F>(&column("v_new"));
        let out = value_loss(&new, &batch, &config).unwrap();
        assert_close(name, &[out.value], &[number(&want[name]["loss"])], tolerance);
        for (item, term) in flat(&want[name]["per_item"]).into_iter().enumerate() {
            let batch = ValueBatch::new(&old[item..=item], &returns[item..=item], &[true], &[1]);
            let out = value_loss(&new.narrow(0, item as i64, 1), &batch, &config).unwrap();
            assert_close(name, &[out.value], &[term], tolerance);
        }
    }
}

fn decoupled_ppo<F: Lane>(tolerance: f64) {
    let (inputs, want) = fixture("decoupled_ppo");
    let column = |key: &str| cast::<F>(&flat(&inputs[key]));
    let (proximal, behave, advantage) = (column("prox_logp"), column("behave_logp"), column("advantages"));
    let batch = PolicyBatch::new(&proximal, &advantage, &[true; 4], &[4]);
    let config = Decoupled { clip_low: number(&inputs["eps"]), cap: number(&inputs["cap"]), ..Decoupled::default() };
    let new = leaf::<F>(&flat(&inputs["logp"]));
    let out = decoupled(&new, &batch, &behave, &config).unwrap();
    assert_close("loss", &[out.value], &[number(&want["loss"])], tolerance);
    // Where the current policy is the proximal one and A = -1, an item's term is its behaviour weight.
    let (weights, ratios) = (flat(&want["behave_weight"]), flat(&want["ratio"]));
    let bad = [F::narrow(-1.0)];
    for item in 0..4 {
        let one = PolicyBatch::new(&proximal[item..=item], &bad, &[true], &[1]);
        let weight = decoupled(&leaf::<F>(&[proximal[item].wide()]), &one, &behave[item..=item], &config).unwrap();
        assert_close("weight", &[weight.value], &[weights[item]], tolerance);
        assert_eq!(weight.value != 0.0, want["kept"][item].as_bool().unwrap());
        let out = decoupled(&new.narrow(0, item as i64, 1), &one, &behave[item..=item], &config).unwrap();
        assert_close("ratio", &[out.diagnostics.ratio_mean], &[ratios[item]], tolerance);
    }
}

fn kl_estimators<F: Lane>(tolerance: f64) {
    let (inputs, want) = fixture("kl_estimators");
    let (x, y) = (cast::<F>(&flat(&inputs["logp"])), cast::<F>(&flat(&inputs["ref_logp"])));
    for (name, estimator) in [("k1", KlEstimator::K1), ("k2", KlEstimator::K2), ("k3", KlEstimator::K3)] {
        let got: Vec<f64> = x.iter().zip(&y).map(|(&x, &y)| estimator.value(x - y).wide()).collect();
        assert_close(name, &got, &flat(&want[name]), tolerance);
    }
}

/// Chunks of two sequences, each given the totals of the batch, add up to the loss of the batch; an item of the fixture
/// is the sum of a sequence's terms, made here as -A log π with log π = -1.
fn accumulation<F: Lane>(tolerance: f64) {
    let (inputs, want) = fixture("grad_accumulation");
    let (sums, lengths) = (flat(&inputs["token_sums"]), counts(&inputs["token_counts"]));
    let spread = |sums: &[f64], lengths: &[usize]| -> Vec<F> {
        sums.iter().zip(lengths).flat_map(|(sum, &n)| vec![F::narrow(sum / n as f64); n]).collect()
    };
    let run = |sums: &[f64], lengths: &[usize], totals: Option<Totals>| {
        let advantage = spread(sums, lengths);
        let n = advantage.len();
        let (logp, in_loss) = (vec![-1.0; n], vec![true; n]);
        let old = cast::<F>(&logp);
        let batch = PolicyBatch { totals, ..PolicyBatch::new(&old, &advantage, &in_loss, lengths) };
        reinforce(&leaf::<F>(&logp), &batch, &Reinforce::default()).unwrap().value
    };
    assert_close("whole", &[run(&sums, &lengths, None)], &[number(&want["token_full"])], tolerance);
    let totals = Totals { tokens: lengths.iter().sum(), sequences: lengths.len() };
    let chunked: f64 = sums.chunks(2).zip(lengths.chunks(2)).map(|(s, l)| run(s, l, Some(totals))).sum();
    assert_close("chunks", &[chunked], &[number(&want["token_correct"])], tolerance);
}

/// The factor M of a sequential update enters as the weight of a batch.
fn factor<F: Lane>(tolerance: f64) {
    let (inputs, want) = fixture("sequential_update_factor");
    let row = |key: &str, agent: usize| -> Vec<f64> {
        inputs[key].as_array().unwrap().iter().map(|row| number(&row[agent])).collect()
    };
    let advantage = cast::<F>(&flat(&inputs["advantages"]));
    for step in want["per_agent"].as_array().unwrap() {
        let agent = step["agent"].as_u64().unwrap() as usize;
        let (old, weight) = (cast::<F>(&row("logp_old", agent)), cast::<F>(&flat(&step["M_in"])));
        let batch = PolicyBatch::new(&old, &advantage, &[true; 2], &[1, 1]).weighted(&weight);
        let out = ppo_clip(&leaf::<F>(&row("logp_new", agent)), &batch, &PpoClip::default()).unwrap();
        assert_close("loss", &[out.value], &[number(&step["loss"])], tolerance);
    }
}

fn from_logits<F: Lane>(tolerance: f64) {
    let (inputs, want) = fixture("action_logprob_from_logits");
    let logits = leaf::<F>(&flat(&inputs["logits"]));
    let tokens: Vec<i64> = counts(&inputs["tokens"]).into_iter().map(|id| id as i64).collect();
    let log_softmax = logits.reshape([3, -1]).log_softmax(-1, F::KIND);
    let logp = log_softmax.gather(1, &Tensor::from_slice(&tokens).unsqueeze(1), false).squeeze_dim(1);
    let words = counts(&Value::from(vec![inputs["decoded_word_count"].clone()]));
    let modes =
        [("sum", ActionLogprob::Sum), ("token", ActionLogprob::TokenMean), ("word", ActionLogprob::WordMean(&words))];
    for (name, mode) in modes {
        let out = action_logprob(&logp, &[true; 3], &[3], mode).unwrap();
        assert_close(name, &[out.double_value(&[0])], &[number(&want[name])], tolerance);
    }
    let sum = action_logprob(&logp, &[true; 3], &[3], ActionLogprob::Sum).unwrap();
    assert_close("slope", &gradient(&sum, &logits), &flat(&want["dsumlogp_dlogits"]), tolerance);

    let entropy = -(log_softmax.exp() * &log_softmax).sum_dim_intlist(-1i64, false, F::KIND);
    let mean = action_logprob(&entropy, &[true; 3], &[3], ActionLogprob::TokenMean).unwrap();
    assert_close("entropy", &[mean.double_value(&[0])], &[number(&want["action_entropy"])], tolerance);
    let slope: Vec<f64> = flat(&want["dentropy_dlogits"]).iter().map(|slope| slope / 3.0).collect();
    assert_close("entropy slope", &gradient(&mean, &logits), &slope, tolerance);
}

#[test]
fn kl_gate() {
    let (inputs, want) = fixture("kl_gate");
    let kl = flat(&inputs["approx_kl"]);
    for (key, threshold) in [("appo_step", 1e-3), ("tppo_step", 1.7e-6)] {
        assert_eq!(KlGate { threshold }.passes_each(&kl).unwrap(), mask(&want[key]), "{key}");
    }
}
