//! Fault injection: panics on demand, at named points in the actors.
//!
//! Supervision is only reliable if it is exercised. If `faults.injection` is on, an operator or a test arms a
//! [`FaultPoint`], and the next actors that reach it panic while they handle a message, as they would because of a bug.
//! If the setting is off, no point can be armed. Failures of bureaus are simulated by the bureau simulator instead.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::error::{Error, PublicMessage, Result};

/// A point where an actor can be made to panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultPoint {
    /// The job actor, during a job.
    ApplicationActor,
    /// The provider gateway, while it handles a request.
    ProviderGateway,
    /// A write batcher, while it accepts a write.
    WriteBatcher,
    /// The scheduler, while it handles a wake-up.
    Scheduler,
    /// The supervisor of the job actors, while it starts a job.
    Supervisor,
    /// The outbox relay, while it handles a wake-up.
    OutboxRelay,
    /// The broadcaster, while it handles a wake-up.
    Broadcaster,
    /// The housekeeper, while it handles a tick.
    Housekeeper,
    /// The view recorder, while it handles a wake-up.
    ViewRecorder,
    /// An event consumer, while it handles a wake-up.
    EventConsumer,
}

impl FaultPoint {
    /// Whether work at this point has a scope, such as a country, to which the fault can be limited.
    pub fn has_scope(self) -> bool {
        matches!(self, Self::ApplicationActor | Self::ProviderGateway)
    }
}

/// The armed faults of a process.
#[derive(Debug, Default)]
pub struct Faults {
    enabled: bool,
    /// The number of panics that remain for each point and scope. The scope `None` means all scopes.
    armed: Mutex<HashMap<(FaultPoint, Option<&'static str>), u32>>,
}

impl Faults {
    pub fn new(enabled: bool) -> Self {
        Self { enabled, armed: Mutex::default() }
    }

    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Makes the next `count` actors that reach `point` panic. If `scope` is given, only work with this scope panics
    /// and is counted.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if fault injection is off.
    pub fn arm(&self, point: FaultPoint, scope: Option<&'static str>, count: u32) -> Result<()> {
        if !self.enabled {
            return Err(Error::Forbidden(PublicMessage::new("Fault injection is off.")));
        }
        self.lock().insert((point, scope), count);
        Ok(())
    }

    /// Panics if `point` is armed for `scope` or for all scopes.
    ///
    /// # Panics
    /// On purpose.
    pub fn pass(&self, point: FaultPoint, scope: Option<&'static str>) {
        if self.enabled && (self.take(point, scope) || scope.is_some() && self.take(point, None)) {
            panic!("injected fault at {point:?}");
        }
    }

    fn take(&self, point: FaultPoint, scope: Option<&'static str>) -> bool {
        let mut armed = self.lock();
        match armed.get_mut(&(point, scope)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(FaultPoint, Option<&'static str>), u32>> {
        self.armed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn an_armed_point_panics_the_given_number_of_times_and_only_for_its_scope() {
        let faults = Faults::new(true);
        faults.arm(FaultPoint::ApplicationActor, Some("ES"), 2).unwrap();
        let passes = |scope| catch_unwind(|| faults.pass(FaultPoint::ApplicationActor, Some(scope))).is_ok();
        assert!(passes("MX"));
        assert!(!passes("ES") && !passes("ES") && passes("ES"));
        faults.arm(FaultPoint::ApplicationActor, None, 1).unwrap();
        assert!(!passes("MX") && passes("MX"));
    }

    #[test]
    fn no_point_can_be_armed_if_injection_is_off() {
        let faults = Faults::new(false);
        assert!(matches!(faults.arm(FaultPoint::WriteBatcher, None, 1), Err(Error::Forbidden(_))));
        faults.pass(FaultPoint::WriteBatcher, None);
    }
}
