//! Stored key indexes, compared with a map, and decoded from forged bytes.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use cayenne_deletes::{BuiltIndex, KeepRule, KeyCodec, KeyIndex, KeyIndexBuilder, KeyPage, Keys, SortedKeys};
use cayenne_format::{ContentHash, Error, ErrorKind, FrameKind, Result, open, seal};
use proptest::prelude::*;
use proptest::sample::select;

const DATA_FILE: ContentHash = ContentHash(7);

fn codec(data_types: &[DataType]) -> KeyCodec {
    let fields =
        data_types.iter().enumerate().map(|(at, data_type)| Field::new(at.to_string(), data_type.clone(), false));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
    KeyCodec::new(&schema, &names).unwrap().with_seed(11)
}

fn codec_for(keys: &Keys, hashed: bool) -> KeyCodec {
    match keys {
        Keys::Narrow(_) => codec(&[DataType::UInt64]),
        Keys::Wide(_) if hashed => codec(&[DataType::Utf8]),
        Keys::Wide(_) => codec(&[DataType::UInt64, DataType::UInt64]),
    }
}

fn built(keys: &Keys, hashed: bool, keep: KeepRule) -> BuiltIndex {
    let mut builder = KeyIndexBuilder::new(&codec_for(keys, hashed));
    builder.push(keys).unwrap();
    builder.finish(keep, DATA_FILE).unwrap()
}

fn narrow(keys: impl IntoIterator<Item = u64>) -> Keys {
    Keys::Narrow(keys.into_iter().collect())
}

fn slice(bytes: &Bytes, range: Range<u64>) -> Result<Bytes> {
    let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
    (range.start <= range.end && range.end <= bytes.len())
        .then(|| bytes.slice(range))
        .ok_or_else(|| Error::corrupt("no such range"))
}

fn opened(bytes: &Bytes) -> Result<KeyIndex> {
    let length = bytes.len() as u64;
    let tail = slice(bytes, length.saturating_sub(KeyIndex::TAIL_BYTES as u64)..length)?;
    KeyIndex::decode(&slice(bytes, KeyIndex::head_range(length, &tail)?)?, length)
}

fn page_of(bytes: &Bytes, index: &KeyIndex, page: usize) -> Result<KeyPage> {
    KeyPage::decode(&slice(bytes, index.page_range(page).unwrap())?, index, page)
}

/// Looks keys up as a reader of the file does. Maps the row of a probe to a position.
fn lookup(bytes: &Bytes, probes: &Keys) -> Result<BTreeMap<usize, u64>> {
    let index = opened(bytes)?;
    let sorted = SortedKeys::new(probes.clone());
    let mut found = BTreeMap::new();
    let mut before = None;
    for candidate in index.candidates(&sorted, 0..sorted.len())? {
        assert!(!candidate.keys.is_empty() && before < Some(candidate.page), "pages ascend, each once");
        before = Some(candidate.page);
        let page = page_of(bytes, &index, candidate.page)?;
        page.find(&sorted, candidate.keys, &mut |place, position| {
            assert!(found.insert(sorted.row(place).unwrap(), position).is_none());
        });
    }
    Ok(found)
}

fn entries(bytes: &Bytes) -> Result<Vec<(u128, u64)>> {
    let index = opened(bytes)?;
    let pages = (0..index.pages()).map(|page| page_of(bytes, &index, page));
    Ok(pages.collect::<Result<Vec<_>>>()?.iter().flat_map(|page| page.entries().collect::<Vec<_>>()).collect())
}

/// The model, a map: the entries, and the positions that another row with the same key superseded.
fn model(keys: &Keys, keep: KeepRule) -> (BTreeMap<u128, u64>, Vec<u64>) {
    let mut map = BTreeMap::new();
    let mut superseded = Vec::new();
    for (position, row) in (0_u64..).zip(0..keys.len()) {
        let key = keys.get(row).unwrap();
        if keep == KeepRule::Last {
            superseded.extend(map.insert(key, position));
        } else if *map.entry(key).or_insert(position) != position {
            superseded.push(position);
        }
    }
    superseded.sort_unstable();
    (map, superseded)
}

