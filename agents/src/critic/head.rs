//! A value head: a small perceptron in f32 on a hidden row.

use tch::{Device, Kind, Tensor};

use super::HeadStart;
use crate::model::random::RandomSource;
use crate::model::{ModelConfig, TensorSource};
use crate::train::TrainError;

/// A perceptron without biases: hidden layers with ReLU, and one value at the end.
#[derive(Debug)]
pub struct ValueHead {
    /// Each \[out, in\], f32 leaves.
    layers: Vec<Tensor>,
}

impl ValueHead {
    /// Layers from the model's hidden width over `hidden` to one value; a pure function of `seed`. With [`HeadStart::Zero`] the
    /// last layer starts at zero, so that a fresh critic says 0 everywhere instead of noise; with [`HeadStart::Random`] every
    /// layer is uniform within ±1/√(its inputs), as torch makes linear layers.
    pub fn new(
        model: &ModelConfig,
        hidden: &[usize],
        start: HeadStart,
        device: Device,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let source = RandomSource::new(model, seed);
        let mut widths = vec![model.hidden as i64];
        widths.extend(hidden.iter().map(|&width| width as i64));
        let mut layers = Vec::new();
        for (index, pair) in widths.windows(2).enumerate() {
            layers.push(source.tensor(&format!("critic.{index}.weight"), &[pair[1], pair[0]])?);
        }
        let last = [1, widths[widths.len() - 1]];
        match start {
            HeadStart::Zero => layers.push(Tensor::zeros(last, (Kind::Float, Device::Cpu))),
            HeadStart::Random => {
                layers.push(source.tensor("critic.last.weight", &last)?);
                // the source's deviation is 1/√(inputs)
                layers = layers.into_iter().map(|layer| layer / 3_f64.sqrt()).collect();
            }
        }
        let leaf = |tensor: Tensor| tensor.to_device(device).to_kind(Kind::Float).set_requires_grad(true);
        Ok(Self { layers: layers.into_iter().map(leaf).collect() })
    }

    /// Rows \[n, hidden\] of any kind to values \[n\], f32.
    pub fn values(&self, rows: &Tensor) -> Tensor {
        let last = self.layers.len() - 1;
        let wide = rows.to_kind(Kind::Float);
        let hidden = self.layers[..last].iter().fold(wide, |x, layer| x.matmul(&layer.tr()).relu());
        hidden.matmul(&self.layers[last].tr()).squeeze_dim(1)
    }

    /// Handles to the leaves.
    pub fn parameters(&self) -> Vec<Tensor> {
        self.layers.iter().map(Tensor::shallow_clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shapes;

    #[test]
    fn a_head_is_a_bias_free_perceptron() {
        let model = shapes::named("llama").unwrap();
        let head = ValueHead::new(&model, &[8, 4], HeadStart::Zero, Device::Cpu, 3).unwrap();
        let shapes: Vec<_> = head.parameters().iter().map(Tensor::size).collect();
        assert_eq!(shapes, [[8, 64], [4, 8], [1, 4]]);
        let rows = Tensor::randn([5, 64], (Kind::Float, Device::Cpu));
        assert_eq!(Vec::<f32>::try_from(head.values(&rows)).unwrap(), [0.0; 5], "a fresh critic says nothing");
        assert_eq!(head.values(&Tensor::zeros([2, 64], (Kind::BFloat16, Device::Cpu))).kind(), Kind::Float);
    }

    #[test]
    fn no_hidden_layer_is_one_linear_layer() {
        let model = shapes::named("llama").unwrap();
        assert_eq!(ValueHead::new(&model, &[], HeadStart::Zero, Device::Cpu, 3).unwrap().parameters().len(), 1);
    }

    #[test]
    fn a_random_head_is_drawn_as_torch_draws_linear_layers() {
        let model = shapes::named("llama").unwrap();
        let head = ValueHead::new(&model, &[64, 16], HeadStart::Random, Device::Cpu, 3).unwrap();
        for layer in head.parameters() {
            let bound = 1.0 / (layer.size()[1] as f64).sqrt();
            let widest = layer.abs().max().double_value(&[]);
            assert!(widest <= bound * 1.000_001 && widest > 0.7 * bound, "{widest} of {bound}");
        }
        let rows = Tensor::randn([5, 64], (Kind::Float, Device::Cpu));
        let values = Vec::<f32>::try_from(head.values(&rows)).unwrap();
        assert!(values[0] != values[1] && values[0] != 0.0, "{values:?}");
    }
}
