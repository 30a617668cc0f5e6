//! Layered placement (Sugiyama): longest-path layers, crossings reduced by barycentres, coordinates by least squares.

use std::collections::BTreeMap;

/// An item to be placed: a real one, or a point on the way of a link that spans several layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Item {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) layer: usize,
    /// How far above its centre lines meet it.
    pub(super) port: f64,
    /// Centre, set by [`place`].
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Items with the links between neighbouring layers.
#[derive(Debug, Default)]
pub(super) struct Layered {
    pub(super) items: Vec<Item>,
    /// Pairs of items, the second one layer to the right of the first.
    pub(super) links: Vec<(usize, usize)>,
}

/// Distance between two items above each other.
const GAP: f64 = 22.0;
/// The same where one is only a point on a line.
const LINE_GAP: f64 = 12.0;
/// Rounds of crossing reduction, and of straightening.
const SWEEPS: usize = 12;

impl Layered {
    /// Adds an item and returns its index.
    pub(super) fn add(&mut self, width: f64, height: f64, layer: usize) -> usize {
        self.items.push(Item { width, height, layer, port: 0.0, x: 0.0, y: 0.0 });
        self.items.len() - 1
    }

    /// Adds a link, with points in the layers between. Links with the same `bundle` share their points.
    pub(super) fn link(&mut self, from: usize, to: usize, bundle: &mut BTreeMap<usize, usize>) -> Vec<usize> {
        let (first, last) = (self.items[from].layer, self.items[to].layer);
        let mut points = Vec::new();
        let mut at = from;
        for layer in first + 1..last {
            let point = if let Some(point) = bundle.get(&layer) {
                *point
            } else {
                let point = self.add(0.0, 0.0, layer);
                bundle.insert(layer, point);
                point
            };
            if !self.links.contains(&(at, point)) {
                self.links.push((at, point));
            }
            points.push(point);
            at = point;
        }
        self.links.push((at, to));
        points
    }

    /// Places every item; `gaps[l]` is the space to the right of layer l. Returns width and height.
    pub(super) fn place(&mut self, gaps: &[f64]) -> (f64, f64) {
        let layers = self.ordered();
        let mut x = 0.0;
        for (layer, members) in layers.iter().enumerate() {
            let width = members.iter().map(|item| self.items[*item].width).fold(0.0, f64::max);
            for item in members {
                self.items[*item].x = x + width / 2.0;
            }
            x += width + if layer + 1 < layers.len() { gaps[layer] } else { 0.0 };
        }
        self.straighten(&layers);
        let top = self.items.iter().map(|item| item.y - item.height / 2.0).fold(f64::INFINITY, f64::min);
        for item in &mut self.items {
            item.y -= top;
        }
        let bottom = self.items.iter().map(|item| item.y + item.height / 2.0).fold(0.0, f64::max);
        (x, bottom)
    }

    /// Items by layer, in the order with the fewest crossings found.
    fn ordered(&self) -> Vec<Vec<usize>> {
        let count = self.items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
        let mut layers: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (index, item) in self.items.iter().enumerate() {
            layers[item.layer].push(index);
        }
        let (before, after) = self.neighbours();
        let mut best = (self.crossings(&layers), layers.clone());
        for sweep in 0..SWEEPS {
            let mut position = vec![0.0; self.items.len()];
            let note = |layer: &[usize], position: &mut Vec<f64>| {
                for (at, item) in layer.iter().enumerate() {
                    // Relative positions, so that layers of different sizes compare.
                    position[*item] = (at as f64 + 0.5) / layer.len() as f64;
                }
            };
            for layer in &layers {
                note(layer, &mut position);
            }
            let forwards = sweep % 2 == 0;
            for step in 0..count {
                let layer = if forwards { step } else { count - 1 - step };
                let neighbours = if forwards { &before } else { &after };
                let centre = |item: &usize| {
                    let found = &neighbours[*item];
                    match found.len() {
                        0 => position[*item],
                        size => found.iter().map(|other| position[*other]).sum::<f64>() / size as f64,
                    }
                };
                let mut keyed: Vec<_> = layers[layer].iter().map(|item| (centre(item), *item)).collect();
                keyed.sort_by(|left, right| left.0.total_cmp(&right.0));
                layers[layer] = keyed.into_iter().map(|(_, item)| item).collect();
                note(&layers[layer], &mut position);
            }
            let crossings = self.crossings(&layers);
            if crossings < best.0 {
                best = (crossings, layers.clone());
            }
        }
        best.1
    }