fn check(keys: &Keys, probes: &Keys, hashed: bool, keep: KeepRule) {
    let (map, superseded) = model(keys, keep);
    let built = built(keys, hashed, keep);
    assert!(built.superseded.positions().eq(superseded));
    assert_eq!(built.rows, keys.len() as u64);
    let index = opened(&built.bytes).unwrap();
    assert_eq!((index.entries(), index.rows(), index.data_file()), (map.len() as u64, built.rows, DATA_FILE));
    assert!(index.fits(&codec_for(keys, hashed)) && !index.fits(&codec_for(keys, hashed).with_seed(12)));
    assert!(entries(&built.bytes).unwrap().into_iter().eq(map.clone()));
    let expected: BTreeMap<_, _> =
        (0..probes.len()).filter_map(|row| Some((row, *map.get(&probes.get(row)?)?))).collect();
    assert_eq!(lookup(&built.bytes, probes).unwrap(), expected);
}

fn keep_rule() -> impl Strategy<Value = KeepRule> {
    select(vec![KeepRule::First, KeepRule::Last])
}

/// Keys of one shape: dense, sparse, at both ends of the range, or hashes.
fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..100, (0_u64..1000).prop_map(|key| key << 40), any::<u64>(), u64::MAX - 50..=u64::MAX]
}

