//! Random statements on a table with a primary key, and a model of their effect on its content.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::random::Random;

/// The value of each key.
pub(crate) type Content = BTreeMap<i64, i64>;

/// Keys are below this number, unless they were moved up by [`MOVED`].
const KEYS: u64 = 3_000;
const MOVED: i64 = 1_000_000;

/// A table: column `a` is the key of the model, `b` a text derived from it, and `v` the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedTable {
    pub(crate) name: &'static str,
    /// The columns of its primary key.
    pub(crate) key: &'static [&'static str],
    pub(crate) options: &'static str,
}

impl KeyedTable {
    /// Returns a condition that names keys, so that the rows can be found without a scan.
    pub(crate) fn has_one_of(&self, keys: &[i64]) -> String {
        let list = |text: fn(&i64) -> String| keys.iter().map(text).collect::<Vec<_>>();
        match self.key {
            ["a"] => format!("a IN ({})", list(i64::to_string).join(", ")),
            ["b"] => format!("b IN ({})", list(|key| format!("'key {key}'")).join(", ")),
            _ => list(|key| format!("(b = 'key {key}' AND a = {key})")).join(" OR "),
        }
    }
}

/// One row for each key. Its value is the key plus a number.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    keys: RangeInclusive<i64>,
    base: i64,
}

impl Rows {
    fn draw(random: &mut Random, count_max: u64) -> Self {
        let first = random.below(KEYS).cast_signed();
        let count = random.below(count_max).cast_signed();
        Self { keys: first..=first + count, base: random.below(1_000_000).cast_signed() }
    }

    fn text(&self) -> String {
        let Self { keys, base } = self;
        let series = format!("generate_series({}, {})", keys.start(), keys.end());
        format!("SELECT value AS a, 'key ' || value AS b, value + {base} AS v FROM {series}")
    }

    fn pairs(&self) -> impl Iterator<Item = (i64, i64)> {
        self.keys.clone().map(|key| (key, key + self.base))
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Insert(Rows),
    Replace(Rows),
    /// Single rows, some with the same key.
    Values(Vec<(i64, i64)>),
    DoNothing(Rows),
    DoUpdate(Rows),
    /// Deletes matched rows with an even value, updates the other matched rows, and inserts the rest.
    Merge(Rows),
    DeleteKeys(Vec<i64>),
    UpdateKeys(Vec<i64>),
    /// Rows whose value, divided by the first number, leaves the second as remainder.
    DeleteWhere(i64, i64),
    UpdateWhere(i64, i64),
    /// Changes the keys of rows. No other row may have the new keys.
    Move(RangeInclusive<i64>, i64),
    Overwrite(Rows),
    Truncate,
    Flush,
    /// Compacts at most this many data files at a time.
    Compact(u64),
    Expire,
    Collect,
}

impl Act {
    pub(crate) fn draw(random: &mut Random) -> Self {
        match random.below(26) {
            0..=2 => Self::Insert(Rows::draw(random, 40)),
            3 | 4 => Self::Insert(Rows::draw(random, KEYS)),
            5 | 6 => Self::Replace(Rows::draw(random, 400)),
            7 => Self::Values((0..8).map(|_| (random.below(5), random.below(1_000))).map(signed).collect()),
            8 => Self::DoNothing(Rows::draw(random, 300)),
            9 | 10 => Self::DoUpdate(Rows::draw(random, 300)),
            11 | 12 => Self::Merge(Rows::draw(random, 1_500)),
            13 | 14 => Self::DeleteKeys(keys(random)),
            15 | 16 => Self::UpdateKeys(keys(random)),
            17 => Self::DeleteWhere(3 + random.below(20).cast_signed(), random.below(3).cast_signed()),
            18 => Self::UpdateWhere(3 + random.below(20).cast_signed(), random.below(3).cast_signed()),
            19..=21 => {
                let is_back = random.below(2) == 0;
                let first = random.below(KEYS / 100).cast_signed() * 100 + if is_back { MOVED } else { 0 };
                Self::Move(first..=first + 99, if is_back { -MOVED } else { MOVED })
            }
            22 if random.below(4) > 0 => Self::Overwrite(Rows::draw(random, 2_000)),
            22 => Self::Truncate,
            23 => Self::Flush,
            24 => Self::Compact(2 + random.below(5)),
            _ if random.below(2) == 0 => Self::Expire,
            _ => Self::Collect,
        }
    }

    /// Returns whether the statement writes regardless of the content of the table.
    pub(crate) fn adds_rows(&self) -> bool {
        matches!(self, Self::Insert(_) | Self::Replace(_) | Self::Values(_))
    }

