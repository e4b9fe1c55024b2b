//! Integration tests: the real composition on a real PostgreSQL.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod database;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod realtime;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod status_machine;
#[cfg(test)]
mod supervision;
#[cfg(test)]
mod support;
