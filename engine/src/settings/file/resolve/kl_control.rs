//! `kl_ctrl`: how the coefficient of a divergence is steered, by verl's names and those of TRL.

use marft_algorithms::preset::Algorithm;
use marft_topologies::check::Code;
use marft_topologies::source::Span;
use serde::Deserialize;

use super::Resolving;
use super::algorithm::Given;
use crate::learn::KlTarget;
use crate::settings::Kind;

/// The key inside `[algorithm]`.
pub(super) const KEY: &str = "kl_ctrl";

/// The value as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    #[serde(default, rename = "type")]
    kind: Word,
    #[serde(alias = "init_kl_coef")]
    kl_coef: Option<f64>,
    #[serde(alias = "kl_target", alias = "target")]
    target_kl: Option<f64>,
    horizon: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    #[default]
    Fixed,
    Adaptive,
}

impl Resolving<'_> {
    /// Takes `kl_ctrl` out of the settings of an algorithm; the coefficient in it goes where it is without.
    pub(super) fn kl_control(&mut self, given: &mut Given) -> Option<KlTarget> {
        let value = given.map.remove(KEY)?;
        let span = given.value(KEY);
        let serde_json::Value::Object(settings) = value else {
            let help = "write `kl_ctrl = { type = \"adaptive\", target_kl = 0.1, horizon = 10000 }`";
            self.report(Code::WrongType, "`kl_ctrl` is a table", span, help);
            return None;
        };
        let typed = match (Kind { kind: KEY.to_owned(), settings }).read::<Typed>() {
            Ok(typed) => typed,
            Err(error) => {
                let help =
                    error.help.unwrap_or_else(|| "its keys are `type`, `kl_coef`, `target_kl` and `horizon`".into());
                self.report(Code::BadValue, format!("`kl_ctrl`: {}", error.message), span, help);
                return None;
            }
        };
        if let Some(coefficient) = typed.kl_coef {
            given.insert("init_kl_coef", coefficient.into(), span);
        }
        if typed.kind == Word::Fixed {
            if typed.target_kl.is_some() || typed.horizon.is_some() {
                let message = "`target_kl` and `horizon` have no effect: the coefficient is fixed";
                self.report(Code::BadCombination, message, span, "set `type = \"adaptive\"`");
            }
            return None;
        }
        // verl's defaults
        let wanted = KlTarget { target: typed.target_kl.unwrap_or(0.1), horizon: typed.horizon.unwrap_or(10_000.0) };
        for (key, number) in [("target_kl", wanted.target), ("horizon", wanted.horizon)] {
            if !(number > 0.0 && number.is_finite()) {
                let message = format!("`{key}` cannot be {number}: it must be positive");
                self.report(Code::BadValue, message, span, format!("correct it, or leave `{key}` out"));
            }
        }
        Some(wanted)
    }

    /// A controller needs a coefficient to steer.
    pub(super) fn steers(&mut self, algorithm: &Algorithm, place: Span) {
        if !algorithm.needs_reference() {
            let message = "`kl_ctrl` has no effect: there is no divergence, its coefficient is 0";
            self.report(Code::BadCombination, message, place, "set `kl_coef` in it, or `kl_loss_coef`");
        }
    }
}