proptest! {
    #[test]
    fn narrow_keys_are_found_as_in_a_map(
        rows in prop::collection::vec(numbers(), 0..300),
        probes in prop::collection::vec(numbers(), 0..100),
        keep in keep_rule(),
    ) {
        let known = rows.iter().copied().step_by(3);
        check(&narrow(rows.clone()), &narrow(known.chain(probes)), false, keep);
    }

    #[test]
    fn wide_keys_are_found_as_in_a_map(
        rows in prop::collection::vec(any::<u128>(), 0..300),
        probes in prop::collection::vec(any::<u128>(), 0..100),
        shift in 0_u32..128,
        hashed in any::<bool>(),
        keep in keep_rule(),
    ) {
        let rows: Vec<_> = rows.into_iter().map(|row| row >> shift).collect();
        let known = rows.iter().copied().step_by(3);
        let probes = known.chain(probes).chain([0, u128::MAX]).collect();
        check(&Keys::Wide(rows), &Keys::Wide(probes), hashed, keep);
    }

    #[test]
    fn keys_of_many_pages_are_found_as_in_a_map(
        count in 2_000_u64..7_000,
        step in 1_u64..1_000_000,
        shuffle in any::<bool>(),
        probes in prop::collection::vec(0_u64..10_000, 0..3_000),
        keep in keep_rule(),
    ) {
        // A multiplication by an odd number visits each remainder once, in no simple order.
        let place = |row: u64| if shuffle { row.wrapping_mul(0x9e37_79b1) % 8_192 } else { row };
        let rows = (0..count).map(|row| place(row) * step);
        let probes = probes.into_iter().flat_map(|probe| [probe * step, probe * step + 1]);
        check(&narrow(rows), &narrow(probes), false, keep);
    }

    #[test]
    fn bytes_that_nobody_wrote_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let index = opened(&built(&narrow(0..10), false, KeepRule::Last).bytes).unwrap();
        prop_assert!(opened(&Bytes::from(bytes.clone())).is_err());
        for kind in [FrameKind::KeyIndex, FrameKind::KeyPage] {
            let frame = seal(kind, &bytes);
            prop_assert!(KeyPage::decode(&frame, &index, 0).is_err());
            let _any_outcome_but_a_panic = KeyIndex::decode(&frame, frame.len() as u64 + 16);
        }
    }

    #[test]
    fn bytes_that_someone_prepared_never_panic(
        rows in prop::collection::vec(numbers(), 1..100),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        in_page in any::<bool>(),
    ) {
        let bytes = built(&narrow(rows.clone()), false, KeepRule::Last).bytes;
        let index = opened(&bytes).unwrap();
        let end = index.page_range(0).unwrap().end;
        let page = slice(&bytes, 0..end).unwrap();
        let head = slice(&bytes, end..bytes.len() as u64 - 16).unwrap();
        let changed = |kind, frame: &Bytes, change: bool| {
            let mut payload = open(kind, frame).unwrap().to_vec();
            if change {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            seal(kind, &payload)
        };
        let mut forged = changed(FrameKind::KeyPage, &page, in_page).to_vec();
        forged.extend_from_slice(&changed(FrameKind::KeyIndex, &head, !in_page));
        forged.extend_from_slice(&slice(&bytes, bytes.len() as u64 - 16..bytes.len() as u64).unwrap());
        let _any_outcome_but_a_panic = lookup(&forged.clone().into(), &narrow(rows));
        if let Ok(entries) = entries(&forged.into()) {
            prop_assert!(entries.is_sorted_by(|before, after| before.0 < after.0));
            prop_assert!(entries.iter().all(|(_, position)| *position < index.rows()));
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let rows: Vec<u64> = (0..40).map(|row| row * row).collect();
    let probes = narrow(0..1700);
    let bytes = built(&narrow(rows), false, KeepRule::Last).bytes;
    let expected = lookup(&bytes, &probes).unwrap();
    assert_eq!(expected.len(), 40);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(lookup(&changed.into(), &probes).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(lookup(&bytes.slice(..length), &probes).is_err(), "length {length}");
    }
}

#[test]
fn an_index_without_keys_finds_nothing() {
    check(&narrow([]), &narrow([0, 7, u64::MAX]), false, KeepRule::Last);
}

#[test]
fn keys_at_both_ends_are_found() {
    check(&narrow([u64::MAX, 0]), &narrow([0, 1, u64::MAX - 1, u64::MAX]), false, KeepRule::First);
    check(&Keys::Wide(vec![u128::MAX, 0]), &Keys::Wide(vec![0, 1, u128::MAX]), true, KeepRule::First);
}

#[test]
fn a_table_loaded_in_the_order_of_its_keys_costs_next_to_nothing() {
    let bytes = built(&narrow(1_000_000..1_100_000), false, KeepRule::Last).bytes;
    assert!(bytes.len() < 100_000 / 10, "{} bytes", bytes.len());
}

#[test]
fn absent_keys_are_mostly_told_by_the_filter() {
    let rows = Keys::Wide((0..20_000).map(|row: u128| row << 80).collect());
    let index = opened(&built(&rows, true, KeepRule::Last).bytes).unwrap();
    let absent = SortedKeys::new(Keys::Wide((0..10).map(|row: u128| ((row * 2_000) << 80) + 1).collect()));
    assert!(index.candidates(&absent, 0..10).unwrap().len() < 4);
    assert_eq!(index.candidates(&absent, 10..20).unwrap(), []);
}

#[test]
fn keys_pushed_in_pieces_make_the_same_index() {
    let rows: Vec<u64> = (0..5_000).map(|row| row * 7 % 4_001).collect();
    let mut builder = KeyIndexBuilder::new(&codec(&[DataType::UInt64]));
    for piece in rows.chunks(999) {
        builder.push(&narrow(piece.iter().copied())).unwrap();
    }
    let pieces = builder.finish(KeepRule::First, DATA_FILE).unwrap();
    let whole = built(&narrow(rows), false, KeepRule::First);
    assert_eq!((pieces.bytes, pieces.superseded, pieces.rows), (whole.bytes, whole.superseded, whole.rows));
}

#[test]
fn keys_of_another_form_are_refused() {
    let index = opened(&built(&narrow([1]), false, KeepRule::Last).bytes).unwrap();
    let wide = Keys::Wide(vec![1]);
    let error = index.candidates(&SortedKeys::new(wide.clone()), 0..1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    let mut builder = KeyIndexBuilder::new(&codec(&[DataType::Int32]));
    assert_eq!(builder.push(&wide).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn a_page_is_refused_as_another_page() {
    let bytes = built(&narrow(0..5_000), false, KeepRule::Last).bytes;
    let index = opened(&bytes).unwrap();
    let first = slice(&bytes, index.page_range(0).unwrap()).unwrap();
    assert_eq!(KeyPage::decode(&first, &index, 1).unwrap_err().stable_code(), "damaged-key-index");
    assert_eq!(KeyPage::decode(&first, &index, 9).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(KeyPage::decode(&first, &index, 0).unwrap().len(), 2_048);
}
