//! The settings of an adapter, with PEFT's meaning of each.

use serde::{Deserialize, Serialize};

use super::error::LoraError;
use crate::model::Projection;

/// Which projections get factors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TargetText", into = "TargetText")]
pub enum Targets {
    /// Every projection of the blocks, which is all linear layers but the output head.
    AllLinear,
    /// These, in the order of the forward pass.
    Named(Vec<Projection>),
}

impl Targets {
    /// Reads `all-linear`, or names such as `q_proj`; the order does not matter, repeats count once.
    pub fn parse(names: &[impl AsRef<str>]) -> Result<Self, LoraError> {
        if let [one] = names
            && one.as_ref() == "all-linear"
        {
            return Ok(Self::AllLinear);
        }
        let mut wanted = Vec::new();
        for name in names {
            // PEFT matches the end of a module's path, so `self_attn.q_proj` means what `q_proj` means.
            let last = name.as_ref().rsplit('.').next().unwrap_or_default();
            let found = Projection::ALL.into_iter().find(|projection| projection.name() == last);
            wanted.push(found.ok_or_else(|| LoraError::UnknownTarget { name: name.as_ref().to_owned() })?);
        }
        if wanted.is_empty() {
            return Err(LoraError::Setting { key: "target_modules", reason: "names no projection".to_owned() });
        }
        wanted.sort();
        wanted.dedup();
        Ok(Self::Named(wanted))
    }

    /// Whether `projection` gets factors.
    pub fn contains(&self, projection: Projection) -> bool {
        match self {
            Self::AllLinear => projection != Projection::Head,
            Self::Named(named) => named.contains(&projection),
        }
    }

    /// The targeted projections, in the order of the forward pass.
    pub fn projections(&self) -> Vec<Projection> {
        Projection::ALL.into_iter().filter(|&projection| self.contains(projection)).collect()
    }
}

/// One name or several, as configuration files have them.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum TargetText {
    One(String),
    Many(Vec<String>),
}

impl TryFrom<TargetText> for Targets {
    type Error = LoraError;

    fn try_from(text: TargetText) -> Result<Self, LoraError> {
        match text {
            TargetText::One(name) => Self::parse(&[name]),
            TargetText::Many(names) => Self::parse(&names),
        }
    }
}

impl From<Targets> for TargetText {
    fn from(targets: Targets) -> Self {
        match targets {
            Targets::AllLinear => Self::One("all-linear".to_owned()),
            Targets::Named(named) => Self::Many(named.iter().map(|projection| projection.name().to_owned()).collect()),
        }
    }
}

/// The settings of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank of the factors of each projection.
    pub rank: usize,
    /// The low-rank product is multiplied by `alpha / rank`, or by `alpha / √rank` with `rslora`.
    pub alpha: f64,
    /// Rank-stabilised scaling (Kalajdzievski, arXiv:2312.03732).
    pub rslora: bool,
    /// Probability with which an input of the low-rank part is zeroed in training.
    pub dropout: f64,
    /// Which projections get factors.
    pub targets: Targets,
}

impl Default for LoraConfig {
    /// Rank 16, alpha 32, on every linear layer of the blocks.
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, rslora: false, dropout: 0.0, targets: Targets::AllLinear }
    }
}

impl LoraConfig {
    /// What the low-rank product is multiplied by.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }

    /// Checks ranges.
    pub fn check(&self) -> Result<(), LoraError> {
        let fault = |key, reason: String| Err(LoraError::Setting { key, reason });
        if self.rank == 0 || self.rank > 1 << 14 {
            return fault("rank", format!("{} is not between 1 and {}", self.rank, 1 << 14));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return fault("alpha", format!("{} is not a positive number", self.alpha));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return fault("dropout", format!("{} is not in [0, 1)", self.dropout));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_as_peft_reads_them() {
        let named = Targets::parse(&["v_proj", "self_attn.q_proj", "q_proj"]).unwrap();
        assert_eq!(named, Targets::Named(vec![Projection::Query, Projection::Value]));
        assert!(!Targets::AllLinear.contains(Projection::Head));
        assert_eq!(Targets::AllLinear.projections().len(), 7);
        assert!(Targets::parse(&["qproj"]).unwrap_err().to_string().contains("qproj"));
        assert!(Targets::parse(&[] as &[&str]).is_err());
    }

    #[test]
    fn scale_follows_rslora() {
        let config = LoraConfig { rank: 16, alpha: 32.0, ..LoraConfig::default() };
        assert_eq!(config.scale(), 2.0);
        assert_eq!(LoraConfig { rslora: true, ..config }.scale(), 8.0);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (config, key) in [
            (LoraConfig { rank: 0, ..LoraConfig::default() }, "rank"),
            (LoraConfig { alpha: f64::NAN, ..LoraConfig::default() }, "alpha"),
            (LoraConfig { dropout: 1.0, ..LoraConfig::default() }, "dropout"),
        ] {
            assert!(config.check().unwrap_err().to_string().contains(key));
        }
    }
}
