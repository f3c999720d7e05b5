//! Checksums of files: the same however the bytes arrive, and different for any change.

use cayenne_format::{BLOCK_BYTES, BlockChecksums, ContentHash, ErrorKind, FileDigest, FileDigester};
use proptest::prelude::*;

fn digest(pieces: &[&[u8]]) -> FileDigest {
    let mut digester = FileDigester::default();
    for piece in pieces {
        digester.feed(piece);
    }
    digester.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_way_the_bytes_arrive_does_not_matter(length in 0_usize..200_000, cut in any::<prop::sample::Index>()) {
        let bytes: Vec<u8> = (0..251).cycle().take(length).collect();
        let cut = if length == 0 { 0 } else { cut.index(length) };
        let whole = digest(&[&bytes]);
        prop_assert_eq!(&whole, &digest(&[&bytes[..cut], &bytes[cut..]]));
        prop_assert_eq!(whole.hash, ContentHash::of(&bytes));
        prop_assert_eq!(whole.bytes, length as u64);
        prop_assert_eq!(whole.blocks.len() as u64, (length as u64).div_ceil(BLOCK_BYTES));
        prop_assert!(whole.blocks.verify(0, &bytes).is_ok());
        prop_assert_eq!(BlockChecksums::decode(&whole.blocks.encode().into()).unwrap(), whole.blocks);
    }

    #[test]
    fn one_flipped_bit_is_found_in_its_block(at in 0_usize..200_000, bit in 0_u8..8) {
        let mut bytes = vec![7_u8; 200_000];
        let blocks = digest(&[&bytes]).blocks;
        bytes[at] ^= 1 << bit;
        let error = blocks.verify(0, &bytes).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
        let block = (at as u64 / BLOCK_BYTES).to_string();
        prop_assert!(error.facts().any(|(name, value)| name == "block" && value == block));
    }
}

#[test]
fn a_block_the_file_does_not_have_is_damage() {
    let blocks = digest(&[b"abc"]).blocks;
    assert!(blocks.verify(1, b"abc").is_err());
    assert!(BlockChecksums::decode(&vec![0; 9].into()).is_err());
}
