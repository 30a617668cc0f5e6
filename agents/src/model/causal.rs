//! Plain causal attention inside one sequence: the simplest rule, for scoring and for comparing with other programs.

use tch::{Device, Kind, Tensor};

use super::pass::Attend;

/// Every row belongs to one sequence and stands in its order; nothing is kept between passes.
#[derive(Debug, Default)]
pub struct CausalAttend;

impl Attend for CausalAttend {
    fn attend(
        &mut self,
        _layer: usize,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        window: Option<usize>,
        scale: f64,
    ) -> Tensor {
        let rows = query.size()[0];
        let heads_first = |x: &Tensor| x.transpose(0, 1).unsqueeze(0);
        let mask = window
            .filter(|&window| (window as i64) < rows)
            .map(|window| window_mask(rows, window as i64, query.device()));
        let mixed = Tensor::scaled_dot_product_attention(
            &heads_first(query),
            &heads_first(key),
            &heads_first(value),
            mask.as_ref(),
            0.0,
            mask.is_none(),
            scale,
            query.size()[1] != key.size()[1],
        );
        mixed.squeeze_dim(0).transpose(0, 1).reshape([rows, -1])
    }
}

/// \[n, n\]: true where row `i` sees row `j`, that is `i − window < j ≤ i`.
fn window_mask(rows: i64, window: i64, device: Device) -> Tensor {
    Tensor::ones([rows, rows], (Kind::Bool, device)).tril(0).triu(1 - window)
}
