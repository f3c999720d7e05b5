//! Frames: what was sealed comes back, and any other bytes are refused.

use bytes::Bytes;
use cayenne_format::{ErrorKind, FrameKind, open, open_version, seal, seal_version};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_was_sealed_comes_back(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let sealed = seal(FrameKind::Schema, &payload);
        prop_assert_eq!(open(FrameKind::Schema, &sealed).unwrap(), payload);
    }

    /// A single changed bit anywhere, a truncation or an addition is detected.
    #[test]
    fn damage_is_refused(payload in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let sealed = seal(FrameKind::FileStats, &payload);
        let at = at.index(sealed.len());
        let mut flipped = sealed.to_vec();
        flipped[at] ^= 1 << bit;
        prop_assert!(open(FrameKind::FileStats, &flipped.into()).is_err());
        prop_assert!(open(FrameKind::FileStats, &sealed.slice(..at)).is_err());
        let mut longer = sealed.to_vec();
        longer.push(0);
        prop_assert!(open(FrameKind::FileStats, &longer.into()).is_err());
    }

    #[test]
    fn any_bytes_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let error = open(FrameKind::PartitionValues, &Bytes::from(bytes)).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_frame_of_another_kind_is_refused() {
    let sealed = seal(FrameKind::Schema, b"x");
    assert_eq!(open(FrameKind::FileStats, &sealed).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_newer_version_is_refused_with_both_versions() {
    let sealed = seal(FrameKind::Schema, b"x");
    let mut newer = sealed[..sealed.len() - 8].to_vec();
    newer[6] = 9;
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &newer);
    newer.extend_from_slice(&crc.to_le_bytes());
    let error = open(FrameKind::Schema, &newer.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("found: 9") && error.to_string().contains("known: 1"), "{error}");
}

#[test]
fn each_known_version_is_read_as_itself() {
    for version in [1, 2] {
        let sealed = seal_version(FrameKind::DeletionVector, version, b"x");
        assert_eq!(open_version(FrameKind::DeletionVector, &sealed).unwrap(), (version, Bytes::from_static(b"x")));
    }
    assert_eq!(seal(FrameKind::DeletionVector, b"x"), seal_version(FrameKind::DeletionVector, 2, b"x"));
}

#[test]
fn the_bytes_of_a_frame_are_fixed() {
    // These bytes are fixed: a change here is a change of the format on disk.
    let sealed = seal(FrameKind::Schema, b"abc");
    assert_eq!(&sealed[..19], b"CAYN\x02\x00\x01\x00\x03\x00\x00\x00\x00\x00\x00\x00abc");
    assert_eq!(sealed.len(), 27);
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &sealed[..19]);
    assert_eq!(sealed[19..], crc.to_le_bytes());
    assert_eq!(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, b"123456789"), 0xae8b_1486_0a79_9888);
}
