//! Steps that count, fail, or stop the writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use cayenne_format::{Error, Result, Step, Steps};
use parking_lot::{Condvar, Mutex};

/// Counts how often each step was reached.
#[derive(Debug, Default)]
pub struct SeenSteps(Mutex<BTreeMap<Step, usize>>);

impl SeenSteps {
    /// Returns how often `step` was reached.
    #[must_use]
    pub fn count(&self, step: Step) -> usize {
        self.0.lock().get(&step).copied().unwrap_or_default()
    }
}

impl Steps for SeenSteps {
    fn before(&self, step: Step) -> Result<()> {
        *self.0.lock().entry(step).or_default() += 1;
        Ok(())
    }
}

/// Makes one step fail while it is armed.
#[derive(Debug, Default)]
pub struct FailingStep(Mutex<Option<Step>>);

impl FailingStep {
    /// Makes `step` fail from now on.
    pub fn arm(&self, step: Step) {
        *self.0.lock() = Some(step);
    }

    /// Returns whether the armed step was reached.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.lock().is_none()
    }

    /// Disarms the step, and returns whether it was reached.
    pub fn disarm(&self) -> bool {
        self.0.lock().take().is_none()
    }
}

impl Steps for FailingStep {
    fn before(&self, step: Step) -> Result<()> {
        let mut armed = self.0.lock();
        if *armed != Some(step) {
            return Ok(());
        }
        // It fails only once: the cleanup after the failure takes steps of its own.
        *armed = None;
        Err(Error::unavailable("step made to fail by a test").with("step", step))
    }
}

/// Lets a number of steps pass and fails all later ones, as if the process had ended there.
#[derive(Debug)]
pub struct LastSteps(AtomicUsize);

impl LastSteps {
    /// Lets `count` steps pass.
    #[must_use]
    pub fn after(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }

    /// Lets `count` more steps pass, regardless of the previous number.
    pub fn end_after(&self, count: usize) {
        self.0.store(count, Ordering::SeqCst);
    }

    /// Returns whether no more steps pass.
    #[must_use]
    pub fn have_ended(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

impl Steps for LastSteps {
    fn before(&self, step: Step) -> Result<()> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Error::unavailable("the process has ended, as a test has it").with("step", step))
    }
}

/// Blocks every thread that reaches one step, until the step is opened.
#[derive(Debug)]
pub struct StoppingStep {
    step: Step,
    state: Mutex<Stop>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Stop {
    reached: bool,
    open: bool,
}

impl StoppingStep {
    /// Blocks every thread that reaches `step`.
    #[must_use]
    pub fn at(step: Step) -> Self {
        Self { step, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Blocks until a thread is stopped at the step.
    pub fn wait_until_reached(&self) {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| !state.reached);
    }

    /// Opens the step: lets the stopped threads and all later ones pass.
    pub fn open(&self) {
        self.state.lock().open = true;
        self.changed.notify_all();
    }
}

impl Steps for StoppingStep {
    fn before(&self, step: Step) -> Result<()> {
        if step == self.step {
            let mut state = self.state.lock();
            state.reached = true;
            self.changed.notify_all();
            self.changed.wait_while(&mut state, |state| !state.open);
        }
        Ok(())
    }
}
