//! What a disk has, and what it may have.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Step;

/// The disk behind the kernel's memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    files: BTreeMap<usize, Vec<Change>>,
    folders: BTreeMap<usize, ()>,
    names: Vec<Naming>,
}

/// How sure something is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sure {
    Yes,
    /// The next sync makes it so.
    NotYet,
    /// No sync ever does.
    Never,
}

#[derive(Clone, Debug)]
struct Change {
    sure: Sure,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Write { at: u64, bytes: Vec<u8> },
    Overwrite(Vec<u8>),
    Cut(u64),
}

/// A name that leads to a node, or to nothing any more; a rename is two that happen together unless one is sure.
#[derive(Clone, Debug)]
struct Naming {
    folder: usize,
    name: String,
    node: Option<usize>,
    sure: bool,
    with_the_one_before: bool,
}

/// Chance (SplitMix64): the same seed, the same disk.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

impl Disk {
    pub(super) fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Create { node, folder, name, is_folder } => {
                if is_folder {
                    self.folders.insert(node, ());
                } else {
                    self.files.insert(node, Vec::new());
                }
                self.name(folder, name, Some(node), false);
            }
            Step::Write { node, at, bytes } => self.change(node, Kind::Write { at, bytes }),
            Step::Overwrite { node, bytes } => self.change(node, Kind::Overwrite(bytes)),
            Step::Cut { node, length } => self.change(node, Kind::Cut(length)),
            Step::Sync { node } => self.settle_file(node, Sure::Yes),
            Step::FailedSync { node } => self.settle_file(node, Sure::Never),
            Step::SyncFolder { folder } => {
                self.names.iter_mut().filter(|one| one.folder == folder).for_each(|one| one.sure = true);
            }
            Step::Rename { node, from, to } => {
                self.name(to.0, to.1, Some(node), false);
                self.name(from.0, from.1, None, true);
            }
            Step::Remove { folder, name } => self.name(folder, name, None, false),
        }
    }

    fn name(&mut self, folder: usize, name: String, node: Option<usize>, with_the_one_before: bool) {
        self.names.push(Naming { folder, name, node, sure: false, with_the_one_before });
    }

    fn change(&mut self, node: usize, kind: Kind) {
        self.files.entry(node).or_default().push(Change { sure: Sure::NotYet, kind });
    }

    fn settle_file(&mut self, node: usize, sure: Sure) {
        let changes = self.files.entry(node).or_default();
        changes.iter_mut().filter(|one| one.sure == Sure::NotYet).for_each(|one| one.sure = sure);
    }

    /// Makes a folder what the disk holds after the power was cut.
    pub(super) fn settle(&self, seed: u64, into: &Path) {
        let mut chance = Chance(seed);
        let mut tree: BTreeMap<(usize, &str), usize> = BTreeMap::new();
        // A journal keeps the order of names; other disks do not.
        let ordered = chance.below(2) == 0;
        let mut upto = if ordered { chance.below(self.names.len() + 1) } else { 0 };
        let (mut before, mut place, mut is_folder) = (true, 0, false);
        for one in &self.names {
            let more = upto > 0;
            upto = upto.saturating_sub(1);
            let maybe = match (one.with_the_one_before, ordered) {
                // One step within a folder, and for a folder; a file's from one to another may have both names for a while.
                (true, _) => before && (one.folder == place || is_folder || ordered || chance.below(2) == 0),
                (false, true) => more,
                (false, false) => chance.below(2) == 0,
            };
            (before, place) = (one.sure || maybe, one.folder);
            is_folder = one.node.is_some_and(|node| self.folders.contains_key(&node));
            match (before, one.node) {
                (false, _) => {}
                (true, Some(node)) => drop(tree.insert((one.folder, &one.name), node)),
                (true, None) => drop(tree.remove(&(one.folder, one.name.as_str()))),
            }
        }
        self.write(0, &tree, &mut chance, into);
    }

    fn write(&self, folder: usize, tree: &BTreeMap<(usize, &str), usize>, chance: &mut Chance, into: &Path) {
        for ((_, name), node) in tree.range((folder, "")..(folder + 1, "")) {
            let path = into.join(name);
            if self.folders.contains_key(node) {
                fs::create_dir_all(&path).expect("made");
                self.write(*node, tree, chance, &path);
            } else {
                fs::write(path, content(self.files.get(node).map_or(&[], Vec::as_slice), chance))
                    .expect("written");
            }
        }
    }
}

fn content(changes: &[Change], chance: &mut Chance) -> Vec<u8> {
    let mut content = Vec::new();
    for change in changes {
        let how = if change.sure == Sure::Yes { 0 } else { chance.below(4) };
        match (&change.kind, how) {
            // What was cut and synced is cut; else it may be there.
            (Kind::Cut(length), 0 | 1) => content.resize(*length as usize, 0),
            (Kind::Overwrite(bytes), 0 | 1) => content.clone_from(bytes),
            (Kind::Cut(_) | Kind::Overwrite(_), _) | (Kind::Write { .. }, 3) => {}
            (Kind::Write { at, bytes }, how) => {
                let (at, all) = (*at as usize, bytes.len());
                let there = match how {
                    0 => all,
                    1 => 0,
                    _ => chance.below(all + 1),
                };
                // A length without its bytes, or a part without the rest.
                let length = if how == 1 || chance.below(2) == 0 { all } else { there };
                let end = if change.sure == Sure::Yes { all } else { length };
                if content.len() < at + end {
                    content.resize(at + end, 0);
                }
                let part = bytes.get(..there).unwrap_or_default();
                content.splice(at..at + part.len(), part.iter().copied());
            }
        }
    }
    content
}
