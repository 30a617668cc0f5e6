//! Search over partial solutions: breadth first, depth first, beam, Monte-Carlo.
//!
//! A node of the tree is one more step of a solution. Every expansion is one call of the expander, every score one call of
//! the scorer; a wave holds all expansions (or all scores) that can be asked for at once.

use serde_json::{Map, Value};

use super::judge::score;
use super::{Answer, Holds, Product, Step};
use crate::team::{Tree, TreeSelect};
use crate::turns::turn::Brief;

/// Exploration constant of UCT: √2, for rewards in [0, 1] (Kocsis and Szepesvári 2006).
const EXPLORATION: f64 = std::f64::consts::SQRT_2;

/// A tree search under way.
#[derive(Debug, Clone)]
pub(in crate::turns) struct Search {
    tree: Tree,
    task: String,
    nodes: Vec<Node>,
    /// Nodes whose children are being written, one entry per child asked for.
    expanding: Vec<usize>,
    /// Children being scored.
    scoring: Vec<usize>,
    /// Depth first: nodes still to visit, the next last.
    stack: Vec<usize>,
    /// Breadth first and beam: nodes of the level to expand.
    level: Vec<usize>,
    simulations: u32,
    expansions: u32,
    found: Option<usize>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    parent: Option<usize>,
    depth: u32,
    text: String,
    fields: Map<String, Value>,
    score: Option<f64>,
    children: Vec<usize>,
    /// Monte-Carlo: how often it was visited, and the sum of what was found below it.
    visits: u32,
    total: f64,
}

impl Search {
    pub(in crate::turns) fn new(tree: Tree, task: String) -> Self {
        Self {
            tree,
            task,
            nodes: vec![Node::default()],
            expanding: Vec::new(),
            scoring: Vec::new(),
            stack: vec![0],
            level: vec![0],
            simulations: 0,
            expansions: 0,
            found: None,
        }
    }

    pub(super) fn next(&mut self, answers: Option<&Vec<Answer>>, holds: Holds<'_>) -> Step {
        if let Some(answers) = answers {
            if self.scoring.is_empty() {
                let fresh = self.grow(answers);
                if self.tree.score.is_some() && !fresh.is_empty() && self.scores_now(&fresh) {
                    self.scoring = fresh;
                    return Step::Ask(self.scoring.iter().map(|node| self.scoring_brief(*node)).collect());
                }
                self.grown(&fresh, holds);
            } else {
                let scored = std::mem::take(&mut self.scoring);
                for (node, answer) in scored.iter().zip(answers) {
                    self.nodes[*node].score = score(answer, &self.tree.score_field);
                }
                self.grown(&scored, holds);
            }
        }
        if self.found.is_none() {
            let wave = self.expand();
            if !wave.is_empty() {
                return Step::Ask(wave);
            }
        }
        Step::Done(self.product())
    }

    /// Adds the children that were written; a silent expander writes none.
    fn grow(&mut self, answers: &[Answer]) -> Vec<usize> {
        let mut fresh = Vec::new();
        for (parent, answer) in std::mem::take(&mut self.expanding).into_iter().zip(answers) {
            let Some(message) = answer else { continue };
            let depth = self.nodes[parent].depth + 1;
            let (text, fields) = (message.public.to_string(), message.fields.clone());
            self.nodes.push(Node { parent: Some(parent), depth, text, fields, ..Node::default() });
            let child = self.nodes.len() - 1;
            self.nodes[parent].children.push(child);
            fresh.push(child);
        }
        fresh
    }

    /// Monte-Carlo roll-outs are scored at their end only.
    fn scores_now(&self, fresh: &[usize]) -> bool {
        !matches!(self.tree.select, TreeSelect::Mcts { .. })
            || fresh.iter().all(|node| self.nodes[*node].depth == self.tree.depth)
    }

    /// New children are complete: looks for the end of the search and lines up what comes next.
    fn grown(&mut self, fresh: &[usize], holds: Holds<'_>) {
        if let Some(until) = self.tree.until.clone() {
            self.found = fresh.iter().copied().find(|node| holds(&until, self.record(*node)));
        }
        let mut ranked = fresh.to_vec();
        ranked.sort_by(|left, right| self.rating(*right).total_cmp(&self.rating(*left)));
        let deeper = |node: &usize| self.nodes[*node].depth < self.tree.depth;
        match self.tree.select {
            TreeSelect::Bfs => self.level = fresh.iter().copied().filter(deeper).collect(),
            TreeSelect::Beam { width } => {
                ranked.truncate(width as usize);
                self.level = ranked.into_iter().filter(deeper).collect();
            }
            TreeSelect::Dfs => {
                // Without a condition the first complete path is the solution.
                if self.tree.until.is_none() && self.found.is_none() {
                    self.found = ranked.iter().copied().find(|node| self.nodes[*node].depth == self.tree.depth);
                }
                let next: Vec<_> = ranked.into_iter().rev().filter(deeper).collect();
                self.stack.extend(next);
            }
            TreeSelect::Mcts { .. } => match fresh.first().copied() {
                Some(node) if deeper(&node) => self.stack = vec![node],
                last => {
                    self.stack.clear();
                    self.propagate(last);
                }
            },
        }
    }

