//! Tree training against flat training on a toy transformer: equal values and gradients, whole and split.

use marft_algorithms::loss::{PolicyBatch, PpoClip, ppo_clip};
use marft_algorithms::tree::{Branch, PrefixTree};
use proptest::collection::vec;
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::columns::assert_close;

const WIDTH: i64 = 8;
const WORDS: i64 = 12;

/// Two layers of single-head attention with a feed-forward part, and learned positions.
struct Toy {
    kind: Kind,
    parameters: Vec<Tensor>,
}

impl Toy {
    fn new(kind: Kind) -> Self {
        tch::manual_seed(3);
        let mut shapes = vec![[WORDS, WIDTH], [16, WIDTH]];
        for _ in 0..2 {
            shapes.extend([[WIDTH, WIDTH]; 6]);
        }
        shapes.push([WIDTH, WORDS]);
        let random = |shape: [i64; 2]| {
            (Tensor::randn(shape, (Kind::Double, Device::Cpu)) * 0.4).to_kind(kind).set_requires_grad(true)
        };
        Self { kind, parameters: shapes.into_iter().map(random).collect() }
    }

    /// Log-probabilities of all words after each token, `[n, words]`.
    fn forward(&self, tokens: &[i64], positions: &[i64], mask: &Tensor) -> Tensor {
        let p = &self.parameters;
        let mut x =
            p[0].index_select(0, &Tensor::from_slice(tokens)) + p[1].index_select(0, &Tensor::from_slice(positions));
        for layer in 0..2i64 {
            let w = &p[2 + 6 * layer as usize..];
            let scores = x.matmul(&w[0]).matmul(&x.matmul(&w[1]).tr()) / (WIDTH as f64).sqrt();
            let attention = scores.masked_fill(&mask.logical_not(), f64::NEG_INFINITY).softmax(-1, self.kind);
            x = &x + attention.matmul(&x.matmul(&w[2])).matmul(&w[3]);
            x = &x + x.matmul(&w[4]).tanh().matmul(&w[5]);
        }
        x.matmul(&p[p.len() - 1]).log_softmax(-1, self.kind)
    }

    /// Log-probability of every token of a tree given its ancestors, `[len]`; 0 for a first token, which nothing
    /// predicts.
    fn tree_logp(&self, tree: &PrefixTree) -> Tensor {
        let mask = tree.attention_mask(Device::Cpu).unwrap();
        let all = self.forward(tree.tokens(), tree.positions(), &mask);
        let predictor: Vec<i64> = tree.previous().iter().map(|p| p.map_or(0, |p| p as i64)).collect();
        let known: Vec<bool> = tree.previous().iter().map(Option::is_some).collect();
        let picked = all
            .index_select(0, &Tensor::from_slice(&predictor))
            .gather(1, &Tensor::from_slice(tree.tokens()).unsqueeze(1), false)
            .squeeze_dim(1);
        picked * Tensor::from_slice(&known).to_kind(self.kind)
    }

    /// The same for one branch alone, without any tree.
    fn branch_logp(&self, tokens: &[i64]) -> Tensor {
        let n = tokens.len() as i64;
        let positions: Vec<i64> = (0..n).collect();
        let causal = Tensor::ones([n, n], (Kind::Bool, Device::Cpu)).tril(0);
        let all = self.forward(tokens, &positions, &causal);
        let next = all.narrow(0, 0, n - 1).gather(1, &Tensor::from_slice(&tokens[1..]).unsqueeze(1), false);
        Tensor::cat(&[Tensor::zeros([1], (self.kind, Device::Cpu)), next.squeeze_dim(1)], 0)
    }

    fn gradients(&self, loss: &Tensor) -> Vec<f64> {
        let gradients = Tensor::run_backward(&[loss], &self.parameters, false, false);
        gradients.iter().flat_map(|g| Vec::<f64>::try_from(g.to_kind(Kind::Double).flatten(0, -1)).unwrap()).collect()
    }
}

fn branches() -> Vec<Vec<i64>> {
    vec![
        vec![1, 2, 3, 4, 5, 6, 7],
        vec![1, 2, 3, 4, 5, 9],
        vec![1, 2, 3, 8, 8, 2, 2, 1],
        vec![1, 7, 3],
        vec![1, 2, 3, 4, 5, 9],
        vec![1, 2, 3],
        vec![5, 2, 3, 4],
    ]
}

fn build(branches: &[Vec<i64>]) -> PrefixTree {
    PrefixTree::build(branches.iter().map(|tokens| Branch::new(tokens))).unwrap()
}

/// A number per branch token, zero for the first, which is not predicted.
fn numbers(branches: &[Vec<i64>], of: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    let column =
        |(b, tokens): (usize, &Vec<i64>)| (0..tokens.len()).map(|i| if i == 0 { 0.0 } else { of(b, i) }).collect();
    branches.iter().enumerate().map(column).collect()
}

fn weights(branches: &[Vec<i64>]) -> Vec<Vec<f64>> {
    numbers(branches, |b, i| (b as f64 * 0.7 - 1.3) * if (b + i).is_multiple_of(4) { 0.0 } else { 0.1 })
}

