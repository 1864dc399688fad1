//! The paths of a plan as one tree of keys, walked beside the JSON.
//!
//! In: paths, each with how its value is wanted. Out: a [`Trie`] whose marked nodes carry the
//! number of a slot.
//!
//! # Invariants
//! - One path has one slot, however many rules read it.
//! - A node's children are found by a hash of the key that the walk needs anyway (to find
//!   duplicate keys), then by the key itself.
//!
//! Deliberately unknown here: rules, JSON.

use std::hash::Hasher as _;

use rustc_hash::FxHasher;

use super::path::push_segment;

/// The number of a node.
pub type NodeId = u32;
/// The number of a slot.
pub type Slot = u16;

/// The root of every trie.
pub const ROOT: NodeId = 0;

/// A tree of keys.
#[derive(Debug, Default)]
pub struct Trie {
    nodes: Vec<Node>,
    /// The printed path of each slot, which is the name of its value as an attribute.
    paths: Vec<Box<str>>,
}

/// What a plan wants of the value at a node.
#[derive(Debug, Default)]
pub struct Node {
    children: Vec<(u64, Box<str>, NodeId)>,
    /// The bit of each child's hash: most keys of a record have no node, and go no further.
    bits: u64,
    /// Where its value goes.
    pub slot: Option<Slot>,
    /// Keep the JSON text of an object or array.
    pub json: bool,
    /// Keep the JSON text of an array unwalked: its elements are walked one by one.
    pub each: bool,
    /// A string here is JSON to go on inside.
    pub unwrap: bool,
}

impl Node {
    /// Whether anything is wanted below.
    pub fn has_children(&self) -> bool {
        !self.children.is_empty()
    }
}

impl Trie {
    /// Nothing but a root.
    pub fn new() -> Trie {
        Trie { nodes: vec![Node::default()], paths: Vec::new() }
    }

    /// The slot of a path, made if it is new.
    pub fn slot(&mut self, path: &[String]) -> Slot {
        let node = self.node_of(path);
        if let Some(slot) = self.nodes[node as usize].slot {
            return slot;
        }
        let slot = self.paths.len() as Slot;
        let mut printed = String::new();
        path.iter().for_each(|segment| push_segment(&mut printed, segment));
        self.paths.push(printed.into());
        self.nodes[node as usize].slot = Some(slot);
        slot
    }

    /// The node of a path, made if it is new, to set what is wanted there.
    pub fn mark(&mut self, path: &[String]) -> &mut Node {
        let node = self.node_of(path);
        &mut self.nodes[node as usize]
    }

    fn node_of(&mut self, path: &[String]) -> NodeId {
        let mut at = ROOT;
        for segment in path {
            let hash = hash(segment);
            at = match self.child(at, hash, segment) {
                Some(child) => child,
                None => {
                    let child = self.nodes.len() as NodeId;
                    self.nodes.push(Node::default());
                    let parent = &mut self.nodes[at as usize];
                    parent.children.push((hash, segment.as_str().into(), child));
                    parent.bits |= bit(hash);
                    child
                }
            };
        }
        at
    }

    /// A node's child of a key.
    pub fn child(&self, node: NodeId, hash: u64, key: &str) -> Option<NodeId> {
        let parent = &self.nodes[node as usize];
        if parent.bits & bit(hash) == 0 {
            return None;
        }
        let named = |(other, name, _): &&(u64, Box<str>, _)| *other == hash && **name == *key;
        parent.children.iter().find(named).map(|(.., child)| *child)
    }

    /// What is wanted at a node.
    pub fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node as usize]
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.paths.len()
    }

    /// A slot's printed path.
    pub fn path(&self, slot: Slot) -> &str {
        &self.paths[slot as usize]
    }
}

/// One of 64 bits.
fn bit(hash: u64) -> u64 {
    1 << (hash & 63)
}

/// The hash of a key, for children and for finding duplicates.
pub fn hash(key: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key.as_bytes());
    hasher.finish()
}
