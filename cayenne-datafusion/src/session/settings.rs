//! The settings of the database that a session shows: `SHOW cayenne.durability` and others.

use std::any::Any;

use cayenne_format::Error;
use cayenne_table::{Database, Synchronous};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::error::Result;

use crate::error::external;

/// The settings that were chosen when the database was opened. A session can show them but not change them.
#[derive(Clone, Debug)]
pub(crate) struct ShownSettings {
    durability: &'static str,
    metastore: String,
}

impl ShownSettings {
    pub(crate) fn of(database: &Database) -> Self {
        let settings = database.settings();
        let durability = match settings.metastore.synchronous {
            Synchronous::Full => "full",
            Synchronous::Normal => "relaxed",
        };
        Self { durability, metastore: settings.backend.to_string() }
    }
}

impl ConfigExtension for ShownSettings {
    const PREFIX: &'static str = "cayenne";
}

impl ExtensionOptions for ShownSettings {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<()> {
        let error = Error::invalid("a setting of the database cannot be changed in a session").code("fixed-setting");
        Err(external(error.with("setting", key).help("choose it when the database is opened")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |name: &str, value: &str, description| ConfigEntry {
            key: format!("{}.{name}", Self::PREFIX),
            value: Some(value.to_owned()),
            description,
        };
        let durability = "full: a commit is acknowledged when it survives a power cut; relaxed: when it survives the end of \
                          the process";
        vec![
            entry("durability", self.durability, durability),
            entry("metastore", &self.metastore, "sqlite or turso: which metastore the database was made with"),
        ]
    }
}
