//! The label values of the metrics of Redis.

use crate::telemetry::labels::label_values;

label_values! {
    /// The label `operation` of the metrics of Redis.
    pub enum Operation {
        Ping = "ping",
        ServerInfo = "server_info",
        EventsAppend = "events_append",
        EventsCheck = "events_check",
        EventsReset = "events_reset",
        EventsAcknowledge = "events_acknowledge",
        DeadLetterCopy = "dead_letter_copy",
        CacheGet = "cache_get",
        CacheSet = "cache_set",
        LimitCharge = "limit_charge",
        LimitCheck = "limit_check",
        StreamAppend = "stream_append",
        StreamDrop = "stream_drop",
        StreamNewest = "stream_newest",
        StreamRead = "stream_read",
        Version = "version",
    }
}

label_values! {
    /// The label `result` of `redis_calls_total`.
    pub enum CallResult {
        Ok = "ok",
        Error = "error",
        /// A value of an unexpected type.
        Foreign = "foreign",
        Timeout = "timeout",
        /// Not sent: the breaker is open.
        Refused = "refused",
    }
}
