//! Maps: a node run once per item of a list, side by side, one after another, or as a planned DAG.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map as Names, Value};

use super::message::Message;
use crate::team::MapOrder;

/// The items of one run of a mapped node.
#[derive(Debug, Clone)]
pub(super) struct Items {
    list: Vec<Item>,
    name: String,
    order: MapOrder,
    concurrency: usize,
    /// Items that may start, in order.
    startable: VecDeque<u32>,
    running: usize,
    open: usize,
}

#[derive(Debug, Clone)]
struct Item {
    value: Value,
    /// Ids of the items it needs, and where they stand in the list.
    needs: Vec<(String, u32)>,
    missing: u32,
    /// Items that need it.
    followers: Vec<u32>,
    #[expect(clippy::option_option, reason = "not ended; ended in silence; ended with a message")]
    end: Option<Option<Arc<Message>>>,
}

impl Items {
    /// Lines the items up; a DAG must have passed [`check_plan`].
    pub(super) fn new(values: Vec<Value>, name: &str, order: MapOrder, concurrency: Option<u32>) -> Self {
        let needs = match order {
            MapOrder::Parallel => vec![Vec::new(); values.len()],
            MapOrder::Chain => (0..values.len())
                .map(|at| at.checked_sub(1).map(|before| (String::new(), before as u32)).into_iter().collect())
                .collect(),
            MapOrder::Dag { .. } => links(&values).unwrap_or_else(|_| vec![Vec::new(); values.len()]),
        };
        let mut list: Vec<_> = values
            .into_iter()
            .zip(needs)
            .map(|(value, needs)| Item { value, missing: needs.len() as u32, needs, followers: Vec::new(), end: None })
            .collect();
        for at in 0..list.len() {
            for (_, before) in list[at].needs.clone() {
                list[before as usize].followers.push(at as u32);
            }
        }
        let startable = (0..list.len() as u32).filter(|at| list[*at as usize].missing == 0).collect();
        let concurrency = concurrency.map_or(usize::MAX, |most| most.max(1) as usize);
        Self { open: list.len(), list, name: name.to_owned(), order, concurrency, startable, running: 0 }
    }

    /// The next item that may start now.
    pub(super) fn start(&mut self) -> Option<u32> {
        if self.running >= self.concurrency {
            return None;
        }
        let item = self.startable.pop_front()?;
        self.running += 1;
        Some(item)
    }

