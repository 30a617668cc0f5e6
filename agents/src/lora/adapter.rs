//! An adapter: factors at every targeted site of every layer.

use tch::{Kind, Tensor};

use super::config::LoraConfig;
use super::error::LoraError;
use super::factors::SiteFactors;
use crate::model::random::RandomSource;
use crate::model::{ModelConfig, Placement, Projection, Site, TensorSource};

/// The low-rank part of one policy.
#[derive(Debug)]
pub struct LoraAdapter {
    config: LoraConfig,
    /// Per layer, in the order of [`Site::ALL`]; the head stands alone after the last layer.
    sites: Vec<[Option<SiteFactors>; 4]>,
    head: Option<SiteFactors>,
}

const BLOCK_SITES: [Site; 4] = [Site::Qkv, Site::Output, Site::GateUp, Site::Down];

impl LoraAdapter {
    /// A fresh adapter for a model: A uniform in ±1/√in as PEFT draws it (a pure function of `seed`, layer and projection),
    /// B zero. Passes will read copies of the kind of `placement`.
    pub fn new(config: &LoraConfig, model: &ModelConfig, placement: Placement, seed: u64) -> Result<Self, LoraError> {
        config.check()?;
        let source = RandomSource::new(model, seed);
        let mut fault = None;
        let mut draw = |layer: usize, projection: Projection, shape: [i64; 2]| {
            let name = format!("{}.lora_A", projection.path(layer));
            match source.tensor(&name, &shape) {
                // The source's deviation is 1/√in; a uniform on ±1/√in has that over √3.
                Ok(tensor) => tensor / 3.0_f64.sqrt(),
                Err(error) => {
                    fault = Some(error.to_string());
                    Tensor::zeros(shape, (Kind::Float, tch::Device::Cpu))
                }
            }
        };
        let mut factors = |layer: usize, site: Site| {
            SiteFactors::new(
                model,
                site,
                |projection| config.targets.contains(projection),
                config.rank as i64,
                config.scale(),
                (placement.kind, placement.device),
                |projection, shape| draw(layer, projection, shape),
            )
        };
        let sites = (0..model.layers).map(|layer| BLOCK_SITES.map(|site| factors(layer, site))).collect();
        let head = factors(model.layers, Site::Head);
        match fault {
            Some(reason) => Err(LoraError::Torch { doing: "drawing the factors of an adapter", reason }),
            None => Ok(Self { config: config.clone(), sites, head }),
        }
    }

    /// The settings.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The factors at a site of a layer; for the head, any layer.
    pub fn factors(&self, layer: usize, site: Site) -> Option<&SiteFactors> {
        match BLOCK_SITES.iter().position(|&own| own == site) {
            Some(index) => self.sites.get(layer)?[index].as_ref(),
            None => self.head.as_ref(),
        }
    }

    /// The masters, as handles to the leaves that collect gradients, in a fixed order.
    pub fn parameters(&self) -> Vec<Tensor> {
        self.all().flat_map(|factors| [factors.a.shallow_clone(), factors.b.shallow_clone()]).collect()
    }

    /// Makes the copies that passes read anew. To be called after the masters have changed.
    pub fn refresh(&mut self) {
        self.sites.iter_mut().flatten().flatten().chain(self.head.as_mut()).for_each(SiteFactors::refresh);
    }

    /// Masters A \[r, in\] and B \[out, r\] of every targeted projection with its layer, as views.
    pub fn named_factors(&self) -> Vec<(usize, Projection, Tensor, Tensor)> {
        let layers = self.sites.len();
        let blocks =
            self.sites.iter().enumerate().flat_map(|(layer, sites)| sites.iter().map(move |site| (layer, site)));
        blocks
            .chain([(layers, &self.head)])
            .filter_map(|(layer, site)| Some((layer, site.as_ref()?)))
            .flat_map(|(layer, site)| {
                let of = move |&projection| site.of(projection).map(|(a, b)| (layer, projection, a, b));
                site.projections.iter().filter_map(of)
            })
            .collect()
    }

    /// Number of trained values.
    pub fn parameter_count(&self) -> usize {
        self.all().map(|factors| factors.a.numel() + factors.b.numel()).sum()
    }

    /// Bytes of masters and of the copies that passes read.
    pub fn bytes(&self) -> u64 {
        self.all().map(SiteFactors::bytes).sum()
    }

    /// Number of values an adapter of this kind trains, without making one.
    pub fn count_parameters(config: &LoraConfig, model: &ModelConfig) -> usize {
        let of = |projection: &Projection| {
            let (input, output) = projection.widths(model);
            let copies = if *projection == Projection::Head { 1 } else { model.layers };
            config.rank * (input + output) * copies
        };
        config.targets.projections().iter().map(of).sum()
    }

    /// Bytes of masters and copies of an adapter of this kind for passes in `kind`, without making one.
    pub fn count_bytes(config: &LoraConfig, model: &ModelConfig, kind: Kind) -> u64 {
        let width = kind.elt_size_in_bytes();
        // In f32 the copy of A is the master itself; that of B is scaled, so it is a copy in every kind.
        let a_width = if kind == Kind::Float { 4 } else { 4 + width };
        let shapes = Self::shapes(config, model);
        shapes.iter().map(|(.., a, b)| (a[0] * a[1] * a_width + b[0] * b[1] * (4 + width)) as u64).sum()
    }

    /// Layer, projection and the shapes of A and B of every factor that an adapter of this kind has, in the order of
    /// [`named_factors`](Self::named_factors), without making one.
    pub fn shapes(config: &LoraConfig, model: &ModelConfig) -> Vec<(usize, Projection, [usize; 2], [usize; 2])> {
        let shaped = |layer: usize, projection: Projection| {
            let (input, output) = projection.widths(model);
            (layer, projection, [config.rank, input], [output, config.rank])
        };
        let projections = config.targets.projections();
        let (head, blocks): (Vec<_>, Vec<_>) =
            projections.into_iter().partition(|&projection| projection == Projection::Head);
        let of_blocks = (0..model.layers).flat_map(|layer| blocks.iter().map(move |&own| shaped(layer, own)));
        of_blocks.chain(head.iter().map(|&own| shaped(model.layers, own))).collect()
    }

    fn all(&self) -> impl Iterator<Item = &SiteFactors> {
        self.sites.iter().flatten().flatten().chain(self.head.as_ref())
    }
}
