//! Plans which tables come back, from where, and at which sequence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cayenne_format::{Error, Location, Manifest, Result, Sequence, TableCommit, TableId, TableState, WriterEpoch};
use cayenne_metastore::TableRecord;

use super::old::{Old, Told};
use super::{Rebuild, RecoveredFrom, RecoveredTable};
use crate::recovery::manifest::{self, FoundManifest};

/// The plan for one table.
pub(super) struct Plan {
    pub(super) id: TableId,
    pub(super) location: String,
    pub(super) from: RecoveredFrom,
    pub(super) manifest: Option<Manifest>,
    /// Whether a manifest next to the data tells this state already.
    pub(super) is_written: bool,
    /// The epoch of the table in the old metastore that it replaces, if there is one.
    pub(super) replaces: Option<WriterEpoch>,
    pub(super) staged: Vec<TableCommit>,
    problems: Vec<Error>,
}

impl Rebuild {
    /// Returns a plan for every table that the old metastore or a folder tells of.
    pub(super) async fn plan(&self, old: &Old, folders: Vec<(String, TableId)>) -> Result<Vec<Plan>> {
        let mut locations: BTreeMap<TableId, String> =
            old.records.values().map(|record| (record.id, record.location.clone())).collect();
        locations.extend(folders.into_iter().map(|(location, id)| (id, location)));
        let mut plans = Vec::new();
        for (id, location) in locations {
            let (found, unlisted) = match manifest::latest(&self.storage, &location, id).await {
                Ok(found) => {
                    found.require_certain()?;
                    (found, None)
                }
                // Something else is where the folder of the manifests should be.
                Err(error) if manifest::is_no_folder(&error) => (FoundManifest::default(), Some(error)),
                Err(error) => return Err(error),
            };
            // If the metastore is whole, a folder that neither it nor a manifest knows is an orphan, which `collect`
            // removes.
            if old.is_whole && !old.records.contains_key(&id) && found.manifest.is_none() && found.damaged.is_empty() {
                continue;
            }
            let mut plan = self.plan_table(old, id, location, found);
            plan.problems.extend(unlisted);
            plans.push(plan);
        }
        Ok(plans)
    }

    fn plan_table(&self, old: &Old, id: TableId, location: String, found: FoundManifest) -> Plan {
        let mut problems: Vec<Error> = found.damaged.into_iter().map(|damaged| damaged.error).collect();
        let (record, told) = (old.records.get(&id), old.told.get(&id));
        let manifest = found.manifest;
        let known = record.zip(told).filter(|(_, told)| {
            // If a manifest is later than the metastore, an old copy of the metastore was put back.
            manifest.as_ref().is_none_or(|manifest| manifest.state.sequence <= told.state.sequence)
        });
        let replaces = record.filter(|_| old.is_whole).map(|record| record.epoch);
        if let Some((record, told)) = known {
            let tells = |manifest: &Manifest| {
                manifest.since == Sequence::ZERO && manifest.tells(&told.state.snapshot(id), &told.state.sources)
            };
            let is_written = manifest.as_ref().is_some_and(tells);
            let (from, staged) = (RecoveredFrom::Metastore, told.staged.clone());
            let manifest = Some(self.manifest(record, told));
            return Plan { id, location, from, manifest, is_written, replaces, staged, problems };
        }
        let from = if manifest.is_some() { RecoveredFrom::Manifest } else { RecoveredFrom::Nothing };
        if manifest.is_none() {
            problems.push(Error::not_found("the table has no manifest").code("no-manifest"));
        }
        Plan { id, location, from, manifest, is_written: true, replaces, staged: Vec::new(), problems }
    }

    fn manifest(&self, record: &TableRecord, told: &Told) -> Manifest {
        Manifest {
            table: record.id,
            name: record.name.clone(),
            schema: Arc::clone(&record.schema),
            options: record.options.clone(),
            made_at: record.made_at,
            written_at: self.environment.clock.now(),
            since: Sequence::ZERO,
            removed: Vec::new(),
            state: told.state.clone(),
        }
    }

    /// Notes as problems the data files that are missing or have another length, and the deletion files that are
    /// missing.
    pub(super) async fn look_for_files(&self, plans: &mut [Plan]) {
        for plan in plans {
            for new in plan.manifest.iter().flat_map(|manifest| &manifest.state.files) {
                if let Location::Path(name) = &new.file.location {
                    let checked = self.storage.check_length(&plan.location, name, new.file.bytes).await;
                    plan.problems.extend(checked.err());
                }
            }
            for location in plan.manifest.iter().flat_map(|manifest| hiding(&manifest.state)) {
                if let Location::Path(name) = location
                    && let Err(error) = self.fs.open_file(&self.storage.path_of(&plan.location, name))
                {
                    let missing = Error::not_found("a deletion file is missing").code("missing-deletion");
                    plan.problems.push(missing.with("file", name).because(error));
                }
            }
        }
    }
}

/// Returns the locations of the deletion and tombstone files.
fn hiding(state: &TableState) -> impl Iterator<Item = &Location> {
    let deletions = state.deletions.iter().map(|deletion| &deletion.location);
    deletions.chain(state.tombstones.iter().map(|tombstones| &tombstones.location))
}

/// Keeps one of several tables with the same name: the one that the metastore tells, else the one with the latest
/// manifest.
pub(super) fn refuse_second_names(plans: &mut [Plan]) {
    plans.sort_by_key(|plan| {
        let written_at = plan.manifest.as_ref().map(|manifest| manifest.written_at);
        (plan.from != RecoveredFrom::Metastore, std::cmp::Reverse(written_at))
    });
    let mut taken = BTreeSet::new();
    for plan in plans {
        let Some(name) = plan.manifest.as_ref().map(|manifest| manifest.name.clone()) else { continue };
        if !taken.insert(name.clone()) {
            plan.manifest = None;
            plan.from = RecoveredFrom::Nothing;
            plan.problems
                .push(Error::already_exists("another table has this name").code("table-exists").with("table", name));
        }
    }
}

impl Plan {
    pub(super) fn report(self) -> RecoveredTable {
        let Self { location, from, manifest, problems, .. } = self;
        let state = manifest.as_ref().map(|manifest| &manifest.state);
        RecoveredTable {
            name: manifest.as_ref().map(|manifest| manifest.name.clone()),
            location,
            from,
            sequence: state.map(|state| state.sequence).unwrap_or_default(),
            written_at: manifest
                .as_ref()
                .filter(|_| from == RecoveredFrom::Manifest)
                .map(|manifest| manifest.written_at),
            rows: state.map_or(0, |state| state.files.iter().fold(0, |rows, new| new.file.rows.saturating_add(rows))),
            files: state.map_or(0, |state| state.files.len()),
            problems,
        }
    }
}
