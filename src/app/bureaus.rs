//! The bureaus that the engine calls: their endpoints, and the simulator for countries without a URL.

use crate::actors::provider_gateway::Endpoint;
use crate::config::{InstanceRole, ProviderMode, Settings};
use crate::domain::application::Country;
use crate::error::{Error, Result};
use crate::providers::provider_for;
use crate::providers::simulator::{Simulator, SimulatorSettings};
use crate::resources::Resources;

/// Starts the built-in simulator, if a country uses it and this instance calls bureaus.
pub(super) async fn start_simulator(resources: &Resources) -> Result<Option<Simulator>> {
    let settings = &resources.settings;
    let all_real = Country::ALL.iter().all(|country| settings.providers.of(*country).base_url.is_some());
    if all_real || !settings.instance.is(InstanceRole::Worker) {
        return Ok(None);
    }
    let answers_later = |country: &Country| {
        let provider = settings.providers.of(*country);
        provider.mode == ProviderMode::Async && provider.base_url.is_none()
    };
    if !settings.instance.is(InstanceRole::Api)
        && settings.simulator.callback_url.is_empty()
        && Country::ALL.iter().any(answers_later)
    {
        return Err(Error::configuration(
            "simulator.callback_url must point to an instance with the role api, because this instance receives no \
             webhooks, and its simulated bureaus respond with webhooks",
        ));
    }
    let simulator = SimulatorSettings {
        host: settings.simulator.host,
        port: settings.simulator.port,
        ..SimulatorSettings::default()
    };
    let logger = resources.named("simulator").logger;
    Simulator::start(simulator, resources.clock.clone(), logger).await.map(Some)
}

/// The endpoints of the bureaus; without a URL, that of the simulator.
pub(super) fn endpoints(settings: &Settings, simulator: Option<&Simulator>) -> Result<Vec<Endpoint>> {
    let endpoint = |country| {
        let provider = settings.providers.of(country);
        let simulated = simulator.map(|simulator| simulator.base_url(country));
        let base_url = provider.base_url.or(simulated).unwrap_or_default();
        let endpoint = Endpoint::new(provider_for(country), &base_url, provider.call, provider.breaker)?;
        Ok(endpoint.with_mode(provider.mode))
    };
    Country::ALL.into_iter().map(endpoint).collect()
}