    fn neighbours(&self) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
        let (mut before, mut after) = (vec![Vec::new(); self.items.len()], vec![Vec::new(); self.items.len()]);
        for (from, to) in &self.links {
            before[*to].push(*from);
            after[*from].push(*to);
        }
        (before, after)
    }

    /// Number of pairs of links that cross, counted layer by layer as inversions.
    fn crossings(&self, layers: &[Vec<usize>]) -> usize {
        let mut position = vec![0_usize; self.items.len()];
        for layer in layers {
            for (at, item) in layer.iter().enumerate() {
                position[*item] = at;
            }
        }
        let mut between: Vec<Vec<(usize, usize)>> = vec![Vec::new(); layers.len()];
        for (from, to) in &self.links {
            between[self.items[*from].layer].push((position[*from], position[*to]));
        }
        let mut total = 0;
        for links in &mut between {
            links.sort_unstable();
            // A Fenwick tree over the right-hand positions counts the links that end further down.
            let size = links.iter().map(|link| link.1 + 1).max().unwrap_or(0);
            let mut tree = vec![0_usize; size + 1];
            for (seen, (_, to)) in links.iter().enumerate() {
                let (mut at, mut not_below) = (to + 1, 0);
                while at > 0 {
                    not_below += tree[at];
                    at &= at - 1;
                }
                total += seen - not_below;
                let mut at = to + 1;
                while at <= size {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
            }
        }
        total
    }

    /// Moves every item towards its neighbours as far as the order and the distances in its layer allow.
    fn straighten(&mut self, layers: &[Vec<usize>]) {
        for layer in layers {
            let mut y = 0.0;
            for (at, item) in layer.iter().enumerate() {
                y += if at == 0 { 0.0 } else { self.distance(layer[at - 1], *item) };
                self.items[*item].y = y;
            }
            let middle = y / 2.0;
            for item in layer {
                self.items[*item].y -= middle;
            }
        }
        let (before, after) = self.neighbours();
        for sweep in 0..SWEEPS * 2 {
            let forwards = sweep % 2 == 0;
            for step in 0..layers.len() {
                let layer = &layers[if forwards { step } else { layers.len() - 1 - step }];
                let wanted: Vec<f64> = layer
                    .iter()
                    .map(|item| {
                        let near = if forwards { &before[*item] } else { &after[*item] };
                        let near = if near.is_empty() { &before[*item] } else { near };
                        self.pull(*item, near)
                    })
                    .collect();
                self.settle(layer, &wanted);
            }
        }
    }

    /// Where an item wants to be: level with its neighbours, above all with real ones, so that chains are straight.
    fn pull(&self, item: usize, near: &[usize]) -> f64 {
        let own = self.items[item];
        let (mut sum, mut weights) = (0.0, 0.0);
        for other in near.iter().map(|other| self.items[*other]) {
            let weight = if own.height > 0.0 && other.height > 0.0 { 8.0 } else { 1.0 };
            sum += weight * (other.y - other.port);
            weights += weight;
        }
        if weights == 0.0 { own.y } else { sum / weights + own.port }
    }

    /// Centres two neighbours in a layer must be apart.
    fn distance(&self, upper: usize, lower: usize) -> f64 {
        let (upper, lower) = (self.items[upper], self.items[lower]);
        let gap = if upper.height == 0.0 || lower.height == 0.0 { LINE_GAP } else { GAP };
        f64::midpoint(upper.height, lower.height) + gap
    }

    /// Least squares under minimum distances: isotonic regression by pooling adjacent violators.
    fn settle(&mut self, layer: &[usize], wanted: &[f64]) {
        let mut offset = 0.0;
        let mut offsets = Vec::with_capacity(layer.len());
        // Pools of neighbours that move as one: (sum of wishes, members).
        let mut pools: Vec<(f64, usize)> = Vec::new();
        for (at, item) in layer.iter().enumerate() {
            offset += if at == 0 { 0.0 } else { self.distance(layer[at - 1], *item) };
            offsets.push(offset);
            pools.push((wanted[at] - offset, 1));
            while let [.., upper, lower] = pools.as_slice()
                && upper.0 / upper.1 as f64 > lower.0 / lower.1 as f64
            {
                let merged = (upper.0 + lower.0, upper.1 + lower.1);
                pools.truncate(pools.len() - 2);
                pools.push(merged);
            }
        }
        let mut at = 0;
        for (sum, size) in pools {
            for _ in 0..size {
                self.items[layer[at]].y = sum / size as f64 + offsets[at];
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossings_that_can_go_go() {
        let mut layered = Layered::default();
        let left: Vec<_> = (0..3).map(|_| layered.add(10.0, 10.0, 0)).collect();
        let right: Vec<_> = (0..3).map(|_| layered.add(10.0, 10.0, 1)).collect();
        layered.links = vec![(left[0], right[2]), (left[1], right[1]), (left[2], right[0])];
        let order = layered.ordered();
        assert_eq!(layered.crossings(&order), 0);
        assert_eq!(layered.crossings(&[left, right]), 3);
    }

    #[test]
    fn nothing_overlaps_and_chains_are_straight() {
        let mut layered = Layered::default();
        let source = layered.add(40.0, 30.0, 0);
        let middle: Vec<_> = (0..4).map(|_| layered.add(40.0, 30.0, 1)).collect();
        let sink = layered.add(40.0, 30.0, 3);
        for item in &middle {
            layered.links.push((source, *item));
            layered.link(*item, sink, &mut BTreeMap::new());
        }
        layered.place(&[50.0, 50.0, 50.0]);
        let mut ys: Vec<_> = middle.iter().map(|item| layered.items[*item].y).collect();
        ys.sort_by(f64::total_cmp);
        assert!(ys.windows(2).all(|pair| pair[1] - pair[0] >= 30.0 + GAP - 1e-9));
        assert!((layered.items[source].y - layered.items[sink].y).abs() < 1.0);
    }
}
