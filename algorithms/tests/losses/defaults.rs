//! The defaults of the settings of losses, as papers and programs state them, read from an empty table; and what is refused.

use marft_algorithms::action_logprob::ActionLogprob;
use marft_algorithms::kl::{KlController, KlEstimator, KlGate, KlInLoss, kl_in_loss};
use marft_algorithms::loss::{
    Aggregation, Cispo, Dapo, Decoupled, DrGrpo, DualClip, DynamicSampling, EntropyBonus, Grpo, Gspo, PolicyBatch,
    PolicyLoss, PpoClip, Reinforce, Tis, TisMode, cispo, dapo, decoupled, dr_grpo, dual_clip, gspo, ppo_clip,
    reinforce,
};
use marft_algorithms::preference::{Dpo, DpoCurve, Ipo, Kto, Orpo, SimPo};
use marft_algorithms::reward_model::{OrmPairwise, Prm};
use marft_algorithms::value::{ValueCurve, ValueLossConfig};
use serde::de::DeserializeOwned;
use tch::Tensor;

/// What an empty table means is the default, and both are what is stated.
#[track_caller]
fn stated<C: DeserializeOwned + Default + PartialEq + std::fmt::Debug>(want: C) {
    assert_eq!(C::default(), want);
    assert_eq!(serde_json::from_str::<C>("{}").unwrap(), want);
}

#[test]
fn policy_losses() {
    let (token_mean, each_alike) = (Aggregation::TokenMean, Aggregation::SeqMeanTokenMean);
    // verl clip_ratio .2, loss_agg_mode token-mean; TRL epsilon .2, epsilon_high none; clip_ratio_c 3.
    stated(PpoClip { clip_low: 0.2, clip_high: None, aggregation: token_mean });
    stated(DualClip { clip_low: 0.2, clip_high: None, dual_clip: 3.0, aggregation: token_mean });
    // TRL beta 0, k3.
    let kl_estimator = KlEstimator::K3;
    stated(Grpo { clip_low: 0.2, clip_high: None, beta: 0.0, kl_estimator, aggregation: each_alike });
    // The paper's .2 and .28; ten rounds in verl's recipe.
    stated(Dapo { clip_low: 0.2, clip_high: 0.28, dual_clip: None });
    stated(DynamicSampling { max_rounds: 10 });
    // max_completion_length (TRL) and max_response_length (verl) are 512.
    stated(DrGrpo { clip_low: 0.2, clip_high: None, max_completion_length: 512.0 });
    stated(Gspo { clip_low: 3e-4, clip_high: 4e-4, aggregation: each_alike });
    stated(Cispo { ratio_min: 0.0, ratio_max: 5.0, aggregation: token_mean });
    // AReaL and MARFT's port to it: 5.
    stated(Decoupled { clip_low: 0.2, clip_high: None, cap: 5.0, aggregation: token_mean });
    stated(Reinforce { aggregation: token_mean });
    // TRL: sequence_mask, 3, no lower bound.
    stated(Tis { mode: TisMode::SequenceMask, max: 3.0, min: None });
    stated(EntropyBonus { coefficient: 0.0, aggregation: token_mean });
    assert_eq!(ActionLogprob::default(), ActionLogprob::Sum, "MARFT's normalization_mode");
}

#[test]
fn divergences_and_values() {
    // verl kl_loss_coef .001, kl_ctrl fixed .001; the gate of MARFT's first release and of POAD.
    stated(KlInLoss { beta: 0.001, estimator: KlEstimator::K3, aggregation: Aggregation::TokenMean });
    assert_eq!(KlController::default(), KlController::Fixed { coefficient: 0.001 });
    stated(KlGate { threshold: 0.02 });
    // TRL cliprange_value .2.
    let (curve, aggregation) = (ValueCurve::Mse, Aggregation::TokenMean);
    stated(ValueLossConfig { clip: Some(0.2), curve, coefficient: 1.0, aggregation });
}

