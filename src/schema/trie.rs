//! The paths of a plan as one tree of keys, walked beside the JSON.
//!
//! In: paths, each with how its value is wanted. Out: a [`Trie`] whose marked nodes carry the
//! number of a slot.
//!
//! # Invariants
//! - One path has one slot, however many rules read it.
//! - What a walk can know of a key beforehand stands at its node: its place, its printed path.
//! - A node's children are found by a hash of the key that the walk needs anyway (to find
//!   duplicate keys), then by the key itself, in the same time however many there are.
//!
//! Deliberately unknown here: rules, JSON.

use std::sync::Arc;

use super::key::Key;
use super::path::push_segment;

/// The number of a node.
type NodeId = u32;
/// The number of a slot.
pub type Slot = u16;

/// The root of every trie.
const ROOT: NodeId = 0;

/// A trie of no paths at all.
pub static NOTHING: Trie = Trie { nodes: Vec::new(), paths: Vec::new() };

/// A tree of keys.
#[derive(Debug)]
pub struct Trie {
    nodes: Vec<Node>,
    /// The printed path of each slot, which is the name of its value as an attribute.
    paths: Vec<Box<str>>,
}

/// What a plan wants of the value at a node.
#[derive(Debug)]
pub struct Node {
    /// The key that leads to it.
    key: Key<Box<str>>,
    /// The element of an array that the key means.
    index: Option<usize>,
    children: Vec<NodeId>,
    /// A hash table of the children; the root, which is nobody's child, stands for a free place.
    table: Vec<NodeId>,
    /// Where its value goes.
    pub slot: Option<Slot>,
    /// Keep the JSON text of an object or array.
    pub json: bool,
    /// Keep the JSON text of an array unwalked: its elements are walked one by one.
    pub each: bool,
    /// Walk those elements with this trie as they are met instead.
    pub elements: Option<Arc<Trie>>,
    /// A string here is JSON to go on inside.
    pub unwrap: bool,
    /// Which of its parent's children it is.
    pub place: usize,
    /// What the paths of all below begin with: the path to here and a dot, or nothing at the root.
    pub prefix: Box<str>,
}

impl Node {
    fn new(key: &str, place: usize, prefix: &str) -> Node {
        Node {
            key: Key::new(key.into()),
            index: key.parse().ok().filter(|index: &usize| index.to_string() == key),
            children: Vec::new(),
            table: Vec::new(),
            slot: None,
            json: false,
            each: false,
            elements: None,
            unwrap: false,
            place,
            prefix: prefix.into(),
        }
    }

    /// Whether anything is wanted below.
    pub fn has_children(&self) -> bool {
        !self.children.is_empty()
    }
}

impl Trie {
    /// Nothing but a root.
    pub fn new() -> Trie {
        Trie { nodes: vec![Node::new("", 0, "")], paths: Vec::new() }
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

    /// Walk an array's elements as they are met, unless its own text is wanted or one it stands in.
    pub fn walk_elements(&mut self, path: &[String], elements: &Arc<Trie>) {
        let is_kept = (1..=path.len()).any(|end| self.mark(&path[..end]).json);
        self.mark(path).elements = (!is_kept).then(|| Arc::clone(elements));
    }

    fn node_of(&mut self, path: &[String]) -> NodeId {
        let mut at = ROOT;
        for segment in path {
            let key = Key::new(segment.as_str());
            at = match self.find(&self.nodes[at as usize], key.hash(), &key) {
                Some(child) => child,
                None => self.add(at, segment),
            };
        }
        at
    }

    fn add(&mut self, parent: NodeId, key: &str) -> NodeId {
        let child = self.nodes.len() as NodeId;
        let above = &mut self.nodes[parent as usize];
        let mut prefix = above.prefix.strip_suffix('.').unwrap_or_default().to_owned();
        push_segment(&mut prefix, key);
        prefix.push('.');
        let place = above.children.len();
        above.children.push(child);
        // Four places a child: most keys of a record have no node, and should meet a free one.
        let mut table = vec![ROOT; (4 * above.children.len()).next_power_of_two()];
        self.nodes.push(Node::new(key, place, &prefix));
        for child in &self.nodes[parent as usize].children {
            let mut at = self.nodes[*child as usize].key.hash() as usize;
            while table[at & (table.len() - 1)] != ROOT {
                at += 1;
            }
            let at = at & (table.len() - 1);
            table[at] = *child;
        }
        self.nodes[parent as usize].table = table;
        child
    }

    #[inline]
    fn find(&self, node: &Node, hash: u64, key: &Key<&str>) -> Option<NodeId> {
        let mut at = hash as usize;
        loop {
            let child = *node.table.get(at & node.table.len().wrapping_sub(1))?;
            if child == ROOT {
                return None;
            }
            if self.nodes[child as usize].key.is(key) {
                return Some(child);
            }
            at += 1;
        }
    }

    /// The root, where there is any path.
    pub fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    /// A node's child of a key.
    #[inline]
    pub fn child(&self, node: &Node, hash: u64, key: &Key<&str>) -> Option<&Node> {
        self.find(node, hash, key).map(|child| &self.nodes[child as usize])
    }

    /// A node's child for an element of an array.
    pub fn element(&self, node: &Node, index: usize) -> Option<&Node> {
        let mut children = node.children.iter().map(|child| &self.nodes[*child as usize]);
        children.find(|child| child.index == Some(index))
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
