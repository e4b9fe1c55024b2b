//! The payment rails that the engine calls: their addresses, and the simulator for rails without a URL.

use std::sync::Arc;

use crate::config::InstanceRole;
use crate::domain::disbursement::rail::Rail;
use crate::error::Result;
use crate::rails::gateway::{RailEndpoint, RailGateway};
use crate::rails::simulator::RailSimulator;
use crate::resources::Resources;

/// Starts the simulated rails, if a rail uses them and this instance calls rails.
pub(super) async fn start_rail_simulator(resources: &Resources) -> Result<Option<RailSimulator>> {
    let settings = &resources.settings;
    let has_url = |rail: &Rail| settings.disbursements.rails.of(*rail).is_some();
    let is_needed =
        settings.disbursements.is_simulated(settings.environment) && !Rail::ALL.iter().all(has_url);
    if !is_needed || !settings.instance.is(InstanceRole::Worker) {
        return Ok(None);
    }
    RailSimulator::start(resources.named("rail_simulator").logger).await.map(Some)
}

/// The rails of this instance. Those without a URL are simulated or missing.
pub(super) fn rail_gateway(resources: &Resources, simulator: Option<&RailSimulator>) -> RailGateway {
    let settings = &resources.settings.disbursements;
    let endpoint = |rail: &Rail| {
        let configured = settings.rails.of(*rail).map(str::to_owned);
        let base_url = configured.or_else(|| simulator.map(|simulator| simulator.base_url(*rail)))?;
        let (call, breaker) = (settings.call.clone(), settings.breaker.clone());
        Some(RailEndpoint { rail: *rail, base_url, call, breaker })
    };
    let endpoints = Rail::ALL.iter().filter_map(endpoint).collect();
    let (clock, metrics) = (resources.clock.clone(), Arc::clone(&resources.metrics));
    RailGateway::new(endpoints, clock, metrics, resources.named("rails").logger)
}