#[test]
fn preferences_and_reward_models() {
    // TRL: beta .1 for DPO, IPO, KTO and ORPO, simpo_gamma .5; the paper's beta of 2 for SimPO.
    stated(Dpo { beta: 0.1, curve: DpoCurve::Sigmoid, label_smoothing: 0.0 });
    stated(Ipo { beta: 0.1 });
    stated(SimPo { beta: 2.0, gamma: 0.5, label_smoothing: 0.0 });
    stated(Orpo { lambda: 0.1 });
    stated(Kto { beta: 0.1, good_weight: 1.0, bad_weight: 1.0 });
    stated(OrmPairwise { centering: 0.0 });
    stated(Prm { aggregation: Aggregation::SeqMeanTokenSum });
}

#[test]
fn a_setting_out_of_range_is_refused_with_what_to_use() {
    let new = Tensor::from_slice(&[-0.5f64]).set_requires_grad(true);
    let batch = PolicyBatch::new(&[-0.5], &[1.0], &[true], &[1]);
    let refused = |run: &dyn Fn() -> marft_algorithms::Result<PolicyLoss>, says: [&str; 2]| {
        let message = run().unwrap_err().to_string();
        assert!(says.iter().all(|part| message.contains(part)), "{says:?} are missing in: {message}");
    };
    refused(&|| ppo_clip(&new, &batch, &PpoClip { clip_low: -0.1, ..PpoClip::default() }), ["clip_low = -0.1", "0.2"]);
    let config = PpoClip { clip_high: Some(f64::INFINITY), ..PpoClip::default() };
    refused(&|| ppo_clip(&new, &batch, &config), ["clip_high = inf", "0.2"]);
    let config = PpoClip { aggregation: Aggregation::SeqMeanTokenSumNorm(0.0), ..PpoClip::default() };
    refused(&|| ppo_clip(&new, &batch, &config), ["seq-mean-token-sum-norm = 0", "longest answer allowed"]);
    let config = DualClip { dual_clip: 1.2, ..DualClip::default() };
    refused(&|| dual_clip(&new, &batch, &config), ["dual_clip = 1.2", "`ppo_clip`"]);
    let config = Dapo { dual_clip: Some(1.25), ..Dapo::default() };
    refused(&|| dapo(&new, &batch, &config), ["dual_clip = 1.25", "above the upper clip"]);
    let config = DrGrpo { max_completion_length: -1.0, ..DrGrpo::default() };
    refused(&|| dr_grpo(&new, &batch, &config), ["max_completion_length = -1", "longest answer allowed"]);
    let config = Gspo { clip_high: f64::NAN, ..Gspo::default() };
    refused(&|| gspo(&new, &batch, &config), ["clip_high = NaN", "a distance from 1"]);
    let config = Cispo { ratio_min: 1.5, ..Cispo::default() };
    refused(&|| cispo(&new, &batch, &config), ["ratio_min = 1.5", "0 and 5"]);
    let config = Cispo { ratio_max: 0.2, ..Cispo::default() };
    refused(&|| cispo(&new, &batch, &config), ["ratio_max = 0.2", "bounds on the ratio itself"]);
    let config = Decoupled { cap: 0.0, ..Decoupled::default() };
    refused(&|| decoupled(&new, &batch, &[-0.5], &config), ["cap = 0", "for example 5"]);
    refused(&|| decoupled(&new, &batch, &[], &Decoupled::default()), ["logp_behave has 0 entries", "exactly one"]);
    let short = PolicyBatch::new(&[-0.5], &[1.0, 1.0], &[true], &[1]);
    refused(&|| reinforce(&new, &short, &Reinforce::default()), ["advantage has 2 entries", "expected 1"]);
    let config = KlInLoss { beta: f64::INFINITY, ..KlInLoss::default() };
    let message = kl_in_loss(&new, &[-0.5], &[true], &[1], None, &config).unwrap_err().to_string();
    assert!(message.contains("beta = inf") && message.contains("0 switches the term off"), "{message}");
}
