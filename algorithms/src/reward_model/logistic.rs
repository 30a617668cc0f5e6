//! Binary cross entropy on a logit, stable for every logit and exact for soft labels.

use crate::loss::{Lane, Objective, Term};

/// softplus(r) - y r, which is -[ y log σ(r) + (1 - y) log(1 - σ(r)) ].
#[derive(Clone, Copy)]
pub(crate) struct CrossEntropy;

impl<F: Lane> Objective<F, 1> for CrossEntropy {
    fn term(self, logit: F, label: F, _: F) -> Term<F, 1> {
        let (r, y) = (logit.wide(), label.wide());
        let tail = (-r.abs()).exp();
        let probability = if r >= 0.0 { 1.0 / (1.0 + tail) } else { tail / (1.0 + tail) };
        let loss = r.max(0.0) - y * r + tail.ln_1p();
        // A judge on the fence is right about nothing.
        let right = f64::from(u8::from(r != 0.0 && (r > 0.0) == (y >= 0.5)));
        Term { loss: F::narrow(loss), grad: F::narrow(probability - y), stats: [F::narrow(right)] }
    }
}