    pub(crate) fn text(&self, table: &KeyedTable) -> String {
        let name = table.name;
        match self {
            Self::Insert(rows) => format!("INSERT INTO {name} {}", rows.text()),
            Self::Replace(rows) => format!("REPLACE INTO {name} {}", rows.text()),
            Self::Values(pairs) => {
                let rows = pairs.iter().map(|(key, value)| format!("({key}, 'key {key}', {value})"));
                format!("INSERT INTO {name} VALUES {}", rows.collect::<Vec<_>>().join(", "))
            }
            Self::DoNothing(rows) => format!("INSERT INTO {name} {} ON CONFLICT DO NOTHING", rows.text()),
            Self::DoUpdate(rows) => {
                let target = table.key.join(", ");
                let set = format!("DO UPDATE SET v = {name}.v + excluded.v");
                format!("INSERT INTO {name} {} ON CONFLICT ({target}) {set}", rows.text())
            }
            Self::Merge(rows) => {
                let on = table.key.iter().map(|column| format!("{name}.{column} = s.{column}"));
                format!(
                    "MERGE INTO {name} USING ({}) AS s ON {} WHEN MATCHED AND {name}.v % 2 = 0 THEN DELETE \
                     WHEN MATCHED THEN UPDATE SET v = {name}.v + s.v \
                     WHEN NOT MATCHED THEN INSERT (a, b, v) VALUES (s.a, s.b, s.v)",
                    rows.text(),
                    on.collect::<Vec<_>>().join(" AND ")
                )
            }
            Self::DeleteKeys(keys) => format!("DELETE FROM {name} WHERE {}", table.has_one_of(keys)),
            Self::UpdateKeys(keys) => format!("UPDATE {name} SET v = v + 1 WHERE {}", table.has_one_of(keys)),
            Self::DeleteWhere(divisor, rest) => format!("DELETE FROM {name} WHERE v % {divisor} = {rest}"),
            Self::UpdateWhere(divisor, rest) => format!("UPDATE {name} SET v = v + 1 WHERE v % {divisor} = {rest}"),
            Self::Move(keys, by) => format!(
                "UPDATE {name} SET a = a + {by}, b = 'key ' || (a + {by}) WHERE a BETWEEN {} AND {}",
                keys.start(),
                keys.end()
            ),
            Self::Overwrite(rows) => format!("INSERT OVERWRITE {name} {}", rows.text()),
            Self::Truncate => format!("TRUNCATE TABLE {name}"),
            Self::Flush => format!("SELECT * FROM cayenne_flush('{name}')"),
            Self::Compact(files) => format!("SELECT * FROM cayenne_compact('{name}', {files})"),
            Self::Expire => format!("SELECT * FROM cayenne_expire('{name}')"),
            Self::Collect => "SELECT * FROM cayenne_collect()".to_owned(),
        }
    }

    /// Applies the statement to the content. Returns false if it must fail because of an existing key.
    pub(crate) fn apply(&self, content: &mut Content) -> bool {
        match self {
            Self::Insert(rows) | Self::Replace(rows) => content.extend(rows.pairs()),
            Self::Values(pairs) => content.extend(pairs.iter().copied()),
            Self::DoNothing(rows) => rows.pairs().for_each(|(key, value)| {
                content.entry(key).or_insert(value);
            }),
            Self::DoUpdate(rows) => rows.pairs().for_each(|(key, value)| {
                content.entry(key).and_modify(|old| *old += value).or_insert(value);
            }),
            Self::Merge(rows) => rows.pairs().for_each(|(key, value)| match content.get(&key) {
                Some(old) if old % 2 == 0 => drop(content.remove(&key)),
                Some(old) => drop(content.insert(key, old + value)),
                None => drop(content.insert(key, value)),
            }),
            Self::DeleteKeys(keys) => content.retain(|key, _| !keys.contains(key)),
            Self::UpdateKeys(keys) => {
                content.iter_mut().filter(|(key, _)| keys.contains(key)).for_each(|(_, value)| *value += 1);
            }
            Self::DeleteWhere(divisor, rest) => content.retain(|_, value| *value % divisor != *rest),
            Self::UpdateWhere(divisor, rest) => {
                content.values_mut().filter(|value| **value % divisor == *rest).for_each(|value| *value += 1);
            }
            Self::Move(keys, by) => {
                let moved: Vec<_> = content.range(keys.clone()).map(|(key, value)| (key + by, *value)).collect();
                if moved.iter().any(|(key, _)| content.contains_key(key)) {
                    return false;
                }
                content.retain(|key, _| !keys.contains(key));
                content.extend(moved);
            }
            Self::Overwrite(rows) => *content = rows.pairs().collect(),
            Self::Truncate => content.clear(),
            Self::Flush | Self::Compact(_) | Self::Expire | Self::Collect => {}
        }
        true
    }
}

fn signed((key, value): (u64, u64)) -> (i64, i64) {
    (key.cast_signed(), value.cast_signed())
}

/// Returns some keys, not all of which exist.
pub(crate) fn keys(random: &mut Random) -> Vec<i64> {
    let moved = if random.below(5) == 0 { MOVED } else { 0 };
    (0..=random.below(12)).map(|_| random.below(KEYS).cast_signed() + moved).collect()
}
