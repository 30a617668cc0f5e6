//! A row's result must not depend on how many rows share its pass, where the placement promises it.

use marft_torch::GradMode;
use tch::{Device, Kind, Tensor};

use crate::model::random::{self, RandomSource};
use crate::model::{Attend, Decoder, Placement, Rows};

/// Rows that see themselves only: whatever they differ in comes from the batch.
struct Alone;

impl Attend for Alone {
    fn attend(&mut self, _: usize, query: &Tensor, _: &Tensor, value: &Tensor, _: Option<usize>, _: f64) -> Tensor {
        let (rows, heads, d) = query.size3().unwrap();
        value.repeat_interleave_self_int(heads / value.size()[1], 1, None).reshape([rows, heads * d])
    }
}

fn hidden(decoder: &Decoder, ids: &[i64]) -> Tensor {
    let _no_grad = GradMode::off();
    let rows = ids.len() as i64;
    let (ids, positions) = (Tensor::from_slice(ids), Tensor::arange(rows, (Kind::Int64, Device::Cpu)));
    decoder.hidden(Rows { ids: &ids, positions: &positions }, &mut Alone, None).unwrap()
}

#[test]
fn tiled_rows_do_not_depend_on_the_batch() {
    // Widths at which the plain kernels do differ between row counts.
    let (config, seed) = random::parse("random:smollm2-135m,layers=2,vocab=512").unwrap();
    for kind in [Kind::Float, Kind::BFloat16] {
        let placement = Placement { kind, ..Placement::EXACT };
        let decoder = Decoder::load(&config, &RandomSource::new(&config, seed), placement).unwrap();
        let ids: Vec<i64> = (0..200).map(|index| (index * 37 + 11) % 512).collect();
        let all = hidden(&decoder, &ids);
        let logits = decoder.logits(&all, None);
        for count in [1, 7, 63, 64, 65, 130] {
            let part = hidden(&decoder, &ids[..count as usize]);
            assert_eq!(part, all.narrow(0, 0, count), "{kind:?}, {count} rows");
            assert_eq!(decoder.logits(&part, None), logits.narrow(0, 0, count), "{kind:?}, {count} rows");
        }
    }
}

#[test]
fn no_rows_are_no_rows() {
    let (config, seed) = random::parse("random:qwen3").unwrap();
    for placement in [Placement::EXACT, Placement { packed: true, ..Placement::FAST }] {
        let decoder = Decoder::load(&config, &RandomSource::new(&config, seed), placement).unwrap();
        assert_eq!(hidden(&decoder, &[]).size(), [0, 64]);
        assert!(decoder.score(&[], None).unwrap().is_empty() && decoder.score(&[3], None).unwrap().is_empty());
    }
}