    /// The next expansions: children to write, one entry each.
    fn expand(&mut self) -> Vec<Brief> {
        let branch = self.tree.branch as usize;
        let parents: Vec<usize> = match self.tree.select {
            TreeSelect::Bfs | TreeSelect::Beam { .. } => std::mem::take(&mut self.level),
            TreeSelect::Dfs => self.stack.pop().into_iter().collect(),
            TreeSelect::Mcts { simulations } => return self.simulate(simulations),
        };
        let wanted: Vec<_> = parents.into_iter().flat_map(|parent| std::iter::repeat_n(parent, branch)).collect();
        self.ask(wanted)
    }

    /// Monte-Carlo: carries the roll-out on, or starts one at the node that UCT selects.
    fn simulate(&mut self, simulations: u32) -> Vec<Brief> {
        if let Some(node) = self.stack.pop().filter(|node| *node != 0) {
            return self.ask(vec![node]);
        }
        while self.simulations < simulations {
            self.simulations += 1;
            let node = self.select();
            if self.nodes[node].depth < self.tree.depth {
                return self.ask(vec![node]);
            }
            // A leaf was selected again: it counts, and nothing new can be written below it.
            self.propagate(Some(node));
        }
        Vec::new()
    }

    /// Monte-Carlo: down from the root by UCT, to a node that is not fully expanded or a leaf.
    fn select(&self) -> usize {
        let mut node = 0;
        while self.nodes[node].children.len() >= self.tree.branch as usize && self.nodes[node].depth < self.tree.depth {
            let log = f64::from(self.nodes[node].visits.max(1)).ln();
            let bound = |child: usize| {
                let child = &self.nodes[child];
                let visits = f64::from(child.visits.max(1));
                child.total / visits + EXPLORATION * (log / visits).sqrt()
            };
            let children = self.nodes[node].children.iter().copied();
            let Some(best) = children.reduce(|best, child| if bound(child) > bound(best) { child } else { best })
            else {
                break;
            };
            node = best;
        }
        node
    }

    /// Monte-Carlo: what a roll-out found, counted on the way back to the root.
    fn propagate(&mut self, leaf: Option<usize>) {
        let value = leaf.map_or(0.0, |leaf| self.nodes[leaf].score.unwrap_or(0.0));
        let mut at = leaf;
        while let Some(node) = at {
            self.nodes[node].visits += 1;
            self.nodes[node].total += value;
            at = self.nodes[node].parent;
        }
    }

    fn ask(&mut self, mut wanted: Vec<usize>) -> Vec<Brief> {
        if let Some(max) = self.tree.max_nodes {
            wanted.truncate(max.saturating_sub(self.expansions) as usize);
        }
        self.expansions += wanted.len() as u32;
        let mut index = 0;
        let mut briefs = Vec::with_capacity(wanted.len());
        for (at, parent) in wanted.iter().enumerate() {
            let continues = at > 0 && wanted[at - 1] == *parent;
            index = if continues { index + 1 } else { self.nodes[*parent].children.len() };
            briefs.push(self.expansion_brief(*parent, index));
        }
        self.expanding = wanted;
        briefs
    }

    /// Texts from the root's child down to a node.
    fn path(&self, mut node: usize) -> Vec<&str> {
        let mut path = Vec::new();
        while let Some(parent) = self.nodes[node].parent {
            path.push(self.nodes[node].text.as_str());
            node = parent;
        }
        path.reverse();
        path
    }

    fn expansion_brief(&self, parent: usize, index: usize) -> Brief {
        let path = self.path(parent);
        let so_far = if path.is_empty() { String::new() } else { format!("\n\nSo far:\n{}", path.join("\n")) };
        Brief {
            node: Some(self.tree.expand),
            text: format!("{}{so_far}\n\nWrite the next step.", self.task),
            names: Map::from_iter([
                ("path".to_owned(), path.into()),
                ("depth".to_owned(), self.nodes[parent].depth.into()),
                ("index".to_owned(), index.into()),
            ]),
        }
    }

    fn scoring_brief(&self, node: usize) -> Brief {
        let path = self.path(node);
        Brief {
            node: self.tree.score,
            text: format!(
                "{}\n\nSo far:\n{}\n\nHow good is it? Give a number as its score.",
                self.task,
                path.join("\n")
            ),
            names: Map::from_iter([
                ("candidate".to_owned(), Value::from(self.nodes[node].text.as_str())),
                ("path".to_owned(), path.into()),
                ("depth".to_owned(), self.nodes[node].depth.into()),
            ]),
        }
    }

    /// The record that `until` sees as `node`.
    fn record(&self, node: usize) -> Map<String, Value> {
        let found = &self.nodes[node];
        let mut record = found.fields.clone();
        record.insert("text".into(), Value::from(found.text.as_str()));
        record.insert("depth".into(), found.depth.into());
        record.insert("score".into(), found.score.map_or(Value::Null, Value::from));
        record.insert("path".into(), self.path(node).into());
        Map::from_iter([("node".to_owned(), Value::Object(record))])
    }