/// A loss linear in the log-probabilities, branch by branch.
fn flat_loss(toy: &Toy, branches: &[Vec<i64>], weights: &[Vec<f64>]) -> Tensor {
    let branch =
        |(tokens, w): (&Vec<i64>, &Vec<f64>)| (toy.branch_logp(tokens) * Tensor::from_slice(w)).sum(Kind::Double);
    branches.iter().zip(weights).map(branch).sum()
}

/// The same on a tree.
fn tree_loss(toy: &Toy, tree: &PrefixTree, weights: &[Vec<f64>]) -> Tensor {
    let summed = Tensor::from_slice(&tree.sum_weights(weights).unwrap());
    (toy.tree_logp(tree) * summed).sum(Kind::Double)
}

#[test]
fn linear_losses_take_summed_weights() {
    let (toy, branches) = (Toy::new(Kind::Double), branches());
    let weights = weights(&branches);
    let flat = flat_loss(&toy, &branches, &weights);
    let tree = build(&branches);
    assert!(tree.token_ratio() < 0.6);
    let packed = tree_loss(&toy, &tree, &weights);
    assert_close("value", &[packed.double_value(&[])], &[flat.double_value(&[])], 1e-10);
    assert_close("gradient", &toy.gradients(&packed), &toy.gradients(&flat), 1e-10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Branches of few words, so that many prefixes are shared; a weight of its own for every token of every branch. Whole,
    /// and in packs of little more than the longest branch.
    #[test]
    fn random_trees_and_weights(rows in vec(vec((0..3i64, -1.0..1.0f64), 1..9), 1..9), room in 0..4usize) {
        let branches: Vec<Vec<i64>> = rows.iter().map(|row| row.iter().map(|token| token.0).collect()).collect();
        let weights = numbers(&branches, |branch, at| rows[branch][at].1);
        let tree = build(&branches);
        let longest = branches.iter().map(Vec::len).max().unwrap();
        for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
            let toy = Toy::new(kind);
            let flat = flat_loss(&toy, &branches, &weights);
            let (want_value, want) = (flat.double_value(&[]), toy.gradients(&flat));
            let packed = tree_loss(&toy, &tree, &weights);
            assert_close("value", &[packed.double_value(&[])], &[want_value], tolerance);
            assert_close("gradient", &toy.gradients(&packed), &want, tolerance);
            let mut got = vec![0.0; want.len()];
            for pack in tree.split(longest + room).unwrap() {
                let own: Vec<_> = pack.branches.iter().map(|&branch| weights[branch].clone()).collect();
                let part = toy.gradients(&tree_loss(&toy, &pack.tree, &own));
                got.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            assert_close("packs", &got, &want, tolerance);
        }
    }
}

/// Branches with different advantages, some of them clipped: not linear, so the log-probabilities are gathered.
#[test]
fn clipped_losses_gather_the_branches() {
    let (toy, branches) = (Toy::new(Kind::Double), branches());
    let tree = build(&branches);
    let lengths = tree.lengths();
    let advantage = numbers(&branches, |b, _| b as f64 - 2.5).concat();
    let in_loss: Vec<bool> = branches.iter().flat_map(|t| (0..t.len()).map(|i| i > 0)).collect();
    let flat_logp = Tensor::cat(&branches.iter().map(|t| toy.branch_logp(t)).collect::<Vec<_>>(), 0);
    let shift = numbers(&branches, |b, i| 0.4 * ((b * 7 + i) as f64).sin()).concat();
    let old = Vec::<f64>::try_from(flat_logp.detach() + Tensor::from_slice(&shift)).unwrap();
    let batch = PolicyBatch::new(&old, &advantage, &in_loss, &lengths);

    let flat = ppo_clip(&flat_logp, &batch, &PpoClip::default()).unwrap();
    let gathered = tree.gather(&toy.tree_logp(&tree)).unwrap();
    let packed = ppo_clip(&gathered, &batch, &PpoClip::default()).unwrap();
    assert!(flat.diagnostics.clip_low + flat.diagnostics.clip_high > 0.1);
    assert_close("value", &[packed.value], &[flat.value], 1e-10);
    assert_close("gradient", &toy.gradients(&packed.loss), &toy.gradients(&flat.loss), 1e-10);
}

#[test]
fn packs_under_a_budget_add_up_to_the_whole() {
    let (toy, branches) = (Toy::new(Kind::Double), branches());
    let weights = weights(&branches);
    let tree = build(&branches);
    let want = toy.gradients(&tree_loss(&toy, &tree, &weights));
    for budget in [8, 10, 13, 100] {
        let packs = tree.split(budget).unwrap();
        assert_eq!(packs.len() == 1, budget == 100);
        let mut seen: Vec<usize> = packs.iter().flat_map(|pack| pack.branches.clone()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..branches.len()).collect::<Vec<_>>());
        let mut got = vec![0.0; want.len()];
        for pack in packs {
            assert!(pack.tree.len() <= budget);
            let own: Vec<_> = pack.branches.iter().map(|&b| weights[b].clone()).collect();
            let loss = tree_loss(&toy, &pack.tree, &own);
            got.iter_mut().zip(toy.gradients(&loss)).for_each(|(sum, g)| *sum += g);
        }
        assert_close("gradient", &got, &want, 1e-10);
    }
}
