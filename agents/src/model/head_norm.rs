//! RMSNorm over query and key heads: two rows of weights, one for each kind of head.

use tch::{Kind, Tensor};

use super::norm::RmsNorm;

/// The norms of query and key heads as one.
#[derive(Debug)]
pub(crate) struct HeadNorm {
    /// Effective weights of query heads and of key heads, f32 \[2, d\].
    rows: Tensor,
    /// Query and key heads.
    counts: [i64; 2],
    eps: f64,
    /// The norm with a row for each head; `None` where the rows are trained, for it would go stale.
    spread: Option<RmsNorm>,
}

impl HeadNorm {
    /// Norms of `counts` query and key heads with effective weights \[d\] each.
    pub(crate) fn new(query: &Tensor, key: &Tensor, counts: [i64; 2], eps: f64) -> Self {
        let rows = Tensor::stack(&[query, key], 0).to_kind(Kind::Float);
        let mut norm = Self { rows, counts, eps, spread: None };
        norm.spread = Some(norm.for_each_head());
        norm
    }

    /// Effective weights of query heads and of key heads, f32 \[2, d\].
    pub(crate) fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Makes the two rows a leaf that collects gradients, and returns it.
    pub(crate) fn train(&mut self) -> Tensor {
        self.spread = None;
        self.rows = self.rows.set_requires_grad(true);
        self.rows.shallow_clone()
    }

    /// Normalises heads \[n, queries + keys, d\]; the result has the type of `x`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        match &self.spread {
            Some(norm) => norm.forward(x),
            None => self.for_each_head().forward(x),
        }
    }

    fn for_each_head(&self) -> RmsNorm {
        let parts: Vec<Tensor> =
            (0..).zip(self.counts).map(|(row, count)| self.rows.narrow(0, row, 1).expand([count, -1], false)).collect();
        RmsNorm::new(&Tensor::cat(&parts, 0), self.eps)
    }
}