    /// An item ended, with a message or in silence.
    pub(super) fn end(&mut self, item: u32, message: Option<Arc<Message>>) {
        self.list[item as usize].end = Some(message);
        self.running -= 1;
        self.open -= 1;
        for follower in std::mem::take(&mut self.list[item as usize].followers) {
            let waiting = &mut self.list[follower as usize];
            waiting.missing -= 1;
            if waiting.missing == 0 {
                let at = self.startable.partition_point(|known| *known < follower);
                self.startable.insert(at, follower);
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.open == 0
    }

    /// What the items said, in their order.
    pub(super) fn messages(&self) -> Vec<Arc<Message>> {
        self.list.iter().filter_map(|item| item.end.clone().flatten()).collect()
    }

    /// A name that an item's templates and expressions see.
    pub(super) fn name(&self, item: u32, name: &str) -> Option<Value> {
        let at = item as usize;
        if name == self.name {
            return Some(self.list[at].value.clone());
        }
        let text = |item: &Item| item.end.as_ref()?.as_ref().map(|message| Value::from(&*message.public));
        match name {
            "index" => Some(item.into()),
            "done" if self.order == MapOrder::Chain => {
                Some(Value::Array(self.list[..at].iter().filter_map(text).collect()))
            }
            "needs" if matches!(self.order, MapOrder::Dag { .. }) => {
                let needs = self.list[at].needs.iter();
                Some(Value::Object(
                    needs.filter_map(|(id, before)| Some((id.clone(), text(&self.list[*before as usize])?))).collect(),
                ))
            }
            _ => None,
        }
    }

    /// All names of an item, for a block that is run once per item.
    pub(super) fn names(&self, item: u32) -> Names<String, Value> {
        let names = [self.name.as_str(), "index", "done", "needs"];
        names.into_iter().filter_map(|name| Some((name.to_owned(), self.name(item, name)?))).collect()
    }
}

/// For each item, the items it needs.
fn links(items: &[Value]) -> Result<Vec<Vec<(String, u32)>>, String> {
    let mut ids = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        let id = item.get("id").map(|id| super::message::written(id).to_string());
        let id = id.ok_or_else(|| format!("item {} of the plan has no `id`", at + 1))?;
        if ids.insert(id.clone(), at as u32).is_some() {
            return Err(format!("the plan has two items with the id `{id}`"));
        }
    }
    let mut links = Vec::with_capacity(items.len());
    for item in items {
        let needs = item.get("needs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut found = Vec::with_capacity(needs.len());
        for need in needs {
            let need = super::message::written(need).to_string();
            let at = ids.get(&need).ok_or_else(|| format!("the plan needs `{need}`, which is no id in it"))?;
            found.push((need, *at));
        }
        found.sort_by_key(|(_, at)| *at);
        found.dedup_by_key(|(_, at)| *at);
        links.push(found);
    }
    Ok(links)
}

/// Whether a planned DAG can run: ids unique, needs known, no cycle, within its caps. The error is for the planner.
pub(super) fn check_plan(items: &[Value], max: u32, max_depth: u32) -> Result<(), String> {
    if items.is_empty() {
        return Err("the plan is empty".to_owned());
    }
    if items.len() > max as usize {
        return Err(format!("the plan has {} items; at most {max} are allowed", items.len()));
    }
    let links = links(items)?;
    let pairs: Vec<_> = links
        .iter()
        .enumerate()
        .flat_map(|(to, needs)| needs.iter().map(move |(_, from)| (*from as usize, to)))
        .collect();
    let depth = crate::dependency::longest_paths(items.len(), &pairs, |_| 1);
    // Nodes on a cycle get one and the same depth, so some link does not lead downwards.
    if pairs.iter().any(|(from, to)| depth[*from] >= depth[*to]) {
        return Err("the items of the plan need each other in a circle".to_owned());
    }
    let layers = depth.iter().max().map_or(0, |deepest| deepest + 1);
    if layers > max_depth as usize {
        return Err(format!("the plan is {layers} layers deep; at most {max_depth} are allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(items: &Value) -> Vec<Value> {
        items.as_array().unwrap().clone()
    }

    #[test]
    fn plans_that_cannot_run_are_refused_in_words() {
        let circle = plan(&serde_json::json!([{ "id": "a", "needs": ["b"] }, { "id": "b", "needs": ["a"] }]));
        assert_eq!(check_plan(&circle, 4, 4).unwrap_err(), "the items of the plan need each other in a circle");
        let own = plan(&serde_json::json!([{ "id": "a", "needs": ["a"] }]));
        assert!(check_plan(&own, 4, 4).unwrap_err().contains("circle"));
        let unknown = plan(&serde_json::json!([{ "id": "a", "needs": ["z"] }]));
        assert_eq!(check_plan(&unknown, 4, 4).unwrap_err(), "the plan needs `z`, which is no id in it");
        let deep = plan(&serde_json::json!([{ "id": 1 }, { "id": 2, "needs": [1] }, { "id": 3, "needs": [2] }]));
        assert!(check_plan(&deep, 4, 2).unwrap_err().contains("3 layers deep"));
        assert!(check_plan(&deep, 2, 9).unwrap_err().contains("3 items"));
        assert_eq!(check_plan(&deep, 3, 3), Ok(()));
    }

    #[test]
    fn items_of_a_dag_start_when_their_needs_have_ended() {
        let diamond = plan(&serde_json::json!([
            { "id": "d", "needs": ["b", "c"] }, { "id": "b", "needs": ["a"] }, { "id": "c", "needs": ["a"] }, { "id": "a" }
        ]));
        let mut items = Items::new(diamond, "item", MapOrder::Dag { max_depth: 3 }, None);
        assert_eq!((items.start(), items.start()), (Some(3), None));
        items.end(3, None);
        assert_eq!((items.start(), items.start(), items.start()), (Some(1), Some(2), None));
        items.end(2, None);
        assert_eq!(items.start(), None);
        items.end(1, None);
        assert_eq!(items.start(), Some(0));
        items.end(0, None);
        assert!(items.is_done());
    }
}
