//! How many calls run, so that work in the background can give way to them.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::rpc::locked;

/// The longest that a piece of work in the background waits: calls that follow one another
/// without a pause must not stop for good what makes them fast.
const MAX_WAIT: Duration = Duration::from_millis(2);

#[derive(Default)]
pub struct Calls {
    running: Mutex<usize>,
    ended: Condvar,
}

impl Calls {
    pub fn begin(&self) {
        *locked(&self.running) += 1;
    }

    pub fn end(&self) {
        let mut running = locked(&self.running);
        *running -= 1;
        if *running == 0 {
            self.ended.notify_all();
        }
    }

    /// Waits until no call runs, but not for long.
    pub fn give_way(&self) {
        let busy = |running: &mut usize| *running > 0;
        let running = locked(&self.running);
        drop(
            self.ended
                .wait_timeout_while(running, MAX_WAIT, busy)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}
