//! Fault injection: panics on demand, at named points inside the actors.
//!
//! Supervision that was never seen to work does not work. Where `faults.injection` is on, an operator or a test arms a
//! [`FaultPoint`]; the next actors that pass it panic, mid-message, as a defect would make them. Where it is off,
//! nothing can be armed. Failures of bureaus are not injected here: the simulator plays them.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::domain::application::Country;
use crate::error::{Error, PublicMessage, Result};

/// A place where an actor can be made to panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultPoint {
    /// The application actor, in the middle of a job.
    ApplicationActor,
    /// The provider gateway, while it takes a request.
    ProviderGateway,
    /// A write batcher, while it takes a write.
    WriteBatcher,
    /// The scheduler, while it handles a wake-up.
    Scheduler,
    /// The supervisor of the application actors, while it starts a job.
    Supervisor,
    /// The outbox relay, while it handles a wake-up.
    OutboxRelay,
    /// The broadcaster, while it handles a wake-up.
    Broadcaster,
    /// The housekeeper, while it handles a tick.
    Housekeeper,
    /// The view recorder, while it handles a wake-up.
    ViewRecorder,
}

impl FaultPoint {
    /// Whether an actor that passes here works for one country, so that the fault can be another country's.
    pub fn knows_the_country(self) -> bool {
        matches!(self, Self::ApplicationActor | Self::ProviderGateway)
    }
}

/// The armed faults of one process.
#[derive(Debug, Default)]
pub struct Faults {
    enabled: bool,
    /// How often each point still panics, for one country or for any.
    armed: Mutex<HashMap<(FaultPoint, Option<Country>), u32>>,
}

impl Faults {
    /// Faults that can be armed, or not.
    pub fn new(enabled: bool) -> Self {
        Self { enabled, armed: Mutex::default() }
    }

    /// Whether faults can be armed.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Makes the next `count` passages of `point` panic: those for `country`, or all.
    ///
    /// # Errors
    /// [`Error::Forbidden`] where injection is off.
    pub fn arm(&self, point: FaultPoint, country: Option<Country>, count: u32) -> Result<()> {
        if !self.enabled {
            return Err(Error::Forbidden(PublicMessage::new("fault injection is off")));
        }
        self.lock().insert((point, country), count);
        Ok(())
    }

    /// Panics when `point` is armed for `country` or for all.
    ///
    /// # Panics
    /// That is its purpose.
    pub fn pass(&self, point: FaultPoint, country: Option<Country>) {
        if self.enabled && (self.take(point, country) || country.is_some() && self.take(point, None)) {
            panic!("injected fault at {point:?}");
        }
    }

    fn take(&self, point: FaultPoint, country: Option<Country>) -> bool {
        let mut armed = self.lock();
        match armed.get_mut(&(point, country)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(FaultPoint, Option<Country>), u32>> {
        self.armed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn an_armed_point_panics_exactly_as_often_as_asked_and_only_for_its_country() {
        let faults = Faults::new(true);
        faults.arm(FaultPoint::ApplicationActor, Some(Country::Es), 2).unwrap();
        let passes =
            |country| catch_unwind(|| faults.pass(FaultPoint::ApplicationActor, Some(country))).is_ok();
        assert!(passes(Country::Mx));
        assert!(!passes(Country::Es) && !passes(Country::Es) && passes(Country::Es));
        faults.arm(FaultPoint::ApplicationActor, None, 1).unwrap();
        assert!(!passes(Country::Mx) && passes(Country::Mx));
    }

    #[test]
    fn nothing_can_be_armed_where_injection_is_off() {
        let faults = Faults::new(false);
        assert!(matches!(faults.arm(FaultPoint::WriteBatcher, None, 1), Err(Error::Forbidden(_))));
        faults.pass(FaultPoint::WriteBatcher, None);
    }
}