    fn rating(&self, node: usize) -> f64 {
        self.nodes[node].score.unwrap_or(f64::NEG_INFINITY)
    }

    /// The node that was found, else the best of the deepest.
    fn product(&self) -> Option<Product> {
        let deepest = self.nodes.iter().map(|node| node.depth).max().filter(|depth| *depth > 0)?;
        let mut leaves: Vec<_> = (1..self.nodes.len()).filter(|node| self.nodes[*node].depth == deepest).collect();
        leaves.sort_by(|left, right| self.rating(*right).total_cmp(&self.rating(*left)));
        let best = self.found.or_else(|| leaves.first().copied())?;
        let mut fields = self.nodes[best].fields.clone();
        fields.insert("depth".into(), self.nodes[best].depth.into());
        fields.insert("score".into(), self.nodes[best].score.map_or(Value::Null, Value::from));
        let solutions = leaves.iter().map(|leaf| Value::from(self.path(*leaf).join("\n"))).collect();
        Some(Product { text: self.path(best).join("\n").into(), fields, value: Some(Value::Array(solutions)) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::team::NodeId;
    use crate::turns::message::Message;

    fn tree(select: TreeSelect, branch: u32, depth: u32) -> Tree {
        let (expand, score) = (NodeId(0), Some(NodeId(1)));
        Tree { expand, score, score_field: "score".into(), branch, depth, select, max_nodes: None, until: None }
    }

    /// A toy problem: each step is a digit `index`, a partial solution is worth the sum of `weights[level] * digit`.
    fn run(tree: Tree, weights: &[f64]) -> (Product, usize, usize) {
        let mut search = Search::new(tree, "digits".into());
        let (mut answers, mut expansions, mut scores) = (None, 0, 0);
        loop {
            match search.next(answers.as_ref(), &|_, _| false) {
                Step::Done(product) => return (product.unwrap(), expansions, scores),
                Step::Ask(wave) => {
                    let answer = |brief: &Brief| {
                        let text = if brief.node == Some(NodeId(0)) {
                            expansions += 1;
                            brief.names["index"].to_string()
                        } else {
                            scores += 1;
                            let path = brief.names["path"].as_array().unwrap();
                            let digit = |step: &Value| step.as_str().unwrap().parse::<f64>().unwrap();
                            path.iter().zip(weights).map(|(step, weight)| digit(step) * weight).sum::<f64>().to_string()
                        };
                        Some(Arc::new(Message::plain(NodeId(0), &text)))
                    };
                    answers = Some(wave.iter().map(answer).collect());
                }
            }
        }
    }

    /// b = 3, d = 3: (3⁴-3)/2 = 39 expansions, and the best leaf is that of a brute-force enumeration.
    #[test]
    fn breadth_first_equals_brute_force() {
        let weights = [1.0, -2.0, 0.5];
        let (product, expansions, scores) = run(tree(TreeSelect::Bfs, 3, 3), &weights);
        assert_eq!((expansions, scores), (39, 39));
        let mut best = (f64::NEG_INFINITY, String::new());
        for path in (0..27).map(|code| [code / 9, code / 3 % 3, code % 3]) {
            let worth: f64 = path.iter().zip(weights).map(|(digit, weight)| f64::from(*digit) * weight).sum();
            if worth > best.0 {
                best = (worth, path.map(|digit| digit.to_string()).join("\n"));
            }
        }
        assert_eq!((product.fields["score"].as_f64().unwrap(), product.text.to_string()), best);
        assert_eq!(product.value.unwrap().as_array().unwrap().len(), 27);
    }

    /// Beam of w: b + (d-1)·w·b expansions.
    #[test]
    fn a_beam_expands_its_width() {
        let (product, expansions, _) = run(tree(TreeSelect::Beam { width: 2 }, 3, 3), &[1.0, 1.0, 1.0]);
        assert_eq!((&*product.text, expansions), ("2\n2\n2", 3 + 2 * 2 * 3));
    }

    #[test]
    fn depth_first_goes_down_the_best_child() {
        let (product, expansions, _) = run(tree(TreeSelect::Dfs, 3, 3), &[1.0, -1.0, 1.0]);
        assert_eq!((&*product.text, expansions), ("2\n0\n2", 9));
    }

    #[test]
    fn monte_carlo_expands_at_most_depth_nodes_per_simulation() {
        let (product, expansions, scores) = run(tree(TreeSelect::Mcts { simulations: 40 }, 3, 3), &[0.2, 0.1, 0.1]);
        assert!(expansions <= 39 && scores <= 40, "{expansions} {scores}");
        assert_eq!(&*product.text, "2\n2\n2");
    }

    #[test]
    fn expansions_are_capped() {
        let capped = Tree { max_nodes: Some(7), ..tree(TreeSelect::Bfs, 3, 3) };
        assert_eq!(run(capped, &[1.0, 1.0, 1.0]).1, 7);
    }
}
