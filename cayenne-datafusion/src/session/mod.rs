//! Installs Cayenne in a DataFusion session: settings, rules, functions, and `CREATE EXTERNAL TABLE`.

pub(crate) mod build;
pub(crate) mod factory;
pub(crate) mod guard;
pub(crate) mod maintenance;
pub(crate) mod settings;
pub(crate) mod time_travel;
