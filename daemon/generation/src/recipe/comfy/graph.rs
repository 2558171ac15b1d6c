//! A graph of nodes, of which each has inputs that are values or links to other nodes.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Nodes of a graph; large ones have some hundred.
const MOST_NODES: usize = 10_000;
/// Links from a value to the node that says it.
const LONGEST_CHAIN: usize = 16;

/// By number, so that the same file always reads the same.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: BTreeMap<(u64, String), (String, Map<String, Value>)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    graph: &'a Graph,
    id: &'a str,
    class: &'a str,
    inputs: &'a Map<String, Value>,
}

impl Graph {
    /// From the form that ComfyUI runs: an object of nodes by their number, each with a class and inputs.
    pub(super) fn of_api(value: &Value) -> Option<Self> {
        let mut graph = Self::default();
        for (id, node) in value.as_object()?.iter().take(MOST_NODES) {
            let class = node.get("class_type").and_then(Value::as_str);
            let inputs = node.get("inputs").and_then(Value::as_object);
            if let Some((class, inputs)) = class.zip(inputs) {
                graph.add(id, class, inputs.clone());
            }
        }
        (!graph.nodes.is_empty()).then_some(graph)
    }

    pub(super) fn add(&mut self, id: &str, class: &str, inputs: Map<String, Value>) {
        if self.nodes.len() < MOST_NODES {
            self.nodes.insert(key(id), (class.to_owned(), inputs));
        }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.nodes.iter().map(|((_, id), (class, inputs))| Node { graph: self, id, class, inputs })
    }

    fn node(&self, id: &str) -> Option<Node<'_>> {
        let ((_, id), (class, inputs)) = self.nodes.get_key_value(&key(id))?;
        Some(Node { graph: self, id, class, inputs })
    }
}

/// Numbers in their order; parts of grouped nodes (`12:3`) after the group's.
fn key(id: &str) -> (u64, String) {
    let number = id.split(':').next().and_then(|number| number.parse().ok());
    (number.unwrap_or(u64::MAX), id.to_owned())
}

impl<'a> Node<'a> {
    pub(super) fn id(&self) -> &'a str {
        self.id
    }

    pub(super) fn class(&self) -> &'a str {
        self.class
    }

    pub(super) fn has(&self, input: &str) -> bool {
        self.inputs.contains_key(input)
    }

    pub(super) fn inputs(&self) -> impl DoubleEndedIterator<Item = (&'a String, &'a Value)> {
        self.inputs.iter()
    }

    /// The node that an input comes from: `["4", 0]`, the number of a node and of its output.
    pub(super) fn link(&self, input: &str) -> Option<Node<'a>> {
        let link = self.inputs.get(input)?.as_array()?;
        match &link[..] {
            [Value::String(id), Value::Number(_)] => self.graph.node(id),
            [Value::Number(id), Value::Number(_)] => self.graph.node(&id.to_string()),
            _ => None,
        }
    }

    /// A number, or that of the node which says it, as text.
    pub(super) fn number(&self, input: &str) -> Option<String> {
        let found = self.value(input, &["value", "Value", "seed", "noise_seed", "int", "number", "float"])?;
        match found {
            Value::Number(number) => Some(number.to_string()),
            Value::String(text) if text.parse::<f64>().is_ok() => Some(text.clone()),
            _ => None,
        }
    }

    /// A text, or that of the node which says it.
    pub(super) fn text(&self, input: &str) -> Option<String> {
        let names = ["populated_text", "text", "string", "value", "Text", "String", "prompt", "wildcard_text"];
        self.value(input, &names)?.as_str().map(str::to_owned)
    }

    /// The value of an input; of a link, of the first input of these names that its node has, and so on.
    fn value(&self, input: &str, names: &[&str]) -> Option<&'a Value> {
        let mut node = *self;
        let mut input = input;
        for _ in 0..LONGEST_CHAIN {
            match node.link(input) {
                None => return node.inputs.get(input).filter(|value| !value.is_array()),
                Some(next) => {
                    input = names.iter().find(|name| next.has(name)).copied().or_else(|| next.has("").then_some(""))?;
                    node = next;
                }
            }
        }
        None
    }
}
