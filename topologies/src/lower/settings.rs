//! Values with ranges: sampling, budgets, policies.

use super::{Lowering, or};
use crate::check::Code;
use crate::source::{Span, Spanned};
use crate::spec::{BodySpec, BudgetSpec, OutcomeWord, PolicySpec, PolicyWord, SamplingSpec};
use crate::team::{Budget, Outcome, Policy, PolicyKind, Sampling};

/// Most tokens of one output.
const MAX_TOKENS: u32 = 1 << 24;

impl SamplingSpec {
    /// These keys, and those of `defaults` where a key is absent.
    pub(super) fn over(&self, defaults: &Self) -> Self {
        let (own, base) = (self.clone(), defaults.clone());
        Self {
            temperature: own.temperature.or(base.temperature),
            top_p: own.top_p.or(base.top_p),
            top_k: own.top_k.or(base.top_k),
            min_p: own.min_p.or(base.min_p),
            max_tokens: own.max_tokens.or(base.max_tokens),
            stop: own.stop.or(base.stop),
            stop_ids: own.stop_ids.or(base.stop_ids),
        }
    }
}

impl Lowering<'_> {
    /// Sampling settings within their ranges.
    pub(super) fn sampling(&mut self, spec: &SamplingSpec) -> Sampling {
        let default = Sampling::default();
        let within = |lowering: &mut Self,
                      name: &str,
                      value: Option<&Spanned<f64>>,
                      default,
                      legal: fn(f64) -> bool,
                      range: &str| {
            let Some(value) = value else { return default };
            if legal(value.value) {
                return value.value;
            }
            lowering.report(
                Code::BadValue,
                format!("`{name} = {}` is outside {range}", value.value),
                value.span,
                format!("use a number in {range}"),
            );
            default
        };
        let temperature = within(
            self,
            "temperature",
            spec.temperature.as_ref(),
            default.temperature,
            |t| (0.0..=100.0).contains(&t),
            "[0, 100]",
        );
        let top_p = within(self, "top_p", spec.top_p.as_ref(), default.top_p, |p| p > 0.0 && p <= 1.0, "(0, 1]");
        let min_p = within(self, "min_p", spec.min_p.as_ref(), default.min_p, |p| (0.0..=1.0).contains(&p), "[0, 1]");
        if let Some(max) = spec.max_tokens.as_ref().filter(|max| max.value == 0 || max.value > MAX_TOKENS) {
            let message = format!("`max_tokens = {}` is outside [1, {MAX_TOKENS}]", max.value);
            self.report(Code::BadValue, message, max.span, "an agent must be able to say something, and to end");
        }
        let stop: Vec<String> = spec.stop.iter().flat_map(|stop| stop.iter()).map(|text| text.value.clone()).collect();
        for empty in spec.stop.iter().flat_map(|stop| stop.iter()).filter(|text| text.is_empty()) {
            self.report(Code::BadValue, "an empty stop text ends every output at once", empty.span, "remove it");
        }
        Sampling {
            temperature,
            top_p,
            top_k: spec.top_k.as_ref().map_or(default.top_k, |k| k.value),
            min_p,
            max_tokens: spec.max_tokens.as_ref().map_or(default.max_tokens, |max| max.value.clamp(1, MAX_TOKENS)),
            stop,
            stop_ids: spec.stop_ids.iter().flat_map(|ids| ids.iter()).map(|id| id.value).collect(),
        }
    }

    /// A budget whose limits are positive.
    pub(super) fn budget(&mut self, spec: Option<&Spanned<BudgetSpec>>) -> Budget {
        let Some(spec) = spec else { return Budget::default() };
        let zeros = [
            spec.tokens.as_ref().map(|limit| (limit.value == 0, limit.span)),
            spec.calls.as_ref().map(|limit| (limit.value == 0, limit.span)),
            spec.seconds.as_ref().map(|limit| (limit.value <= 0.0, limit.span)),
            spec.cost.as_ref().map(|limit| (limit.value <= 0.0, limit.span)),
        ];
        for (_, span) in zeros.into_iter().flatten().filter(|(spent, _)| *spent) {
            self.report(
                Code::BadValue,
                "a limit of nothing allows nothing",
                span,
                "use a positive number, or remove it",
            );
        }
        Budget {
            tokens: spec.tokens.as_ref().map(|limit| limit.value),
            calls: spec.calls.as_ref().map(|limit| limit.value),
            seconds: spec.seconds.as_ref().map(|limit| limit.value),
            cost: spec.cost.as_ref().map(|limit| limit.value),
            on_exhausted: self.outcome(spec),
        }
    }

    fn outcome(&mut self, spec: &Spanned<BudgetSpec>) -> Option<Outcome> {
        let word = spec.on_exhausted.as_ref().map(|word| word.value);
        match (word, &spec.fallback) {
            (Some(OutcomeWord::Fallback), Some(text)) => Some(Outcome::Fallback(text.value.clone())),
            (Some(OutcomeWord::Fallback), None) => {
                self.report(
                    Code::MissingKey,
                    "`fallback` is missing",
                    spec.span,
                    "write the text that stands in for the answer",
                );
                None
            }
            (other, Some(text)) => {
                self.report(
                    Code::BadCombination,
                    "`fallback` has no effect",
                    text.span,
                    "add `on_exhausted = \"fallback\"`",
                );
                other.map(|_| Outcome::Fail)
            }
            (Some(OutcomeWord::Fail), None) => Some(Outcome::Fail),
            (Some(OutcomeWord::Last), None) => Some(Outcome::Last),
            (Some(OutcomeWord::Skip), None) => Some(Outcome::Skip),
            (None, None) => None,
        }
    }

    /// Declared policies of a body join the one set of the whole file.
    pub(super) fn policies(&mut self, body: &BodySpec) {
        for (name, spec) in body.policies.iter().flat_map(|policies| policies.iter()) {
            let kind = self.policy_kind(spec, name.span);
            let policy = Policy { name: name.value.clone(), kind };
            match self.policy_ids.get(&policy.name).map(|id| self.team.policy(*id)) {
                None => {
                    self.push_policy(policy);
                }
                Some(known) if *known == policy => {}
                Some(_) => {
                    let message = format!("the policy `{}` is declared differently elsewhere", name.value);
                    self.report(
                        Code::DuplicateId,
                        message,
                        name.span,
                        "policies are shared by all teams of a file: rename one",
                    );
                }
            }
        }
    }

    fn policy_kind(&mut self, spec: &Spanned<PolicySpec>, name: Span) -> PolicyKind {
        let word = spec.kind.as_ref().map_or(PolicyWord::Local, |kind| kind.value);
        let keys = [
            ("model", spec.model.as_ref().map(|key| key.span), &[PolicyWord::Local, PolicyWord::Remote][..]),
            ("adapter", spec.adapter.as_ref().map(|key| key.span), &[PolicyWord::Local]),
            ("url", spec.url.as_ref().map(|key| key.span), &[PolicyWord::Remote]),
            ("key_env", spec.key_env.as_ref().map(|key| key.span), &[PolicyWord::Remote]),
            ("logprobs", spec.logprobs.as_ref().map(|key| key.span), &[PolicyWord::Remote]),
            ("stream", spec.stream.as_ref().map(|key| key.span), &[PolicyWord::Remote]),
            ("native_tools", spec.native_tools.as_ref().map(|key| key.span), &[PolicyWord::Remote]),
            ("replies", spec.replies.as_ref().map(|key| key.span), &[PolicyWord::Scripted]),
        ];
        for (key, span, kinds) in keys {
            if let Some(span) = span.filter(|_| !kinds.contains(&word)) {
                let message = format!("`{key}` has no effect on a {} policy", word.word());
                self.report(Code::BadCombination, message, span, format!("it belongs to kind `{}`", kinds[0].word()));
            }
        }
        let text = |key: &Option<Spanned<String>>| key.as_ref().map(|key| key.value.clone());
        match word {
            PolicyWord::Local => PolicyKind::Local { base: text(&spec.model), adapter: text(&spec.adapter) },
            PolicyWord::Human => PolicyKind::Human,
            PolicyWord::Scripted => {
                let replies: Vec<_> =
                    spec.replies.iter().flat_map(|all| all.iter()).map(|reply| reply.value.clone()).collect();
                if replies.is_empty() {
                    self.report(Code::MissingKey, "a scripted policy has no replies", name, "add `replies = [\"…\"]`");
                }
                PolicyKind::Scripted { replies }
            }
            PolicyWord::Remote => {
                for (key, missing) in [("model", spec.model.is_none()), ("url", spec.url.is_none())] {
                    if missing {
                        self.report(
                            Code::MissingKey,
                            format!("`{key}` is missing"),
                            name,
                            "a remote policy has a `url` and a `model`",
                        );
                    }
                }
                if let Some(url) =
                    spec.url.as_ref().filter(|url| !url.starts_with("http://") && !url.starts_with("https://"))
                {
                    self.report(
                        Code::BadValue,
                        format!("`{}` is not an http address", url.value),
                        url.span,
                        "write `https://host/v1`",
                    );
                }
                PolicyKind::Remote {
                    model: text(&spec.model).unwrap_or_default(),
                    url: text(&spec.url).unwrap_or_default(),
                    key_env: text(&spec.key_env),
                    logprobs: or(spec.logprobs.as_ref(), false),
                    stream: or(spec.stream.as_ref(), false),
                    native_tools: spec.native_tools.unwrap_or_default(),
                }
            }
        }
    }
}

impl Policy {
    /// A local adapter of this name, which no `[policies]` table declares.
    pub(super) fn adapter(name: &str) -> Self {
        Self { name: name.to_owned(), kind: PolicyKind::Local { base: None, adapter: None } }
    }
}
