//! The compressed prefix tree, laid out depth first.

use super::TreeError;
use crate::Result;

/// One linearised path: a conversation as one model call sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch<'a> {
    /// Token ids.
    pub tokens: &'a [i64],
    /// The policy (adapter) that each token runs under; empty for a single policy.
    pub policies: &'a [u32],
}

impl<'a> Branch<'a> {
    /// A branch under a single policy.
    pub fn new(tokens: &'a [i64]) -> Self {
        Self { tokens, policies: &[] }
    }

    fn symbol(&self, depth: usize) -> (i64, u32) {
        (self.tokens[depth], self.policies.get(depth).copied().unwrap_or(0))
    }
}

/// A maximal run of tokens shared by the same branches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The node before this one on the path, `None` at a root.
    pub parent: Option<usize>,
    /// Its tokens in the packed order.
    pub range: std::ops::Range<usize>,
    /// Depth (position id) of its first token.
    pub depth: usize,
    /// The branches that run through it, ascending.
    pub branches: Vec<usize>,
}

/// Branches packed into a tree. Tokens lie depth first: a token's ancestors come before it, its descendants right
/// after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixTree {
    pub(super) nodes: Vec<Node>,
    pub(super) tokens: Vec<i64>,
    pub(super) policies: Vec<u32>,
    pub(super) positions: Vec<i64>,
    pub(super) previous: Vec<Option<usize>>,
    pub(super) subtree_end: Vec<usize>,
    pub(super) paths: Vec<Vec<usize>>,
}

impl PrefixTree {
    /// Packs the branches. Equal branches share all their tokens and keep their own index.
    pub fn build<'a>(branches: impl IntoIterator<Item = Branch<'a>>) -> Result<Self> {
        let branches: Vec<Branch<'_>> = branches.into_iter().collect();
        for (branch, given) in branches.iter().enumerate() {
            let (got, want) = (given.policies.len(), given.tokens.len());
            if want == 0 {
                return Err(TreeError::EmptyBranch { branch }.into());
            }
            if got != 0 && got != want {
                return Err(TreeError::Policies { branch, got, want }.into());
            }
        }
        let mut tree = Self {
            nodes: Vec::new(),
            tokens: Vec::new(),
            policies: Vec::new(),
            positions: Vec::new(),
            previous: Vec::new(),
            subtree_end: Vec::new(),
            paths: branches.iter().map(|branch| Vec::with_capacity(branch.tokens.len())).collect(),
        };
        tree.grow(&branches);
        tree.close();
        Ok(tree)
    }

    /// Adds nodes with an explicit stack: a tree may be as deep as its longest branch.
    fn grow(&mut self, branches: &[Branch<'_>]) {
        let everyone: Vec<usize> = (0..branches.len()).collect();
        let mut open: Vec<(Option<usize>, usize, Vec<usize>)> = Vec::new();
        push_groups(&mut open, branches, None, 0, &everyone);
        while let Some((parent, depth, members)) = open.pop() {
            let first = &branches[members[0]];
            let shared = |at: usize| {
                members.iter().all(|&b| branches[b].tokens.len() > at && branches[b].symbol(at) == first.symbol(at))
            };
            let end = (depth..first.tokens.len()).find(|&at| !shared(at)).unwrap_or(first.tokens.len());
            let start = self.tokens.len();
            let mut previous = parent.map(|node| self.nodes[node].range.end - 1);
            for at in depth..end {
                let (token, policy) = first.symbol(at);
                self.previous.push(previous.replace(self.tokens.len()));
                self.tokens.push(token);
                self.policies.push(policy);
                self.positions.push(at as i64);
            }
            let range = start..self.tokens.len();
            for &branch in &members {
                self.paths[branch].extend(range.clone());
            }
            let node = self.nodes.len();
            push_groups(&mut open, branches, Some(node), end, &members);
            self.nodes.push(Node { parent, range, depth, branches: members });
        }
    }

    /// Finds where the descendants of every token end.
    fn close(&mut self) {
        let mut node_end: Vec<usize> = self.nodes.iter().map(|node| node.range.end).collect();
        for index in (0..self.nodes.len()).rev() {
            if let Some(parent) = self.nodes[index].parent {
                node_end[parent] = node_end[parent].max(node_end[index]);
            }
        }
        self.subtree_end = vec![0; self.tokens.len()];
        for (node, end) in self.nodes.iter().zip(node_end) {
            self.subtree_end[node.range.clone()].fill(end);
        }
    }

    /// Tokens in the tree.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// True for a tree of no branch.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Tokens of all branches, shared ones once per branch.
    pub fn flat_len(&self) -> usize {
        self.paths.iter().map(Vec::len).sum()
    }

    /// Tree tokens per flat token: the fraction of the work that is left. 1 for an empty tree.
    pub fn token_ratio(&self) -> f64 {
        if self.is_empty() { 1.0 } else { self.len() as f64 / self.flat_len() as f64 }
    }

    /// `[len]` Token ids, packed.
    pub fn tokens(&self) -> &[i64] {
        &self.tokens
    }

    /// `[len]` The policy of each token.
    pub fn policies(&self) -> &[u32] {
        &self.policies
    }

    /// `[len]` Position ids: the depth of each token.
    pub fn positions(&self) -> &[i64] {
        &self.positions
    }

    /// `[len]` The token before each token on its path: whose output predicts it. `None` for a first token.
    pub fn previous(&self) -> &[Option<usize>] {
        &self.previous
    }

    /// The nodes, parents before children.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Per branch, where its tokens lie in the packed order.
    pub fn paths(&self) -> &[Vec<usize>] {
        &self.paths
    }
}

