#![doc = include_str!("../README.md")]

/// A set of profiler labels; this build carries none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Labelset;

impl Labelset {
    /// Returns the labels of the current thread, of which there are none.
    #[must_use]
    pub const fn clone_from_current() -> Self {
        Self
    }

    /// Runs `work` and returns what it returns.
    pub fn enter<T>(&mut self, work: impl FnOnce() -> T) -> T {
        work()
    }
}

/// Labels that travel with futures.
pub mod asynchronous {
    /// Attaches the labels of the current thread to a future.
    pub trait Label: Sized {
        /// Returns the future as it is.
        #[must_use]
        fn with_current_labels(self) -> Self {
            self
        }
    }

    impl<F: Future> Label for F {}
}
