//! AdamW over the parameters of one policy or critic, with clipping by global norm and state that can be saved.

use marft_torch::{AdamWOptions, clear_gradients, fused_adamw, global_norm, scale_all};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::error::TrainError;
use super::schedule::Schedule;

/// Settings of AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm where they exceed it.
    pub max_grad_norm: Option<f64>,
    /// The learning rate over the run.
    pub schedule: Schedule,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            lr: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: Some(1.0),
            schedule: Schedule::default(),
        }
    }
}

impl OptimizerConfig {
    /// Checks ranges.
    pub fn check(&self) -> Result<(), TrainError> {
        let rules = [
            ("lr", self.lr, self.lr >= 0.0 && self.lr.is_finite()),
            ("beta1", self.beta1, (0.0..1.0).contains(&self.beta1)),
            ("beta2", self.beta2, (0.0..1.0).contains(&self.beta2)),
            ("eps", self.eps, self.eps > 0.0 && self.eps.is_finite()),
            ("weight_decay", self.weight_decay, self.weight_decay >= 0.0 && self.weight_decay.is_finite()),
            ("max_grad_norm", self.max_grad_norm.unwrap_or(1.0), self.max_grad_norm.is_none_or(|norm| norm > 0.0)),
        ];
        match rules.into_iter().find(|(.., holds)| !holds) {
            Some((key, value, _)) => Err(TrainError::Setting { key, reason: format!("{value} is out of range") }),
            None => Ok(()),
        }
    }
}

/// What one update did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UpdateReport {
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
    /// The learning rate used.
    pub lr: f64,
    /// False if the norm was not finite: then the weights and the state are as they were.
    pub applied: bool,
    /// The version after the update.
    pub version: u64,
}

/// AdamW and its state.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// Handles to the leaves, f32.
    pub(super) parameters: Vec<Tensor>,
    pub(super) first: Vec<Tensor>,
    pub(super) second: Vec<Tensor>,
    /// Scalars: the steps each parameter has taken.
    pub(super) steps: Vec<Tensor>,
    /// Updates done.
    pub(super) updates: u64,
}

impl Optimizer {
    /// Fresh state for f32 leaves.
    pub fn new(config: OptimizerConfig, parameters: Vec<Tensor>) -> Result<Self, TrainError> {
        config.check()?;
        let zeros = || parameters.iter().map(|p| p.detach().zeros_like()).collect();
        let steps = parameters.iter().map(|p| Tensor::zeros([] as [i64; 0], (Kind::Float, p.device()))).collect();
        Ok(Self { config, first: zeros(), second: zeros(), steps, updates: 0, parameters })
    }

    /// The settings.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Replaces the settings; the state stays.
    pub fn set_config(&mut self, config: OptimizerConfig) -> Result<(), TrainError> {
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// Updates done.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Applies the gradients that the parameters have collected, and drops them. `gradient_of` says where the gradient of
    /// each parameter is.
    pub(crate) fn step(&mut self, gradients: &[Option<Tensor>]) -> Result<UpdateReport, TrainError> {
        let lr = self.config.lr * self.config.schedule.factor(self.updates);
        let mut lists: [Vec<Tensor>; 5] = std::array::from_fn(|_| Vec::new());
        for (index, gradient) in gradients.iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            let columns =
                [&self.parameters[index], gradient, &self.first[index], &self.second[index], &self.steps[index]];
            lists.iter_mut().zip(columns).for_each(|(list, tensor)| list.push(tensor.shallow_clone()));
        }
        let [parameters, gradients, first, second, steps] = &lists;
        let norm = if gradients.is_empty() { 0.0 } else { global_norm(gradients)?.double_value(&[]) };
        let applied = norm.is_finite();
        if applied {
            if let Some(limit) = self.config.max_grad_norm
                && norm > limit
            {
                let factor = Tensor::from((limit / (norm + 1e-6)) as f32).to_device(gradients[0].device());
                scale_all(gradients, &factor)?;
            }
            let OptimizerConfig { beta1, beta2, eps, weight_decay, .. } = self.config;
            let options = AdamWOptions { lr, beta1, beta2, weight_decay, eps };
            fused_adamw(parameters, gradients, first, second, steps, options)?;
            self.updates += 1;
        }
        Ok(UpdateReport { grad_norm: norm, lr, applied, version: self.updates })
    }

    /// As `step` for parameters that are leaves themselves.
    pub fn step_leaves(&mut self) -> Result<UpdateReport, TrainError> {
        let gradients: Vec<_> = self.parameters.iter().map(gradient).collect();
        let report = self.step(&gradients)?;
        clear_gradients(&self.parameters)?;
        Ok(report)
    }

    /// Bytes of the state (moments; the parameters themselves belong to their owner).
    pub fn bytes(&self) -> u64 {
        self.first.iter().chain(&self.second).map(|moment| moment.numel() as u64 * 4).sum()
    }
}

/// What a leaf has collected.
pub(crate) fn gradient(leaf: &Tensor) -> Option<Tensor> {
    let gradient = leaf.grad();
    gradient.defined().then_some(gradient)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Tensor {
        Tensor::from_slice(&[1.0_f32, -2.0, 3.0]).set_requires_grad(true)
    }

    #[test]
    fn clipping_returns_the_norm_before_and_bounds_the_step() {
        let parameter = leaf();
        let config = OptimizerConfig { max_grad_norm: Some(0.5), ..OptimizerConfig::default() };
        let mut optimizer = Optimizer::new(config, vec![parameter.shallow_clone()]).unwrap();
        (&parameter * Tensor::from_slice(&[3.0_f32, 0.0, 4.0])).sum(Kind::Float).backward();
        let report = optimizer.step_leaves().unwrap();
        assert_eq!((report.grad_norm, report.applied, report.version), (5.0, true, 1));
        // First moment = 0.1 · clipped gradient, which has norm 0.5.
        assert!((optimizer.first[0].norm().double_value(&[]) - 0.05).abs() < 1e-6);
        assert!(gradient(&parameter).is_none(), "gradients are dropped");
    }

    #[test]
    fn a_gradient_that_is_no_number_changes_nothing() {
        let parameter = leaf();
        let mut optimizer = Optimizer::new(OptimizerConfig::default(), vec![parameter.shallow_clone()]).unwrap();
        (&parameter * f64::NAN).sum(Kind::Float).backward();
        let report = optimizer.step_leaves().unwrap();
        assert!(!report.applied && report.grad_norm.is_nan());
        assert_eq!(Vec::<f32>::try_from(parameter.detach()).unwrap(), [1.0, -2.0, 3.0]);
        assert_eq!(optimizer.first[0].abs().sum(Kind::Float).double_value(&[]), 0.0);
        assert!(gradient(&parameter).is_none());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let config = OptimizerConfig { beta2: 1.0, ..OptimizerConfig::default() };
        assert!(Optimizer::new(config, vec![leaf()]).unwrap_err().to_string().contains("beta2"));
    }
}
