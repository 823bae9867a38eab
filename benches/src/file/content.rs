//! What a block of the measured file holds, so that another block, an older one, or a torn one is
//! told from the right one.
//!
//! Every sector of 512 bytes begins with the number of its block, the version that was written and
//! the seed of the file; what follows depends on the seed and on the place within the block. To
//! write a block costs a few stores per sector, since only the beginnings differ.

#![forbid(unsafe_code)]

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::stats::Random;

/// What disks write as a whole, at least.
pub(super) const SECTOR_BYTES: usize = 512;

const STAMP_BYTES: usize = 24;

/// How much of a block is looked at when it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// Nothing: what came may be anything
    None,
    /// The first 24 bytes: number, version and seed; costs about 50 ns, most of it a cache miss
    #[default]
    Header,
    /// Every byte; costs about 0.1 µs per 4 KiB when they are in the cache
    Full,
}

/// The content of a file, given by its seed.
#[derive(Clone, Debug)]
pub(super) struct Content {
    seed: u64,
    /// Block 0 in version 0.
    template: Vec<u8>,
}

/// A block that holds something else than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    number: u64,
    version: u64,
    byte: usize,
    found: String,
}

impl Content {
    /// The content of a file of blocks of `block_bytes`, a multiple of [`SECTOR_BYTES`].
    pub(super) fn new(seed: u64, block_bytes: usize) -> Self {
        assert!(block_bytes.is_multiple_of(SECTOR_BYTES), "blocks are whole sectors");
        let mut random = Random::new(seed);
        let words = (0..block_bytes / 8).flat_map(|_| random.next().to_le_bytes());
        let mut content = Content { seed, template: words.collect() };
        let mut block = std::mem::take(&mut content.template);
        content.stamp(&mut block, 0, 0);
        content.template = block;
        content
    }

    /// Makes `block` the block `number` in its version 0.
    pub(super) fn fill(&self, block: &mut [u8], number: u64) {
        block.copy_from_slice(&self.template);
        self.stamp(block, number, 0);
    }

    /// Makes any block of this content the block `number` in `version`.
    pub(super) fn stamp(&self, block: &mut [u8], number: u64, version: u64) {
        let stamp = self.stamp_of(number, version);
        for sector in block.chunks_exact_mut(SECTOR_BYTES) {
            sector[..STAMP_BYTES].copy_from_slice(&stamp);
        }
    }

    /// Whether `block` is the block `number` in `version`, as far as `verify` looks.
    pub(super) fn check(
        &self,
        block: &[u8],
        number: u64,
        version: u64,
        verify: Verify,
    ) -> Result<(), Mismatch> {
        let stamp = self.stamp_of(number, version);
        let is_right = match verify {
            Verify::None => true,
            Verify::Header => block[..STAMP_BYTES] == stamp,
            Verify::Full => {
                block.len() == self.template.len()
                    && block
                        .chunks_exact(SECTOR_BYTES)
                        .zip(self.template.chunks_exact(SECTOR_BYTES))
                        .all(|(sector, template)| {
                            sector[..STAMP_BYTES] == stamp
                                && sector[STAMP_BYTES..] == template[STAMP_BYTES..]
                        })
            }
        };
        if is_right { Ok(()) } else { Err(self.mismatch(block, number, version)) }
    }

    fn stamp_of(&self, number: u64, version: u64) -> [u8; STAMP_BYTES] {
        let mut stamp = [0; STAMP_BYTES];
        for (place, word) in stamp.chunks_exact_mut(8).zip([number, version, self.seed]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        stamp
    }

    #[cold]
    fn mismatch(&self, block: &[u8], number: u64, version: u64) -> Mismatch {
        let mut right = self.template.clone();
        self.stamp(&mut right, number, version);
        let first = right.iter().zip(block).position(|(right, found)| right != found);
        let byte = first.unwrap_or(block.len().min(right.len()));
        let word = |place: usize| {
            let bytes = block.get(place..place + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_le_bytes)
        };
        let sector = byte / SECTOR_BYTES * SECTOR_BYTES;
        let found = if byte - sector < STAMP_BYTES && word(sector + 16) == self.seed {
            format!("block {} in version {}", word(sector), word(sector + 8))
        } else {
            "bytes that were never written there".to_owned()
        };
        Mismatch { number, version, byte, found }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { number, version, byte, found } = self;
        write!(
            f,
            "wrong content: block {number} should be in version {version}, and from byte {byte} of \
             it on holds {found}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Verify};

    const BLOCK_BYTES: usize = 4096;

    fn written(number: u64, version: u64) -> (Content, Vec<u8>) {
        let content = Content::new(7, BLOCK_BYTES);
        let mut block = vec![0; BLOCK_BYTES];
        content.fill(&mut block, 99);
        content.stamp(&mut block, number, version);
        (content, block)
    }

    #[test]
    fn a_block_is_recognised() {
        let (content, block) = written(3, 5);
        for verify in [Verify::None, Verify::Header, Verify::Full] {
            assert_eq!(content.check(&block, 3, 5, verify), Ok(()));
        }
    }

    #[test]
    fn another_block_and_an_older_one_are_told_by_their_header() {
        let (content, block) = written(3, 5);
        let other = content.check(&block, 4, 5, Verify::Header).expect_err("it is block 3");
        assert!(other.to_string().contains("holds block 3 in version 5"), "{other}");
        assert!(content.check(&block, 3, 6, Verify::Header).is_err());
        assert!(Content::new(8, BLOCK_BYTES).check(&block, 3, 5, Verify::Header).is_err());
    }

    #[test]
    fn every_flipped_byte_is_found_by_a_full_check() {
        let (content, mut block) = written(3, 5);
        for byte in 0..BLOCK_BYTES {
            block[byte] ^= 1;
            let mismatch = content.check(&block, 3, 5, Verify::Full).expect_err("it was flipped");
            assert_eq!(mismatch.byte, byte);
            block[byte] ^= 1;
        }
    }

    #[test]
    fn a_torn_block_is_found_by_a_full_check() {
        let (content, mut block) = written(3, 5);
        let (_, newer) = written(3, 6);
        block[2048..].copy_from_slice(&newer[2048..]);
        assert_eq!(content.check(&block, 3, 5, Verify::Header), Ok(()));
        assert!(content.check(&block, 3, 5, Verify::Full).is_err());
    }
}
