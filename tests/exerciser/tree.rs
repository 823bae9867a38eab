//! A tree as it is in the end.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::outcome::Facts;
use super::step::FAR;
use super::theirs::facts_of;

/// Something in a tree.
#[derive(Debug)]
pub(crate) struct Thing {
    path: PathBuf,
    facts: Facts,
    blocks: u64,
    target: Option<PathBuf>,
    /// A sum of the contents.
    contents: u64,
}

/// Blocks of 512 bytes that ours may have more: preallocated ones, and those of the maps. It has fewer where
/// a copy has kept the holes, as std's does not.
const BLOCKS_MAX: u64 = 256;

impl Thing {
    /// Whether this one of ours is as its twin.
    pub(crate) fn is_like(&self, other: &Thing) -> bool {
        self.path == other.path
            && self.facts == other.facts
            && self.blocks <= other.blocks + BLOCKS_MAX
            && self.target == other.target
            && self.contents == other.contents
    }
}

/// All that is in a tree, sorted. Changes modes, so that all can be looked at.
pub(crate) fn look(root: &Path) -> Vec<Thing> {
    let mut things = Vec::new();
    look_below(root, root, &mut things);
    things.sort_by(|one, other| one.path.cmp(&other.path));
    // After all modes are known, since one file may have several names.
    for thing in things.iter_mut().filter(|thing| thing.facts.kind == 'f') {
        let path = root.join(&thing.path);
        open_up(&path);
        thing.contents = contents(&path, thing.facts.len);
    }
    things
}

fn look_below(root: &Path, folder: &Path, things: &mut Vec<Thing>) {
    for entry in fs::read_dir(folder).expect("a folder that may be read") {
        let path = entry.expect("the disk works").path();
        let known = fs::symlink_metadata(&path).expect("it is there");
        let facts = facts_of(&known);
        if facts.kind == 'd' {
            open_up(&path);
            look_below(root, &path, things);
        }
        let target = fs::read_link(&path).ok();
        let path = path.strip_prefix(root).expect("it is below").to_owned();
        things.push(Thing { path, facts, blocks: known.blocks(), target, contents: 0 });
    }
}

fn open_up(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("it is ours");
}

/// A file is written at its beginning, and beyond [`FAR`].
fn contents(path: &Path, len: u64) -> u64 {
    const PART: usize = 4 << 20;
    let file = fs::File::open(path).expect("it may be read");
    let mut sum = len;
    for begin in [0, FAR] {
        let mut bytes = vec![0; PART.min(len.saturating_sub(begin) as usize)];
        file.read_exact_at(&mut bytes, begin).expect("it is that long");
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            sum =
                (sum.rotate_left(7) ^ u64::from_ne_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    sum
}
