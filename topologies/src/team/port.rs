//! Ports: what can be asked of a node's output by name, and its type.

use super::{BlockId, Node, NodeId, NodeKind, Op, Team};
use crate::spec::PortType;

/// Longest chain of selectors and blocks that is followed to find a field's type.
const MAX_HOPS: u32 = 16;

impl Team {
    /// Type of a port of one message of `node`: `text`, `value`, or an output field; `None` when there is none.
    ///
    /// A selector (`majority`, `vote`, `best_of`) hands on the winning message, so it has the fields of its
    /// inputs; a block hands on its output.
    pub fn port(&self, node: NodeId, port: &str) -> Option<PortType> {
        self.port_within(node, port, MAX_HOPS)
    }

    /// Names of all ports of one message of `node`, for suggestions.
    pub fn ports(&self, node: NodeId) -> Vec<String> {
        self.ports_within(node, MAX_HOPS)
    }

    /// Whether several messages of this node may arrive where one was expected: it is mapped.
    pub fn is_plural(&self, node: NodeId) -> bool {
        self.node(node).map.is_some()
    }

    fn port_within(&self, id: NodeId, port: &str, hops: u32) -> Option<PortType> {
        let node = self.node(id);
        match port {
            "text" | "from" | "label" => return Some(PortType::Text),
            "spoke" => return Some(PortType::Boolean),
            "tokens" | "round" | "index" => return Some(PortType::Integer),
            "logprob" => return Some(PortType::Object),
            _ => {}
        }
        match &node.kind {
            NodeKind::Agent(agent) => {
                agent.output.fields.iter().find(|field| field.name == port).map(|field| field.kind)
            }
            NodeKind::Function(function) => match (&function.op, port) {
                (_, "value") => Some(function.returns),
                (Op::Majority { .. } | Op::Vote { .. }, "votes") => Some(PortType::Integer),
                (Op::Majority { .. } | Op::Vote { .. }, "share") | (Op::BestOf { .. } | Op::Tree(_), "score") => {
                    Some(PortType::Number)
                }
                (Op::Majority { .. } | Op::Vote { .. } | Op::BestOf { .. }, _) => self.common_port(id, port, hops),
                _ => None,
            },
            NodeKind::Block(block) => self.block_port(*block, port, hops),
        }
    }

    // Inputs of a selector have equal types (the checker sees to it), so the first speaks for all.
    fn common_port(&self, node: NodeId, port: &str, hops: u32) -> Option<PortType> {
        let first = self.incoming(node).first()?;
        self.port_within(self.edge(*first).from, port, hops.checked_sub(1)?)
    }

    fn block_port(&self, block: BlockId, port: &str, hops: u32) -> Option<PortType> {
        match self.block(block).output.as_slice() {
            [only] => self.port_within(*only, port, hops.checked_sub(1)?),
            _ => None,
        }
    }

    fn ports_within(&self, id: NodeId, hops: u32) -> Vec<String> {
        let mut names = vec!["text".to_owned()];
        let node: &Node = self.node(id);
        match &node.kind {
            NodeKind::Agent(agent) => names.extend(agent.output.fields.iter().map(|field| field.name.clone())),
            NodeKind::Function(function) => {
                names.push("value".to_owned());
                let first = self.incoming(id).first().map(|edge| self.edge(*edge).from);
                if let (Op::Majority { .. } | Op::Vote { .. } | Op::BestOf { .. }, Some(first)) = (&function.op, first)
                    && hops > 0
                {
                    names.extend(self.ports_within(first, hops - 1));
                }
            }
            NodeKind::Block(block) => {
                if let ([only], true) = (self.block(*block).output.as_slice(), hops > 0) {
                    names.extend(self.ports_within(*only, hops - 1));
                }
            }
        }
        names
    }

    /// Most items of a list port, when declared.
    pub(crate) fn max_items(&self, node: NodeId, port: &str) -> Option<u32> {
        let fields = &self.node(node).agent()?.output.fields;
        fields.iter().find(|field| field.name == port)?.max_items
    }
}
