//! The paths of a plan as one tree of keys, walked beside the JSON.
//!
//! In: paths, each with how its value is wanted. Out: a [`Trie`] whose marked nodes carry the
//! number of a slot.
//!
//! # Invariants
//! - One path has one slot, however many rules read it.
//! - A node's children are found by a hash of the key that the walk needs anyway (to find
//!   duplicate keys), then by the key itself, in the same time however many there are.
//!
//! Deliberately unknown here: rules, JSON.

use super::key::Key;
use super::path::push_segment;

/// The number of a node.
type NodeId = u32;
/// The number of a slot.
pub type Slot = u16;

/// The root of every trie.
const ROOT: NodeId = 0;

/// A tree of keys.
#[derive(Debug, Default)]
pub struct Trie {
    nodes: Vec<Node>,
    /// The printed path of each slot, which is the name of its value as an attribute.
    paths: Vec<Box<str>>,
}

/// A node under the key that leads to it.
#[derive(Debug)]
struct Child {
    key: Key<Box<str>>,
    /// The element of an array that the key means.
    index: Option<usize>,
    node: NodeId,
}

/// What a plan wants of the value at a node.
#[derive(Debug, Default)]
pub struct Node {
    children: Vec<Child>,
    /// A hash table of places in `children`, each one more than it is; 0 is free.
    table: Vec<u16>,
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

    fn find(&self, hash: u64, key: &Key<&str>) -> Option<NodeId> {
        let mut at = hash as usize;
        loop {
            let place = *self.table.get(at & self.table.len().wrapping_sub(1))?;
            let child = &self.children[usize::from(place).checked_sub(1)?];
            if child.key.is(key) {
                return Some(child.node);
            }
            at += 1;
        }
    }

    fn add(&mut self, key: &str, node: NodeId) {
        let index = key.parse().ok().filter(|index: &usize| index.to_string() == key);
        self.children.push(Child { key: Key::new(key.into()), index, node });
        // Four places a child: most keys of a record have no node, and should meet a free one.
        self.table = vec![0; (4 * self.children.len()).next_power_of_two()];
        let mask = self.table.len() - 1;
        for (place, child) in (1..).zip(&self.children) {
            let mut at = child.key.hash() as usize & mask;
            while self.table[at] != 0 {
                at = (at + 1) & mask;
            }
            self.table[at] = place;
        }
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
            let key = Key::new(segment.as_str());
            at = match self.nodes[at as usize].find(key.hash(), &key) {
                Some(child) => child,
                None => {
                    let child = self.nodes.len() as NodeId;
                    self.nodes.push(Node::default());
                    self.nodes[at as usize].add(segment, child);
                    child
                }
            };
        }
        at
    }

    /// The root.
    pub fn root(&self) -> &Node {
        &self.nodes[ROOT as usize]
    }

    /// A node's child of a key.
    pub fn child(&self, node: &Node, hash: u64, key: &Key<&str>) -> Option<&Node> {
        node.find(hash, key).map(|child| &self.nodes[child as usize])
    }

    /// A node's child for an element of an array.
    pub fn element(&self, node: &Node, index: usize) -> Option<&Node> {
        let child = node.children.iter().find(|child| child.index == Some(index))?;
        Some(&self.nodes[child.node as usize])
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