/// Puts the members that go on past `depth` on the stack, one entry per next symbol, the first branch's on top.
fn push_groups(
    open: &mut Vec<(Option<usize>, usize, Vec<usize>)>,
    branches: &[Branch<'_>],
    parent: Option<usize>,
    depth: usize,
    members: &[usize],
) {
    let mut groups: Vec<((i64, u32), Vec<usize>)> = Vec::new();
    let mut place = std::collections::HashMap::new();
    for &branch in members.iter().filter(|&&branch| branches[branch].tokens.len() > depth) {
        let symbol = branches[branch].symbol(depth);
        let group = *place.entry(symbol).or_insert_with(|| {
            groups.push((symbol, Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push(branch);
    }
    open.extend(groups.into_iter().rev().map(|(_, members)| (parent, depth, members)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(branches: &[&[i64]]) -> PrefixTree {
        PrefixTree::build(branches.iter().map(|tokens| Branch::new(tokens))).unwrap()
    }

    /// Counted by hand: 11 flat tokens, 8 tree tokens, ratio 8 / 11 = .7273; token 1 shared by 3, (1, 2) by 2.
    #[test]
    fn three_branches_by_hand() {
        let tree = build(&[&[1, 2, 3, 4], &[1, 2, 5, 6], &[1, 7, 8]]);
        assert_eq!((tree.flat_len(), tree.len()), (11, 8));
        assert!((tree.token_ratio() - 0.7273).abs() < 5e-5);
        let shared: Vec<_> = tree.nodes().iter().map(|node| (node.range.clone(), node.branches.len())).collect();
        assert_eq!(shared, [(0..1, 3), (1..2, 2), (2..4, 1), (4..6, 1), (6..8, 1)]);
        assert_eq!(tree.previous(), [None, Some(0), Some(1), Some(2), Some(1), Some(4), Some(0), Some(6)]);
        assert_eq!(tree.paths()[1], [0, 1, 4, 5]);
        assert_eq!(tree.positions(), [0, 1, 2, 3, 2, 3, 1, 2], "the depth of each token");
    }

    #[test]
    fn a_branch_may_end_inside_another_and_roots_may_differ() {
        let tree = build(&[&[1, 2], &[1, 2, 3], &[9], &[1, 2]]);
        assert_eq!(tree.tokens(), [1, 2, 3, 9]);
        assert_eq!(tree.paths(), [vec![0, 1], vec![0, 1, 2], vec![3], vec![0, 1]]);
        assert_eq!(tree.nodes()[0].branches, [0, 1, 3]);
    }

    #[test]
    fn equal_tokens_of_different_policies_are_not_shared() {
        let tokens = [1i64, 2, 3];
        let (a, b) = ([0u32, 0, 0], [0u32, 1, 1]);
        let branches = [Branch { tokens: &tokens, policies: &a }, Branch { tokens: &tokens, policies: &b }];
        let tree = PrefixTree::build(branches).unwrap();
        assert_eq!(tree.tokens(), [1, 2, 3, 2, 3]);
        assert_eq!(tree.policies(), [0, 0, 0, 1, 1]);
    }

    #[test]
    fn ill_formed_branches_are_refused() {
        assert!(PrefixTree::build([Branch::new(&[])]).is_err());
        assert!(PrefixTree::build([Branch { tokens: &[1, 2], policies: &[0] }]).is_err());
        assert!(build(&[]).is_empty());
    }

    #[test]
    fn a_deep_tree_does_not_overflow_the_stack() {
        let long: Vec<i64> = (0..20_000).collect();
        let prefixes: Vec<&[i64]> = (1..=2000).map(|k| &long[..k * 10]).collect();
        let tree = build(&prefixes);
        assert_eq!((tree.len(), tree.nodes().len()), (20_000, 2000));
    }
}
