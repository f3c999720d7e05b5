//! Conversion between Cayenne errors and DataFusion errors, without loss in either direction.

use std::error::Error as StdError;

use cayenne_format::Error;
use datafusion::error::DataFusionError;

/// Wraps a Cayenne error in a DataFusion error.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Returns the Cayenne error inside a DataFusion error, or describes the DataFusion error as a Cayenne error.
#[must_use]
pub fn error_of(error: DataFusionError) -> Error {
    if let Some(found) = find(&error) {
        return found;
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => Error::resource_limit("the query needs more memory than it may have")
            .help("raise the memory limit")
            .because(error),
        DataFusionError::NotImplemented(_) => {
            Error::unsupported("the statement is not supported").code("unsupported-sql").because(error)
        }
        DataFusionError::SQL(..) => Error::invalid("the statement cannot be parsed").code("sql-syntax").because(error),
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => {
            Error::invalid("the statement cannot be planned").code("sql-plan").because(error)
        }
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            Error::unavailable("a file cannot be read").code("io").because(error)
        }
        DataFusionError::Internal(_) => Error::internal("the query engine broke one of its rules").because(error),
        _ => Error::invalid("the query failed").code("query").because(error),
    }
}

/// Returns the Cayenne error in a DataFusion error, if there is one.
pub(crate) fn cayenne_error(error: &DataFusionError) -> Option<Error> {
    find(error)
}

fn find(error: &(dyn StdError + 'static)) -> Option<Error> {
    if let Some(found) = cayenne_storage::find_error(error) {
        return Some(found);
    }
    match error.downcast_ref::<DataFusionError>() {
        Some(DataFusionError::Collection(errors)) => errors.iter().find_map(|error| find(error)),
        Some(DataFusionError::External(inner)) => find(inner.as_ref()),
        _ => find(error.source()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cayenne_error_survives_the_way_through_datafusion() {
        let error = external(Error::corrupt("damaged").code("damaged-block").with("file", "x"));
        let wrapped = DataFusionError::Context("while reading".into(), Box::new(error));
        let shared = DataFusionError::Shared(std::sync::Arc::new(wrapped));
        let found = error_of(shared);
        assert_eq!(found.stable_code(), "damaged-block");
        assert_eq!(found.facts().next(), Some(("file", "x")));
    }

    #[test]
    fn a_lack_of_memory_is_a_resource_limit() {
        let found = error_of(DataFusionError::ResourcesExhausted("pool".into()));
        assert_eq!(found.kind(), cayenne_format::ErrorKind::ResourceLimit);
    }
}
