//! Inputs of a function: the delivered messages in declared order, carried lists item by item.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::team::{Carries, NodeId, Team};
use crate::turns::message::{Heard, Message, written};

/// One input.
#[derive(Debug, Clone)]
pub(in crate::turns) struct Input {
    /// What was carried, in words.
    pub(in crate::turns) text: Arc<str>,
    /// What was carried, as a value.
    pub(in crate::turns) value: Value,
    /// The record that templates and expressions see.
    pub(in crate::turns) record: Map<String, Value>,
    /// The message, unless the input is an item of a list.
    pub(in crate::turns) message: Option<Arc<Message>>,
}

impl Input {
    /// Inputs from what was heard, and how many were dropped beyond `max`.
    pub(in crate::turns) fn list(team: &Team, viewer: NodeId, heard: &[Heard], max: Option<u32>) -> (Vec<Self>, usize) {
        let mut inputs = Vec::with_capacity(heard.len());
        for heard in heard {
            let edge = team.edge(heard.edge);
            let carried = match &edge.carries {
                Carries::Text => heard.message.value.as_ref().filter(|value| value.is_array()),
                Carries::Field(field) => heard.message.field_for(team, viewer, field),
            };
            if let Some(Value::Array(items)) = carried {
                inputs.extend(items.iter().map(Self::of_item));
                continue;
            }
            let text = heard.message.carried(team, heard.edge).unwrap_or_default();
            let record = heard.message.record(team, viewer, Some(Arc::clone(&text)));
            let value = carried.cloned().unwrap_or_else(|| Value::from(&*text));
            inputs.push(Self { text, value, record, message: Some(Arc::clone(&heard.message)) });
        }
        let dropped = max.map_or(0, |max| inputs.len().saturating_sub(max as usize));
        inputs.truncate(inputs.len() - dropped);
        (inputs, dropped)
    }

    pub(in crate::turns) fn of_item(item: &Value) -> Self {
        let mut record = item.as_object().cloned().unwrap_or_default();
        let text: Arc<str> = crate::turns::observe::item_text(item).into();
        record.insert("text".into(), Value::from(&*text));
        Self { text, value: item.clone(), record, message: None }
    }

    /// A numeric field.
    pub(super) fn number(&self, field: &str) -> Option<f64> {
        let value = self.record.get(field)?;
        value.as_f64().or_else(|| written(value).trim().parse().ok()).filter(|number| number.is_finite())
    }

    /// The fields that are handed on when this input wins.
    pub(super) fn fields(&self) -> Map<String, Value> {
        self.message.as_ref().map(|message| message.fields.clone()).unwrap_or_default()
    }
}
